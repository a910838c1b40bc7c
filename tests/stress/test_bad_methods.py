"""Ten good methods beside one of each bad kind: good rows, honest ones, and nothing left behind."""

import os
import signal
import sys
import time
from contextlib import suppress

import pandas as pd
import pytest
from processes import alive
from tiny_toml import tiny_toml

from bench.records.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

PLUGIN = """
import atexit, os, resource, signal, subprocess, sys, time
from pathlib import Path
from bench.surrogate import Surrogate, method
from bench import shapes

HERE = Path(__file__).parent

class Bad(Surrogate):
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    def on_epoch(self, progress):
        if progress == 1 and self.site.index == 0:
            self.act()

@method("raises", paper="none")
class Raises(Bad):
    def act(self): raise ValueError("no access with " + os.environ["SOME_API_TOKEN"])

@method("exits", paper="none")
class Exits(Bad):
    def act(self):
        print("the token is", os.environ["SOME_API_TOKEN"], flush=True)
        os._exit(3)

@method("crashes", paper="none")
class Crashes(Bad):
    def act(self): os.kill(os.getpid(), signal.SIGSEGV)

@method("kills", paper="none")
class Kills(Bad):
    def act(self): os.kill(os.getpid(), signal.SIGKILL)

@method("allocates", paper="none")
class Allocates(Bad):
    def act(self):
        # In place of a machine that has no more.
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        kept = []
        while True:
            kept.append(bytearray(2**24))

@method("hangs", paper="none")
class Hangs(Bad):
    def act(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)

@method("forks", paper="none")
class Forks(Bad):
    def act(self):
        for apart in (False, True) * 5:
            child = subprocess.Popen(["sleep", "3600"], start_new_session=apart)
            with open(HERE / "children", "a") as file:
                file.write(f"{child.pid}\\n")

@method("prints", paper="none")
class Prints(Bad):
    def act(self):
        for _ in range(4000):
            os.write(1, b"x" * 2**20)

@method("stays", paper="none")
class Stays(Bad):
    def act(self): atexit.register(time.sleep, 3600)

@method("diverges", paper="none")
class Diverges(Surrogate):
    shape = Bad.shape
    def emit(self, s, t): return s * float("nan")
"""
ENDS = {
    "raises": "failed",
    "exits": "failed",
    "crashes": "failed",
    "kills": "interrupted",
    "allocates": "oom",
    "hangs": "timeout",
    "forks": "ok",
    "prints": "ok",
    "stays": "ok",
    "diverges": "diverged",
}
GOOD = [
    "rectangle",
    "triangle",
    "arctan",
    "sigmoid",
    "mpd-agl",
    "mpd-agl:window",
    "mpd-agl:height",
    "dspike",
    "asgl",
    "ann-relu",
]
SECRET = "hunter2-is-no-password"


def size(folder):
    """Bytes of all files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_ten_good_methods_beside_ten_bad_ones(start, tmp_path):
    (tmp_path / "tiny.toml").write_text(tiny_toml([*GOOD, *ENDS], [0]))
    (tmp_path / "bad.py").write_text(PLUGIN)
    run = start(
        "run", "tiny.toml", "--plugin", "bad.py", "--timeout", "30", cwd=tmp_path, SOME_API_TOKEN=SECRET
    )
    results, most = tmp_path / "results/local", 0
    until = time.monotonic() + 600
    while run.poll() is None:
        with suppress(FileNotFoundError):
            most = max(most, size(results))
        if time.monotonic() > until:
            os.killpg(run.pid, signal.SIGKILL)
        time.sleep(0.2)
    out, err = run.communicate()
    assert run.returncode == 1 and "Traceback" not in err, err

    records = {r["cell"]["method"]["name"]: r for r in Store(results, "tiny").records()}
    ends = {name: record["status"] for name, record in records.items()}
    assert ends == ENDS | dict.fromkeys(GOOD, "ok")
    table = pd.read_csv(results / "leaderboards/tiny/accuracy.csv").set_index("method")
    assert set(table.index) == {*ENDS, *GOOD}
    assert (table.loc[GOOD, "n_failed"] == 0).all() and table.loc[GOOD, "test_accuracy_mean"].notna().all()
    assert (results / "reports/tiny.html").is_file()

    print(f"at most {most / 2**20:.0f} MiB on disk")
    assert most < 2**30, "a method that prints four gigabytes does not fill the disk"
    assert not any(map(alive, (tmp_path / "children").read_text().split()))
    assert not [*Store(results, "tiny").runs.glob(".logs-*")]
    assert SECRET not in out + err
    for file in results.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
