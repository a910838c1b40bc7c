import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import run


@pytest.fixture
def calls(monkeypatch):
    """What would be run, on a machine with a GPU: [(name, arguments, seconds)]; `codes` say how it ends."""
    found = []

    def pretend(name, arguments, seconds):
        found.append((name, arguments, seconds))
        return run.Part(name, codes.get(name, 0), 1.0)

    codes = {}
    monkeypatch.setattr(run, "has_gpu", lambda: True)
    monkeypatch.setattr(run, "run", pretend)
    monkeypatch.setattr(run, "show", lambda folder, since: None)
    return found, codes


def test_without_a_gpu_one_sentence_and_2(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run.main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", run.NO_GPU + "\n")


def test_checks_then_measures_within_the_time(calls, capsys):
    found, _ = calls
    assert run.main(["--minutes", "8", "--performance", "here"]) == 0
    (first, checked, for_checks), (second, measured, left) = found
    assert (first, second) == ("checks", "measuring")
    assert for_checks < 300 and left <= 480
    assert measured[measured.index("--performance") + 1] == "here"
    assert float(measured[measured.index("--stop-after") + 1]) < left
    assert "tests/bench/data/test_batches.py" in checked and "tests/gpu/test_compiled.py" in checked
    assert "tests/test_cli.py" not in checked
    out = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in out if line] == ["checks", "measuring"]


@pytest.mark.parametrize(
    ("option", "names"), [("--no-measuring", ["checks"]), ("--no-checks", ["measuring"])]
)
def test_one_part_alone(calls, option, names):
    found, _ = calls
    assert run.main([option]) == 0
    assert [name for name, *_ in found] == names


@pytest.mark.parametrize("part", ["checks", "measuring"])
def test_a_failure_is_an_exit_code(calls, part, capsys):
    _, codes = calls
    codes[part] = 1
    assert run.main([]) == 1
    assert f"{part:10}  something failed" in capsys.readouterr().out


def test_what_was_measured_is_shown_fastest_first(tmp_path, capsys):
    """Without figures of earlier runs, and without those that are held against a budget."""
    rows = [
        ("", "training step, a network, T = 4", "slow, TF32", 0.02, "s", "2026-02-02"),
        ("", "training step, a network, T = 4", "fast, TF32", 0.0105, "s", "2026-02-02"),
        ("", "peak training memory, a network, T = 4", "slow, TF32", 77.04, "MB", "2026-02-02"),
        ("", "first training step, a network, T = 4", "fast, TF32", 60.0, "s", "2026-02-02"),
        ("a budget", "training step, a network, T = 4", "fast, TF32", 1.1, "x", "2026-02-02"),
        ("", "training step, another, T = 4", "old, TF32", 9.0, "s", "2026-01-01"),
    ]
    columns = ["budget", "what", "subject", "value", "unit", "measured"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "gpu.csv", index=False)
    run.show(tmp_path, 0.0)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert [" ".join(line) for line in lines] == [
        "a network, T = 4",
        "ms peak MB",
        "fast, TF32 10.5 NaN",
        "slow, TF32 20.0 77.0",
    ]
    run.show(tmp_path, (tmp_path / "gpu.csv").stat().st_mtime + 1)
    assert capsys.readouterr().out == ""


def test_files_that_are_named_exist():
    assert all((run.ROOT / file).is_file() for file in run.MEASURED)


def test_a_part_that_takes_too_long_is_stopped(monkeypatch, tmp_path, capfd):
    slow = tmp_path / "test_slow.py"
    slow.write_text("import time\n\n\ndef test():\n    time.sleep(600)\n")
    part = run.run("checks", [str(slow), "-p", "no:cacheprovider"], 1.0)
    assert part.code == run.OUT_OF_TIME and part.seconds < 60
    assert "stopped, out of time" in str(part)


def test_as_a_script_it_says_that_there_is_no_gpu(environment):
    script = Path(run.__file__)
    hidden = environment | {"CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run([sys.executable, script], env=hidden, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (2, run.NO_GPU)
