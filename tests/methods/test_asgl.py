"""ASGL against a plain loop of its authors' formula, and its plain evaluation."""

import io
import math

import pytest
import torch
from scipy import stats

NAMES = ("asgl", "asgl:rectangle")
every_name = pytest.mark.parametrize("name", NAMES)
STEPS = {
    "asgl": lambda x, a: torch.sigmoid(x / a),
    "asgl:rectangle": lambda x, a: torch.clamp(x / a + 0.5, 0, 1),
}


@pytest.fixture
def neuron(plugin, layers_under):
    def make(name, values=None, **options):
        layers = layers_under(plugin("asgl")[name], values, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@every_name
@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_training_equals_the_authors_formula(neuron, name, reset, threshold):
    """y = H + sg[m (1(x >= 0) - H)], and y itself in the reset."""
    ours = neuron(name, {"a": threshold, "p": 0.2}, reset=reset, threshold=threshold)
    current, upstream, uniform = currents(4, 30), currents(4, 30), torch.rand(4, 30)
    one, two = (current.clone().requires_grad_() for _ in range(2))
    found = ours.unroll(one, uniform)
    (found * upstream).sum().backward()

    log_a = torch.tensor(math.log(threshold), dtype=torch.float64, requires_grad=True)
    v, expected = torch.zeros(30, dtype=torch.float64), []
    for t in range(4):
        u = 0.2 * v + two[t]
        smooth = STEPS[name](u - threshold, log_a.exp())
        m = (uniform[t] >= 0.2).double()
        y = smooth + (m * ((u >= threshold).double() - smooth)).detach()
        v = u * (1 - y) if reset == "zero" else u - threshold * y
        expected.append(y)
    (torch.stack(expected) * upstream).sum().backward()
    tight = {"rtol": 1e-6, "atol": 1e-7}  # log_a is made in float32
    torch.testing.assert_close(found, torch.stack(expected), **tight)
    torch.testing.assert_close(two.grad, one.grad, **tight)
    torch.testing.assert_close(ours.surrogate.log_a.grad, log_a.grad, **tight)
    assert log_a.grad.abs() > 1e-3


@every_name
def test_a_share_p_is_analog_while_it_trains(neuron, name):
    n = 20_000
    for values, p in (({}, 0.1 if name == "asgl:rectangle" else 0.2), ({"p": 0.7}, 0.7)):
        out = neuron(name, values)(0.5 + 0.1 * currents(1, n))
        low, high = stats.binom.interval(1 - 1e-6, n, p)
        assert low <= ((out != 0) & (out != 1)).sum().item() <= high


@every_name
def test_each_pass_and_each_layer_has_noise_of_its_own(neuron, name, plugin, layers_under):
    layers = layers_under(plugin("asgl")[name], norm="none")
    one, other = (layers.spike(f, torch.nn.Identity()) for f in "ab")
    current = torch.full((3, 50), 0.5)
    passes = [one(current), one(current), other(current)]
    masks = [step for out in passes for step in (out == 1).flatten(1).unbind(0)]
    assert len({tuple(mask.tolist()) for mask in masks}) == len(masks)


@every_name
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_evaluation_is_binary_and_equals_a_plain_neuron(neuron, plugin, layers_under, name, dtype):
    ours = neuron(name, neuron="plif").to(dtype).eval()
    plain = layers_under(plugin("rectangle")["rectangle"], norm="none", neuron="plif")
    plain = plain.spike("layer", torch.nn.Identity()).to(dtype)
    current = currents(6, 500).to(dtype)
    out = ours(current)
    assert torch.equal(out, plain(current))
    assert set(out.unique().tolist()) == {0, 1}


@every_name
@pytest.mark.parametrize("noise", [False, True])
def test_the_gradient_is_that_of_the_primitive(neuron, name, noise):
    """To x and to a, whether the forward pass is analog or not."""
    surrogate = neuron(name).surrogate
    x = torch.linspace(-1.5, 1.5, 62, dtype=torch.float64).requires_grad_()
    uniform = torch.rand(62) if noise else None
    surrogate.spike(x, 0, surrogate.params(x, 0), uniform).sum().backward()
    at, log_a = x.detach().clone().requires_grad_(), surrogate.log_a.detach().clone().requires_grad_()
    STEPS[name](at, log_a.exp()).sum().backward()
    torch.testing.assert_close(x.grad, at.grad)
    torch.testing.assert_close(surrogate.log_a.grad, log_a.grad)


@every_name
def test_log_a_has_an_adam_of_its_own(plugin, layers_under, name):
    layers = layers_under(plugin("asgl")[name], norm="none")
    surrogates = [layers.spike(f, torch.nn.Identity()).surrogate for f in "ab"]
    (adam,) = type(surrogates[0]).optimizers(surrogates)
    assert type(adam) is torch.optim.Adam
    (group,) = adam.param_groups
    assert (group["lr"], group["weight_decay"]) == (3e-4, 0)
    assert {id(p) for p in group["params"]} == {id(s.log_a) for s in surrogates}
    for surrogate in surrogates:
        surrogate.log_a.grad = torch.tensor(2.0)
    adam.step()
    assert surrogates[0].log_a.item() == pytest.approx(math.log(1.0) - 3e-4, rel=1e-6)


@every_name
def test_training_goes_on_after_loading(neuron, name):
    one, other = neuron(name), neuron(name)
    current = currents(3, 40)
    for _ in range(2):
        one(current)
    with torch.no_grad():
        one.surrogate.log_a += 0.3
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert torch.equal(one(current), other(current))


@every_name
def test_compiled_equals_eager(neuron, name):
    ours = neuron(name)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(ours.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for size in (6, 9):
            uniform, found = torch.rand(2, size), {}
            for run in (compiled, ours.unroll):
                current = currents(2, size).requires_grad_()
                ours.surrogate.log_a.grad = None
                out = run(current, uniform)
                out.square().sum().backward()
                found[run] = (out, current.grad, ours.surrogate.log_a.grad)
            torch.testing.assert_close(*found.values())
    torch._dynamo.reset()


@every_name
def test_what_it_declares(plugin, name):
    found = plugin("asgl")[name]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "forward", "official-code")
    # Both start at twice the threshold, as the code's defaults do: 1 at a threshold of 0.5.
    p = 0.1 if name == "asgl:rectangle" else 0.2
    assert found.defaults(0.5) == {"a": 1.0, "p": p}
    assert found.defaults(1.0) == {"a": 2.0, "p": p}
    assert found.formula.startswith("h(x) = ")
    assert not found.breaks
