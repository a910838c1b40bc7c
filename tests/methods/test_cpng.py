"""CPNG against its rule in plain Python, and the share that the probe measures under its controls."""

import io

import pytest
import torch
from scipy import stats

from bench import registry
from bench.measures.gradients import look
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions

SHARES = {"cpng:0.2": 0.2, "cpng:0.3": 0.3, "cpng:0.5": 0.5}
T = 3


@pytest.fixture
def neuron(plugin, layers_under):
    def make(name="cpng", values=None, **options):
        layers = layers_under(plugin("cpng")[name], values, timesteps=T, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(mean, std, seed=0, shape=(T, 400)):
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(*shape, dtype=torch.float64, generator=generator)


def watched(neuron):
    """A list that will hold the potentials of the last step of each pass."""
    last = []
    neuron.observer = lambda moment: last.append(moment.u) if moment.t == T - 1 else None
    return last


def chi(u, beta, threshold):
    normal = stats.norm(u.mean().item(), u.std(correction=0).item())
    return normal.cdf(threshold + 1 / beta) - normal.cdf(threshold - 1 / beta)


def plain(potentials, threshold, every, share=0.3):
    """The (beta, record) after each batch, from the potentials of each batch's last step."""
    beta, record, found = 1 / threshold, 0.0, []
    for count, u in enumerate(potentials):
        now = chi(u, beta, threshold)
        if count == 0:
            record = now
        elif count % every == 0:
            record = share if record < share else min(now, record)
            if record != now:
                low, high = 0.5 / threshold, 2.0 / threshold
                while high - low > 1e-4 / threshold:
                    middle = (low + high) / 2
                    if chi(u, middle, threshold) < record:
                        high = middle
                    else:
                        low = middle
                beta = (low + high) / 2
        found.append((beta, record))
    return found


@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("every", [1, 2])
def test_equals_the_rule_in_plain_python(neuron, threshold, every):
    """Layers that start with too little, and with enough; both then drift."""
    for start, drift in ((-1.0, 0.1), (0.5, 0.0)):
        ours = neuron(values={"every": every, "beta": 1 / threshold}, threshold=threshold)
        potentials, found = watched(ours), []
        for batch in range(8):
            current = currents(start + drift * batch, 0.5 + 0.1 * (batch % 3), batch) * threshold
            ours(current)
            found.append((ours.surrogate.sharp.item(), ours.surrogate.record.item()))
        expected = plain(potentials, threshold, every)
        assert [b for b, _ in found] == pytest.approx([b for b, _ in expected], rel=2e-4)
        assert [r for _, r in found] == pytest.approx([r for _, r in expected], abs=1e-6)
        assert len({round(b, 3) for b, _ in found}) > 1


def test_chi_is_the_record_after_the_bisection(neuron):
    """To what 1e-4 in beta is worth; beyond the bounds of beta it stays at the bound."""
    ours = neuron(values={"every": 1})
    kept = watched(ours)
    for seed in range(6):
        ours(currents(-0.4, 0.5, seed))
        beta, record = ours.surrogate.sharp.item(), ours.surrogate.record.item()
        if 1.0 < beta < 4.0 and seed:
            assert chi(kept[-1], beta, 0.5) == pytest.approx(record, abs=1e-4)
    assert record == pytest.approx(0.3)
    # The record follows chi down, and the next time it is raised to 0.3, which no beta reaches.
    for expected in (0.0, 0.3):
        ours(currents(-20.0, 0.1))
        assert ours.surrogate.record.item() == pytest.approx(expected, abs=1e-6)
    assert ours.surrogate.sharp.item() == pytest.approx(1.0, abs=2e-4)


def test_nothing_changes_between_times_nor_in_evaluation(neuron):
    ours = neuron(values={"every": 3})
    for expected in (1, 2, 3):
        ours(currents(-1.0, 0.5, expected))
        assert (ours.surrogate.batches.item(), ours.surrogate.sharp.item()) == (expected, 2.0)
    ours.eval()
    for _ in range(3):
        ours(currents(-1.0, 0.5))
    assert (ours.surrogate.batches.item(), ours.surrogate.sharp.item()) == (3, 2.0)
    ours.train()(currents(-1.0, 0.5))
    assert ours.surrogate.sharp.item() < 2.0


def test_the_gradient_is_the_triangle_of_beta(neuron):
    """All steps of a batch have the beta from before it."""
    ours = neuron(values={"every": 1}, detach_reset=True, decay=1e-12)
    for seed in range(3):
        beta = ours.surrogate.sharp.item()
        current = currents(-0.2, 0.4, seed).requires_grad_()
        ours(current).sum().backward()
        h = (beta - beta**2 * (current.detach() - 0.5).abs()).clamp(min=0)
        torch.testing.assert_close(current.grad, h, rtol=1e-6, atol=1e-9)


def test_training_goes_on_after_loading(neuron):
    one, other = (neuron(values={"every": 2}) for _ in range(2))
    for seed in range(3):
        one(currents(-1.0, 0.5, seed))
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    for seed in range(3, 6):
        for each in (one, other):
            each(currents(-0.8, 0.5, seed))
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (-0.6, 0.4), (0.9, 1.5)])
def test_a_control_sets_the_share_at_every_step(neuron, name, mean, std):
    """On Gaussian potentials, which these are without a memory; 4 standard errors of 10^5 potentials."""
    ours, found = neuron(name, decay=1e-12), []

    def watch(moment):
        width = moment.params["width"]
        found.append(((moment.u - 0.5).abs() < width).double().mean().item())
        assert chi(moment.u, 1 / width.item(), 0.5) == pytest.approx(SHARES[name], abs=1e-3)

    ours.observer = watch
    ours(currents(mean, std, shape=(T, 100_000)))
    assert found == pytest.approx([SHARES[name]] * T, abs=6.5e-3)


@pytest.mark.parametrize("name", SHARES)
def test_the_probe_measures_the_share_that_the_control_asks_for(plugin, name):
    """Of a first layer, with Gaussian input. To the probe, h below 1 % of its height is outside."""
    torch.manual_seed(0)
    found = registry.load()
    network = build_network(
        *(found.backbone("mlp").item, plugin("cpng")[name], {}, NeuronOptions(decay=1e-6)),
        **{"shape": (64,), "classes": 5, "width": 0.5, "timesteps": T},
    )
    x, y = torch.randn(512, 64), torch.zeros(512, dtype=torch.long)
    rows = [row for row in look(network, x, y, 0, 0) if row["layer"] == 0]
    assert [row["available_fraction"] for row in rows] == pytest.approx([0.99 * SHARES[name]] * T, abs=0.02)


def test_what_they_declare(plugin):
    found = plugin("cpng")
    assert (found["cpng"].kind, found["cpng"].fidelity) == ("adaptive", "reconstructed")
    assert found["cpng"].defaults(1.0) == {"beta": 1.0, "share": 0.3, "every": 500.0}
    for name, share in SHARES.items():
        assert (found[name].kind, found[name].changes) == ("control", "gradient")
        assert f"{share:.0%}".replace("%", " %") in found[name].formula
