"""`spikegrad latency` as a user types it, at sizes that take no time."""

import json
import signal
import sys
from pathlib import Path

import pytest

from bench.cli import app
from bench.records import layer_times

SMALL = ("--timesteps", "2", "--batch", "3", "--units", "4", "--seconds", "0.001")
TENT = '''
    @method("tent", paper="none", width=Param(1.0, per_threshold=1))
    def tent(x, width):
        """h(x) = max(0, 1 - |x|/width) / width."""
        return (1 - x.abs() / width).clamp(min=0) / width

    @method("rotten", paper="none")
    def rotten(x):
        """h(x) = ?"""
        print("printed")
        raise ValueError("no\\n luck")

    @method("refused", paper="none")
    class Refused(Surrogate):
        """h(x) = ?"""
        def bind(self, site):
            raise TypeError("never")
'''
DEADLY = """
    import os
    from bench.surrogate import Surrogate

    @method("deadly", paper="none")
    class Deadly(Surrogate):
        "h(x) = ?"
        def on_epoch(self, progress):
            os._exit(7)
"""
SLOW = """
    import time
    from bench.surrogate import Surrogate

    @method("slow", paper="none")
    class Slow(Surrogate):
        "h(x) = ?"
        def on_epoch(self, progress):
            time.sleep(60)
"""


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """here("--methods", "tent") -> (exit code, stdout, stderr), in this process, from an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["spikegrad", "latency", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code, *capsys.readouterr()

    return call


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_two_methods_saved_compared_and_kept(here, tmp_path, monkeypatch):
    # What a user has for tests of their own, here and in the environment, must not matter.
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    Path("conftest.py").write_text("raise SystemExit('not yours')")
    Path("pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    code, out, err = here("--methods", "rectangle,mpd-agl", *SMALL, "--save", "sub/one.json")
    assert (code, err.splitlines()[-1]) == (0, "wrote sub/one.json"), err
    assert "T = 2 · batch 3 · 4 units · eager" in out
    assert all(f"\n{name} " in out for name in ("rectangle", "mpd-agl", "snntorch.Leaky", "norse.LIFCell"))
    assert out.splitlines()[1].split() == ["forward", "backward", "step", "step", "/"]
    saved = json.loads(Path("sub/one.json").read_text())
    assert {"machine_info", "datetime", "version"} <= saved.keys()
    infos = [benchmark["extra_info"] for benchmark in saved["benchmarks"]]
    assert len(infos) == 15 and saved["failed"] == []
    assert [i["part"] for i in infos if i["method"] == "mpd-agl"] == ["forward", "backward", "step"]
    assert {(i["threads"], i["device"], i["compile_s"]) for i in infos} == {(1, "cpu", 0.0)}
    assert all("data" not in benchmark["stats"] for benchmark in saved["benchmarks"])

    wide = ("--timesteps", "2,3", "--no-peers", "--json", "--compare", "sub/one.json")
    code, out, err = here("--methods", "rectangle,triangle", *SMALL, *wide)
    found = json.loads(out)
    rows = {(row["method"], row["timesteps"]): row for row in found["rows"]}
    assert code == 0 and len(rows) == 4
    same = rows["rectangle", 2]
    assert same["step_over_rectangle"] == 1
    before = {t.case.method: t for t in layer_times.load(Path("sub/one.json"))}["rectangle"]
    for part in ("forward", "backward", "step"):
        ratio = same[f"{part}_ms_p50"] / before.ms[part]
        assert same[f"{part}_new_over_old"] == pytest.approx(ratio)
    assert rows["triangle", 2]["step_new_over_old"] is None
    assert found["not_the_same"] == []
    assert [c["method"] for c in found["only_earlier"]] == [
        "mpd-agl",
        "norse.LIFBoxCell",
        "norse.LIFCell",
        "snntorch.Leaky",
    ]
    assert {(c["method"], c["timesteps"]) for c in found["only_now"]} == set(rows) - {("rectangle", 2)}

    # The results folder keeps what is not timed again.
    here("--methods", "arctan", *SMALL, "--no-peers")
    methods = [(row["method"], row["timesteps"]) for row in layer_times.read(Path("results/local"))]
    assert methods == [("arctan", 2), ("rectangle", 2), ("rectangle", 3), ("triangle", 2), ("triangle", 3)]
    assert found["file"] in {str(Path("results/local", name)) for name in files(Path("results/local"))}
    assert not [name for name in files(tmp_path) if "cache" in name or name.endswith(".tmp")]


def test_a_method_that_fails_is_a_row_and_the_others_go_on(here, write_plugin):
    plugin = write_plugin(TENT)
    code, out, err = here("--methods", "rotten,refused,tent", "--plugin", plugin, *SMALL, "--no-peers")
    assert code == 1
    assert "Traceback" not in out + err and "printed" not in out + err
    assert "2 errors in 3 layers" in out
    assert "rotten, T = 2, batch 3, 4 units, eager: ValueError: no luck\n" in out
    assert "refused, T = 2, batch 3, 4 units, eager: TypeError: never\n" in out
    times = {time.case.method: time for time in layer_times.load(next(Path("results").rglob("*.json")))}
    # Forward works where the derivative does not.
    assert {name: sorted(time.ms) for name, time in times.items()} == {
        "refused": [],
        "rotten": ["forward"] * ("forward" in times["rotten"].ms),
        "tent": ["backward", "forward", "step"],
    }
    assert times["refused"].error == "TypeError: never"


def test_nothing_is_saved_where_nothing_could_be_timed(here, write_plugin):
    code, out, err = here("--methods", "refused", "--plugin", write_plugin(TENT), *SMALL, "--no-peers")
    assert code == 1
    assert "TypeError: never" in out
    assert err.splitlines()[-1] == "nothing could be timed: nothing is saved"
    assert not Path("results").exists()


def test_a_method_that_ends_the_process_is_named(here, write_plugin):
    code, out, err = here("--methods", "tent,deadly", "--plugin", write_plugin(TENT), "--plugin",
                          write_plugin(DEADLY, "deadly.py"), *SMALL, "--no-peers")  # fmt: skip
    assert (code, out) == (1, "")
    line = err.splitlines()[-1]
    assert line.startswith(
        "error: latency: at deadly, T = 2, batch 3, 4 units, eager, the process ended with"
    )
    assert not Path("results").exists()


def test_ctrl_c_stops_and_writes_nothing(start, write_plugin, tmp_path):
    write_plugin(SLOW)
    process = start("latency", "--methods", "slow", "--plugin", "plugin.py", *SMALL, cwd=tmp_path)
    for line in process.stderr:
        if line.startswith("[1/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "stopped\n")
    assert not (tmp_path / "results").exists()


def test_compiled_by_the_compiler_itself(here):
    code, out, _ = here("--methods", "rectangle", *SMALL, "--compiled", "--no-peers", "--json")
    rows = {row["mode"]: row for row in json.loads(out)["rows"]}
    assert code == 0
    assert [row["error"] for row in rows.values()] == [None, None]
    assert rows["eager"]["compile_s"] == 0 < rows["compiled"]["compile_s"]
    assert rows["compiled"]["step_over_rectangle"] == 1


def test_a_damaged_file_of_the_results_is_replaced_and_named(here):
    here("--methods", "rectangle", *SMALL, "--no-peers")
    (file,) = Path("results").rglob("*.json")
    file.write_text("{")
    code, _, err = here("--methods", "rectangle", *SMALL, "--no-peers")
    assert code == 0
    assert f"warning: {file} is damaged, or no JSON" in err
    assert len(layer_times.load(file)) == 1


FOREIGN = {"benchmarks": [{"stats": {"median": 1.0}, "extra_info": {}}]}
REFUSED = [
    ("--methods rectangel", "unknown method 'rectangel': did you mean 'rectangle'?"),
    ("--methods ,", "--methods: ',' names nothing"),
    ("--timesteps 0", "--timesteps: '0' is no number from 1 to 2,147,483,647"),
    ("--batch 2,x", "--batch: 'x' is no number from 1 to"),
    ("--units -4", "--units: '-4' is no number from 1 to"),
    ("--units 99999999999", "--units: '99999999999' is no number from 1 to"),
    ("--plugin nowhere.py", "plugin nowhere.py does not exist"),
    ("--compare nowhere.json", "cannot read layer times from nowhere.json: No such file"),
    ("--compare half.json", "half.json is damaged, or no JSON"),
    (
        "--compare foreign.json",
        "foreign.json is not what `spikegrad latency` saves: benchmarks.0.extra_info.",
    ),
    ("--save half.json/a.json", "cannot write half.json/a.json: half.json is not a folder"),
    ("--save .", "cannot write .: it is a folder"),
    ("--results half.json", "cannot write half.json/latency/layers/"),
]


@pytest.mark.parametrize(("command", "sentence"), REFUSED)
def test_what_cannot_start_is_one_line_and_exit_code_2(here, tmp_path, command, sentence):
    Path("half.json").write_text('{"benchmarks": [')
    Path("foreign.json").write_text(json.dumps(FOREIGN))
    code, out, err = here(*command.split())
    (line,) = err.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert (code, out) == (2, "")
    assert files(tmp_path) == ["foreign.json", "half.json"]


def test_a_gpu_that_is_not_there(here, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = here("--device", "cuda", *SMALL)
    assert (code, err) == (2, "error: device cuda asked for, but torch finds none here: use --device cpu\n")
