"""snntorch's and norse's surrogates are theirs, as they ship, and how ours convert to them."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from scipy import integrate
from snntorch import surrogate as snntorch

from bench import shapes

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.threshold import threshold as norse

THEIRS = {
    "snntorch/atan": snntorch.atan(),
    "norse/superspike": lambda x: norse(x, LIFBoxParameters().method, LIFBoxParameters().alpha),
}
every_name = pytest.mark.parametrize("name", THEIRS)


@pytest.fixture
def neuron(plugin, layers_under):
    def make(name, **options):
        layers = layers_under(plugin("library")[name], norm="none", **options)
        return layers.spike("layer", torch.nn.Identity())

    return make


def derivative(name):
    """h of the library itself, as a function of one float64."""

    def h(x):
        x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        THEIRS[name](x).backward()
        return x.grad.item()

    return h


@every_name
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_network_equals_a_loop_that_calls_the_library(neuron, name, reset):
    ours = torch.randn(4, 50, requires_grad=True)
    theirs, upstream = ours.detach().clone().requires_grad_(), torch.randn(4, 50)
    out = neuron(name, reset=reset)(ours)
    out.backward(upstream)

    v, spikes = torch.zeros(50), []
    for current in theirs:
        u = 0.2 * v + current
        s = THEIRS[name](u - 0.5)
        v = u * (1 - s) if reset == "zero" else u - 0.5 * s
        spikes.append(s)
    torch.stack(spikes).backward(upstream)
    assert torch.equal(out, torch.stack(spikes))
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-7)


@every_name
def test_there_is_no_spike_at_the_threshold_itself(neuron, name):
    out = neuron(name)(torch.tensor([[0.4999, 0.5, 0.5001]]))
    assert out.tolist() == [[0, 0, 1]]


@every_name
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_the_dtype_that_comes_out_is_theirs(neuron, name, dtype):
    current = torch.randn(3, 20).to(dtype).requires_grad_()
    out = neuron(name)(current)
    out.sum().backward()
    assert out.dtype == (torch.float32 if name == "snntorch/atan" else dtype)
    assert current.grad.dtype == dtype
    assert current.grad.isfinite().all()


@pytest.mark.parametrize(("name", "area"), [("snntorch/atan", 1), ("norse/superspike", 2)])
def test_areas(name, area):
    h = derivative(name)
    assert 2 * integrate.quad(h, 0, math.inf)[0] == pytest.approx(area, rel=1e-6)


def test_norse_1_1_0_ignores_alpha():
    x = torch.linspace(-3, 3, 61, requires_grad=True)
    grads = [torch.autograd.grad(norse(x, "super", alpha).sum(), x)[0] for alpha in (1.0, 100.0)]
    assert torch.equal(*grads)


@pytest.mark.parametrize(
    ("name", "shape", "params"),
    [
        ("snntorch/atan", shapes.arctan, {"width": 4 / (math.pi * 2)}),
        ("norse/superspike", shapes.fast_sigmoid, {"width": 2 * (math.sqrt(2) - 1), "height": 1.0}),
    ],
)
def test_ours_at_the_converted_parameter_equals_their_default(name, shape, params):
    for x in torch.linspace(-5, 5, 51, dtype=torch.float64):
        assert shape(x, **params).item() == pytest.approx(derivative(name)(x.item()), rel=1e-12)


def test_building_warns_of_nothing_and_loading_imports_neither_library():
    """In a new process: here both are imported already."""
    program = """
import sys, types
sys.path.insert(0, "tests/methods")
from conftest import load
library = load("library")
assert not {"norse", "snntorch"} & set(sys.modules)
for target in (library.NorseSuperSpike, library.SnntorchAtan):
    target().bind(types.SimpleNamespace(neuron=None))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


@every_name
def test_what_it_declares(plugin, name):
    found = plugin("library")[name]
    assert (found.kind, found.changes, found.fidelity) == ("library", "gradient", "library")
    assert found.requires == (name.split("/")[0],)
    assert found.defaults(0.5) == {}
