"""Runs that are killed at random moments, parent or worker, alone or several at a time.

SPIKEGRAD_KILLS sets how many kills (default 200).
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tiny_toml import tiny_toml

from bench.records.store import FINISHED, Store

KILLS = int(os.environ.get("SPIKEGRAD_KILLS", "200"))
PLUGIN = """
import time
from bench.surrogate import Surrogate, method
from bench import shapes
from bench.runner import checkpoints

# So often that kills meet half-written ones.
checkpoints.EVERY = 0.0

class Slow(Surrogate):
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    def on_epoch(self, progress):
        time.sleep(0.05)

@method("first", paper="none")
class First(Slow):
    pass

@method("second", paper="none")
class Second(Slow):
    pass
"""

CELLS = 6


@pytest.fixture
def command(tmp_path):
    (tmp_path / "tiny.toml").write_text(tiny_toml(["first", "second", "mpd-agl"], [0, 1], epochs=6))
    (tmp_path / "slow.py").write_text(PLUGIN)
    return ("run", "tiny.toml", "--plugin", "slow.py")


def complete(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"{out}\n{err}"
    assert "Traceback" not in err and f"cells: {CELLS} ok" in out
    return out


def accuracy(folder):
    return (folder / "leaderboards/tiny/accuracy.csv").read_bytes()


def finished(store):
    """When each finished cell ended, and how."""
    return {
        record["id"]: (record["ended"], record["outcome_sha256"])
        for record in store.records()
        if record["status"] in FINISHED
    }


def below(pid):
    """The processes that this one has started, directly or not."""
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                rest = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(rest[1])
        except OSError:
            continue
    found, new = set(), {pid}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in found} - found
    return found - {pid}


def kill(process, draw):
    """Kill the run, or one of the processes below it."""
    victims = sorted(below(process.pid))
    victim = process.pid if draw.random() < 0.5 or not victims else draw.choice(victims)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return
    if victim == process.pid:
        process.communicate(timeout=60)


def check_nothing_lost(before, store):
    now = finished(store)
    assert before.items() <= now.items(), "a finished training was lost, or repeated"
    return now


def test_after_any_kills_a_rerun_completes_with_the_same_bytes(command, start, tmp_path):
    complete(start(*command, "--results", "whole", cwd=tmp_path))
    expected, seed = accuracy(tmp_path / "whole"), random.randrange(2**32)
    print("drawn with seed", seed)
    draw, kills, number = random.Random(seed), 0, 0
    while kills < KILLS:
        number += 1
        folder = tmp_path / f"results-{number}"
        store, known = Store(folder, "tiny"), {}
        # A few kills, then a run to the end.
        for _ in range(draw.randint(1, 6)):
            run = start(*command, "--results", folder, "--jobs", "2", cwd=tmp_path)
            time.sleep(draw.uniform(0.2, 7.0))
            kill(run, draw)
            kills += 1
            if run.poll() is None:
                # A worker was killed: the run goes on, and says what happened to its cell.
                _, err = run.communicate(timeout=300)
                assert "Traceback" not in err, err
            known = check_nothing_lost(known, store)
        complete(start(*command, "--results", folder, cwd=tmp_path))
        check_nothing_lost(known, store)
        assert accuracy(folder) == expected
        assert not [*folder.rglob("*.tmp")] and not [*folder.rglob("*.checkpoint")]
        assert not [*store.runs.glob(".logs-*")]
        print(f"{kills} kills, {number} suites", flush=True)


def test_of_four_runs_at_once_any_can_be_killed(command, start, tmp_path):
    complete(start(*command, "--results", "whole", cwd=tmp_path))
    expected, draw = accuracy(tmp_path / "whole"), random.Random()
    for number in range(max(1, KILLS // 20)):
        folder = tmp_path / f"results-{number}"
        store = Store(folder, "tiny")
        runs = [start(*command, "--results", folder, "--jobs", "1", cwd=tmp_path) for _ in range(4)]
        time.sleep(draw.uniform(3.0, 12.0))
        known = finished(store)
        draw.shuffle(runs)
        for run in runs[: draw.randint(1, 3)]:
            if run.poll() is None:
                run.kill()
            run.communicate(timeout=60)
            runs.remove(run)
        for run in runs:
            complete(run)
        check_nothing_lost(known, store)
        assert accuracy(folder) == expected
