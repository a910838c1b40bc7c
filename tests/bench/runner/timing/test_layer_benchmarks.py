"""What is timed of a layer is what training computes: against plain autograd and loops written out."""

import pytest
import torch

from bench import registry
from bench.errors import BenchError
from bench.runner.timing import timed_layers
from bench.runner.timing.timed_layers import PEERS, Size, of_method, of_peer, peers
from bench.surrogate import Param, Surrogate, method

FOUND = registry.load()
SIZE = Size(3, 5, 7)
CPU = torch.device("cpu")


def lif(current, width):
    """Spikes of LIF neurons under a rectangle, and the gradient of their sum, by plain autograd."""
    leaf = current.detach().clone().requires_grad_()
    v, total, spikes = torch.zeros_like(leaf[0]), 0.0, []
    for i in leaf:
        u = 0.2 * v + i
        x = u - 0.5
        inside = (x.detach().abs() <= width / 2).to(x.dtype) / width
        # The value of the step, with the slope of a line of the rectangle's height.
        s = (x.detach() >= 0).to(x.dtype) + inside * (x - x.detach())
        v = u * (1 - s)
        spikes.append(s.detach())
        total = total + s.sum()
    total.backward()
    return torch.stack(spikes), leaf.grad


def test_a_step_computes_the_gradient():
    layer = of_method(FOUND.method("rectangle").item, SIZE, CPU)
    layer.clear()
    layer.step()
    spikes, gradient = lif(layer.current, width=1.0)
    assert 0 < spikes.mean() < 1
    assert torch.equal(layer.out.detach(), spikes)
    assert torch.allclose(layer.current.grad, gradient, rtol=1e-5, atol=1e-6)
    assert gradient.count_nonzero() > 0


def test_backward_alone_gives_what_the_step_gives_however_often():
    layer = of_method(FOUND.method("mpd-agl").item, SIZE, CPU)
    layer.clear()
    layer.step()
    expected = layer.current.grad.clone()
    for _ in range(2):
        layer.before_backward()
        assert layer.current.grad is None
        layer.backward()
        assert torch.equal(layer.current.grad, expected)
    layer.clear()
    assert layer.out is None and layer.current.grad is None


def test_currents_are_the_same_for_all_and_of_the_size_asked_for():
    one, other = (of_method(FOUND.method(name).item, SIZE, CPU) for name in ("rectangle", "arctan"))
    assert torch.equal(one.current, other.current)
    assert torch.equal(one.current, of_peer("norse.LIFCell", SIZE, CPU).current)
    assert (tuple(one.current.shape), one.upstream.unique().tolist()) == (tuple(SIZE), [1.0])


def test_an_added_loss_is_part_of_the_backward_pass():
    @method("costly", paper="", changes="loss", width=Param(1.0))
    class Costly(Surrogate):
        shape = staticmethod(lambda x, width: torch.zeros_like(x))

        def penalty(self, statistics):
            return statistics.mean.sum()

    layer = of_method(Costly.declared[0], Size(1, 5, 7), CPU)
    layer.clear()
    layer.step()
    # Nothing comes through the spikes: what is left is the slope of a mean over 35 potentials.
    assert torch.allclose(layer.current.grad, torch.full((1, 5, 7), 1 / 35))


def test_noise_is_drawn_as_in_training():
    seen = []

    @method("noisy", paper="", width=Param(1.0))
    class Noisy(Surrogate):
        shape = staticmethod(lambda x, width: torch.ones_like(x))

        def noise(self, shape, like):
            return torch.zeros(shape)

        def spike(self, x, t, params, noise):
            seen.append((self.training, noise is not None))
            return super().spike(x, t, params, noise)

    layer = of_method(Noisy.declared[0], SIZE, CPU)
    layer.step()
    assert seen == [(True, True)] * 3


def test_a_method_gets_the_neurons_that_it_needs():
    assert of_method(FOUND.method("rectangle").item, SIZE, CPU).neuron == "lif"
    assert of_method(FOUND.method("lsg").item, SIZE, CPU).neuron == "plif"
    assert of_method(FOUND.method("ann-relu").item, SIZE, CPU).neuron == "activation"


def test_a_method_that_refuses_everything_says_why():
    @method("picky", paper="", width=Param(1.0))
    class Picky(Surrogate):
        def bind(self, site):
            raise BenchError(f"not in {site.name}")

    with pytest.raises(BenchError, match="not in layer/neurons"):
        of_method(Picky.declared[0], SIZE, CPU)


def test_spikes_without_a_gradient_have_a_step_and_no_backward_pass():
    @method("none", paper="", width=Param(1.0))
    class None_(Surrogate):
        def spike(self, x, t, params, noise):
            return (x.detach() >= 0).to(x.dtype)

    layer = of_method(None_.declared[0], SIZE, CPU)
    layer.step()
    assert (layer.learns, layer.current.grad) == (False, None)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_peer_starts_anew_at_every_pass_and_has_a_gradient(name):
    assert name in peers()
    layer = of_peer(name, SIZE, CPU)
    layer.step()
    first, gradient = layer.out.detach().clone(), layer.current.grad.clone()
    layer.clear()
    layer.step()
    assert torch.equal(first, layer.out.detach())
    assert torch.equal(gradient, layer.current.grad)
    assert first.shape == SIZE
    assert gradient.count_nonzero() > 0


@pytest.mark.parametrize("name", ["rectangle", "ann-relu", "lsg"])
def test_compiled_is_the_same(monkeypatch, name):
    monkeypatch.setattr(timed_layers, "COMPILER", "aot_eager")
    plain, compiled = (of_method(FOUND.method(name).item, SIZE, CPU, compiled=c) for c in (False, True))
    assert plain.compile_s == 0 < compiled.compile_s
    for layer in (plain, compiled):
        layer.clear()
        layer.step()
    assert torch.equal(plain.out, compiled.out)
    assert torch.allclose(plain.current.grad, compiled.current.grad, rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


# It keeps its potential between calls; the compiler looks at it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_peer(monkeypatch):
    monkeypatch.setattr(timed_layers, "COMPILER", "aot_eager")
    layers = [of_peer("snntorch.Leaky", SIZE, CPU, compiled=compiled) for compiled in (False, True)]
    for layer in layers:
        layer.clear()
        layer.step()
    assert torch.allclose(layers[0].out, layers[1].out)
    torch._dynamo.reset()
