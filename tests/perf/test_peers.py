"""Peers are compared with us at equal work: the same spikes, and the same gradient of every weight."""

import peers
import pytest
import torch
from peers import INSTALLED, METHOD, PEERS, VALUES, take_over
from torch.nn import functional
from trained_networks import labels, network_of

TIMESTEPS, BATCH = 4, 6


@pytest.fixture(params=PEERS)
def peer(request, ledger):
    if request.param not in INSTALLED:
        ledger.leave_out(f"{request.param} is not installed.")
        pytest.skip(f"{request.param} is not installed")
    return request.param


def computed(network, x):
    """Logits, and the gradients of all weights by name."""
    network = network.to(x.dtype).train()
    logits = network(x)
    functional.cross_entropy(logits.mean(0), labels(x)).backward()
    return logits.detach(), {name: p.grad for name, p in network.named_parameters()}


# snntorch's spikes are single precision, and so is what comes back through them.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)], ids=str)
@pytest.mark.parametrize(
    ("backbone", "shape", "width"), [("convnet", (1, 8, 8), 0.5), ("resnet19", (3, 8, 8), 1 / 16)]
)
def test_same_spikes_and_gradients(peer, backbone, shape, width, dtype, tolerance):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(BATCH, TIMESTEPS, *shape, generator=generator, dtype=torch.float64).to(dtype)

    def network():
        return network_of(backbone, METHOD, shape, width, TIMESTEPS, VALUES)

    logits, gradients = computed(network(), x)
    theirs, their_gradients = computed(take_over(network(), peer), x)
    torch.testing.assert_close(theirs, logits)
    assert their_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        # A bias that is added to larger currents counts for less.
        scale = PEERS[peer].current_scale if name.endswith(".1.bias") else 1.0
        worst = (their_gradients[name] * scale - gradient).abs().max() / gradient.abs().max()
        assert worst <= tolerance, f"{name}: {worst:.2e} of the largest"


def test_a_network_keeps_no_neuron_of_ours(peer):
    from bench.model.neuron import SpikingNeuron

    taken = take_over(network_of("resnet19", METHOD, (3, 8, 8), 1 / 32, TIMESTEPS, VALUES), peer)
    assert not [module for module in taken.modules() if isinstance(module, SpikingNeuron)]


def test_another_equation_is_noticed(peer, monkeypatch):
    """With another decay the gradients differ by far more than is allowed."""
    x = torch.rand(BATCH, TIMESTEPS, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    network = network_of("convnet", METHOD, (1, 8, 8), 0.5, TIMESTEPS, VALUES)
    _, gradients = computed(network, x)
    other = take_over(network_of("convnet", METHOD, (1, 8, 8), 0.5, TIMESTEPS, VALUES), peer)
    for module in other.modules():
        if isinstance(module, type(peers.PEERS[peer].layer(0.2, 0.5))):
            module.forward = lambda current: (current >= 0.5).to(current.dtype) + 0 * current
    _, changed = computed(other, x)
    name = next(iter(gradients))
    assert (changed[name] - gradients[name]).abs().max() > 1e-2 * gradients[name].abs().max()
