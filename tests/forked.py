"""`python -m bench` in a process forked from one that has torch loaded, which spares it the import.

The process has an id, a working folder, random numbers and an exit of its own, like one that is started. It
does not show what an import alone would change, and all have one hash seed, which orders sets alike; tests of
either start an interpreter. Run as a program, this file is the process that is forked: it reads requests from
a socket, and forks for each a process that goes on as the command. The fork server of the command's workers
is forked too, from a process that stands by from before the command, so nothing that the command has done is
in it.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from fcntl import F_DUPFD, fcntl

HEADER = 8
"""Bytes before a message: how long it is."""
HIGH = 200
"""No process here has a file descriptor as high as this."""


class Forked:
    """call(arguments, cwd, timeout) -> the ended process, its output as text; to be used in a `with`.

    path: the folders of PYTHONPATH, if they are others; then this package is imported from there.
    """

    def __init__(self, environment):
        self.socket, theirs = socket.socketpair()
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        command = [sys.executable, __file__, str(theirs.fileno())]
        self.server = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], **pipes)
        theirs.close()

    def __call__(self, arguments, cwd, timeout, path=None):
        """Raises subprocess.TimeoutExpired after timeout seconds, ConnectionError if the server has ended."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            request = {"arguments": [str(each) for each in arguments], "cwd": str(cwd), "path": path}
            _send(self.socket, request, [out.fileno(), err.fileno()])
            pid = self._answer()
            self.socket.settimeout(timeout)
            try:
                code = self._answer()
            except TimeoutError:
                # It can end just now.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.socket.settimeout(None)
                self._answer()
                raise subprocess.TimeoutExpired(request["arguments"], timeout) from None
            self.socket.settimeout(None)
            texts = [file.seek(0) or file.read() for file in (out, err)]
            return subprocess.CompletedProcess(request["arguments"], code, *texts)

    def _answer(self):
        answer = _receive(self.socket)[0]
        if answer is None:
            raise ConnectionError("the process that commands are forked from has ended; see its stderr")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.server.stdout.close()
        self.server.wait()


def _send(to, message, files=()):
    data = json.dumps(message).encode()
    # Files go with the first bytes, and those are few enough to arrive together.
    socket.send_fds(to, [len(data).to_bytes(HEADER, "big")], files)
    to.sendall(data)


def _receive(source, files=0):
    """A message and its files; None and no files at the end."""
    header, received, *_ = socket.recv_fds(source, HEADER, files) if files else (source.recv(HEADER), [])
    data = b""
    while header and len(data) < int.from_bytes(header, "big"):
        data += source.recv(int.from_bytes(header, "big") - len(data))
    return (json.loads(data) if header else None), received


def _serve(requests):
    """Fork a process for each request; return in that process, with the request and its output files."""
    while True:
        request, files = _receive(requests, files=2)
        if request is None:
            os._exit(0)
        child = os.fork()
        if not child:
            requests.close()
            return request, files
        for file in files:
            os.close(file)
        _send(requests, child)
        _send(requests, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _stand_by():
    """Fork what becomes the fork server if the command asks for one, and ends with the command otherwise."""
    from multiprocessing import util

    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        # The user's Ctrl-C is for the command.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        request, files = _receive(theirs, files=2)
        theirs.close()
        if request is None:
            os._exit(0)
        # Their numbers stand in the code, and may be taken by one another.
        high = [fcntl(file, F_DUPFD, HIGH) for file in files]
        for file in files:
            os.close(file)
        for file, number in zip(high, request["files"], strict=True):
            os.dup2(file, number, inheritable=False)
            os.close(file)
        del sys.path[0]
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        exec(request["code"], {"__name__": "__main__"})
        sys.exit(0)
    theirs.close()
    start = util.spawnv_passfds

    def spawn(path, command, files):
        if "multiprocessing.forkserver" not in command[-1] or ours.fileno() < 0:
            return start(path, command, files)
        request = {"code": command[-1], "cwd": os.getcwd(), "environment": dict(os.environ), "files": files}
        _send(ours, request, files)
        ours.close()
        return child

    util.spawnv_passfds = spawn


def _elsewhere(path):
    before = os.environ["PYTHONPATH"].split(os.pathsep)
    sys.path[1 : 1 + len(before)] = path.split(os.pathsep)
    os.environ["PYTHONPATH"] = path
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        del sys.modules[name]


if __name__ == "__main__":
    import gc

    # What commands and their workers load from elsewhere; this package lies in a folder of PYTHONPATH.
    import numpy
    import torch._inductor

    import bench.cli.run
    import bench.runner.train
    import bench.runner.worker

    del bench
    gc.freeze()
    asked, outputs = _serve(socket.socket(fileno=int(sys.argv[1])))
    # As in a process that is started, what is drawn without a seed differs from one command to another.
    torch.default_generator.seed()
    numpy.random.seed()
    del torch, numpy
    for number, file in zip((1, 2), outputs, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    if asked["path"] is not None:
        _elsewhere(asked["path"])
    _stand_by()
    sys.path[0] = asked["cwd"]
    sys.argv = ["bench", *asked["arguments"]]
    runpy.run_module("bench", run_name="__main__", alter_sys=True)
