"""The local engine: sick methods cost their own cells only, and a run that was stopped goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from processes import alive
from tiny_toml import tiny_toml

from bench import api
from bench.cli import render
from bench.records.store import OK, Store
from bench.runner import plan
from bench.runner.engines import local
from bench.tables.results import Results

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SICK = """
import os, signal, subprocess, sys, time
from pathlib import Path
from bench.surrogate import Surrogate, method
from bench import shapes

HERE = Path(__file__).parent

def once(name, times=1):
    "True the first time, or times, over all processes, and then only in the same seed."
    import torch
    seed = HERE / f"{name}.seed"
    if not seed.exists():
        seed.write_text(str(torch.initial_seed()))
    if seed.read_text() != str(torch.initial_seed()):
        return False
    for number in range(times):
        try:
            (HERE / f"{name}.did{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False

class Sick(Surrogate):
    "Fails in its first seed and is well in its second."
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    times = 1
    def on_epoch(self, progress):
        if progress == 1 and self.site.index == 0 and once(type(self).__name__, self.times):
            self.fail()

@method("raises", paper="none")
class Raises(Sick):
    def fail(self): raise ValueError("of two\\nlines")

@method("leaves", paper="none")
class Leaves(Sick):
    def fail(self): sys.exit(0)

@method("exits", paper="none")
class Exits(Sick):
    def fail(self):
        print("last words", flush=True)
        os._exit(3)

@method("crashes", paper="none")
class Crashes(Sick):
    def fail(self): os.kill(os.getpid(), signal.SIGSEGV)

@method("killed", paper="none")
class Killed(Sick):
    times = 2
    def fail(self): os.kill(os.getpid(), signal.SIGKILL)

@method("memory", paper="none")
class Memory(Sick):
    times = 2
    def fail(self): raise MemoryError

@method("sleeps", paper="none")
class Sleeps(Sick):
    def fail(self):
        child = subprocess.Popen(["sleep", "300"])
        (HERE / "child.pid").write_text(str(child.pid))
        time.sleep(300)

@method("nan", paper="none")
class Nan(Surrogate):
    shape = Sick.shape
    def emit(self, s, t): return s * float("nan")

@method("chatty", paper="none")
class Chatty(Surrogate):
    shape = Sick.shape
    def on_epoch(self, progress):
        print("hello " * 100_000)
        os.write(1, b"to the descriptor")
        print("hello " * 100_000, file=sys.stderr)
"""
NAMES = ["raises", "leaves", "exits", "crashes", "killed", "memory", "sleeps", "nan", "chatty", "rectangle"]


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.begun, self.epochs, self.records = [], [], []

    def started(self, planned):
        self.begun.append(planned.id)

    def epoch(self, planned, epoch, val_accuracy):
        self.epochs.append((planned.id, epoch))

    def ended(self, planned, record):
        self.records.append(record)

    def timing(self, measurement, number, total):
        self.begun.append(measurement.id)

    def timed(self, measurement, timing, number, total):
        self.records.append(timing)


def gone(found, seconds=15):
    """Whether found() becomes empty in time."""
    end = time.monotonic() + seconds
    while found() and time.monotonic() < end:
        time.sleep(0.05)
    return not found()


# --- sick methods, all in one run ---


@pytest.fixture(scope="module")
def sick(tiny, tmp_path_factory):
    """run() -> (plan, listener): the sick methods, two seeds each, on one results folder."""
    folder = tmp_path_factory.mktemp("sick")
    file = folder / "sick.py"
    file.write_text(SICK)
    suite, store = tiny(methods=NAMES, seeds=[0, 1], timeout=6), Store(folder / "results", "tiny")

    def run():
        made, heard = plan.make_plan(suite, store, plugins=[file], data_root=folder), Heard()
        api.execute(made, jobs=2, listener=heard)
        return made, heard

    return run


@pytest.fixture(scope="module")
def first(sick):
    """The first run, its records by (method, seed)."""
    made, heard = sick()
    found = {(r["cell"]["method"]["name"], r["cell"]["seed"]): r for r in made.store.records()}
    return made, heard, found


ENDS = {
    "raises": ("failed", "ValueError: of two\nlines"),
    "leaves": ("failed", "the process ended with exit code 0"),
    "exits": ("failed", "the process ended with exit code 3"),
    "crashes": ("failed", "the process ended with SIGSEGV"),
    "killed": ("interrupted", "ended from outside by SIGKILL, as when memory runs out"),
    "memory": ("oom", "MemoryError: "),
    "sleeps": ("timeout", "took longer than 6 s"),
    "nan": ("diverged", "the training loss became nan in epoch 1 of 2"),
    "chatty": ("ok", None),
    "rectangle": ("ok", None),
}


def test_every_cell_leaves_one_record(first):
    made, heard, found = first
    assert len(found) == len(made.cells) == len(heard.records)
    assert sorted(r["id"] for r in heard.records) == sorted(p.id for p in made.cells)
    begun = Counter(heard.begun)
    twice = {found[name, 0]["id"] for name in ("killed", "memory")}
    assert begun == {planned.id: 1 + (planned.id in twice) for planned in made.cells}


@pytest.mark.parametrize("name", ENDS)
def test_how_a_cell_ended_and_why(first, name):
    found = first[2][name, 0]
    assert (found["status"], found["error"]) == ENDS[name]


def test_what_circumstances_stop_is_tried_again_once_and_the_record_says_so(first):
    _, _, found = first
    killed = "interrupted: ended from outside by SIGKILL, as when memory runs out"
    tried = {name: found[name, 0].get("tried") for name in NAMES if found[name, 0].get("tried")}
    assert tried == {"killed": [killed], "memory": ["oom: MemoryError: "]}
    assert not any(found[name, 1].get("tried") for name in NAMES)


@pytest.mark.parametrize("name", ENDS)
def test_the_seed_after_it_goes_on(first, name):
    assert first[2][name, 1]["status"] == ("diverged" if name == "nan" else "ok")


def test_what_a_process_said_last_is_in_its_record(first):
    assert "last words" in first[2]["exits", 0]["traceback"]


def test_epochs_are_heard_and_written_of_cells_that_finished(first):
    made, heard, found = first
    ok = [r["id"] for r in found.values() if r["status"] == "ok"]
    for cell in ok:
        assert [epoch for c, epoch in heard.epochs if c == cell] == [0, 1]
        assert len(pd.read_parquet(made.store.folder(cell) / "epochs.parquet")) == 2


def test_what_a_method_had_started_ends_with_it(first, sick):
    child = int((first[0].plugins[0].parent / "child.pid").read_text())
    assert gone(lambda: alive(child))


def test_again_runs_only_what_circumstances_had_ended_and_is_silent(first, sick, capfd):
    made, _, found = first
    (chatty,) = (r for key, r in found.items() if key == ("chatty", 0))
    (made.store.folder(chatty["id"]) / "record.json").unlink()
    _, heard = sick()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", ""), "methods' output came through"
    now = {(r["cell"]["method"]["name"], r["cell"]["seed"]): r for r in heard.records}
    assert now.keys() == {("killed", 0), ("memory", 0), ("sleeps", 0), ("chatty", 0)}
    assert {r["status"] for r in now.values()} == {"ok"}
    losses = {r["metrics"]["train_loss"] for r in [*now.values(), chatty]}
    assert len(losses) == 1, "equal shapes, equal seeds: equal numbers"
    assert sick()[1].records == []


def test_a_worker_that_cannot_even_begin_costs_a_cell_each_time(tiny, tmp_path):
    file = tmp_path / "late.py"
    file.write_text(SICK)
    store = Store(tmp_path / "results", "tiny")
    made = plan.make_plan(tiny(methods=["chatty"], seeds=[0, 1]), store, plugins=[file], data_root=tmp_path)
    file.write_text("import os; os._exit(7)")
    heard = Heard()
    local.run(made, jobs=1, timeout=60, listener=heard)
    assert [r["error"] for r in heard.records] == ["the process ended with exit code 7"] * 2


def test_a_worker_that_does_not_begin_is_ended(tiny, make_plan, write_plugin, monkeypatch):
    monkeypatch.setattr(local, "BEGINNING", 1.0)
    plugin = """
        import time
        from pathlib import Path
        if (Path(__file__).parent / "planned").exists():
            time.sleep(60)

        @method("slow", paper="none")
        class Slow(Surrogate):
            shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
    """
    file = write_plugin(plugin)
    made, heard = make_plan(tiny(methods=["slow"]), plugins=[file]), Heard()
    (file.parent / "planned").touch()
    local.run(made, jobs=1, timeout=60, listener=heard)
    assert [(r["status"], r["error"]) for r in heard.records] == [("timeout", "had not begun after 1 s")]


def test_a_worker_that_has_nothing_left_to_do_and_stays_is_ended(tiny, make_plan, write_plugin, monkeypatch):
    monkeypatch.setattr(local, "LEAVING", 1.0)
    plugin = """
        import threading, time
        from pathlib import Path

        def linger():
            # No daemon: Python waits for it.
            time.sleep(30)
            (Path(__file__).parent / "lingered").touch()

        @method("lingers", paper="none")
        class Lingers(Surrogate):
            shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
            def on_epoch(self, progress):
                if progress == 1 and self.site.index == 0:
                    threading.Thread(target=linger).start()
    """
    suite = tiny(methods=["lingers", "rectangle"])
    made, heard = make_plan(suite, plugins=[write_plugin(plugin)]), Heard()
    local.run(made, jobs=1, timeout=60, listener=heard)
    assert [r["status"] for r in heard.records] == ["ok", "ok"]
    assert not (made.plugins[0].parent / "lingered").exists()


class Stuck:
    """A process of which the system does not say that it has ended."""

    exitcode = None

    def __init__(self, process):
        self.process = process

    def __getattr__(self, name):
        return getattr(self.process, name)

    def join(self, timeout):
        """There is no waiting for it without a limit."""
        self.process.join(timeout)


def test_a_process_that_hangs_in_a_driver_is_not_waited_for(tiny, make_plan, write_plugin, monkeypatch):
    really = local.start

    def start(*arguments):
        process, pipe = really(*arguments)
        return Stuck(process), pipe

    monkeypatch.setattr(local, "start", start)
    plugin = """
        import os

        @method("leaves", paper="none")
        class Leaves(Surrogate):
            shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
            def on_epoch(self, progress):
                os._exit(1)
    """
    made, heard = make_plan(tiny(methods=["leaves"]), plugins=[write_plugin(plugin)]), Heard()
    local.run(made, jobs=1, timeout=60, listener=heard)
    (record,) = heard.records
    assert record["status"] == "interrupted"
    assert record["error"] == "the process did not end, as when it hangs in the driver of a GPU"


STRAYS = """
import os, subprocess, time
from pathlib import Path

def note(pid):
    with open(Path(__file__).with_suffix(".pids"), "a") as file:
        file.write(f"{pid}\\n")

def stray():
    "Three that leave the group: started, forked, and forked from a process that ends at once."
    note(subprocess.Popen(["sleep", "300"], start_new_session=True).pid)
    for twice in (False, True):
        if os.fork() == 0:
            os.setsid()
            if twice and os.fork():
                os._exit(0)
            note(os.getpid())
            time.sleep(300)
            os._exit(0)

class Stray(Surrogate):
    shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
    def on_epoch(self, progress):
        if progress == 0 and self.site.index == 0:
            stray()
            time.sleep(1)
        if progress == 1:
            self.finish()

@method("ends", paper="none")
class Ends(Stray):
    def finish(self): pass

@method("crashes", paper="none")
class Crashes(Stray):
    def finish(self): os._exit(3)

@method("hangs", paper="none")
class Hangs(Stray):
    def finish(self): time.sleep(300)
"""


@pytest.mark.parametrize(("name", "status"), [("ends", "ok"), ("crashes", "failed"), ("hangs", "timeout")])
def test_what_leaves_the_group_of_a_worker_ends_with_it(tiny, make_plan, write_plugin, name, status):
    file = write_plugin(STRAYS)
    made, heard = make_plan(tiny(methods=[name]), plugins=[file]), Heard()
    local.run(made, jobs=1, timeout=8, listener=heard)
    assert [record["status"] for record in heard.records] == [status]
    pids = [int(line) for line in file.with_suffix(".pids").read_text().split()]
    assert len(pids) == 3
    assert gone(lambda: [pid for pid in pids if alive(pid)])


SERVER = """
import os, signal, time
from pathlib import Path

@method("server", paper="none")
class Server(Surrogate):
    shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
    def on_epoch(self, progress):
        mark = Path(__file__).with_suffix(".mark")
        if progress == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)

@method("exits", paper="none")
class Exits(Surrogate):
    shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
    def on_epoch(self, progress):
        if progress == 1:
            os._exit(255)
"""


def test_no_method_is_blamed_if_the_server_of_the_workers_is_killed(tiny, make_plan, write_plugin):
    """The exit code is then unknown, and multiprocessing says 255; a method can end with that, too."""
    suite = tiny(methods=["server", "exits"], seeds=[0, 1])
    made, heard = make_plan(suite, plugins=[write_plugin(SERVER)]), Heard()
    local.run(made, jobs=1, timeout=30, listener=heard)
    ends = {
        (r["cell"]["method"]["name"], r["cell"]["seed"]): (r["status"], r["error"]) for r in heard.records
    }
    own = ("failed", "the process ended with exit code 255")
    assert ends == {
        ("server", 0): (OK, None),
        ("server", 1): (OK, None),
        ("exits", 0): own,
        ("exits", 1): own,
    }
    lost = "interrupted: the process that starts trainings was killed, as when memory runs out"
    assert [record["tried"] for record in heard.records if "tried" in record] == [[lost]]


@pytest.mark.parametrize("timeout", [60, 3], ids=["dies", "hangs"])
def test_a_record_is_kept_whose_worker_could_not_say_that_it_had_written_it(
    timeout, tiny, make_plan, write_plugin
):
    plugin = f"""
        import multiprocessing, os, signal, time
        from bench.records.store import OK, Store

        really = Store.write
        def write(self, *content):
            really(self, *content)
            if {timeout} == 3:
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGKILL)

        if multiprocessing.parent_process() is not None:
            Store.write = write

        @method("finishes", paper="none")
        class Finishes(Surrogate):
            shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
    """
    made, heard = make_plan(tiny(methods=["finishes"]), plugins=[write_plugin(plugin)]), Heard()
    local.run(made, jobs=1, timeout=timeout, listener=heard)
    (record,) = heard.records
    assert (record["status"], record["error"]) == ("ok", None)
    assert made.store.records() == [record]
    assert (made.store.folder(record["id"]) / "epochs.parquet").exists()


# --- who begins, and when ---


def test_the_longest_begin_first(tiny, make_plan):
    widths = [{"name": "mlp", "width": 0.125}, {"name": "mlp", "width": 4}, {"name": "mlp", "width": 0.5}]
    made, heard = make_plan(tiny(backbones=widths)), Heard()
    local.run(made, jobs=1, timeout=60, listener=heard)
    order = {planned.id: planned.cell.backbone.width for planned in made.cells}
    assert [order[each] for each in heard.begun] == [4, 0.5, 0.125]


MEETS = """
    import time
    from pathlib import Path

    @method("meets", paper="none")
    class Meets(Surrogate):
        shape = staticmethod(shapes.triangle)
        def params(self, u, t):
            return {"width": 1.0}
        def on_epoch(self, progress):
            here = Path(__file__).parent / "here"
            here.mkdir(exist_ok=True)
            if self.site.index:
                return
            (here / str(self.site.seed)).touch()
            end = time.monotonic() + 40
            # Each seed waits for the other to have begun.
            while len(list(here.iterdir())) < 2:
                if time.monotonic() > end:
                    raise TimeoutError("alone")
                time.sleep(0.02)
"""


def test_seeds_of_the_last_configuration_are_shared_out(tiny, make_plan, write_plugin):
    suite = tiny(methods=["meets"], seeds=[0, 1])
    made, heard = make_plan(suite, plugins=[write_plugin(MEETS)]), Heard()
    local.run(made, jobs=2, timeout=60, listener=heard)
    assert [(record["status"], record["error"]) for record in heard.records] == [("ok", None)] * 2


def test_one_process_trains_the_seeds_of_a_configuration(tiny, make_plan, write_plugin):
    plugin = """
        import os
        from pathlib import Path

        @method("tells", paper="none")
        class Tells(Surrogate):
            shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
            def on_epoch(self, progress):
                with (Path(__file__).parent / "processes").open("a") as file:
                    print(os.getpid(), file=file)
    """
    made = make_plan(tiny(methods=["tells"], seeds=[0, 1, 2]), plugins=[write_plugin(plugin)])
    local.run(made, jobs=1, timeout=60, listener=Heard())
    told = (made.plugins[0].parent / "processes").read_text().split()
    assert len(told) == 3 * 2 * 2
    assert len(set(told)) == 1


# --- a run that is stopped ---


@pytest.fixture
def marked(start, monkeypatch):
    """start(...), and found(): the processes of these runs that are alive."""
    mark = f"SPIKEGRAD_TEST={uuid.uuid4().hex}"

    def found():
        pids = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                    pids.append(int(entry.name))
            except OSError:
                continue
        return [pid for pid in pids if alive(pid)]

    def run(*arguments, cwd):
        name, value = mark.split("=")
        return start(*arguments, cwd=cwd, **{name: value})

    return run, found


def read_until(process, text):
    """Lines of stderr up to the one that holds `text`."""
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the run ended before it said {text!r}")


def write_suite(folder, methods, seeds):
    path = folder / "tiny.toml"
    path.write_text(tiny_toml(methods, seeds))
    return path


def tables(folder):
    """The CSV files that a run left, without that of times, which no two runs share."""
    found = sorted((folder / "results/local/leaderboards/tiny").glob("*.csv"))
    return {path.name: path.read_bytes() for path in found if path.name != "latency.csv"}


def go_on(suite, folder, results="results/local", **options):
    """Run the rest in this process; the records that it makes."""
    heard = Heard()
    api.run(str(suite), results=folder / results, listener=heard, **options)
    return heard.records


def check_whole(folder):
    """No record is half written."""
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(marked, tmp_path):
    run, found = marked
    folder = tmp_path / "killed"
    folder.mkdir()
    suite = write_suite(tmp_path, ["rectangle", "mpd-agl", "ann-relu"], [0, 1, 2, 3])
    for said, delay in (("cells", 0.5), ("[1/", 0.1), ("[2/", 0.0)):
        process = run("run", suite, "--jobs", "1", cwd=folder)
        read_until(process, said)
        time.sleep(delay)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert gone(found), "workers outlived the run"
        check_whole(folder)
    finished = len(list(folder.rglob("record.json")))
    assert finished >= 2
    assert len(go_on(suite, folder)) == 12 - finished
    assert len(go_on(suite, tmp_path / "whole")) == 12
    assert tables(folder) == tables(tmp_path / "whole")
    assert set(tables(folder)) >= {"accuracy.csv", "runs.csv"}
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_schedulers_stop_a_run_with_a_sentence(marked, spikegrad, tmp_path, asked):
    run, found = marked
    plugin = tmp_path / "sick.py"
    plugin.write_text(SICK)
    suite = write_suite(tmp_path, ["rectangle", "sleeps"], [0])
    command = ("run", suite, "--plugin", plugin, "--methods", "rectangle,sleeps")
    process = run(*command, "--jobs", "1", cwd=tmp_path)
    read_until(process, "[1/2]")

    # What would meet a half-made suite waits for the run's end.
    refused = spikegrad("import", tmp_path / "results/local", "--results", tmp_path / "other", cwd=tmp_path)
    assert refused.returncode == 0
    back = spikegrad("import", tmp_path / "other", cwd=tmp_path)
    assert back.returncode == 2
    assert "error: another run of tiny is at work in results/local (" in back.stderr

    # As a terminal does it: to every process of the group.
    os.killpg(process.pid, asked)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "stopped; finished runs are kept: rerun the same command to resume"
    assert gone(found)

    store = Store(tmp_path / "results/local", "tiny")
    assert sorted(r["status"] for r in store.records()) == ["interrupted", "ok"]
    (record,) = go_on(suite, tmp_path, plugins=[plugin], methods=["rectangle", "sleeps"])
    assert (record["cell"]["method"]["name"], record["status"]) == ("sleeps", "ok")


def test_a_killed_run_takes_the_children_of_its_methods_with_it(marked, tmp_path):
    run, found = marked
    plugin = tmp_path / "sick.py"
    plugin.write_text(SICK)
    suite = write_suite(tmp_path, ["sleeps"], [0])
    process = run("run", suite, "--plugin", plugin, "--methods", "sleeps", cwd=tmp_path)
    child = tmp_path / "child.pid"
    while not child.exists() or not child.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    assert gone(found)
    assert not alive(int(child.read_text()))


# --- disks ---


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few KB; grow() makes it large."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=36k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=9m", folder], check=True)
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_stops_the_run_with_a_sentence_and_nothing_half_written(small_disk, spikegrad, tmp_path):
    folder, grow = small_disk
    suite = write_suite(tmp_path, ["rectangle"], [0, 1, 2, 3])
    stopped = spikegrad("run", suite, "--results", folder, cwd=tmp_path)
    assert stopped.returncode == 1
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith(f"error: cannot write results to {folder}: No space left on device; finished")
    assert "Traceback" not in stopped.stderr
    assert list(folder.rglob("record.json")), "something had finished"
    assert not list(folder.rglob("*.tmp"))
    check_whole(folder)
    grow()
    finished = len(list(folder.rglob("record.json")))
    assert len(go_on(suite, folder, "")) == 4 - finished


def test_a_good_record_stands_while_training_it_again_is_stopped(tiny, make_plan, write_plugin):
    slow = """
        import time

        @method("slow", paper="none")
        class Slow(Surrogate):
            shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
            def on_epoch(self, progress): time.sleep({})
    """
    suite = tiny(methods=["slow"], baseline="slow")
    first = make_plan(suite, plugins=[write_plugin(slow.format(0))])
    local.run(first, jobs=1, timeout=60, listener=Heard())
    (before,) = first.store.records()
    again = make_plan(suite, plugins=[write_plugin(slow.format(60))])
    assert [planned.state for planned in again.cells] == ["stale"]
    heard = Heard()
    local.run(again, jobs=1, timeout=3, listener=heard)
    assert [record["status"] for record in heard.records] == ["timeout"]
    assert (
        again.store.records() == [before] and (again.store.folder(before["id"]) / "epochs.parquet").exists()
    )
    outcome = render.outcome(again, Results(again.store.records()))
    assert (outcome.statuses, outcome.unfinished) == ({"stale": 1}, 1)
    assert any(note.startswith("stale: slow on digits, seed 0: training it again") for note in outcome.notes)
    # The edit is taken back.
    back = make_plan(suite, plugins=[write_plugin(slow.format(0))])
    assert [planned.state for planned in back.cells] == ["done"]


CURES = """
import os, signal
from pathlib import Path

class Cured(Surrogate):
    "Fails in its first attempt."
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    def on_epoch(self, progress):
        mark = Path(__file__).with_suffix("." + type(self).__name__)
        if progress == 1 and not mark.exists():
            mark.touch()
            self.fail()

@method("memory", paper="none")
class Memory(Cured):
    def fail(self): raise MemoryError("too much")

@method("killed", paper="none")
class Killed(Cured):
    def fail(self): os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("jobs", "memory"), [(1, "oom"), (2, "ok")])
def test_a_second_attempt_can_mend_what_circumstances_did(tiny, make_plan, write_plugin, jobs, memory):
    """With one job at a time, an attempt in twice the room would be the same again."""
    made = make_plan(tiny(methods=["memory", "killed"]), plugins=[write_plugin(CURES)])
    heard = Heard()
    local.run(made, jobs=jobs, timeout=60, listener=heard)
    ends = {record["cell"]["method"]["name"]: record for record in heard.records}
    assert len(heard.records) == 2
    assert {name: record["status"] for name, record in ends.items()} == {"memory": memory, "killed": "ok"}
    assert len(ends["killed"]["tried"]) == 1 and ("tried" in ends["memory"]) == (memory == "ok")
    assert {r["id"]: r["status"] for r in made.store.records()} == {
        r["id"]: r["status"] for r in heard.records
    }


def test_what_ran_out_of_memory_alone_is_not_tried_again(tiny, make_plan, write_plugin):
    """Two could have run side by side, but there was only one."""
    made = make_plan(tiny(methods=["memory"]), plugins=[write_plugin(CURES)])
    heard = Heard()
    local.run(made, jobs=2, timeout=60, listener=heard)
    assert [(record["status"], "tried" in record) for record in heard.records] == [("oom", False)]


def test_what_another_run_has_finished_since_the_plan_is_not_trained_again(tiny, make_plan):
    suite = tiny(seeds=[0, 1])
    first, second = make_plan(suite), make_plan(suite)
    heard = Heard()
    api.execute(first, listener=heard)
    assert len(heard.records) == 2
    before = {record["id"]: record["ended"] for record in first.store.records()}
    heard = Heard()
    found = api.execute(second, listener=heard)
    assert heard.begun == [] and heard.records == []
    assert {record["id"]: record["ended"] for record in found.records} == before


def test_a_failed_training_is_tried_again_where_that_is_asked_for(tiny, make_plan, write_plugin):
    plugin = write_plugin('@method("no", paper="none")\ndef no(x):\n    raise ValueError("no")\n')
    suite = tiny(methods=["no"])
    local.run(make_plan(suite, plugins=[plugin]), jobs=1, timeout=60, listener=Heard())
    again = make_plan(suite, plugins=[plugin], retry=True)
    assert [planned.state for planned in again.reread().cells] == ["missing"]
