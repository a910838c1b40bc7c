"""What is shown while a run goes."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench.cli import progress
from bench.suite import Suite


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when told to."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.seconds)
    return now


def planned(name="a", epochs=10, variant="default"):
    names = {part: SimpleNamespace(name=part) for part in ("dataset", "backbone", "method")}
    cell = SimpleNamespace(**names, timesteps=2, seed=0, recipe=SimpleNamespace(epochs=epochs))
    return SimpleNamespace(id=name, cell=cell, variant=variant)


def ok(accuracy=98.7654):
    return {"status": "ok", "metrics": {"test_accuracy": accuracy}, "seconds": 5.06}


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        ("default", "dataset backbone T=2 method seed 0"),
        ("width=0.5", "dataset backbone T=2 method (width=0.5) seed 0"),
        ("backbone.width=2 backbone.neuron=plif", "dataset backbone (width=2 neuron=plif) T=2 method seed 0"),
        ("kappa=2 dataset.alpha=1 subset=9", "dataset (alpha=1) backbone T=2 method (kappa=2) seed 0"),
    ],
)
def test_a_title_tells_cells_apart(variant, text):
    assert progress.title(planned(variant=variant)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "about 3 s"), (150, "about 2 min"), (3600 * 2.25, "about 2.2 h")]
)
def test_durations_are_for_people(seconds, text):
    assert progress.duration(seconds) == text


def test_the_estimate_counts_epochs_too_and_starts_with_the_first_cell(clock):
    estimate = progress.Estimate(4)
    clock.seconds += 100  # loading torch
    assert estimate.text() == ""
    estimate.start()
    clock.seconds += 10
    estimate.epoch(planned("a"), 4)
    # half a cell in 10 s: 3.5 cells to go
    assert estimate.text() == "about 70 s left"
    clock.seconds += 10
    estimate.end(planned("a"))
    assert estimate.text() == "about 60 s left"


STEP = {"train_step_ms_p50": 12.345, "peak_memory_mb": 61.7, "compile_s": 0.0}
PASS = {"inference_ms_p50_batch1": 1.234, "inference_ms_p50_batch100": 56.789}
TIMINGS = [
    {"status": "ok", "kind": "inference", "metrics": PASS},
    {"status": "ok", "kind": "training", "metrics": STEP},
    {"status": "failed", "kind": "training", "metrics": {}, "error": "no\nluck [here]"},
]


@pytest.mark.parametrize("terminal", [False, True])
def test_times_on_a_console(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=160)
    with progress.listener(console, 0) as listener:
        for number, timing in enumerate(TIMINGS, 1):
            what = SimpleNamespace(title=f"what {number}")
            listener.timing(what, number, 3)
            listener.timed(what, timing, number, 3)
    shown = stream.getvalue()
    assert "what 3: FAILED: no luck [here]" in shown
    if terminal:
        assert "3/3" in shown and "12.35 ms" not in shown
    else:
        assert shown.splitlines() == [
            "[times 1/3] what 1: 1.23 ms for one sample, 56.79 ms for a hundred",
            "[times 2/3] what 2: 12.35 ms a training step, 62 MB at most",
            "[times 3/3] what 3: FAILED: no luck [here]",
        ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_run_on_a_console(clock, terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=160)
    with progress.listener(console, 2) as listener:
        assert isinstance(listener, progress.Bars if terminal else progress.Lines)
        for name, record in (
            ("a", ok()),
            ("b", {"status": "failed", "error": "no\nluck [here]", "id": "abc"}),
        ):
            listener.started(planned(name))
            clock.seconds += 10
            listener.epoch(planned(name), 0, 50.0)
            listener.ended(planned(name), record)
    shown = stream.getvalue()
    assert "dataset backbone T=2 method seed 0: FAILED: no luck [here] (`spikegrad show abc`)" in shown
    if not terminal:
        assert shown.splitlines()[0] == (
            "[1/2] dataset backbone T=2 method seed 0: 98.77 % test accuracy in 5.1 s, about 10 s left"
        )


def test_a_log_hears_of_long_trainings_once_a_minute(clock):
    stream = io.StringIO()
    with progress.listener(Console(file=stream, width=160), 1) as listener:
        listener.started(planned())
        for epoch in range(9):
            clock.seconds += 25
            listener.epoch(planned(), epoch, 50 + epoch)
    assert [line.split("epoch ")[1] for line in stream.getvalue().splitlines()] == [
        "3 of 10, 52.00 % on validation, about 3 min left",
        "6 of 10, 55.00 % on validation, about 2 min left",
        "9 of 10, 58.00 % on validation, about 25 s left",
    ]


def test_cells_that_differ_in_their_recipe_alone_have_titles_of_their_own(make_plan):
    parts = {"datasets": [{"name": "digits"}], "backbones": [{"name": "mlp", "width": 0.125}]}
    decay = {"weight_decay": 0.003}
    recipes = [{}, {"recipe": decay}, {"recipe": decay | {"decayed": "synapses"}}]
    suite = {
        "name": "decays",
        "methods": ["rectangle"],
        "seeds": [0, 1],
        "recipe": {"epochs": 1, "batch_size": 32, "learning_rate": 0.1},
        "tasks": [parts | {"timesteps": [2]} | recipe for recipe in recipes],
    }
    cells = make_plan(Suite.model_validate(suite)).cells
    varied = progress.differing(cells)
    titles = [progress.title(each, varied) for each in cells]
    assert varied == ["weight_decay", "decayed"]
    assert len(set(titles)) == len(cells) == 6
    assert "digits mlp (width=0.125) T=2 rectangle seed 1, weight_decay=0.003 decayed=synapses" in titles
    assert progress.differing(cells[:1]) == []


def test_no_title_tells_of_a_recipe_that_needs_no_telling(tiny, make_plan):
    methods = ["rectangle", {"name": "rectangle", "params": {"width": [0.5, 2.0]}}]
    cells = make_plan(tiny(methods=methods)).cells
    assert progress.differing(cells) == []
    assert "digits mlp (width=0.125) T=2 rectangle (width=0.5) seed 0" in map(progress.title, cells)


def test_bars_on_a_narrow_terminal_cut_nothing(clock):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    cells = [
        planned(name, variant=f"backbone.width=0.125 backbone.neuron=plif width={name}")
        for name in ("0.25", "0.5")
    ]
    with progress.listener(console, 20) as listener:
        for each in cells:
            listener.started(each)
        clock.seconds += 10
        for each in cells:
            listener.epoch(each, 3, 12.3456)
        listener.progress.refresh()
        shown = console.render_lines(listener.progress.get_renderable(), pad=True)
    lines = ["".join(segment.text for segment in line) for line in shown]
    text = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= 80 and "…" not in text
    assert text.count("12.3 % on validation") == 2 and text.count("4/10") == 2 and "0/20" in text
    assert text.count("0:00:") == 3
    assert all(f"(width={name})" in text for name in ("0.25", "0.5"))
