"""Reading, keeping and comparing layer times, against files written by hand."""

import copy
import json
import subprocess
import sys

import pytest

from bench.errors import BenchError
from bench.records import layer_times

INFO = {
    "method": "tent",
    "kind": "fixed",
    "params": {"width": 1.0, "height": None},
    "timesteps": 4,
    "batch": 100,
    "units": 512,
    "mode": "eager",
    "neuron": "lif",
    "part": "step",
    "threads": 1,
    "device": "cpu",
    "hardware": "A CPU, 1 thread",
    "versions": {"torch": "2.9", "norse": None},
    "measured": "2026-01-01T00:00:00+00:00",
    "compile_s": 0.0,
    "error": None,
}


def benchmark(median, **info):
    return {"name": "any", "stats": {"median": median, "mean": 9.0}, "extra_info": INFO | info}


def content(*benchmarks, failed=()):
    return {"machine_info": {}, "benchmarks": list(benchmarks), "failed": list(failed), "version": "5"}


def write(folder, name, what):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(what if isinstance(what, str) else json.dumps(what))
    return folder / name


def parts(forward, backward, step, **info):
    times = {"forward": forward, "backward": backward, "step": step}
    return [benchmark(seconds, part=part, **info) for part, seconds in times.items()]


def test_rows_for_the_table(tmp_path):
    compiled = {"mode": "compiled", "compile_s": 2.5, "neuron": "plif", "timesteps": 2}
    peer = benchmark(1.0, kind="peer", method="other.Cell", neuron="other")
    broken = INFO | {"method": "rotten", "neuron": None, "compile_s": None, "error": "TypeError: no"}
    what = content(*parts(0.001, 0.002, 0.0035), benchmark(0.001, **compiled), peer, failed=[broken])
    write(tmp_path / "latency" / "layers", "a.json", what)
    assert layer_times.read(tmp_path) == [
        {
            "method": "tent",
            "variant": "batch=100 units=512 compiled plif",
            "timesteps": 2,
            "hardware": "A CPU, 1 thread",
            "forward_ms_p50": None,
            "backward_ms_p50": None,
            "step_ms_p50": 1.0,
            "compile_s": 2.5,
        },
        {
            "method": "tent",
            "variant": "batch=100 units=512 eager",
            "timesteps": 4,
            "hardware": "A CPU, 1 thread",
            "forward_ms_p50": 1.0,
            "backward_ms_p50": 2.0,
            "step_ms_p50": 3.5,
            "compile_s": 0.0,
        },
    ]


def test_the_newest_of_two_files_counts_and_machines_stay_apart(tmp_path):
    folder = layer_times.folder(tmp_path)
    write(folder, "a.json", content(benchmark(0.002, measured="2026-03-01T00:00:00+00:00")))
    write(folder, "b.json", content(benchmark(0.001)))
    write(folder, "c.json", content(benchmark(0.003, hardware="B CPU, 1 thread")))
    rows = layer_times.read(tmp_path)
    assert [(row["hardware"][0], row["step_ms_p50"]) for row in rows] == [("A", 2.0), ("B", 3.0)]


def test_nothing_there_is_no_row(tmp_path):
    assert layer_times.read(tmp_path) == []


NEGATIVE = content(benchmark(-1.0))
WITHOUT_UNITS = content(
    {"stats": {"median": 1.0}, "extra_info": {k: v for k, v in INFO.items() if k != "units"}}
)
DAMAGED = {
    "half": ('{"benchmarks": [', "is damaged, or no JSON"),
    "nested": ("[" * 100_000, "is damaged, or no JSON"),
    "a list": ("[]", "holds no benchmarks"),
    "another program's": (
        {"benchmarks": [{"stats": {"median": 1.0}, "extra_info": {}}]},
        "method: field required",
    ),
    "no units": (WITHOUT_UNITS, "benchmarks.0.extra_info.units: field required"),
    "a negative time": (NEGATIVE, "stats.median: input should be greater than 0"),
    "not a number": (
        '{"benchmarks": [{"stats": {"median": NaN}}]}',
        "median: input should be a finite number",
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_named_in_one_sentence_and_left_out(tmp_path, capsys, what):
    text, sentence = DAMAGED[what]
    folder = layer_times.folder(tmp_path)
    bad = write(folder, "bad.json", text)
    write(folder, "good.json", content(benchmark(0.001)))
    told = []
    assert len(layer_times.read(tmp_path, told.append)) == 1
    (line,) = told
    assert line.startswith(str(bad)) and sentence in line and "\n" not in line
    assert capsys.readouterr().err == ""
    layer_times.read(tmp_path)
    assert capsys.readouterr().err == f"warning: {line}\n"
    with pytest.raises(BenchError, match="spikegrad latency"):
        layer_times.load(bad)


def test_reading_needs_no_torch(environment):
    imports = "import sys, bench.records.layer_times, bench.cli.render_latency, bench.cli.latency"
    code = f"{imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_the_file_of_a_machine_is_named_after_it(tmp_path):
    file = layer_times.default_file(tmp_path, "Fast(R) CPU @ 2/3 GHz (model 1), 2 threads")
    assert file == tmp_path / "latency" / "layers" / "fast-r-cpu-2-3-ghz-model-1-2-threads.json"


def test_earlier_cases_are_kept_unless_timed_again():
    broken = INFO | {"error": "TypeError: no"}
    old = content(
        *parts(1.0, 1.0, 1.0), benchmark(3.0, method="kept"), failed=[broken | {"method": "mended"}]
    )
    new = content(benchmark(2.0), benchmark(5.0, method="mended"))
    found = {time.case.method: time for time in layer_times.times(layer_times.merged(old, new))}
    assert {name: time.ms for name, time in found.items()} == {
        "tent": {"step": 2000.0},
        "kept": {"step": 3000.0},
        "mended": {"step": 5000.0},
    }
    assert all(time.error is None for time in found.values())


def test_a_case_that_fails_now_loses_its_earlier_times():
    new = content(failed=[INFO | {"error": "TypeError: no"}])
    (found,) = layer_times.times(layer_times.merged(content(benchmark(1.0)), new))
    assert (found.ms, found.error) == ({}, "TypeError: no")


def test_ratios_are_new_over_old():
    old = layer_times.times(content(*parts(1.0, 2.0, 4.0), benchmark(1.0, method="gone")))
    new = layer_times.times(content(*parts(2.0, 1.0, 4.0)[1:], benchmark(1.0, method="added")))
    found = layer_times.compare(new, old)
    ((case, ratios),) = found.ratios.items()
    assert (case.method, ratios) == ("tent", {"backward": 0.5, "step": 1.0})
    assert [c.method for c in found.only_new] == ["added"]
    assert [c.method for c in found.only_old] == ["gone"]
    assert found.notes == []


def test_what_makes_a_comparison_doubtful_is_said_once():
    then = copy.deepcopy(INFO) | {
        "hardware": "B CPU, 2 threads",
        "threads": 2,
        "versions": {"torch": "2.8", "norse": None, "numpy": "2.0"},
        "params": {"width": 2.0, "height": None},
    }
    old = layer_times.times(content(benchmark(1.0, **then), benchmark(1.0, **(then | {"units": 64}))))
    new = layer_times.times(content(benchmark(1.0), benchmark(1.0, units=64)))
    assert layer_times.compare(new, old).notes == [
        "hardware was B CPU, 2 threads, is A CPU, 1 thread",
        "threads was 2, is 1",
        "numpy was 2.0, is not installed",
        "torch was 2.8, is 2.9",
        "width of tent was 2.0, is 1.0",
    ]
