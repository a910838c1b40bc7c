"""Every shipped method keeps every law, or declares which it breaks; no declaration is idle."""

import statistics

import pytest
import torch

from bench import registry
from bench.check.laws import Case, check
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.records import protocol

FOUND = registry.load()
OLDEST = "torch 2.9"


@pytest.mark.parametrize(
    "name", [n for n, e in FOUND.methods.items() if not registry.missing_packages(e.item)]
)
def test_conforms(name):
    verdicts = list(check(Case(FOUND.method(name).item, FOUND, "aot_eager")))
    broken = {v.law: v.detail for v in verdicts if v.outcome == "broken"}
    if broken.get("compile", "").startswith("Unsupported: ") and protocol.libraries() == OLDEST:
        # What a library's own function does, an older compiler cannot follow: such a method trains eagerly.
        broken.pop("compile")
    assert broken == {}
    idle = [v.law for v in verdicts if v.outcome == "holds" and v.detail.startswith("although")]
    # Whether 20 steps of random spikes, or of rare NaN, go well is luck: of the split, and of the machine.
    assert set(idle) <= {"training"}


@pytest.mark.parametrize(
    "name",
    [
        n
        for n, e in FOUND.methods.items()
        # One that breaks "state" too cannot be called at all.
        if e.item.changes == "gradient"
        and "state" not in e.item.breaks
        and not registry.missing_packages(e.item)
    ],
)
def test_what_changes_the_gradient_alone_computes_what_plain_spikes_compute(name):
    x = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))

    def logits(method):
        torch.manual_seed(0)
        network = build_network(
            *(FOUND.backbone("mlp").item, FOUND.method(method).item, {}, NeuronOptions(neuron="plif")),
            **{"shape": (12,), "classes": 5, "width": 0.25, "timesteps": 3},
        )
        return network.eval()(x)

    with torch.no_grad():
        assert torch.equal(logits(name), logits("rectangle"))


def test_nothing_shipped_fails_to_load():
    assert FOUND.broken == []


def test_a_method_is_a_short_file():
    files = {entry.file for entry in FOUND.methods.values()}
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in files]
    assert statistics.median(lines) < 60
