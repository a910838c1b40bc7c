/* The search runs in a worker, which browsers refuse to pages that are opened from disk. There it runs in a hidden
   frame instead. The name is the one that Material for MkDocs looks for. */
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const script = `<script>
        self.postMessage = (data) => parent.dispatchEvent(new CustomEvent("of-worker", { detail: [self, data] }));
        self.importScripts = () => {};
      </script><script src="${new URL(url, location.href)}"></script>`;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((done) => (this.frame.onload = done));
      this.heard = (event) => {
        const [from, data] = event.detail;
        if (from !== this.frame.contentWindow) return;
        const message = new MessageEvent("message", { data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      };
      addEventListener("of-worker", this.heard);
      this.frame.srcdoc = script;
      const add = () => document.body.append(this.frame);
      document.body ? add() : addEventListener("DOMContentLoaded", add);
    }
    postMessage(data) {
      this.ready.then(() => {
        const inside = this.frame.contentWindow;
        inside.dispatchEvent(new inside.MessageEvent("message", { data }));
      });
    }
    terminate() {
      removeEventListener("of-worker", this.heard);
      this.frame.remove();
    }
  };
}
