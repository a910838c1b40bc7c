"""What the tests of all libraries' rows share; `theirs` is the library's own function, x to spikes."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import torch

from bench import registry

FOUND = registry.load()


def rows(library):
    """Names, without the library's, of all its rows."""
    return [name.split("/")[1] for name in FOUND.methods if name.startswith(f"{library}/")]


def row(name):
    return FOUND.methods[name].item


def derivative(theirs, x):
    """h at x, [N], in float64: what autograd delivers through the library itself."""
    x = x.double().requires_grad_()
    (h,) = torch.autograd.grad(theirs(x).sum(), x)
    return h


def assert_network_equals_loop(layers_under, name, theirs, reset):
    """Spikes and input gradient of a LIF layer under the row, against a loop that calls the library."""
    layers = layers_under(row(name), norm="none", reset=reset)
    neuron = layers.spike("layer", torch.nn.Identity())
    ours = torch.randn(4, 50, requires_grad=True)
    theirs_in, upstream = ours.detach().clone().requires_grad_(), torch.randn(4, 50)
    torch.manual_seed(1)
    out = neuron(ours)
    if out.requires_grad:
        out.backward(upstream)

    torch.manual_seed(1)
    v, spikes = torch.zeros(50), []
    for current in theirs_in:
        u = 0.2 * v + current
        s = theirs(u - 0.5)
        v = u * (1 - s) if reset == "zero" else u - 0.5 * s
        spikes.append(s)
    expected = torch.stack(spikes)
    assert torch.equal(out, expected)
    assert out.requires_grad == expected.requires_grad
    if out.requires_grad:
        expected.backward(upstream)
        torch.testing.assert_close(ours.grad, theirs_in.grad, rtol=1e-6, atol=1e-7, equal_nan=True)


def assert_twin_is_the_same_function(name, theirs):
    """Pointwise over a wide grid; the tails of a narrow one may differ by what float64 rounds off 1."""
    twin = row(name).twin
    ours = row(twin.method)
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.linspace(-0.2, 0.2, 4001)]).double()
    values = {**ours.defaults(0.5), **twin.params}
    assert twin.params.keys() <= ours.params.keys()
    torch.testing.assert_close(ours.target(x, **values), derivative(theirs, x), rtol=1e-6, atol=1e-15)


def assert_not_symmetric(theirs):
    right, left = (derivative(theirs, torch.tensor([0.25, 1.5]) * side) for side in (1, -1))
    assert ((right - left).abs() > 0.1 * right.abs()).any()


def assert_paper_names_the_defaults(name, function):
    """The row's text ends in the call as the library's signature has it, but for `spiking=True`."""
    signature = inspect.signature(function).parameters.values()
    defaults = ", ".join(f"{p.name}={p.default:g}" for p in signature if p.name != "spiking")
    assert re.search(r"\w+\(.*\)$", row(name).paper).group() == f"{name.split('/')[1]}({defaults})"


def assert_declares(name, changes="gradient"):
    found = row(name)
    assert (found.kind, found.changes, found.fidelity) == ("library", changes, "library")
    assert found.requires == (name.split("/")[0],)
    assert (found.defaults(0.5), found.area) == ({}, None)
    assert found.formula.startswith("h(x) = ")
    assert bool(found.twin.method) != bool(found.twin.why)


def run(program):
    """(exit status, stderr) in a new process, where a warning is an error: here all is imported already."""
    start = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom conftest import load\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start + program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr
