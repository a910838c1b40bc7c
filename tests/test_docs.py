"""The examples of the guides, run as a reader would have them: each block is a whole file."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import torch

import bench
from bench import api, registry
from bench.check import laws
from bench.check.template import new_method
from bench.data import loading
from bench.measures.single_layer import Probe
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.runner import train
from bench.suite import BackboneSpec, Measure, Profile, Recipe, Suite, load_suite, shipped_suites
from bench.surrogate import Changes, Fidelity, Kind, Law, Surrogate
from bench.surrogate import method as declare

ROOT = Path(__file__).resolve().parents[1]
GUIDE = "docs/add-a-method.md"


def blocks(guide, language="python"):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / guide).read_text(), re.MULTILINE | re.DOTALL)


def each_block(*guides, language="python"):
    found = [
        (f"{Path(guide).stem}-{i}", text)
        for guide in guides
        for i, text in enumerate(blocks(guide, language))
    ]
    return pytest.mark.parametrize("text", [t for _, t in found], ids=[name for name, _ in found])


@pytest.fixture
def load(tmp_path):
    """load(text) -> what a file of this text declares, and the registry with it."""

    def make(text):
        file = tmp_path / "mine.py"
        file.write_text(text)
        found = registry.load((file,))
        assert found.broken == []
        tables = (found.methods, found.datasets, found.backbones)
        return [entry.item for table in tables for entry in table.values() if entry.given], found

    return make


def losses(method, backbone, dataset, steps=4):
    """Of a few steps of training with everything that the harness does around them."""
    torch.manual_seed(0)
    network = build_network(
        backbone,
        method,
        {},
        NeuronOptions(neuron="plif"),
        shape=dataset.shape,
        classes=dataset.classes,
        width=0.25,
        timesteps=2,
        epochs=steps,
    ).train()
    samples = loading.prepare(dataset, loading.Request(Path(), 2), 200).train
    optimizers = train.optimizers(network, Recipe(epochs=1, batch_size=32, learning_rate=0.01))
    found = []
    for step in range(steps):
        for surrogate in network.surrogates:
            surrogate.on_epoch(step / (steps - 1))
        found.append(train.step(network, optimizers, samples.x[:64], samples.y[:64]))
    return torch.stack(found)


@each_block(GUIDE, "CONTRIBUTING.md")
def test_a_block_is_a_file_that_loads_and_trains(load, text):
    (item,), found = load(text)
    parts = {
        "Method": found.method("rectangle").item,
        "Backbone": found.backbone("mlp").item,
        "Dataset": found.dataset("digits").item,
    }
    loss = losses(*(parts | {type(item).__name__: item}).values())
    assert torch.isfinite(loss).all()
    assert loss[-1] < loss[0]


@each_block(GUIDE)
def test_a_method_of_the_guide_keeps_every_law(load, text):
    (method,), found = load(text)
    case = laws.Case(method, found, compiler="aot_eager")
    verdicts = {v.law: (v.outcome, v.detail) for v in laws.check(case)}
    assert {law: v for law, v in verdicts.items() if v != ("holds", "")} == {}


@each_block(GUIDE)
def test_a_method_of_the_guide_has_a_formula_and_fits_the_commands_beside_it(load, text):
    (method,), _ = load(text)
    assert method.formula.startswith("h(x) = ")
    assert (method.name, method.paper, method.fidelity) == ("mine", "unpublished", "own")


def test_the_commands_of_the_guide_name_what_there_is(load, tmp_path):
    load(blocks(GUIDE)[0])
    commands = "".join(blocks(GUIDE, "sh"))
    runs = re.findall(r"^spikegrad run (\S+)(?: --methods (\S+))? --plugin mine\.py$", commands, re.M)
    assert [suite for suite, _ in runs] == ["smoke", "quick"]
    for suite, methods in runs:
        plan = api.make_plan(
            suite,
            results=tmp_path / "results",
            methods=methods.split(",") if methods else None,
            plugins=[tmp_path / "mine.py"],
        )
        named = methods.split(",") if methods else ["mine", *(m.name for m in load_suite(suite).methods)]
        assert {planned.cell.method.name for planned in plan.cells} == set(named)


def table(heading):
    """The first cells of the rows below a heading of the guide."""
    section = (ROOT / GUIDE).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    first = re.findall(r"^\| (`.*?) \|", section, re.M)
    return [name for cell in first for name in re.findall(r"`(\w[\w-]*)", cell)]


def test_the_table_of_hooks_is_complete():
    own = {name: f for name, f in vars(Surrogate).items() if callable(f) or isinstance(f, classmethod)}
    hooks = {name for name in own if not name.startswith("_")} - set(vars(torch.nn.Module))
    assert sorted(table("All hooks")) == sorted(hooks)


def test_the_signatures_in_the_table_of_hooks_are_right():
    text = (ROOT / GUIDE).read_text()
    for name in table("All hooks"):
        names = [n for n in inspect.signature(getattr(Surrogate, name)).parameters if n != "self"]
        assert f"| `{name}({', '.join(names)})` |" in text


def test_the_table_of_laws_is_complete():
    assert table("All laws") == list(get_args(Law))


def test_the_table_of_facts_is_complete():
    arguments = set(inspect.signature(declare).parameters) - {"name", "params", "twin"}
    assert set(table("Declared facts")) == arguments
    text = (ROOT / GUIDE).read_text()
    assert all(f"`{value}`" in text for values in (Kind, Changes, Fidelity) for value in get_args(values))


# --- suites and data ---


@each_block("docs/suites.md", language="toml")
def test_a_suite_of_the_guide_can_be_planned(text, tmp_path, make_plan):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    plan = make_plan(load_suite(str(file)))
    assert plan.pending == list(plan.cells)


def test_the_tables_of_keys_are_complete():
    text = (ROOT / "docs/suites.md").read_text()
    for spec in (Suite, BackboneSpec, Recipe, Profile, Measure):
        missing = [k for k in spec.model_fields if f"`{k}`" not in text and f"`[{k}]`" not in text]
        assert missing == [], spec.__name__


def test_every_dataset_backbone_and_suite_is_told_of():
    found = registry.load()
    for guide, names in (
        ("docs/data.md", found.datasets),
        ("README.md", found.backbones),
        ("README.md", [suite.name for suite in shipped_suites()]),
    ):
        text = (ROOT / guide).read_text()
        assert [name for name in names if f"`{name}`" not in text] == []


def test_the_release_that_contributing_installs_is_this_one_with_all_its_extras():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.split("\n## Build and install a release\n")[1].split("\n## ")[0]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"dist/spikegrad_bench-{bench.__version__}-py3-none-any.whl[tune]" in section
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.M)) == set(extras)


def test_the_running_average_of_the_guide_is_the_one_that_new_writes(load, tmp_path):
    (ours,), _ = load(next(text for text in blocks(GUIDE) if "register_buffer" in text and "lerp" in text))
    (tmp_path / "new").mkdir()
    written = registry.load((new_method("mine", tmp_path / "new", adaptive=True),)).method("mine").item
    probes = [Probe(each, timesteps=3).double().train() for each in (ours, written)]
    u = torch.linspace(-1, 2, 12, dtype=torch.float64).view(6, 2)
    one, other = ([probe.neuron.surrogate.params(u, t)["width"].item() for t in range(3)] for probe in probes)
    assert one == other and len(set(one)) == 3
