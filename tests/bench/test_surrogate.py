"""The interface: the spike function, declarations, defaults, and the hooks a neuron calls."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import BenchError
from bench.model.layers import TdBN
from bench.model.neuron import SpikingNeuron
from bench.surrogate import (
    WIDTH,
    FixedSurrogate,
    Method,
    NoiseStream,
    Param,
    Site,
    Surrogate,
    learned_spike,
    method,
    preset,
    spike,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def bell(x, width, height=2.0):
    """h(x) = height / (1 + (x/width)^2).

    More words, which are not the formula.
    """
    return height / (1 + (x / width) ** 2)


def a_site(threshold=0.5, **options):
    neuron = SpikingNeuron(threshold=threshold, **options)
    return Site("net/layer", index=0, neuron=neuron, norm=None, timesteps=4, epochs=1, seed=0)


def neuron_under(made, **options):
    """A neuron with this surrogate bound to it."""
    site = a_site(**options)
    made.bind(site)
    site.neuron.surrogate = made
    return site.neuron


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_spike_is_heaviside_forward_and_the_shape_backward(dtype):
    tiny = torch.finfo(dtype).tiny
    x = torch.tensor([-100, -0.25, -tiny, -0.0, 0, tiny, 0.25, 100], dtype=dtype, requires_grad=True)
    upstream = torch.tensor([1, -2, 3, -4, 5, -6, 7, -8], dtype=dtype)
    s = spike(x, bell, {"width": 0.5})
    s.backward(upstream)
    assert s.dtype == x.grad.dtype == dtype
    assert s.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert torch.equal(x.grad, upstream * bell(x.detach(), 0.5))


def test_spike_gives_no_gradient_to_its_parameters():
    width = torch.tensor(0.5, requires_grad=True)
    spike(torch.zeros(3, requires_grad=True), bell, {"width": width}).sum().backward()
    assert width.grad is None


def test_spike_keeps_only_x():
    x = torch.randn(3, requires_grad=True)
    # Up to torch 2.11 what is kept is freed with the spikes, though their grad_fn lives on.
    s = spike(x, bell, {"width": 0.5})
    (kept,) = s.grad_fn.saved_tensors
    assert kept.data_ptr() == x.data_ptr()


def test_a_function_is_declared_and_comes_back_unchanged():
    declare = method(
        "bell",
        paper="a paper",
        link="https://doi.org/1",
        note="a note",
        requires=["a", "b"],
        width=Param(1.0),
    )
    assert declare(bell) is bell
    (found,) = bell.declared
    del bell.declared
    assert found == Method(
        name="bell",
        target=bell,
        kind="fixed",
        changes="gradient",
        fidelity="paper",
        paper="a paper",
        link="https://doi.org/1",
        note="a note",
        requires=("a", "b"),
        params={"width": Param(1.0)},
    )
    assert found.latex == ""
    assert found.surrogate is FixedSurrogate
    assert found.formula == "h(x) = height / (1 + (x/width)^2)."


def test_a_subclass_is_declared():
    @method("own", paper="", kind="adaptive", changes="forward", fidelity="reconstructed")
    class Own(Surrogate):
        """Its formula."""

    (found,) = Own.declared
    assert (found.name, found.kind) == ("own", "adaptive")
    assert (found.changes, found.fidelity) == ("forward", "reconstructed")
    assert found.target is found.surrogate is Own
    assert found.formula == "Its formula."
    assert type(found.build(a_site(), {})) is Own


@pytest.mark.parametrize("paper", ["unpublished", "Unpublished ", "none", ""])
def test_what_is_unpublished_is_true_to_itself_alone(paper):
    def declared(**facts):
        (found,) = method("bump", paper=paper, **facts)(lambda x: x).declared
        return found.fidelity

    assert declared() == "own"
    assert declared(fidelity="reconstructed") == "reconstructed"


def test_a_formula_is_kept_and_a_preset_may_have_another():
    @preset("third", formula="c", params={})
    @preset("second", params={})
    @method("first", paper="", formula=r"h(x) = \frac{1}{2}")
    def one(x):
        """h(x) = 1/2."""

    assert [(m.name, m.latex) for m in one.declared] == [
        ("first", r"h(x) = \frac{1}{2}"),
        ("second", r"h(x) = \frac{1}{2}"),
        ("third", "c"),
    ]
    assert one.declared[0].formula == "h(x) = 1/2."
    with pytest.raises(BenchError, match="formula = 1 is not text"):
        method("mine", paper="", formula=1)


def test_declarations_stack():
    @method("second", paper="", width=Param(2.0))
    @method("first", paper="", width=Param(1.0))
    class Own(Surrogate):
        pass

    assert [(m.name, m.params["width"].default) for m in Own.declared] == [("first", 1.0), ("second", 2.0)]
    assert all(m.target is Own for m in Own.declared)
    assert Own.declared[0].formula == ""


def test_a_subclass_does_not_inherit_its_parents_declaration():
    @method("parent", paper="")
    class Parent(Surrogate):
        pass

    @method("child", paper="")
    class Child(Parent):
        pass

    class Plain(Parent):
        pass

    assert [m.name for m in Child.declared] == ["child"]
    assert [m.name for m in Parent.declared] == ["parent"]
    assert "declared" not in vars(Plain)


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        (Param(1.0, per_threshold=True), 2.0),
        (Param(0.25, per_threshold=True), 0.5),
        (Param(1.0), 1.0),
        (Param(None, per_threshold=True), None),
        (Param(0.0, per_threshold=True), 0.0),
    ],
)
def test_a_default_in_units_of_the_potential_scales_with_the_threshold(param, expected):
    assert param.at(0.5) == param.default
    assert param.at(1.0) == expected


def test_build_takes_defaults_at_the_threshold_and_what_the_user_sets_as_it_is():
    found = Method(
        "bell", bell, "fixed", "gradient", "paper", "", "", "", (), {"width": Param(1.0, per_threshold=True)}
    )
    assert found.defaults(1.0) == {"width": 2.0}
    site = a_site(threshold=1.0)
    made = found.build(site, {})
    assert made.site is site
    assert made.params(torch.zeros(1), 0) == {"width": 2.0}
    assert found.build(site, {"width": 0.3, "height": None}).params(torch.zeros(1), 0) == {
        "width": 0.3,
        "height": None,
    }
    x = torch.randn(20, requires_grad=True)
    made.spike(x, 0, made.params(x, 0), None).sum().backward()
    assert torch.equal(x.grad, bell(x.detach(), 2.0))


def test_build_gives_a_class_its_values_and_lets_it_refuse_the_site():
    @method("picky", paper="", width=Param(1.0))
    class Picky(Surrogate):
        shape = staticmethod(bell)

        def bind(self, site):
            if site.norm is None:
                raise BenchError(f"picky does not like {site.name}")
            super().bind(site)

    (found,) = Picky.declared
    with pytest.raises(BenchError, match="picky does not like net/layer"):
        found.build(a_site(), {})
    site = a_site()
    site.norm = TdBN(3, 0.5)
    assert found.build(site, {"width": 4.0}).values == {"width": 4.0}


def test_two_layers_share_no_values():
    found = Method("bell", bell, "fixed", "gradient", "paper", "", "", "", (), {"width": Param(1.0)})
    one, other = found.build(a_site(), {}), found.build(a_site(), {})
    one.values["width"] = 9.0
    assert other.values == {"width": 1.0}


def test_what_a_method_does_not_override_does_nothing():
    made = FixedSurrogate(bell, width=1.0)
    site = a_site(threshold=0.7)
    made.bind(site)
    s = torch.ones(2)
    assert made.threshold(s, 0) == 0.7
    assert made.emit(s, 0) is s
    assert made.noise(s.shape, s) is None
    assert made.on_epoch(0.5) is None
    assert made.penalty(None) is None
    assert made.optimizers([made]) == []
    assert made.search([made], None) is None
    assert list(made.parameters()) == []


def test_binding_registers_no_module_or_parameter_twice():
    neuron = neuron_under(FixedSurrogate(bell, width=1.0), kind="plif")
    assert [name for name, _ in neuron.named_parameters(remove_duplicate=False)] == ["w"]
    assert neuron.surrogate.site.neuron is neuron


class Recorder(Surrogate):
    """Every hook of the forward pass leaves its name, its step and a copy of what it saw."""

    shape = staticmethod(bell)

    def __init__(self):
        super().__init__()
        self.calls, self.seen = [], {}

    def record(self, hook, t, *what):
        self.calls.append((hook, t))
        self.seen[hook, t] = what

    def threshold(self, u, t):
        self.record("threshold", t, u)
        return 0.25 * (t + 1)

    def params(self, u, t):
        self.record("params", t, u)
        return {"width": 1.0 + t}

    def spike(self, x, t, params, noise):
        self.record("spike", t, x, params, noise)
        return super().spike(x, t, params, noise)

    def emit(self, s, t):
        self.record("emit", t, s)
        return 3 * s

    def noise(self, shape, like):
        self.record("noise", None, shape, like)
        return torch.arange(shape.numel(), dtype=like.dtype).view(shape)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_the_neuron_calls_the_hooks_in_the_documented_order(reset):
    recorder = Recorder()
    neuron = neuron_under(recorder, reset=reset)
    current = torch.rand(3, 2, 4)
    out = neuron(current)
    steps = [(hook, t) for t in range(3) for hook in ("threshold", "params", "spike", "emit")]
    assert recorder.calls == [("noise", None), *steps]

    assert recorder.seen["noise", None] == (current.shape, current)
    v = torch.zeros(2, 4)
    for t in range(3):
        u, threshold = 0.2 * v + current[t], 0.25 * (t + 1)
        x, params, noise = recorder.seen["spike", t]
        assert torch.equal(recorder.seen["threshold", t][0], u)
        assert torch.equal(recorder.seen["params", t][0], u)
        assert torch.equal(x, u - threshold)
        assert params == {"width": 1.0 + t}
        assert torch.equal(noise, torch.arange(8.0).view(2, 4) + 8 * t)
        # The reset uses the spike and the method's threshold; only the next layer sees what is emitted.
        s = (x >= 0).float()
        assert torch.equal(recorder.seen["emit", t][0], s)
        assert torch.equal(out[t], 3 * s)
        v = u * (1 - s) if reset == "zero" else u - threshold * s


def test_statistics_are_made_in_training_and_only_for_a_penalty():
    class Penalised(FixedSurrogate):
        def penalty(self, statistics):
            return statistics.mean.sum()

    current = torch.rand(3, 2, 4)
    plain = neuron_under(FixedSurrogate(bell, width=1.0))
    plain(current)
    assert plain.statistics is None

    neuron = neuron_under(Penalised(bell, width=1.0))
    neuron(current)
    assert neuron.statistics.mean.shape == neuron.statistics.variance.shape == (3,)
    assert neuron.surrogate.penalty(neuron.statistics) == neuron.statistics.mean.sum()
    neuron.eval()(current)
    assert neuron.statistics is None


def test_an_activation_replaces_the_neuron():
    class Square(Surrogate):
        activation = staticmethod(torch.square)

    current = torch.randn(3, 2, 4)
    assert torch.equal(neuron_under(Square())(current), current**2)


@pytest.mark.parametrize(
    ("declaration", "complaint"),
    [
        ({"name": ""}, "cannot be the name"),
        ({"name": "all"}, "cannot be the name"),
        ({"name": "a,b"}, "cannot be the name"),
        ({"name": "a\0b"}, "cannot be the name"),
        ({"note": Param(1.0)}, "note = Param.* is not text"),
        ({"shape": Param(1.0)}, "no parameter can be called 'shape'"),
        ({"width": Param("wide")}, "the parameter width has the default 'wide', which is not a number"),
        ({"width": Param(True)}, "the parameter width has the default True, which is not a number"),
        ({"width": Param(1.0, search=(2, 1))}, "the larger one last, above 0 on a logarithmic axis"),
        ({"width": Param(1.0, search=(0, 1))}, "above 0 on a logarithmic axis"),
        ({"kind": "fixd"}, "kind = 'fixd' is not one of fixed"),
        ({"changes": "nothing"}, "changes = 'nothing'"),
        ({"fidelity": "sure"}, "fidelity = 'sure'"),
        ({"fidelity": "paper"}, "has fidelity 'paper' and paper = 'none': name the paper"),
        ({"width": 1.0}, r"write Param\(1.0\)"),
    ],
)
def test_a_wrong_declaration_is_refused_when_it_is_made(declaration, complaint):
    given = {"name": "bump", "paper": "none", "width": Param(1.0)} | declaration
    with pytest.raises(BenchError, match=complaint):
        method(given.pop("name"), **given)(lambda x, width: x * width)


def test_a_class_that_is_no_surrogate_is_refused():
    with pytest.raises(BenchError, match="the class Plain is no subclass of Surrogate"):

        @method("plain", paper="none")
        class Plain: ...


@pytest.mark.parametrize(
    ("param", "value", "why"),
    [
        (WIDTH, 0.0, "it must be above 0"),
        (WIDTH, -1.0, "it must be above 0"),
        (WIDTH, 1e-6, ""),
        (WIDTH, None, ""),
        (Param(0.0), -1.0, ""),
        (Param(0.5, search=(0.1, 1)), 0.0, ""),
        (Param(0.5), float("nan"), "it must be a number"),
    ],
)
def test_values_outside_the_sense_of_a_parameter_are_refused(param, value, why):
    assert param.refused(value) == why


@pytest.mark.parametrize("params", [{}, {"widht": Param(1.0)}, {"width": Param(1.0), "slope": Param(1.0)}])
def test_parameters_that_the_function_does_not_take_are_refused(params):
    def bump(x, width):
        return x * width

    with pytest.raises(BenchError, match=r"'bump' declares the parameters .*, but bump takes others"):
        method("bump", paper="none", **params)(bump)


def test_a_derivative_of_another_shape_is_refused():
    x = torch.zeros(2, 3, requires_grad=True)
    out = spike(x, lambda x: x.sum(0), {})
    with pytest.raises(ValueError, match=r"shape \(3,\), x has \(2, 3\)"):
        out.sum().backward()


@pytest.mark.parametrize(
    ("power", "at_half", "at_one"), [(0, 3.0, 3.0), (1, 3.0, 6.0), (True, 3.0, 6.0), (-1, 3.0, 1.5)]
)
def test_a_default_goes_with_a_power_of_the_threshold(power, at_half, at_one):
    param = Param(3.0, per_threshold=power)
    assert (param.at(0.5), param.at(1.0)) == (at_half, at_one)
    assert Param(None, per_threshold=power).at(1.0) is None


def two_declarations():
    @preset("bump:wide", note="wider", kind="control", area=None, params={"width": Param(4.0)})
    @method("bump", paper="a paper", link="there", note="plain", width=Param(1.0), height=Param(2.0))
    def bump(x, width, height):
        """h(x) = ..."""
        return bell(x, width, height)

    return bump.declared


def test_a_preset_keeps_what_it_does_not_vary():
    plain, wide = two_declarations()
    assert (plain.name, plain.kind, plain.area, plain.note) == ("bump", "fixed", 1.0, "plain")
    assert plain.defaults(0.5) == {"width": 1.0, "height": 2.0}
    assert (wide.name, wide.kind, wide.area, wide.note) == ("bump:wide", "control", None, "wider")
    assert wide.defaults(0.5) == {"width": 4.0, "height": 2.0}
    assert (wide.target, wide.paper, wide.link) == (plain.target, "a paper", "there")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"params": {"widht": Param(1.0)}}, "preset 'x' sets widht, which bump lacks"),
        ({"params": {"width": 1.0}}, r"write Param\(1.0\)"),
        ({"params": {}, "kind": "odd"}, "kind = 'odd'"),
    ],
)
def test_a_wrong_preset_is_refused(arguments, complaint):
    bump = two_declarations()[0].target
    with pytest.raises(BenchError, match=complaint):
        preset("x", **arguments)(bump)


def test_a_preset_of_nothing_is_refused():
    with pytest.raises(BenchError, match="put it above an @method"):
        preset("x", params={})(lambda x: x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_learned_spike_is_heaviside_whatever_the_primitive(dtype):
    x = torch.cat([torch.linspace(-3, 3, 1001), torch.zeros(1)]).to(dtype)
    s = learned_spike(x, lambda x, k: torch.sigmoid(k * x), {"k": 1.7})
    assert s.dtype == dtype
    assert torch.equal(s, (x >= 0).to(dtype))


def test_a_learned_spike_computes_no_primitive_where_no_gradient_is_taken():
    x = torch.linspace(-3, 3, 101)
    with torch.no_grad():
        s = learned_spike(x, lambda x: pytest.fail("asked for"), {})
    assert torch.equal(s, (x >= 0).float())


def test_a_learned_spike_has_the_gradients_of_its_primitive():
    def primitive(x, k):
        return torch.sigmoid(k * x)

    x = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    k = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(41, dtype=torch.float64)
    found = torch.autograd.grad((learned_spike(x, primitive, {"k": k}) * upstream).sum(), [x, k])
    expected = torch.autograd.grad((primitive(x, k) * upstream).sum(), [x, k])
    torch.testing.assert_close(found, expected)


def test_the_declared_derivative():
    class Bell(Surrogate):
        shape = staticmethod(bell)

    x = torch.linspace(-1, 1, 5)
    for made in (Bell(width=2.0), FixedSurrogate(bell, width=2.0)):
        assert torch.equal(made.derivative(x, made.values), bell(x, 2.0))
    assert Surrogate().derivative(x, {}) is None


def test_a_stream_is_its_own_and_goes_on_where_it_was():
    like = torch.zeros(())
    shape = torch.Size([3, 1000])
    one, same, other = NoiseStream(5), NoiseStream(5), NoiseStream(6)
    torch.manual_seed(0)
    first, second = one.draw(shape, like), one.draw(shape, like)
    torch.manual_seed(1)
    assert torch.equal(same.draw(shape, like), first)
    assert not torch.equal(first, second)
    assert not torch.equal(other.draw(shape, like), first)

    later = NoiseStream(5)
    later.load_state_dict(one.state_dict())
    assert torch.equal(later.draw(shape, like), one.draw(shape, like))


def test_a_stream_is_uniform_and_its_draws_are_unrelated():
    stream = NoiseStream(0)
    draws = torch.stack([stream.draw(torch.Size([20_000]), torch.zeros(())) for _ in range(3)])
    assert stats.kstest(draws.flatten().numpy(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(draws.numpy()) - np.eye(3)).max() < 0.03


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_streams_of_two_seeds_differ(a, b):
    # torch's CPU generator sees the low 32 bits of a seed only; layers differ by 1, cells by 2^20.
    one, other = (NoiseStream(seed).draw(torch.Size([4]), torch.zeros(())) for seed in (a, b))
    assert (a == b) == torch.equal(one, other)
