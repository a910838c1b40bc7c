"""What a shell completes: the names that there are, quickly, and nothing else."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from bench import registry
from bench.cli import completion
from bench.suite import shipped_suites

FOUND = registry.load()


def context(*plugins):
    return SimpleNamespace(params={"plugin": plugins})


def test_every_shipped_name_is_known_without_an_import(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    methods = [name for name, entry in FOUND.methods.items() if entry.shipped]
    datasets = [name for name, entry in FOUND.datasets.items() if entry.shipped]
    assert completion.methods(context(), "") == sorted(methods)
    assert completion.datasets(context(), "") == sorted(datasets)
    assert completion.suites("") == sorted(suite.name for suite in shipped_suites())


def test_files_of_suites_are_completed_here_and_one_level_below(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "more/mild.toml", "more/notes.txt", "m[1].toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert completion.suites("m") == ["m[1].toml", "mine.toml", "more/mild.toml"]
    assert completion.suites("m[") == ["m[1].toml"]
    assert completion.suites("more/") == ["more/mild.toml"]
    assert completion.suites("qu") == ["quick"]


def test_the_last_of_several_names_is_completed_but_none_twice():
    assert completion.method_list(context(), "triangle,mpd-s") == ["triangle,mpd-sgr"]
    assert completion.dataset_list(context(), "digits,digits") == ["digits,digits-events"]


def test_names_of_plugins_are_completed_and_what_cannot_be_read_is_left_out(tmp_path):
    (tmp_path / "mine.py").write_text(
        '@method(\n    "mine",\n)\ndef f(x): ...\n@dataset("my-set")\ndef g(): ...'
    )
    (tmp_path / "bad.py").write_bytes(b"\xff@method(")
    for given in (tmp_path, tmp_path / "mine.py"):
        assert completion.methods(context(given), "mi") == ["mine"]
        assert completion.datasets(context(given), "my") == ["my-set"]
    assert completion.methods(context(tmp_path / "none.py"), "mi") == []


def completed(line, cwd, environment, shell="bash"):
    """What the shell's own function gets."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_TYPER_COMPLETE_ARGS": line}
    if shell == "bash":
        del words["_TYPER_COMPLETE_ARGS"]
    code = (
        "import sys, atexit; sys.argv = ['spikegrad']\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.__stderr__))\n"
        "from bench.cli import app; app.main()"
    )
    asked = environment | words | {"_SPIKEGRAD_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=asked, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "False\n"), "no torch, and no word more"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("spikegrad report qui", ["quick"]),
        ("spikegrad leaderboard qui", ["quick"]),
        ("spikegrad lead", ["leaderboard"]),
        ("spikegrad run qu", ["quick"]),
        ("spikegrad tune fair", ["fair-small"]),
        ("spikegrad run quick --plugin mine.py --methods rectangle,mi", ["rectangle,mine"]),
        ("spikegrad run quick --datasets yin", ["yin-yang"]),
        ("spikegrad leaderboard quick --table ov", ["overall"]),
        ("spikegrad show we", ["weight-decay"]),
        ("spikegrad show quick --method straight", ["straight-through"]),
        ("spikegrad list da", ["datasets"]),
        ("spikegrad check learned-w", ["learned-width"]),
        ("spikegrad data check dvs", ["dvs128-gesture"]),
        ("spikegrad verify sani", ["sanity"]),
        ("spikegrad export sani", ["sanity"]),
        ("spikegrad latency --methods learned-w", ["learned-width"]),
        ("spikegrad nothing of that", []),
        ("spikegrad run 'un", []),
    ],
)
def test_a_line_is_completed(line, found, tmp_path, environment):
    (tmp_path / "mine.py").write_text('@method("mine")\ndef f(x): ...\n')
    assert completed(line, tmp_path, environment) == found


def test_zsh_is_answered_too(tmp_path, environment):
    assert '"quick"))\'' in completed("spikegrad run qu", tmp_path, environment, "zsh")[-1]
