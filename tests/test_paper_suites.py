"""The suites of papers: what they state, and a small training of each protocol, as a user cuts one."""

import pytest

from bench.cli.render import dataset_row
from bench.records.store import Store
from bench.registry import load
from bench.suite import Recipe, load_suite

OF_OTHERS = {"paper-a2sg": "a2sg", "paper-ds-atgo": "ds-atgo", "paper-tet": "triangle"}
"""The suites with the protocols of other papers than MPD-AGL's, and the surrogate of each."""
STATED = {"epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "schedule", "loss"}
STATED |= {"label_smoothing", "augment", "mixup", "cutmix", "erasing"}
NEURON = {"neuron", "norm", "reset", "threshold", "decay"}

DATA = """
import torch

from bench.data import Splits, dataset, with_ids
from bench.data.augment import autoaugment, compose, crop, flip, roll


def random(*shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (40, *shape), dtype=torch.uint8, generator=generator)
    y = torch.arange(40) % 4
    return Splits(train=with_ids(x[:30], y[:30], 0), test=with_ids(x[30:], y[30:], 30))


@dataset(
    "small-pictures",
    shape=(3, 16, 16),
    classes=4,
    licence="none",
    source="random",
    augment={"standard": compose(crop(4), flip()), "auto": compose(crop(4), flip(), autoaugment())},
)
def pictures(request):
    return random(3, 16, 16)


@dataset(
    "small-events",
    shape=(2, 16, 16),
    classes=4,
    licence="none",
    source="random",
    events=True,
    augment={"standard": compose(flip(), roll(5))},
)
def events(request):
    return random(request.timesteps, 2, 16, 16)
"""


def cut(suite):
    """A file like this suite, with narrow networks on little data."""
    lines = [f'name = "cut"\nlike = "{suite.name}"\nseeds = [0]\ntimes = false']
    lines += ["[recipe]\nepochs = 2\nbatch_size = 8\n[measure]\nprobe = 'off'"]
    lines += ["[profile]\ndevice = 'cpu'\ncompile = 'off'\nchannels_last = false"]
    for task in suite.tasks:
        (network,) = task.backbones
        options = network.model_dump() | {"width": 0.05}
        said = ", ".join(f"{key} = {toml(value)}" for key, value in options.items())
        recipe = ", ".join(f"{key} = {toml(value)}" for key, value in task.recipe.items())
        moving = task.datasets[0].name == "cifar10-dvs"
        lines += [f"[[tasks]]\ndatasets = ['{'small-events' if moving else 'small-pictures'}']"]
        lines += [f"backbones = [{{ {said} }}]\ntimesteps = {list(task.timesteps)}\nrecipe = {{ {recipe} }}"]
    return "\n".join(lines)


def toml(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.parametrize("name", OF_OTHERS)
def test_they_state_every_part_of_the_protocol(name):
    suite = load_suite(name)
    assert suite.recipe.model_fields_set >= STATED
    assert all(network.model_fields_set >= NEURON for task in suite.tasks for network in task.backbones)
    methods = [method.name for method in suite.methods]
    assert {OF_OTHERS[name], "rectangle", "mpd-agl"} < {*methods}


@pytest.mark.parametrize("name", OF_OTHERS)
def test_each_protocol_trains_its_method_and_both_others(name, spikegrad, tmp_path):
    suite = load_suite(name)
    methods = f"rectangle,mpd-agl,{OF_OTHERS[name]}"
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "cut.toml").write_text(cut(suite))
    done = spikegrad(
        "run", "cut.toml", "--plugin", "data.py", "--results", "r", "--methods", methods, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    records = Store(tmp_path / "r", "cut").records()
    assert {record["status"] for record in records} == {"ok"}, [record.get("error") for record in records]
    assert len(records) == 3 * len(suite.tasks)
    for record in records:
        used = Recipe.model_validate(record["cell"]["recipe"])
        (like,) = (matrix for matrix in suite.matrices if matrix.recipes[0].loss == used.loss)
        assert used == like.recipes[0].model_copy(update={"epochs": 2, "batch_size": 8})
        assert record["cell"]["backbone"] == like.backbones[0].model_dump() | {"width": 0.05}


def test_those_with_mpd_agls_recipe_have_its_authors_form_of_autoaugment():
    for name in ("paper", "paper-controls", "paper-bf16"):
        still, moving = (matrix.recipes[0].augment for matrix in load_suite(name).matrices)
        assert (still, moving) == ("auto-paper", "standard")
    assert load_suite("paper-short").recipe.augment == "standard"


def test_what_recipes_can_ask_for_is_listed_with_each_dataset():
    found = load().datasets
    rows = {name: dataset_row(found[name].item)["augmented"] for name in ("cifar10", "cifar10-dvs", "digits")}
    assert rows["cifar10"] == ["standard", "auto", "auto-paper", "rand"]
    assert (rows["cifar10-dvs"], rows["digits"]) == (["standard"], [])


def test_ds_atgo_differs_from_mpd_agl_in_epochs_smoothing_and_threshold_alone():
    """Both have the same network and nearly the same code of their own."""
    ours, theirs = load_suite("paper"), load_suite("paper-ds-atgo")
    same = {"epochs": ours.recipe.epochs, "label_smoothing": 0.0}
    assert theirs.recipe.model_copy(update=same) == ours.recipe
    (network,) = theirs.tasks[0].backbones
    assert network.model_copy(update={"threshold": 0.5}) == ours.tasks[0].backbones[0]
