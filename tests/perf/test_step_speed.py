"""A training step of whole networks: ours in each mode of compiling, other libraries' neurons, and ReLU."""

import copy

import pytest
import torch
from in_turn import fastest, in_turn, ratio, seconds
from ledger import Measured
from ours import MODES, loss, training_step
from peers import ours, peers, with_neurons

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = {
    # backbone, shape, width, batch
    "convnet": ("convnet", (3, 32, 32), 0.5, 32),
    "resnet19, width 1/8": ("resnet19", (3, 32, 32), 1 / 8, 16),
}
SMALL = ("convnet", (2, 8, 8), 0.125, 6)
RELU = "ReLU on T·B inputs"
AGAINST_RELU, AGAINST_PEERS, AGAINST_RECTANGLE = 1.10, 1.5, 1.02
every_case = pytest.mark.parametrize("name", CASES)


def pictures(batch, shape):
    """Channels last, as the networks are."""
    torch.manual_seed(1)
    return torch.rand(batch, *shape).contiguous(memory_format=torch.channels_last)


def film(x, timesteps):
    """The same picture at every step, as steps of their own: [B, T, C, H, W], each step channels last."""
    steps = x.permute(0, 2, 3, 1)[None].repeat(timesteps, 1, 1, 1, 1)
    return steps.permute(1, 0, 4, 2, 3)


@pytest.mark.parametrize("still", [True, False])
def test_all_compute_the_same(still):
    backbone, shape, width, batch = SMALL
    network = ours(backbone, 3, shape, width)
    x = pictures(batch, shape)
    x = x if still else film(x, 3)
    y = torch.arange(batch) % 10
    found = {}
    for name, make in {"ours": None, **peers()}.items():
        other = copy.deepcopy(network)
        other = other if make is None else with_neurons(other, make)
        logits = other(x)
        loss(other, x, y).backward()
        found[name] = logits.detach(), [p.grad for p in other.parameters()]
    expected, gradients = found.pop("ours")
    assert len(found) >= 2
    for name, (logits, theirs) in found.items():
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5, msg=name)
        for own, other in zip(gradients, theirs, strict=True):
            assert (own - other).abs().max() <= 1e-4 * own.abs().max() + 1e-7, name


@every_case
@pytest.mark.parametrize("timesteps", [2, 4, 8])
def test_training_step(name, timesteps, measuring, ledger):
    backbone, shape, width, batch = CASES[name] if measuring else SMALL
    if not measuring and (name != "convnet" or timesteps != 2):
        pytest.skip("one small network is enough to see that it runs")
    x = pictures(batch, shape)
    relu = ours(backbone, timesteps, shape, width, method="ann-relu")
    actions = {RELU: training_step(relu, film(x, timesteps))[0]}
    what = f"training step, {name}, T = {timesteps}"
    for mode in MODES if measuring else MODES[:1]:
        network = ours(backbone, timesteps, shape, width)
        actions[f"spikegrad, {mode}"], took = training_step(network, x, mode)
        if mode != "off":
            ledger.add(Measured("", f"compiling, {name}, T = {timesteps}", mode, "", took, "s"))
    others = []
    for peer, make in peers().items():
        network = with_neurons(ours(backbone, timesteps, shape, width), make)
        actions[peer], _ = training_step(network, x)
        others.append(peer)
    times = in_turn(actions, rounds=7 if measuring else 1)
    if not measuring:
        assert all(times.values())
        return
    own = [subject for subject in actions if subject.startswith("spikegrad")]
    best, peer = fastest(times, own), fastest(times, others)
    for subject in (*own, *others):
        found = ratio(times, subject, RELU)
        budget = {"budget": "step against ReLU", "limit": AGAINST_RELU} if subject == best else {"budget": ""}
        ledger.add(Measured(what=what, subject=subject, against=RELU, unit="x", **found._asdict(), **budget))
    found = ratio(times, peer, best)
    ledger.add(
        Measured(
            "step against peers",
            what,
            peer,
            best,
            unit="x",
            **found._asdict(),
            limit=AGAINST_PEERS,
            sense="at least",
        )
    )
    ledger.add(Measured("", what, RELU, "", unit="s", **seconds(times, RELU)._asdict()))


@every_case
@pytest.mark.parametrize("mode", MODES)
def test_mpd_agl_against_the_rectangle(name, mode, measuring, ledger):
    backbone, shape, width, batch = CASES[name] if measuring else SMALL
    if not measuring and (name, mode) != ("convnet", "off"):
        pytest.skip("one small network is enough to see that it runs")
    x, actions = pictures(batch, shape), {}
    for method in ("mpd-agl", "rectangle"):
        network = ours(backbone, 4, shape, width, method=method)
        actions[method], _ = training_step(network, x, mode)
    times = in_turn(actions, rounds=15 if measuring else 1)
    if measuring:
        found = ratio(times, "mpd-agl", "rectangle")
        ledger.add(
            Measured(
                "mpd-agl against rectangle",
                f"training step, {name}, T = 4, compile = {mode}",
                "mpd-agl",
                "rectangle",
                unit="x",
                **found._asdict(),
                limit=AGAINST_RECTANGLE,
            )
        )


@pytest.mark.parametrize("name", ["convnet"])
def test_what_is_before_the_first_spike_is_computed_once(name, measuring, ledger):
    backbone, shape, width, batch = CASES[name] if measuring else SMALL
    x, actions = pictures(batch, shape), {}
    for how, given in (("still pictures", x), ("the same as events", film(x, 4))):
        actions[how], _ = training_step(ours(backbone, 4, shape, width), given)
    times = in_turn(actions, rounds=9 if measuring else 1)
    if measuring:
        still, events = actions
        found = ratio(times, still, events)
        ledger.add(Measured("", f"training step, {name}, T = 4", still, events, unit="x", **found._asdict()))
