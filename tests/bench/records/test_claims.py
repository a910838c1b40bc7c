"""Claims: at any time at most one run has a cell, whatever the others do at the same moment."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from processes import until

from bench.files import owner_mark
from bench.records import claims
from bench.records.claims import CLAIMS, RENEWED, RUNNERS, STALE, Claims, living


@contextmanager
def joined(runs, **options):
    run = Claims(runs, **options)
    run.join()
    try:
        yield run
    finally:
        run.leave()


@pytest.fixture(scope="session")
def dead():
    """The mark of a process that has ended."""
    code = "from bench.files import owner_mark; print(owner_mark())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()


def leave_behind(runs, owner, *files, age=0.0):
    """A runner of this owner, and its claims."""
    name = f"{owner}.0a0b0c0d"
    for folder in (RUNNERS, CLAIMS):
        (runs / folder).mkdir(parents=True, exist_ok=True)
    runner = runs / RUNNERS / name
    runner.write_text("elsewhere, process 1")
    os.utime(runner, (time.time() - age,) * 2)
    for file in files:
        (runs / CLAIMS / file).write_text(name)


def test_what_one_has_another_does_not_get(tmp_path):
    with joined(tmp_path) as first, joined(tmp_path) as second:
        assert first.take("a") and first.take("a"), "it is held already"
        assert not second.take("a") and "a" in second.theirs() and not first.theirs()
        assert second.take("b"), "claims on other cells are others"
        assert first.theirs() == {"b"} == first.theirs(here=True) and second.theirs() == {"a"}
        first.release("a")
        first.release("never held")
        assert not second.theirs() and second.take("a") and not first.take("a")
    assert [*(tmp_path / CLAIMS).iterdir()] == [*(tmp_path / RUNNERS).iterdir()] == []


def test_names_that_begin_alike_are_different_claims(tmp_path):
    with joined(tmp_path) as first, joined(tmp_path) as second:
        assert first.take("a.1") and second.take("a") and second.take("a.1.1")


def test_what_an_ended_run_had_is_free(tmp_path, dead):
    with joined(tmp_path) as run:
        leave_behind(tmp_path, dead, "a.1", "a.7", "b.1")
        assert not run.theirs() and run.take("a")
        assert [file.name for file in run._of("a")] == ["a.8"], "the old ones are removed"


def test_a_run_on_another_machine_lives_as_long_as_it_gives_signs_of_life(tmp_path):
    with joined(tmp_path) as run:
        leave_behind(tmp_path, "00000000-0-1-1", "a.1", age=STALE - 2 * RENEWED)
        assert not run.take("a") and [other.where for other in run.others()] == ["elsewhere, process 1"]
        leave_behind(tmp_path, "00000000-0-1-1", "a.1", age=STALE + 2 * RENEWED)
        assert run.others() == [] and run.take("a")


def test_a_run_of_this_machine_lives_as_long_as_its_process(tmp_path, dead):
    leave_behind(tmp_path, owner_mark(), "stopped.1", age=10 * STALE)
    machine, container, process, began = owner_mark().split("-")
    leave_behind(tmp_path, f"{machine}-{container}-{process}-{int(began) - 1}", "another.1")
    leave_behind(tmp_path, dead, "dead.1")
    with joined(tmp_path) as run:
        assert run.theirs() == {"stopped"} and not run.take("stopped")
        assert run.take("dead") and run.take("another"), "its process number has another process now"


def test_a_run_that_the_system_hides_counts_as_alive(tmp_path, monkeypatch):
    leave_behind(tmp_path, owner_mark(), "a.1", age=10 * STALE)
    with joined(tmp_path) as run:
        monkeypatch.setattr("bench.files._life", lambda _: ("", "0"))
        assert not run.take("a"), "as where /proc is mounted with hidepid"


def test_a_process_that_nobody_has_asked_how_it_ended_has_ended(tmp_path):
    code = "from bench.files import owner_mark; print(owner_mark())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as zombie:
        mark = zombie.stdout.readline().strip()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        leave_behind(tmp_path, mark, "a.1")
        with joined(tmp_path) as run:
            assert run.take("a")


def test_what_runs_on_other_machines_claim_can_be_told_apart(tmp_path):
    with joined(tmp_path) as run, joined(tmp_path) as other:
        other.take("near")
        leave_behind(tmp_path, "00000000-0-1-1", "far.1")
        # In another container on this machine.
        leave_behind(tmp_path, f"{owner_mark().partition('-')[0]}-0-1-1", "beside.1")
        assert run.theirs() == {"near", "far", "beside"} and run.theirs(here=True) == {"near", "beside"}


def test_signs_of_life_are_given_and_come_back_after_a_sleep(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RENEWED", 0.01)
    with joined(tmp_path):
        (mine,) = (tmp_path / RUNNERS).iterdir()
        os.utime(mine, (0, 0))
        until(lambda: mine.stat().st_mtime > 0)
        mine.unlink()
        until(mine.exists)
    assert not mine.exists()


def test_a_killed_run_is_known_to_have_ended(tmp_path):
    code = "import sys, time; from pathlib import Path; from bench.records.claims import Claims\n"
    code += "run = Claims(Path(sys.argv[1])); run.join(); run.take('a'); print('has it', flush=True)\n"
    code += "time.sleep(600)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with (
        joined(tmp_path) as run,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout.readline() == "has it\n"
        assert not run.take("a") and [r.where.split()[-1] for r in run.others()] == [str(other.pid)]
        other.kill()
        other.wait()
        assert run.others() == [] and run.take("a")


def test_the_first_run_clears_away_what_ended_ones_left(tmp_path, dead):
    leave_behind(tmp_path, dead, "a.1", "b.2")
    young, old = tmp_path / CLAIMS / "young.1", tmp_path / CLAIMS / "old.1"
    young.touch()
    old.touch()
    os.utime(old, (0, time.time() - STALE - 60))
    with joined(tmp_path) as run:
        assert [*(tmp_path / CLAIMS).iterdir()] == [young], "another may be writing its name into it now"
        assert [file.name for file in (tmp_path / RUNNERS).iterdir()] == [run._name]
        assert run.take("young")


def test_beside_others_nothing_of_ended_runs_is_cleared_away(tmp_path, dead):
    with joined(tmp_path):
        leave_behind(tmp_path, dead, "a.1")
        with joined(tmp_path) as second:
            assert (tmp_path / CLAIMS / "a.1").exists() and not second.theirs()


@pytest.mark.parametrize(
    "text", ["", "nonsense", "/", "..", "a/../b", "\0", "x" * 5000, f"{'9' * 5000}-{'9' * 5000}", "\ud800"]
)
def test_a_damaged_claim_is_free(tmp_path, text):
    with joined(tmp_path) as run:
        (tmp_path / CLAIMS / "a.1").write_bytes(text.encode(errors="surrogatepass"))
        (tmp_path / CLAIMS / "a.x").write_text(run._name)
        assert not run.theirs() and run.take("a")


def test_other_files_in_the_folders_are_nobody(tmp_path):
    (tmp_path / RUNNERS / "folder").mkdir(parents=True)
    (tmp_path / RUNNERS / "note.txt").write_text("hello")
    assert living(tmp_path) == [] == living(tmp_path / "nothing")


class Turns:
    """Lets one of several threads go on at a time, in a given order, as far as it goes."""

    def __init__(self, order, threads):
        self.order = list(order)
        self.alive = set(range(threads))
        self.changed = threading.Condition()
        self.numbers = {}
        self.turn = self._next()

    def _next(self):
        wanted = [number for number in self.order if number in self.alive]
        self.order = wanted[1:]
        return wanted[0] if wanted else min(self.alive, default=None)

    def act_as(self, number):
        self.numbers[threading.get_ident()] = number
        with self.changed:
            self.changed.wait_for(lambda: self.turn == number)

    def pass_on(self):
        """Let the next thread go on, until it is this one's turn again."""
        number = self.numbers.get(threading.get_ident())
        if number is None:
            return
        with self.changed:
            self.turn = self._next()
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.turn == number)

    def leave(self):
        with self.changed:
            self.alive.discard(self.numbers[threading.get_ident()])
            self.turn = self._next()
            self.changed.notify_all()

    def before(self, function):
        def waits(*arguments, **options):
            self.pass_on()
            return function(*arguments, **options)

        return waits


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=20), st.booleans())
@example([(0, 4), (1, 20), (2, 8), (0, 8)], True)
def test_of_several_that_take_at_once_at_most_one_goes_on(tmp_path_factory, dead, order, taken_over):
    """Three runs claim the same cell twice; their file operations happen in a drawn order."""
    runs = tmp_path_factory.mktemp("runs")
    runners = [Claims(runs) for _ in range(3)]
    for run in runners:
        run.join()
    if taken_over:
        leave_behind(runs, dead, "a.1", "a.2")
    order = [number for number, steps in order for _ in range(steps)]
    turns, holders, together = Turns(order, 3), set(), []

    def act(number):
        turns.act_as(number)
        for _ in range(2):
            if runners[number].take("a"):
                holders.add(number)
                together.append(len(holders))
                for _ in range(10):
                    turns.pass_on()
                holders.discard(number)
                runners[number].release("a")
        turns.leave()

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_files", "_remove"):
            patch.setattr(claims, name, turns.before(getattr(claims, name)))
        patch.setattr(claims.Path, "open", turns.before(claims.Path.open))
        threads = [threading.Thread(target=act, args=(number,), daemon=True) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert set(together) <= {1}, "two had it at the same time"
    for run in runners:
        assert run.take("a"), "whoever asks alone gets it"
        run.release("a")
        run.leave()
