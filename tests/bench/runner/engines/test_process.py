"""A process that answers questions: what hangs or ends it costs one answer, and leaves nothing running."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.runner.engines import child, process
from bench.runner.engines.process import NoAnswer, ask

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def answer(question):
    """Runs in the process, which imports this module by its name: see `ask_here`."""
    match question:
        case ("sleep", seconds):
            time.sleep(seconds)
        case ("exit", code):
            os._exit(code)
        case ("raise", text):
            raise ValueError(text)
        case ("child", file):
            if os.fork() == 0:
                Path(file).write_text(str(os.getpid()))
                time.sleep(600)
            while not Path(file).exists():
                time.sleep(0.01)
            os._exit(3)
    return question, os.getpid(), Path("/proc/self/oom_score_adj").read_text().strip()


@pytest.fixture
def ask_here(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def call(*questions, limit=60.0):
        return list(ask(answer, questions, limit=limit, logs=tmp_path))

    return call


def test_each_question_is_answered_in_order_by_one_process(ask_here, tmp_path):
    answers = ask_here(("say", 1), ("say", 2))
    assert [question for question, *_ in answers] == [("say", 1), ("say", 2)]
    ((pid, score),) = {(pid, score) for _, pid, score in answers}
    assert pid != os.getpid() and score == "1000", "it gives its memory before the engine does"
    assert not [*tmp_path.iterdir()] and not ask_here()


def test_what_ends_or_hangs_it_costs_that_answer_alone(ask_here):
    answers = ask_here(("exit", 3), ("say", 1), ("raise", "no"), ("sleep", 600), ("say", 2), limit=20.0)
    assert answers[0] == NoAnswer("failed", "the process ended with exit code 3")
    assert answers[2] == NoAnswer("failed", "the process ended with exit code 1")
    assert answers[3].status == "timeout" and answers[3].why.startswith("took longer than")
    assert [answer[0] for answer in (answers[1], answers[4])] == [("say", 1), ("say", 2)]


def test_a_process_that_does_not_begin_is_no_fault_of_the_question(ask_here, monkeypatch):
    monkeypatch.setattr(process, "BEGINNING", 0.0)
    (answer,) = ask_here(("say", 1))
    assert answer == NoAnswer("interrupted", "the process did not begin: took longer than 0 s")


def test_what_it_has_started_ends_with_it(ask_here, tmp_path):
    file = tmp_path / "pid"
    ask_here(("child", str(file)))
    until = time.monotonic() + 10
    while _runs(int(file.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(int(file.read_text()))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_large_log_is_cut_to_its_end_while_it_is_written(tmp_path):
    log = tmp_path / "output.log"
    with log.open("ab", buffering=0) as file:
        for number in range(30):
            file.write(b"%04d " % number + b"x" * 2**20 + b"\n")
            child.cut(log)
            assert log.stat().st_size <= child.MOST_LOG + 2**21
    assert child.last_lines(log)[-1].endswith("x")
    log.write_text("\n".join(map(str, range(100))))
    child.cut(log)
    assert child.last_lines(log) == [str(number) for number in range(100 - child.LINES, 100)]
    assert child.last_lines(tmp_path / "none.log") == []


def test_a_process_whose_engine_has_cleared_up_ends_and_leaves_nothing(tmp_path):
    log = tmp_path / "gone" / "0.log"
    with pytest.raises(SystemExit) as end:
        child.send_output_to(log)
    assert end.value.code is None
    assert not log.parent.exists()


FORKED = """
import os, sys, time
from pathlib import Path
from bench.runner.engines.process import ask

def slow(mark):
    Path(mark).touch()
    # Until the other engine has ended a process of its own.
    while not Path(mark + ".ended").exists():
        time.sleep(0.1)
    time.sleep(1)
    return "awake"

def quick(_):
    return "awake"

if __name__ == "__main__":
    from forked import quick, slow
    mark = sys.argv[1]
    child = os.fork()
    if child == 0:
        while not Path(mark).exists():
            time.sleep(0.1)
        answers = list(ask(quick, [0], limit=60))
        Path(mark + ".ended").touch()
        os._exit(answers != ["awake"])
    print(list(ask(slow, [mark], limit=100)), os.waitpid(child, 0)[1])
"""


def test_a_fork_of_this_process_does_not_end_its_processes(tmp_path):
    (tmp_path / "forked.py").write_text(FORKED)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[4])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, tmp_path / "forked.py", tmp_path / "mark"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['awake'] 0\n", done.stderr
