"""One convolution, one linear layer, one norm, one neuron: float32 means float32, TF32 no less than TF32."""

import arithmetic
import pytest
import torch
from arithmetic import FLOAT32, OPERATIONS, TF32

ON_BOTH = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.needs_gpu)], indirect=True
)


@ON_BOTH
@pytest.mark.parametrize(("tf32", "bound"), [(False, FLOAT32), (True, TF32)], ids=["float32", "TF32"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_rounds_as_it_is_told_to(operation, tf32, bound, device, figures):
    error = arithmetic.error(operation, device, tf32=tf32)
    figures.append(
        f"{operation}, {device.type}, tf32 = {str(tf32).lower()}: off by {error:.1e} of the result"
    )
    assert error <= bound


@ON_BOTH
@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_a_neuron_spikes_where_it_should(kind, device, figures):
    error = arithmetic.neuron_error(kind, device)
    figures.append(f"{kind} neuron, {device.type}: gradients off by {error:.1e}")
    assert error <= FLOAT32


class Rounded(torch.autograd.Function):
    """To the 10 bits that TF32 keeps."""

    @staticmethod
    def forward(ctx, x):
        kept = (x.view(torch.int32) + 0x1000) & ~0x1FFF
        return kept.view(torch.float32)

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_a_convolution_in_tf32_is_told_from_one_in_float32(monkeypatch):
    real = torch.nn.Conv2d._conv_forward

    def in_tf32(self, x, weight, bias):
        if x.dtype == torch.float32:
            x, weight = Rounded.apply(x), Rounded.apply(weight)
        return real(self, x, weight, bias)

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", in_tf32)
    error = arithmetic.error("convolution", torch.device("cpu"), tf32=False)
    assert 10 * FLOAT32 < error < TF32


def test_spikes_of_another_neuron_are_noticed(monkeypatch):
    from bench.model.neuron import SpikingNeuron

    real = SpikingNeuron.step

    def wrong(self, current, v, t, noise=None):
        return real(self, current if current.dtype == torch.float64 else current * 1.01, v, t, noise)

    monkeypatch.setattr(SpikingNeuron, "step", wrong)
    with pytest.raises(AssertionError, match="spikes are others, far from the threshold"):
        arithmetic.neuron_error("lif", torch.device("cpu"))
