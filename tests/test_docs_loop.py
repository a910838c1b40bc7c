"""The examples of docs/your-own-loop.md and what other pages repeat of them: each is a whole program."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


BLOCKS = blocks("docs/your-own-loop.md")
PROGRAMS = {
    ("snntorch" if "import snntorch" in text else "spikingjelly" if "spikingjelly" in text else "torch"): text
    for text in BLOCKS
    if "for epoch in range(EPOCHS)" in text
}


@pytest.mark.parametrize("library", PROGRAMS)
def test_a_loop_learns(library, capsys):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    exec(PROGRAMS[library], {"__name__": "example"})
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", capsys.readouterr().out)]
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]


def test_there_is_an_example_for_each_library():
    assert set(PROGRAMS) == {"torch", "snntorch", "spikingjelly"}


@pytest.mark.parametrize("method", ["mpd-agl", "asgl"])
def test_the_module_for_lightning_learns_under_its_calls(method):
    """The calls of lightning's Trainer with automatic optimization, in their order."""
    (text,) = [text for text in BLOCKS if "LightningModule" in text]
    names = {}
    exec(text, names)
    torch.manual_seed(0)
    module = names["Classifier"](method, epochs=2)
    optimizer = module.configure_optimizers()
    own = [p.detach().clone() for o in module.hooks.optimizers for g in o.param_groups for p in g["params"]]
    x, y = torch.rand(64, 64), torch.arange(64) % 10
    losses = []
    for epoch in range(2):
        module.current_epoch = epoch
        module.on_train_epoch_start()
        for index in range(20):
            loss = module.training_step((x, y), index)
            module.on_before_zero_grad(optimizer)
            optimizer.zero_grad()
            loss.backward()
            module.on_before_optimizer_step(optimizer)
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    trained = [p.detach() for o in module.hooks.optimizers for g in o.param_groups for p in g["params"]]
    assert len(own) == (method == "asgl")
    assert all(not torch.equal(before, after) for before, after in zip(own, trained, strict=True))


@pytest.mark.parametrize("page", ["docs/your-own-loop.md", "docs/choosing.md"])
def test_the_look_at_a_gradient_prints_a_row_per_step(page, capsys):
    (text,) = [text for text in blocks(page) if "bench.probe" in text]
    exec(text, {})
    out = capsys.readouterr().out
    assert "available_fraction" in out
    assert "gradient_norm" in out


def test_the_layer_of_the_readme_is_one():
    (text,) = [text for text in blocks("README.md") if "bench.neuron" in text]
    names = {}
    exec(text, names)
    spikes = names["layer"](torch.rand(4, 2, 3))
    assert spikes.shape == (4, 2, 3)
    # The advice of `spikegrad advise`, at the threshold that it assumes.
    assert (names["layer"].threshold, names["layer"].surrogate.values["width"]) == (1.0, 1.0)
