"""What is said of other libraries' arguments holds for their gradients."""

import importlib.util

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.measures.single_layer import Probe
from bench.tables.library_arguments import ARGUMENTS

FOUND = registry.load()
POSITIVE = st.floats(0.05, 8.0)
PAIRS = [(library, shape) for library, shapes in ARGUMENTS.items() for shape in shapes]


def theirs(library, text):
    """The spike function that the text of an argument stands for."""
    if library == "norse":
        from norse.torch.functional.threshold import threshold

        options = eval(f"dict({text})")
        return lambda x: threshold(x, options["method"], options["alpha"])
    if library == "snntorch":
        from snntorch import surrogate
    else:
        from spikingjelly.activation_based import surrogate
    return eval(text.partition("=")[2], {"surrogate": surrogate})


@pytest.mark.parametrize(("library", "shape"), PAIRS)
@given(width=POSITIVE)
@settings(max_examples=10, deadline=None)
def test_the_gradient_is_that_of_the_shape(library, shape, width):
    if importlib.util.find_spec(library.lower()) is None:
        pytest.skip(f"{library} is not installed")
    argument = ARGUMENTS[library][shape]
    # Off the kinks, and on both sides of the threshold.
    x = torch.linspace(-3 * width, 3 * width, 402).requires_grad_()
    (found,) = torch.autograd.grad(theirs(library, argument.text(width))(x).sum(), x)
    ours = Probe(FOUND.method(shape).item, {"width": width}).eval().gradient(x.detach().double())[:, 0]
    expected = (ours * argument.height(width)).float()
    # Four digits are printed.
    far = (found - expected).abs() > 2e-3 * expected.abs().max()
    assert far.sum() <= (2 if shape == "rectangle" else 0), (found[far], expected[far])
