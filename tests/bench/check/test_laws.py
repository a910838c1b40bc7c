"""The laws notice what they are about, and nothing else; shipped methods keep them or say so."""

import math
from functools import cache
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.check import in_place, networks
from bench.check.laws import LAWS, MEANING, Case, check
from bench.errors import BenchError
from bench.shapes import rectangle, triangle
from bench.surrogate import NoiseStream, Param, Surrogate, learned_spike, method, spike

WIDTH = Param(1.0, per_threshold=True)


@cache
def found():
    return registry.load()


def verdicts(target, compiler="aot_eager", which=0):
    case = Case(target.declared[which], found(), compiler)
    return {verdict.law: verdict for verdict in check(case)}


def broken(target, **options):
    return {law: v.detail for law, v in verdicts(target, **options).items() if v.outcome == "broken"}


class Base(Surrogate):
    shape = staticmethod(rectangle)


def declare(**facts):
    return method("wrong", paper="none", **{"width": WIDTH} | facts)


def test_a_sound_method_keeps_every_law():
    @declare(primitive=None)
    def sound(x, width):
        """h(x) = 1(|x| < width/2) / width."""
        return rectangle(x, width)

    assert [(law, v.outcome) for law, v in verdicts(sound).items()] == [(law, "holds") for law in LAWS]
    assert set(MEANING) == set(LAWS)
    assert all(MEANING.values())


def test_a_gradient_scaled_by_two_against_its_declared_shape():
    @declare()
    class Doubled(Base):
        def spike(self, x, t, params, noise):
            return spike(x, lambda x, width: 2 * rectangle(x, width), params)

    found = broken(Doubled)
    # At the first step, and so at all others.
    assert list(found) == ["derivative", "loop"]
    assert "the gradient is 2 at x = " in found["derivative"]
    assert "the declared derivative 1" in found["derivative"]


def test_a_function_scaled_by_two_has_another_area():
    @declare()
    def doubled(x, width):
        return 2 * triangle(x, width)

    assert broken(doubled) == {"area": "area 2, declared 1"}


def test_a_height_that_is_not_the_value_at_zero():
    @declare(height=Param(None))
    def deaf(x, width, height):
        return triangle(x, width)

    @declare(height=Param(None), area=None)
    def hears(x, width, height):
        return triangle(x, width, height)

    assert broken(deaf) == {"area": "h(0) = 1 with height = 0.3"}
    assert broken(hears) == {}


def test_a_primitive_of_another_shape():
    def another(x, width):
        return torch.sigmoid(x / width)

    @declare(primitive=another)
    def bump(x, width):
        return rectangle(x, width)

    found = broken(bump)
    assert list(found) == ["derivative"]
    assert "the slope of its primitive" in found["derivative"]


def test_nan_at_one_place():
    @declare()
    def holed(x, width):
        return torch.where(x == -5, math.nan, triangle(x, width))

    assert broken(holed) == {"finite": "the gradient is nan at x = -5 (torch.float32)"}


def test_float32_out_of_float64():
    @declare()
    class Narrow(Base):
        def spike(self, x, t, params, noise):
            return super().spike(x, t, params, noise).float()

    assert broken(Narrow) == {"dtype": "spikes are torch.float32 for an input of torch.float64"}


def test_state_that_a_state_dict_does_not_hold():
    @declare()
    class Forgetful(Base):
        def bind(self, site):
            super().bind(site)
            self.seen = torch.zeros(())

        def noise(self, shape, like):
            self.seen += self.training

        def params(self, u, t):
            return {"width": self.values["width"] * (1 + self.seen)}

    @declare()
    class Keeps(Forgetful):
        def bind(self, site):
            Surrogate.bind(self, site)
            self.register_buffer("seen", torch.zeros(()))

    found = broken(Forgetful)
    assert list(found) == ["state"]
    assert "differs by" in found["state"]
    assert "after saving and loading" in found["state"]
    assert broken(Keeps) == {}


def test_a_spike_at_another_place():
    @declare()
    class Late(Base):
        def spike(self, x, t, params, noise):
            return spike(x - 1e-3, rectangle, params)

    found = broken(Late)
    assert found["forward"] == "spike = 0 at x = 0 (torch.float64)"
    assert "spike = 0 at x = 0" in found["loop"]


def test_randomness_of_nobody():
    # A seed of its own would be a counter that every training goes on with.
    draws = iter(range(10**6))

    @declare()
    class Wild(Base):
        def params(self, u, t):
            return {"width": 1.0 + 0.01 * next(draws)}

    assert "deterministic" in broken(Wild)


def test_noise_in_evaluation():
    @declare()
    class Shaky(Base):
        def noise(self, shape, like):
            return torch.rand(shape)

        def params(self, u, t):
            return {"width": 1.0}

        def spike(self, x, t, params, noise):
            return super().spike(x if noise is None else x + (noise - 0.5), t, params, noise)

    assert "between two evaluations" in broken(Shaky)["deterministic"]


def test_what_cannot_be_compiled():
    @declare()
    class Peeks(Base):
        def params(self, u, t):
            return {"width": self.values["width"] if float(u.detach().mean()) > -9 else 2.0}

    found = broken(Peeks)
    assert list(found) == ["compile"]
    # Each torch says it in its own words.
    assert "data-dependent" in found["compile"] or "Tensor.item()" in found["compile"]


def test_what_is_compiled_anew_in_every_epoch():
    @declare()
    class ByNumber(Base):
        def bind(self, site):
            super().bind(site)
            self.on_epoch(1.0)

        def on_epoch(self, progress):
            self.now = self.values["width"] * (2.0 - progress)

        def params(self, u, t):
            return {"width": self.now}

    found = broken(ByNumber)
    assert list(found) == ["compile"]
    assert "recompiled in every epoch" in found["compile"]
    assert "keep it in a tensor" in found["compile"]


def test_what_a_compiler_changes():
    @declare()
    class Two(Base):
        def params(self, u, t):
            return {"width": self.values["width"] * (2.0 if torch.compiler.is_compiling() else 1.0)}

    found = broken(Two)
    assert list(found) == ["compile"]
    assert "between eager and compiled (aot_eager)" in found["compile"]


def test_a_method_that_does_not_learn():
    @declare(area=0.0)
    class Useless(Base):
        shape = staticmethod(lambda x, width: 0 * rectangle(x, width))

    found = broken(Useless)
    assert list(found) == ["training"]
    assert "the loss went from" in found["training"]


@pytest.mark.parametrize("when", ["later", "training", "conv", "other channel"])
def test_a_gradient_that_is_wrong_only_sometimes(when):
    def wrong_at(x, t, training):
        return {"later": t > 0, "training": training, "conv": x.ndim == 4, "other channel": True}[when]

    def masked(x, width):
        mask = torch.ones(x.shape[1], dtype=x.dtype)
        mask[1:] = 0.5
        return rectangle(x, width) * mask.view(-1, *[1] * (x.ndim - 2))

    @declare()
    class Sometimes(Base):
        def spike(self, x, t, params, noise):
            if not wrong_at(x, t, self.training):
                return super().spike(x, t, params, noise)
            return spike(x, masked, params)

    found = broken(Sometimes)
    assert list(found) == ["loop"]
    assert "the gradient is 0.5 at x = " in found["loop"]


@pytest.mark.parametrize("hook", ["emit", "threshold", "carry", "transform"])
def test_a_forward_pass_that_changes_undeclared(hook):
    class Doubling(Base):
        pass

    if hook != "threshold":
        setattr(Doubling, hook, lambda self, given, t: 2 * given)
    else:
        Doubling.threshold = lambda self, u, t: 1.5 * self.site.neuron.threshold
    declare()(Doubling)
    assert "output differs from a plain neuron's" in broken(Doubling)["loop"]
    assert "changes = 'gradient'" in broken(Doubling)["loop"]


def test_a_loss_that_is_added_undeclared():
    @declare()
    class Loss(Base):
        def penalty(self, statistics):
            return statistics.mean.square().sum()

    assert broken(Loss) == {"loop": "it adds a loss, and declares changes = 'gradient'"}


def test_a_hole_exactly_at_the_threshold():
    @declare()
    class Hole(Base):
        def spike(self, x, t, params, noise):
            return spike(x, lambda x, width: rectangle(x, width) * (x != 0), params)

    assert broken(Hole)["derivative"] == "the gradient is 0 at x = 0, the declared derivative 1"


def test_a_potential_declared_as_a_number():
    @method("wrong", paper="none", width=Param(1.0))
    def rigid(x, width):
        return triangle(x, width)

    found = verdicts(rigid)
    assert [law for law, v in found.items() if v.outcome == "broken"] == ["area"]
    assert "scaled with the threshold it should be" in found["area"].detail


def test_a_search_that_raises():
    @declare()
    class Lost(Base):
        @classmethod
        def search(cls, layers, context):
            raise RuntimeError("not found")

    assert broken(Lost)["training"] == "RuntimeError: not found"


def test_noise_from_the_generator_of_all():
    @declare()
    class Borrowed(Base):
        def noise(self, shape, like):
            return torch.rand(shape) if self.training else None

        def spike(self, x, t, params, noise):
            shape = rectangle if noise is None else lambda x, width: rectangle(x, width) * (noise < 0.5)
            return spike(x, shape, params)

    # Whether the compiled code draws the same numbers depends on torch.
    first, *others = broken(Borrowed)
    assert first == "deterministic" and {*others} <= {"compile"}


def test_a_parameter_that_nothing_trains():
    @declare()
    class Idle(Base):
        def bind(self, site):
            super().bind(site)
            self.extra = torch.nn.Parameter(torch.ones(()))

        def params(self, u, t):
            return {"width": self.values["width"] * self.extra}

    assert "no gradient ever reaches the method's own parameter" in broken(Idle)["training"]


def test_what_is_set_for_the_whole_process_is_put_back():
    @declare()
    class Rude(Base):
        def spike(self, x, t, params, noise):
            torch.set_grad_enabled(False)
            return super().spike(x, t, params, noise)

    broken(Rude)
    assert torch.is_grad_enabled()

    @declare()
    class Wide(Base):
        def bind(self, site):
            super().bind(site)
            torch.set_default_dtype(torch.float64)

    assert "it changes torch's default dtype" in broken(Wide)["forward"]
    assert torch.get_default_dtype() == torch.float32


def test_an_exit_is_no_success():
    @declare()
    class Leaves(Base):
        def spike(self, x, t, params, noise):
            raise SystemExit(0)

    assert broken(Leaves)["forward"] == "SystemExit: 0"


def test_a_measurement_in_threshold_that_params_gives():
    @declare(changes="forward")
    class Measures(Base):
        def threshold(self, u, t):
            self.width = 1 + u.detach().std()
            return self.site.neuron.threshold

        def params(self, u, t):
            return {"width": self.width}

    assert {law for law in broken(Measures)} <= {"area"}


def test_a_wide_primitive_is_not_lost_to_rounding():
    @method(
        "wide",
        paper="none",
        primitive=lambda x, width: (x / width + 0.5).clamp(0, 1),
        width=Param(5000.0, per_threshold=1),
    )
    def wide(x, width):
        return rectangle(x, width)

    assert "derivative" not in broken(wide)


def test_a_method_for_many_steps_only():
    @declare()
    class Long(Base):
        def noise(self, shape, like):
            assert shape[0] > 1
            return None

    assert broken(Long) == {"one-step": "AssertionError: assert 1 > 1"}


def test_to_refuse_is_not_to_break():
    @declare()
    class Picky(Base):
        def bind(self, site):
            super().bind(site)
            if not isinstance(site.neuron.decay, torch.Tensor):
                raise BenchError("picky needs PLIF")

    @declare()
    class Never(Base):
        def bind(self, site):
            super().bind(site)
            if site.name != "probe/layer":
                raise BenchError(f"never: not {site.name}")

    picky = verdicts(Picky)["backbones"]
    assert picky.outcome == "holds"
    assert set(picky.detail.split("; ")) == {
        f"refuses {backbone} with lif: picky needs PLIF" for backbone in registry.load().backbones
    }
    assert "every backbone is refused" in broken(Never)["backbones"]


def test_what_a_method_declares_that_it_breaks():
    @declare(area=1.0, breaks={"area": "it is twice as large on purpose", "finite": "said in error"})
    def doubled(x, width):
        return 2 * triangle(x, width)

    found = verdicts(doubled)
    assert found["area"].outcome == "declared"
    assert found["area"].detail == "it is twice as large on purpose (area 2, declared 1)"
    assert (found["finite"].outcome, found["finite"].detail) == (
        "holds",
        "although it declares: said in error",
    )


def test_a_law_that_does_not_exist():
    with pytest.raises(BenchError, match="breaks = 'niceness' is not one of forward"):
        declare(breaks={"niceness": ""})


def test_no_area_is_no_claim():
    @declare(area=None)
    def doubled(x, width):
        return 2 * triangle(x, width)

    assert verdicts(doubled)["area"].outcome == "no claim"


def test_checking_leaves_the_random_numbers_of_others_alone():
    @declare()
    class Noisy(Base):
        def bind(self, site):
            super().bind(site)
            self.stream = NoiseStream(site.seed)

        def noise(self, shape, like):
            return self.stream.draw(shape, like) if self.training else None

    before = torch.random.get_rng_state()
    assert broken(Noisy) == {}
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_learned_parameter_keeps_every_law():
    @declare()
    class Learned(Surrogate):
        shape = staticmethod(rectangle)
        primitive = staticmethod(lambda x, width: (x / width + 0.5).clamp(0, 1))

        def __init__(self, width):
            super().__init__()
            self.log_width = torch.nn.Parameter(torch.tensor(math.log(width)))

        def params(self, u, t):
            return {"width": self.log_width.exp()}

        def spike(self, x, t, params, noise):
            return learned_spike(x, type(self).primitive, params)

    assert broken(Learned) == {}


@pytest.mark.parametrize("name", ["rectangle", "mpd-agl"])
def test_code_that_inductor_makes_gives_the_same(name):
    case = Case(found().method(name).item, found(), "inductor")
    assert {v.outcome for v in check(case)} == {"holds"}


def test_without_a_compiler_there_is_no_claim(monkeypatch):
    monkeypatch.setenv("PATH", "")
    verdict = {v.law: v for v in check(Case(found().method("rectangle").item, found()))}["compile"]
    assert (verdict.outcome, verdict.detail) == ("no claim", "no C++ compiler here: see --compiler")


# --- tensors that are changed in place ---


class Averaged(Base):
    """Keeps a running average; what it does with it is up to its children."""

    def bind(self, site):
        super().bind(site)
        self.register_buffer("mean", torch.tensor(site.neuron.threshold))

    def params(self, u, t):
        if self.training:
            self.update(u.detach().abs().mean().to(self.mean.dtype))
        return {"width": self.values["width"] * self.returned() / self.site.neuron.threshold}

    def returned(self):
        return self.mean


def told(kind):
    return {law: detail for law, detail in broken(kind).items() if "in place" in detail}


def test_a_change_in_place_is_explained_once_with_its_line():
    @declare()
    class Changes(Averaged):
        def params(self, u, t):
            if self.training:
                self.mean.mul_(0.9).add_(0.1 * u.detach().abs().mean())  # this line
            return {"width": self.mean}

        def derivative(self, x, params):
            return rectangle(x, params["width"])

    found = told(Changes)
    assert set(found) >= {"deterministic", "state", "backbones", "compile", "training"}
    first, *others = found.values()
    lines = Path(__file__).read_text().splitlines()
    (number,) = [n for n, line in enumerate(lines, 1) if line.endswith("  # this line")]
    assert first == (
        f"the method changes a tensor in place that the backward pass needs (test_laws.py, line {number}): "
        "assign a new tensor, as in self.mean = 0.9 * self.mean + 0.1 * new, instead of "
        "self.mean.mul_(0.9), or return a clone() of it from params"
    )
    assert set(others) == {f"the change in place told of under {next(iter(found))}"}


def test_changes_in_place_that_no_graph_needs_are_nobodys_business():
    @declare()
    class Clones(Averaged):
        def update(self, measured):
            self.mean.lerp_(measured, 0.1)

        def returned(self):
            return self.mean.clone()

    @declare()
    class Assigns(Averaged):
        def update(self, measured):
            self.mean = torch.lerp(self.mean, measured, 0.1)

    assert broken(Clones) == {}
    assert broken(Assigns) == {}
    # An optimizer changes in place what the graph of an earlier step has saved.
    case = Case(Assigns.declared[0], found())
    assert in_place.place(lambda: networks.training(case)) == ""


def test_where_the_line_is_not_found_the_rest_is_said(monkeypatch):
    @declare()
    class Changes(Averaged):
        def params(self, u, t):
            if self.training:
                self.mean.mul_(0.9)
            return {"width": self.mean}

    monkeypatch.setattr(in_place, "place", lambda run: "")
    assert "backward pass needs: assign a new tensor" in next(iter(told(Changes).values()))
