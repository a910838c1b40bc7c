"""Suites: what is valid, what is refused and how, ids, labels."""

import json
import re
import tomllib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench import suite
from bench.errors import BenchError
from bench.paths import suites_folder
from bench.suite import (
    BackboneSpec,
    Cell,
    DatasetSpec,
    Measure,
    MethodEntry,
    Profile,
    Recipe,
    Suite,
    load_suite,
)
from bench.variants import variant

CELL = {
    "method": {"name": "rectangle", "params": {"width": 1.0, "height": None}},
    "dataset": {"name": "digits", "subset": None, "params": {"units": 20}},
    "backbone": {"name": "mlp"},
    "timesteps": 2,
    "recipe": {"loss": "tet", "augment": "rand", "epochs": 2, "batch_size": 32, "learning_rate": 0.01},
    # As a plan settles it: nothing is left to be chosen.
    "profile": {"device": "cpu", "compile": "off", "channels_last": False},
    "measure": {},
    "seed": 0,
}
OTHER = {
    ("method", "name"): "triangle",
    ("method", "params"): {"width": 2.0, "height": None},
    ("dataset", "name"): "digits-events",
    ("dataset", "subset"): 200,
    ("dataset", "params"): {"smoothness": 2.0},
    ("backbone", "name"): "convnet",
    ("backbone", "width"): 0.5,
    ("backbone", "neuron"): "plif",
    ("backbone", "norm"): "none",
    ("backbone", "reset"): "subtract",
    ("backbone", "detach_reset"): True,
    ("backbone", "threshold"): 1.0,
    ("backbone", "decay"): 0.5,
    ("timesteps",): 4,
    ("selection",): {"by": "sweep", "over": ["width"]},
    ("recipe", "decayed"): "synapses",
    ("recipe", "loss"): "mean",
    ("recipe", "tet_weight"): 0.5,
    ("recipe", "rand_operations"): 1,
    ("recipe", "rand_magnitude"): 20,
    ("recipe", "rand_probability"): 0.5,
    ("recipe", "label_smoothing"): 0.1,
    ("recipe", "mixup"): 0.5,
    ("recipe", "cutmix"): 1.0,
    ("recipe", "erasing"): 0.25,
    ("recipe", "epochs"): 3,
    ("recipe", "batch_size"): 16,
    ("recipe", "optimizer"): "sgd",
    ("recipe", "learning_rate"): 0.1,
    ("recipe", "weight_decay"): 0.1,
    ("recipe", "momentum"): 0.5,
    ("recipe", "schedule"): "cosine",
    ("recipe", "augment"): "auto",
    ("recipe", "best_test_epoch"): True,
    ("profile", "device"): "cuda",
    ("profile", "dtype"): "float64",
    ("profile", "threads"): 2,
    ("profile", "compile"): "neuron",
    ("profile", "autocast"): "bfloat16",
    ("profile", "channels_last"): True,
    ("profile", "deterministic"): False,
    ("profile", "tf32"): True,
    ("measure", "probe"): "all",
    ("measure", "descent"): False,
    ("measure", "finite_differences"): True,
    ("seed",): 1,
}
"""A second value for each field of a cell, by its place."""


def cell(changes=None):
    """A cell with the values at the given places changed."""
    content = {k: dict(v) if isinstance(v, dict) else v for k, v in CELL.items()}
    for place, value in (changes or {}).items():
        inner = content if len(place) == 1 else content[place[0]]
        inner[place[-1]] = value
    return Cell.model_validate(content)


# --- suites ---


def test_every_shipped_suite_is_valid_and_called_as_its_file():
    files = sorted(suites_folder().glob("*.toml"))
    assert [s.name for s in suite.shipped_suites()] == [f.stem for f in files]
    assert {"smoke", "quick", "every-method"} <= {f.stem for f in files}
    assert all(s.description for s in suite.shipped_suites())


def smoke():
    return tomllib.loads((suites_folder() / "smoke.toml").read_text())


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def toml(changes):
    """smoke.toml with some lines replaced."""
    text = (suites_folder() / "smoke.toml").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timesteps =": "timestep ="}, "unknown key 'timestep'; did you mean 'timesteps'?"),
        ({"timeout =": "timout ="}, "unknown key 'timout'; did you mean 'timeout'?"),
        ({"epochs =": "epoch ="}, "unknown key 'recipe.epoch'; did you mean 'recipe.epochs'?"),
        ({"threads =": "thread ="}, "unknown key 'profile.thread'; did you mean 'profile.threads'?"),
        ({"epochs =": "lr ="}, r"unknown key 'recipe.lr'; \[recipe\] has epochs, batch_size, "),
        ({"threads = 1": "threads = 1e6"}, "profile.threads: Input should be less than or equal to 1024"),
        ({"learning_rate =": "learning_rate = true #"}, "recipe: learning_rate = true is not a number"),
        (
            {'"rectangle"': '{ name = "rectangle", params = { width = true } }'},
            "methods.1.params: width = true is not a number",
        ),
        ({"timeout =": "qqqq ="}, "unknown key 'qqqq'; check its spelling"),
        ({"seeds = [0]": ""}, "the key 'seeds' is missing"),
        ({"seeds = [0]": "seeds = []"}, "seeds:"),
        ({"seeds = [0]": "seeds = [0, 0]"}, "seeds lists 0 twice"),
        ({"seeds = [0]": "seeds = [-1]"}, "seeds.0: .* got -1"),
        ({"timesteps = [2]": "timesteps = [0]"}, "timesteps.0: .* got 0"),
        ({"timesteps = [2]": "timesteps = 2"}, "timesteps: Input should be a list, got 2"),
        ({'["mlp"]': '["mlp", { name = "mlp", width = 1.0 }]'}, "backbones lists mlp twice"),
        ({'["mlp"]': '[{ name = "mlp", norm = "layer" }]'}, "backbones.0.norm: .* got 'layer'"),
        ({"epochs = 5": "epochs = 0"}, "recipe.epochs: .* got 0"),
        ({"epochs = 5": "epochs = 5\ntet_weight = 0.1"}, r'tet_weight = 0.1 is for loss = "tet"'),
        ({"epochs = 5": "epochs = 5\nrand_magnitude = 5"}, r'rand_magnitude = 5 is for augment = "rand"'),
        ({"epochs = 5": "epochs = 5\nlabel_smoothing = 1"}, "recipe.label_smoothing: .* got 1"),
        ({"learning_rate = 0.01": "learning_rate = inf"}, "recipe.learning_rate: .* got inf"),
        ({'name = "smoke"': 'name = "../smoke"'}, "name: .* got '../smoke'"),
        ({'name = "smoke"': 'name = "layers"'}, "name: .*'layers' is where `spikegrad latency` keeps"),
        ({'"rectangle"': '{ name = "rectangle", params = { width = nan } }'}, "methods.1.params.width"),
        ({'"rectangle"': '{ name = "rectangle", width = 2.0 }'}, "unknown key 'methods.1.width'"),
        ({"[recipe]": "[recipe"}, "is not valid TOML"),
        ({"[recipe]": "[measure]\nprob = 'all'\n[recipe]"}, "did you mean 'measure.probe'?"),
        ({"[recipe]": "[measure]\nprobe = 'some'\n[recipe]"}, "measure.probe: .* got 'some'"),
        ({"[recipe]": "[measure]\ndescent = 'perhaps'\n[recipe]"}, "measure.descent: .* got 'perhaps'"),
        ({"[profile]": "[profile]\nchannels_last = 'yes'"}, "profile.channels_last: .* got 'yes'"),
        ({"seeds = [0]": "like = 'papre'"}, "like = 'papre' is no shipped suite; there are .*paper"),
        ({"seeds = [0]": "like = ['paper']"}, r"like = \['paper'\] is no shipped suite"),
        ({"timeout =": "lik = 'paper'\ntimeout ="}, "unknown key 'lik'; did you mean 'like'?"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_in_one_sentence(tmp_path, changes, message):
    with pytest.raises(BenchError, match=message) as caught:
        load_suite(write(tmp_path, toml(changes)))
    assert "\n" not in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_bytes_that_are_no_text_are_not_a_suite(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(BenchError, match="is not valid TOML"):
        load_suite(str(path))


def test_an_unknown_suite_names_the_shipped_ones():
    with pytest.raises(BenchError, match=r"no suite 'nosuch': the shipped ones are .*smoke"):
        load_suite("nosuch")


def test_the_same_parameters_spelt_in_another_order_are_the_same_entry(tiny):
    params = {"width": 1.0, "height": 2.0}
    entries = [{"name": "rectangle", "params": p} for p in (params, dict(reversed(params.items())))]
    with pytest.raises(ValidationError, match="methods lists rectangle twice"):
        tiny(methods=entries)


def test_one_method_may_be_written_without_a_list(tiny):
    assert tiny(methods="all").methods == (MethodEntry(name="all"),)


def test_only_keeps_options_and_forgets_repeats_and_adds_where_it_is_told(tiny):
    whole = tiny(methods=[{"name": "rectangle", "params": {"width": 2}}, "mpd-agl"])
    cut = whole.only(
        methods=["triangle", "rectangle", "triangle"], datasets=["digits"], seeds=[3, 1, 3], add=True
    )
    assert cut.methods == (MethodEntry(name="triangle"), MethodEntry(name="rectangle", params={"width": 2}))
    assert cut.datasets == (DatasetSpec(name="digits", subset=200),)
    assert cut.seeds == (3, 1)
    assert whole.only() == whole


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ({"seeds": [0, 7]}, "--seeds: the suite tiny does not have 7: it has 0, 1; with `--add`"),
        (
            {"methods": ["rectangel"]},
            "--methods: the suite tiny does not have rectangel: did you mean rectan",
        ),
        ({"datasets": ["mnist"]}, "--datasets: the suite tiny does not have mnist: it has digits;"),
    ],
)
def test_only_narrows_and_never_adds(tiny, cut, told):
    with pytest.raises(BenchError, match=re.escape(told)):
        tiny(seeds=[0, 1]).only(**cut)


def test_every_method_may_be_picked_out_of_all(tiny):
    assert tiny(methods="all").only(methods=["mpd-agl"]).methods == (MethodEntry(name="mpd-agl"),)


@pytest.mark.parametrize("cut", [{"seeds": [-1]}, {"seeds": []}, {"methods": []}, {"datasets": []}])
def test_only_refuses_what_a_suite_would(tiny, cut):
    with pytest.raises(BenchError, match=next(iter(cut))):
        tiny().only(**cut)


# --- ids ---


def fields(model, *above):
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, suite.Spec):
            yield from fields(inner, *above, name)
        else:
            yield (*above, name)


def test_every_field_of_a_cell_is_tried_below():
    assert set(fields(Cell)) == OTHER.keys()


@pytest.mark.parametrize("place", OTHER, ids=".".join)
def test_an_id_changes_with_every_field_and_a_configuration_with_all_but_the_seed(place):
    before, after = cell(), cell({place: OTHER[place]})
    assert before.id("data") != after.id("data")
    same = before.configuration("data") == after.configuration("data")
    assert same == (place == ("seed",))


def test_ids_change_with_the_data():
    assert cell().id("a") != cell().id("b")
    assert cell().configuration("a") != cell().configuration("b")


def test_an_id_changes_with_the_schema(monkeypatch):
    before = cell().id("data")
    monkeypatch.setattr(suite, "RECORD_SCHEMA", suite.RECORD_SCHEMA + 1)
    assert cell().id("data") != before


def test_an_id_is_pinned():
    # It is the name of a folder in everybody's results: it must not change by accident.
    plain = {("recipe", "loss"): "mean", ("recipe", "augment"): "standard"}
    assert cell(plain).id("data") == "8cf3ebe39bf15057"


@given(st.permutations(list(CELL)), st.permutations(list(CELL["recipe"])), st.booleans())
def test_an_id_does_not_depend_on_the_order_of_keys(keys, recipe_keys, reverse):
    content = {key: CELL[key] for key in keys}
    content["recipe"] = {key: CELL["recipe"][key] for key in recipe_keys}
    params = CELL["method"]["params"]
    content["method"] = {"params": dict(reversed(params.items())) if reverse else params, "name": "rectangle"}
    assert Cell.model_validate(content).id("data") == cell().id("data")


SHIPPED = sorted(suites_folder().glob("*.toml"))


@settings(deadline=None)
@given(st.data())
def test_no_damage_to_a_suite_is_a_traceback(tmp_path_factory, data):
    """Any bytes that are cut, changed or repeated leave a suite or a sentence that names the file."""
    content = data.draw(st.sampled_from(SHIPPED)).read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 40)))
        middle = data.draw(st.sampled_from([b"", content[start:end] * 2]) | st.binary(max_size=8))
        content = content[:start] + middle + content[end:]
    file = tmp_path_factory.mktemp("damaged") / "suite.toml"
    file.write_bytes(content)
    try:
        load_suite(str(file))
    except BenchError as problem:
        assert str(file) in str(problem)
        assert "\n" not in str(problem) and len(str(problem)) < 2000


@given(st.dictionaries(st.sampled_from(list(OTHER)), st.none(), max_size=4))
def test_equal_cells_have_equal_ids_and_others_others(places):
    # An option without the choice that it belongs to is refused.
    assume(not {("recipe", "loss"), ("recipe", "tet_weight")} <= places.keys())
    rand = {place for place in places if place[-1].startswith("rand_")}
    assume(not (rand and ("recipe", "augment") in places))
    changes = {place: OTHER[place] for place in places}
    made = cell(changes)
    assert (made.id("data") == cell().id("data")) == (made == cell())
    assert Cell.model_validate_json(made.model_dump_json()).id("data") == made.id("data")


def test_a_whole_number_is_the_same_parameter_as_its_float():
    whole, real = ({("method", "params"): {"width": v}} for v in (1, 1.0))
    assert cell(whole).id("data") == cell(real).id("data")


# --- tasks ---

TASKS = """
name = "two"
methods = ["rectangle"]
seeds = [0]

[recipe]
epochs = 3
batch_size = 16
learning_rate = 0.1
weight_decay = 1e-4

[[tasks]]
datasets = ["digits", "yin-yang"]
backbones = ["mlp"]
timesteps = [1, 2]

[[tasks]]
datasets = [{ name = "digits-events", subset = 300 }]
backbones = [{ name = "convnet", neuron = ["lif", "plif"], norm = ["tdbn", "none"] }]
timesteps = [3]
recipe = { weight_decay = 5e-4 }
"""


def test_tasks_have_products_and_recipes_of_their_own(tmp_path):
    first, second = load_suite(write(tmp_path, TASKS)).matrices
    assert [d.name for d in first.datasets] == ["digits", "yin-yang"]
    assert (first.timesteps, second.timesteps) == ((1, 2), (3,))
    assert (first.recipes[0].weight_decay, second.recipes[0].weight_decay) == (1e-4, 5e-4)
    assert second.recipes[0].epochs == 3
    assert second.datasets[0].subset == 300


def test_a_list_as_an_option_stands_for_an_entry_with_each_value(tmp_path):
    swept = load_suite(write(tmp_path, TASKS)).matrices[1].backbones
    assert [(b.neuron, b.norm) for b in swept] == [
        ("lif", "tdbn"),
        ("lif", "none"),
        ("plif", "tdbn"),
        ("plif", "none"),
    ]


def test_what_is_measured_is_at_its_defaults_where_a_suite_does_not_say(tiny):
    asked = tiny(measure={"probe": "off"}).measure
    assert (asked.probe, asked.descent, asked.finite_differences) == ("off", True, False)
    assert Suite.model_validate(tiny().model_dump() | {"measure": {}}).measure.probe == "ends"
    assert Suite.model_fields["times"].default is True


def test_a_suite_without_tasks_is_one_matrix():
    (only,) = load_suite("smoke").matrices
    assert only.recipes == (load_suite("smoke").recipe,) and only.timesteps == (2,)


def test_tasks_are_cut_down_to_datasets(tmp_path):
    whole = load_suite(write(tmp_path, TASKS))
    cut = whole.only(datasets=["yin-yang", "digits-events"], seeds=[4], add=True)
    assert [[d.name for d in m.datasets] for m in cut.matrices] == [["yin-yang"], ["digits-events"]]
    assert cut.matrices[1].recipes[0].weight_decay == 5e-4
    assert len(whole.only(datasets=["digits"]).matrices) == 1
    with pytest.raises(BenchError, match="no task with the dataset 'mnist': it has digits, yin-yang, dig"):
        whole.only(datasets=["digits", "mnist"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds = [0]": "seeds = [0]\ntimesteps = [1]"}, "timesteps and tasks are both there"),
        ({"weight_decay = 5e-4": "weight_deca = 5e-4"}, "tasks.1.recipe: unknown key 'weight_deca'"),
        ({"weight_decay = 5e-4": "weight_decay = -1"}, "tasks.1.recipe: weight_decay: .* got -1"),
        ({"timesteps = [3]": "timesteps = [3, 3]"}, "timesteps lists 3 twice"),
        ({"timesteps = [3]": "timesteps = [3]\nseed = 1"}, "unknown key 'tasks.1.seed'"),
        ({"neuron =": "neurn ="}, "unknown key 'tasks.1.backbones.0.neurn'; did you mean 'neuron'"),
        ({"subset =": "subst ="}, "unknown key 'tasks.1.datasets.0.subst'; did you mean 'subset'"),
        ({"timesteps = [3]": "timestep = [3]"}, "unknown key 'tasks.1.timestep'; did you mean 'timesteps'"),
        ({'norm = ["tdbn", "none"]': "norm = []"}, "backbones.0.norm"),
        ({'["tdbn", "none"]': '["tdbn", "group"]'}, "backbones.1.norm: .* got 'group'"),
    ],
)
def test_wrong_tasks_are_refused_in_one_sentence(tmp_path, changes, message):
    text = TASKS
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(BenchError, match=message) as caught:
        load_suite(write(tmp_path, text))
    assert "\n" not in str(caught.value)


# --- labels ---


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "default"),
        ({("seed",): 3}, "default"),
        ({("timesteps",): 8}, "default"),
        ({("recipe", "epochs"): 9}, "default"),
        ({("method", "params"): {"width": 2.0, "height": None}}, "width=2"),
        ({("method", "params"): {"width": 2.0, "height": 0.25}}, "width=2 height=0.25"),
        ({("backbone", "width"): 0.5, ("backbone", "norm"): "bn"}, "backbone.width=0.5 backbone.norm=bn"),
        ({("backbone", "detach_reset"): True}, "backbone.detach_reset=true"),
        ({("dataset", "subset"): 200}, "subset=200"),
        ({("dataset", "params"): {"units": 30, "path": "here"}}, "dataset.units=30 dataset.path=here"),
        ({("profile", "device"): "cuda", ("profile", "dtype"): "float64"}, "cuda float64"),
        ({("profile", "autocast"): "bfloat16", ("profile", "compile"): "step"}, "autocast=bfloat16"),
    ],
)
def test_the_label_says_what_differs_from_the_defaults(changes, label):
    assert variant(cell(changes), {"width": 1.0, "height": None}, {"units": 20}) == label


def test_specs_are_frozen():
    for spec in (
        BackboneSpec(name="mlp"),
        Profile(),
        Measure(),
        Recipe(epochs=1, batch_size=2, learning_rate=1),
        cell(),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(spec, next(iter(type(spec).model_fields)), None)


def test_the_name_of_a_shipped_suite_is_taken(tmp_path):
    text = (suites_folder() / "smoke.toml").read_text()
    copied, changed = tmp_path / "copy.toml", tmp_path / "changed.toml"
    copied.write_text(text)
    changed.write_text(text.replace("epochs = 5", "epochs = 6"))
    assert load_suite(str(copied)) == load_suite("smoke")
    with pytest.raises(BenchError, match="the name 'smoke' is that of a shipped suite"):
        load_suite(str(changed))


def test_a_suite_like_another_says_only_what_differs(tmp_path):
    text = """
        name = "less"
        like = "paper"
        methods = ["rectangle", "arctan"]

        [recipe]
        epochs = 3
        """
    less, paper = load_suite(write(tmp_path, text)), load_suite("paper")
    assert less.recipe == paper.recipe.model_copy(update={"epochs": 3})
    assert [m.name for m in less.methods] == ["rectangle", "arctan"], "a list is replaced, not added to"
    kept = {"name", "methods", "recipe"}
    assert less.model_dump(exclude=kept) == paper.model_dump(exclude=kept)


def test_a_suite_without_tasks_can_be_like_one_with_them(tmp_path):
    product = 'tasks = []\ndatasets = ["digits"]\nbackbones = ["mlp"]\ntimesteps = [2]'
    (only,) = load_suite(write(tmp_path, f'name = "mine"\nlike = "paper"\n{product}')).matrices
    assert only.datasets[0].name == "digits" and only.recipes[0].epochs == 150


def test_a_shipped_suite_under_its_own_name_is_still_taken(tmp_path):
    with pytest.raises(BenchError, match="the name 'smoke' is that of a shipped suite"):
        load_suite(write(tmp_path, 'like = "smoke"\nseeds = [1]'))


def test_suites_that_are_like_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "suites_folder", lambda: tmp_path)
    for name, like in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nlike = "{like}"')
    with pytest.raises(BenchError, match=r"two\.toml: like = 'one' leads back to where it came from"):
        load_suite("one")


def test_the_suites_of_the_paper_compute_as_its_code_does_but_for_one_in_16_bits():
    paper, controls, half = map(load_suite, ("paper", "paper-controls", "paper-bf16"))
    assert (paper.profile.tf32, paper.profile.channels_last, paper.profile.compile) == (True, True, "step")
    assert paper.profile.deterministic and paper.profile.autocast == "off"
    assert controls.profile == paper.profile and controls.recipe == paper.recipe
    assert half.profile == paper.profile.model_copy(update={"autocast": "bfloat16"})
    assert half.matrices == paper.matrices and half.methods == paper.methods and half.seeds == paper.seeds


def test_targets_are_of_the_suite_s_own_datasets_and_are_cut_down_with_them(tiny):
    suite = tiny(datasets=["digits", "yin-yang"], targets={"digits": 90, "yin-yang": 50})
    assert suite.only(datasets=["digits"]).targets == {"digits": 90.0}
    with pytest.raises(ValueError, match="targets names 'dogs', which is no dataset of the suite"):
        tiny(targets={"dogs": 90})
    with pytest.raises(ValueError, match="less than or equal to 100"):
        tiny(targets={"digits": 101})


# --- sweeps and tuning ---


def test_a_list_as_a_parameter_of_a_method_is_one_entry_per_value(tiny):
    both = {"width": [0.5, 1], "height": [2.0, 3.0]}
    made = tiny(methods=["arctan", {"name": "rectangle", "params": {**both}}])
    assert [(m.name, m.params, m.swept) for m in made.methods] == [
        ("arctan", {}, ()),
        *(
            ("rectangle", {"width": width, "height": height}, ("height", "width"))
            for width in (0.5, 1.0)
            for height in (2.0, 3.0)
        ),
    ]
    beside = tiny(methods=[{"name": "rectangle", "params": {"width": [0.5, 1], "height": 2}}])
    assert [(m.params, m.swept) for m in beside.methods] == [
        ({"width": 0.5, "height": 2.0}, ("width",)),
        ({"width": 1.0, "height": 2.0}, ("width",)),
    ]


def test_a_list_in_a_recipe_is_one_recipe_per_combination(tiny):
    made = tiny(recipe={"epochs": [1, 2], "batch_size": 32, "learning_rate": [0.01, 0.03]})
    (matrix,) = made.matrices
    assert [(r.epochs, r.learning_rate) for r in matrix.recipes] == [
        (1, 0.01),
        (1, 0.03),
        (2, 0.01),
        (2, 0.03),
    ]
    assert matrix.swept == ("recipe.epochs", "recipe.learning_rate")
    assert made.recipe == matrix.recipes[0], "the first values stand for the suite"
    one = tiny(recipe={"epochs": [1], "batch_size": 32, "learning_rate": 0.01}).matrices[0]
    assert len(one.recipes) == 1 and one.swept == (), "a list of one value is that value"


PRODUCT = {"datasets": ["digits"], "backbones": ["mlp"], "timesteps": [2]}


def with_tasks(*recipes, **recipe):
    """A suite with a task for each of the recipes, over this one."""
    return Suite.model_validate(
        {
            "name": "mine",
            "methods": ["rectangle"],
            "seeds": [0],
            "recipe": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01} | recipe,
            "tasks": [{**PRODUCT, "timesteps": [2 + i], "recipe": own} for i, own in enumerate(recipes)],
        }
    )


def test_a_task_may_sweep_what_others_do_not_and_a_scalar_in_it_ends_a_sweep():
    made = with_tasks(
        {}, {"learning_rate": 0.1}, {"epochs": [1, 2]}, {"learning_rate": [1, 2]}, learning_rate=[0.01, 0.03]
    )
    found = [([(r.epochs, r.learning_rate) for r in m.recipes], m.swept) for m in made.matrices]
    rate = "recipe.learning_rate"
    assert found == [
        ([(1, 0.01), (1, 0.03)], (rate,)),
        ([(1, 0.1)], ()),
        ([(1, 0.01), (2, 0.01), (1, 0.03), (2, 0.03)], ("recipe.epochs", rate)),
        ([(1, 1.0), (1, 2.0)], (rate,)),
    ]


LISTS = {
    "[]": "valid number.*, got \\[\\]",
    "[[1, 2]]": "valid number.*, got \\[1, 2\\]",
    "[1, 1.0]": "twice",
    "[1, 'wide']": "number.*, got 'wide'",
}


PLACES = {
    "methods": ('"rectangle"', '{{ name = "rectangle", params = {{ width = {} }} }}', "(rectangle|width)"),
    "recipe": ("learning_rate = 0.01", "learning_rate = {}", "learning_rate"),
}


@pytest.mark.parametrize(("place", "values"), [(place, values) for place in PLACES for values in LISTS])
def test_a_list_that_is_no_sweep_is_refused_in_one_sentence(tmp_path, place, values):
    old, new, where = PLACES[place]
    with pytest.raises(BenchError, match=f"{place}.*{where}.*{LISTS[values]}") as caught:
        load_suite(write(tmp_path, toml({"smoke": "mine", old: new.format(values)})))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", ["[]", "[[1, 2]]", "[1, 1.0]"])
def test_so_is_one_in_the_recipe_of_a_task(values):
    with pytest.raises(ValidationError, match=r"tasks\.1\.recipe.*learning_rate"):
        with_tasks({}, {"learning_rate": tomllib.loads(f"x = {values}")["x"]})


def test_suites_with_sweeps_and_with_tuning_come_back_from_their_file(tiny):
    swept = tiny(
        methods=["mpd-agl", {"name": "rectangle", "params": {"width": [1, 2], "height": 3}}],
        recipe={"epochs": 1, "batch_size": 32, "learning_rate": [0.01, 0.03], "optimizer": ["sgd", "adamw"]},
    )
    tasks = with_tasks({}, {"epochs": [1, 2]}, learning_rate=[0.01, 0.03])
    tuned = tiny(tune={"rates": [0.5, 1], "points": 2, "seeds": [7], "sampler": "tpe"})
    for made in (swept, tasks, tuned, tiny(tune={}), swept.only(methods=["rectangle"], seeds=[0])):
        text = json.dumps(made.model_dump(mode="json", exclude_unset=True))
        again = Suite.model_validate_json(text)
        assert again == made and again.matrices == made.matrices
        assert json.dumps(again.model_dump(mode="json", exclude_unset=True)) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds = [0]": "seeds = [0, 1000]"}, "tune.seeds: 1000 is also a seed of the suite; what is tuned"),
        ({"learning_rate = 0.01": "learning_rate = [1, 2]"}, "tune and a sweep of recipe.learning_rate are"),
        (
            {'"rectangle"': '{ name = "rectangle", params = { width = [1, 2] } }'},
            "tune and a sweep of width are both there; leave one of them out",
        ),
        ({"[tune]": "[tune]\nrate = [1]"}, "unknown key 'tune.rate'; did you mean 'tune.rates'?"),
        ({"[tune]": "[tune]\nxxxxxxxxxxxx = 1"}, r"unknown key 'tune.xxxxxxxxxxxx'; \[tune\] has rates, "),
        ({"[tune]": "[tune]\nrates = []"}, "tune.rates: "),
        ({"[tune]": "[tune]\nrates = [1]"}, "tune: rates has one value"),
        ({"[tune]": "[tune]\nrates = [1, 1.0]"}, "tune: rates lists 1.0 twice"),
        ({"[tune]": "[tune]\nrates = [0]"}, "tune.rates.0: .* got 0"),
        ({"[tune]": "[tune]\npoints = 0"}, "tune.points: .* got 0"),
        ({"[tune]": "[tune]\nseeds = [1, 1]"}, "tune: seeds lists 1 twice"),
        ({"[tune]": "[tune]\nsampler = 'random'"}, "tune.sampler: .* got 'random'"),
    ],
)
def test_what_is_wrong_with_tuning_is_said_in_one_sentence(tmp_path, changes, message):
    text = toml({"[profile]": "[tune]\n[profile]"})
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(BenchError, match=message) as caught:
        load_suite(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_no_suite_may_be_called_as_the_trials_of_another(tiny):
    with pytest.raises(ValidationError, match=r"'quick\.tune' is where `spikegrad tune` keeps its trials"):
        tiny(name="quick.tune")
    assert tiny(name="tune").name == "tune"


def test_seeds_given_by_hand_may_not_be_those_of_tuning(tiny):
    with pytest.raises(BenchError, match=r"suite tiny: tune\.seeds: 1000 is also a seed of the suite"):
        tiny(tune={}).only(seeds=[1000], add=True)


def test_a_cell_is_a_trial_by_its_selection_and_one_without_keeps_its_id():
    over = ("recipe.learning_rate", "width")
    trial, tuned, swept = (
        cell({("selection",): {"by": by, "over": over}}) for by in ("tuning", "tuned", "sweep")
    )
    assert [c.trial for c in (trial, tuned, swept, cell())] == [True, False, False, False]
    assert len({c.id("x") for c in (trial, tuned, swept, cell())}) == 4
    assert "selection" not in cell().model_dump()
    assert Cell.model_validate(trial.model_dump(mode="json")) == trial


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "mine.toml").write_text("\ufeff" + toml({'"smoke"': '"mine"'}), encoding="utf-8")
    assert load_suite(str(tmp_path / "mine.toml")).name == "mine"
