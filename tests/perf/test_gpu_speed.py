"""Training steps, their memory and a layer of neurons on a GPU, each in a process of its own.

Where nothing is measured, the same on the CPU, small and nothing compiled.
"""

from functools import partial

import pytest
import torch
from apart import LATE, apart
from budgets import MEMORY, MPD_AGL, NEURON, PEERS, RELU
from cases import small
from gpu_cases import ADAPTIVE, ARITHMETIC, FIXED, GPU_CASES, Form, forms, training
from in_turn import Pace, Spread
from ledger import Ledger, Measured
from neuron_layers import COMPILED, EAGER, FLOOR, THEIRS_COMPILED, work
from peers import INSTALLED
from subjects import COMPILED_RELU, OURS
from subjects import RELU as RELU_SUBJECT

pytestmark = [pytest.mark.sizes("cuda"), pytest.mark.usefixtures("compiler_cache")]
CURRENTS, FEW = 2**26, 2**12
LAYERS = [(t, dtype) for t in (4, 16) for dtype in (torch.float32, torch.bfloat16)]
READY, TIMING = 160.0, 45.0
"""Seconds: the most that compiling may take, and what the timing of a case takes."""
LEAST = 45.0 + TIMING
"""With less time left nothing is begun."""
ONCE = Pace(warm=0, least=1, rounds=1)


@pytest.fixture
def in_processes(measuring, device, time_left, ledger):
    """in_processes(what, makes, calls) -> Found."""

    def run(what, makes, calls):
        if measuring:
            return in_time(what, makes, calls, device, time_left(), ledger)
        return apart(makes, device, ready_within=120, pace=ONCE, calls=1)

    return run


def in_time(what, makes, calls, device, left, ledger):
    """Found, measured within `left` seconds; the test is skipped where these are too few."""
    if left < LEAST:
        ledger.leave_out(f"{what}: there was no time left for it.")
        pytest.skip("no time left")
    pace = Pace(warm=2, least=3, rounds=6, seconds=TIMING - 10)
    found = apart(makes, device, ready_within=min(READY, left - TIMING), pace=pace, calls=calls)
    for name, why in found.failed.items():
        ledger.leave_out(f"{what}: {name}: {why}.")
    return found


def few():
    """Of each kind one, eager."""
    return [Form(OURS["off"], "TF32"), Form(RELU_SUBJECT, "bfloat16"), Form(OURS["off"], "bfloat16", False)]


def ours_must_work(found, names):
    """What there was no time for is no fault."""
    problems = {name: why for name, why in found.failed.items() if name in names and why != LATE}
    assert problems == {}


def test_neuron_layers(in_processes, ledger, measuring):
    currents = CURRENTS if measuring else FEW
    subjects = [FLOOR, EAGER, *INSTALLED]
    if measuring:
        subjects += [COMPILED, *(f"{name}{THEIRS_COMPILED}" for name in INSTALLED)]
    layers = LAYERS if measuring else LAYERS[:2]
    named = {
        (t, dtype, subject): f"{subject}, T = {t}, {dtype}" for t, dtype in layers for subject in subjects
    }
    makes = {name: partial(work, subject, t, currents, dtype) for (t, dtype, subject), name in named.items()}
    found = in_processes("neuron layer there and back", makes, calls=5)
    for (t, dtype, subject), name in named.items():
        floor = named[t, dtype, FLOOR]
        if name not in found.times.seconds or floor not in found.times.seconds:
            continue
        kind = str(dtype).removeprefix("torch.")
        about = {
            "what": f"neuron layer there and back, T = {t}, {currents:,} currents, {kind}",
            "subject": subject,
        }
        if subject == FLOOR:
            ledger.add(Measured.spread(found.times.of(name), "s", **about))
            continue
        about |= {"against": FLOOR, "note": found.notes[name]}
        ratio = found.times.ratio(name, floor)
        is_held = subject == COMPILED
        ledger.add(
            Measured.under(NEURON, ratio, **about) if is_held else Measured.spread(ratio, "x", **about)
        )
    ours_must_work(
        found, {name for (*_, subject), name in named.items() if subject in (FLOOR, EAGER, COMPILED)}
    )


@pytest.mark.parametrize(
    "case",
    [GPU_CASES[0], *(pytest.param(case, marks=pytest.mark.measured_only) for case in GPU_CASES[1:])],
    ids=lambda case: str(case).replace("×", "x"),
)
def test_training_step(case, in_processes, ledger, measuring):
    chosen = forms(case) if measuring else few()
    case = case if measuring else small(case)
    makes = {form.name: partial(training, case, form) for form in chosen}
    found = in_processes(f"training step, {case}", makes, calls=8)
    record(case, [form for form in chosen if form.name in found.times.seconds], found, ledger)
    ours_must_work(found, {form.name for form in chosen if not form.subject.peer})


def record(case, present, found, ledger):
    """Put times, peaks and what is held against a budget into the ledger."""
    step, memory = f"training step, {case}", f"peak training memory, {case}"
    for form in present:
        about = {"subject": form.name, "note": found.notes[form.name]}
        ledger.add(Measured.spread(found.times.of(form.name), "s", what=step, **about))
        ledger.add(Measured("", memory, form.name, "", found.peaks[form.name], "MB"))
        if form.subject.mode != "off":
            took = found.first[form.name]
            ledger.add(Measured("", f"first {step}", form.name, "", took, "s", note="compiles"))
    for budget, ratio, what, subject, against in held(present, found, step, memory):
        ledger.add(Measured.under(budget, ratio, what=what, subject=subject, against=against))


def held(present, found, step, memory):
    """(budget, ratio, what, subject, against) of every figure that is held against a budget."""
    times, peaks, names = found.times, found.peaks, {form.name for form in present}
    ours = [form for form in present if form.subject in (OURS["neuron"], OURS["step"])]
    peers = [form.name for form in present if form.subject.peer]
    for form in ours:
        # Alike: under "neuron" there is nothing in the ReLU network to compile.
        relu = form._replace(subject=COMPILED_RELU if form.subject.mode == "step" else RELU_SUBJECT).name
        if relu in names:
            yield RELU, times.ratio(form.name, relu), step, form.name, relu
    if ours and peers:
        best, fastest = times.fastest([form.name for form in ours]), times.fastest(peers)
        yield PEERS, times.ratio(fastest, best), step, best, fastest
        leanest = min(peers, key=peaks.__getitem__)
        for mode in ("neuron", "step"):
            own = [form.name for form in ours if form.subject.mode == mode]
            if own:
                least = min(own, key=peaks.__getitem__)
                yield MEMORY, Spread(peaks[least] / peaks[leanest], None, None), memory, least, leanest
    adaptive, fixed = Form(ADAPTIVE, "bfloat16").name, Form(FIXED, "bfloat16").name
    if {adaptive, fixed} <= names:
        yield MPD_AGL, times.ratio(adaptive, fixed), step, adaptive, fixed


class Measurements:
    """Made up, for what becomes of them."""

    def __init__(self, times, peaks):
        from in_turn import Times

        self.times = Times({name: [value] for name, value in times.items()})
        self.peaks = peaks
        self.first, self.notes = dict.fromkeys(times, 1.0), dict.fromkeys(times, "")


def test_the_best_of_ours_is_held_against_the_best_of_theirs():
    """Over all arithmetics, forms and layouts; ReLU in the same arithmetic, and compiled alike."""
    case = GPU_CASES[0]
    chosen = {form.name: form for form in forms(case)}
    times = dict.fromkeys(chosen, 9.0) | {
        "spikegrad, compile = step, bfloat16": 1.2,
        "spikegrad, compile = step, TF32": 2.4,
        "ReLU, compiled, bfloat16": 1.0,
        "ReLU, compiled, TF32": 2.0,
        "norse, TF32, channels first": 1.5,
        f"{FIXED.name}, bfloat16": 1.0,
        f"{ADAPTIVE.name}, bfloat16": 1.01,
    }
    peaks = dict.fromkeys(chosen, 900.0) | {
        "spikegrad, compile = neuron, TF32": 110.0,
        "snntorch, compiled, bfloat16": 100.0,
    }
    ledger = Ledger()
    record(case, list(chosen.values()), Measurements(times, peaks), ledger)
    rows = {(row.budget, row.subject): row for row in ledger.rows if row.limit is not None}
    relu = rows[RELU.name, "spikegrad, compile = step, TF32"]
    assert (relu.value, relu.against) == (1.2, "ReLU, compiled, TF32")
    assert rows[RELU.name, "spikegrad, compile = neuron, TF32"].against == "ReLU, TF32"
    ((against, value),) = [(r.against, r.value) for (b, _), r in rows.items() if b == PEERS.name]
    assert (against, value) == ("norse, TF32, channels first", 1.5 / 1.2)
    memory = rows[MEMORY.name, "spikegrad, compile = neuron, TF32"]
    assert (memory.value, memory.against) == (1.1, "snntorch, compiled, bfloat16")
    assert [r.value for (b, _), r in rows.items() if b == MPD_AGL.name] == [1.01]
    # Of what is not there nothing is claimed.
    some = Ledger()
    few_of_them = [form for name, form in chosen.items() if name.startswith("norse")]
    record(case, few_of_them, Measurements(times, peaks), some)
    assert [row for row in some.rows if row.limit is not None] == []


def test_everybody_is_there_in_every_arithmetic():
    for case in GPU_CASES:
        names = [form.name for form in forms(case)]
        assert len(set(names)) == len(names)
        for subject in ("spikegrad, compile = step", "ReLU, compiled", *INSTALLED):
            for arithmetic in ARITHMETIC:
                assert f"{subject}, {arithmetic}" in names
        for peer in INSTALLED:
            assert f"{peer}, bfloat16, channels first" in names


def test_what_there_is_no_time_for_is_named(device):
    ledger = Ledger()
    with pytest.raises(pytest.skip.Exception):
        in_time("a step", {}, 1, device, LEAST - 1, ledger)
    assert ledger.left_out == ["a step: there was no time left for it."]


def test_ours_must_work_but_for_want_of_time():
    found = Measurements({}, {})
    found.failed = {"a peer": "ValueError: of theirs", "ours": LATE}
    ours_must_work(found, {"ours"})
    found.failed["ours"] = "5.00% of its spikes are others than those of our eager layer"
    with pytest.raises(AssertionError):
        ours_must_work(found, {"ours"})


def test_what_could_not_be_measured_is_named(device):
    ledger = Ledger()
    in_time(
        "a layer", {"theirs": partial(work, "no such peer", 4, FEW, torch.float32)}, 1, device, LEAST, ledger
    )
    assert ledger.left_out == ["a layer: theirs: KeyError: 'no such peer'."]
