"""The published numbers: the shipped file, and files that cannot be relied on."""

import csv

import pytest

from bench import registry
from bench.errors import BenchError
from bench.paths import published_accuracies
from bench.suite import BackboneSpec, Recipe
from bench.tables import published
from bench.tables.published_table import NEURON

NOT_HERE = {
    *("psg", "at-lif+asg-s", "lt-snn", "tmc", "reverb", "agmm"),
    *(f"mpd-sgr:{shape}" for shape in ("rectangle", "sigmoid", "fast-sigmoid")),
}
"""Methods without a formula precise enough to be written, or that are more than a surrogate."""
NETWORKS_NOT_HERE = {"vgg11", "sew-resnet34"}
DATASETS_NOT_HERE = {"imagenet"}
LINES = published_accuracies().read_text(encoding="utf-8").splitlines()


def test_the_shipped_file_says_what_its_lines_say():
    numbers = published.read()
    lines = list(csv.DictReader(LINES))
    assert len(numbers) == len(lines) > 30
    for number, line in zip(numbers, lines, strict=True):
        for name, value in number.model_dump().items():
            assert line[name] == "" if value is None else type(value)(line[name]) == value


def test_names_are_those_of_the_registry():
    found = registry.load()
    numbers = published.read()
    assert {n.method for n in numbers} - found.methods.keys() == NOT_HERE
    assert {n.dataset for n in numbers} - found.datasets.keys() == DATASETS_NOT_HERE
    assert {n.backbone for n in numbers} - found.backbones.keys() == NETWORKS_NOT_HERE


def test_parameters_are_the_methods_own_and_scale_with_the_threshold():
    found = registry.load().methods
    named = [(n.method, name) for n in published.read() for name in published.settings(n.params)]
    assert {method for method, _ in named} >= {"rectangle", "asgl", "asgl:rectangle"}
    assert {found[method].item.params[name].per_threshold for method, name in named} == {1}


def test_sweeps_and_numbers_of_two_sources_stand_side_by_side():
    numbers = published.read()
    swept = {
        n.params: n.accuracy
        for n in numbers
        if n.source == "ASGL (ICML 2023) code README" and (n.method, n.dataset) == ("rectangle", "cifar10")
    }
    assert swept == {
        "width=0.5": 93.19,
        "width=1": 93.78,
        "width=2.5": 90.68,
        "width=5": 62.34,
        "width=10": 30.85,
    }
    two = {n.accuracy: n.note for n in numbers if (n.method, *n.task) == ("lsg", "cifar100", "resnet19", 2)}
    assert two.keys() == {76.32, 76.22}
    assert "76.22" in two[76.32] and "76.32" in two[76.22]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (None, {}),
        ("width=2.5", {"width": 2.5}),
        ("width=unknown", {"width": None}),
        ("a=1 b=2", {"a": 1.0, "b": 2.0}),
    ],
)
def test_parameters_are_words(words, values):
    assert published.settings(words) == values


def test_what_is_known_of_a_protocol_is_a_recipe_of_a_suite():
    known = 0
    for number in published.read():
        there = number.model_dump(exclude_none=True)
        recipe = {name: there[name] for name in Recipe.model_fields if name in there}
        Recipe.model_validate({"epochs": 1, "batch_size": 2, "learning_rate": 1} | recipe)
        BackboneSpec.model_validate(
            {"name": number.backbone} | {name: there[name] for name in NEURON if name in there}
        )
        known += bool(recipe)
    assert known >= 5


def test_what_a_recipe_or_a_network_can_say_is_in_no_text():
    told = " ".join(number.differs or "" for number in published.read())
    assert not [words for words in ("smoothing", "erasing", "mixup", "threshold 1") if words in told]
    smoothed = {n.method: n.label_smoothing for n in published.read() if n.label_smoothing}
    assert smoothed == {"ds-atgo": 0.1, "a2sg": 0.1}


@pytest.fixture
def damaged(tmp_path):
    """damaged(lines) -> the sentence about a file of these lines."""

    def read(lines):
        file = tmp_path / "accuracy.csv"
        file.write_text("\n".join(lines) + "\n")
        with pytest.raises(BenchError) as error:
            published.read(file)
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    return read


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("96.18", "196.18", "line 2 is no published number (accuracy: Input should be less than or equal"),
        ("96.18", "nan", "accuracy: Input should be a finite number"),
        ("96.18", "", "accuracy: Input should be a valid number"),
        ("secondary", "hearsay", "source_kind: Input should be 'primary' or 'secondary'"),
        ("best test epoch", "luck", "chosen_by"),
        (",mean,0,", ",mean,-0.1,", "label_smoothing: Input should be greater than or equal to 0"),
        (",zero,0.5,", ",zero,0,", "threshold: Input should be greater than 0"),
        ("mpd-agl,2025", "mpd-agl,", "year"),
        (",resnet19,", ",resnet19,,", "line 2"),
        (",2,,96", ",2,width,96", "params: width is not NAME=NUMBER or NAME=unknown"),
        (",2,,96", ",2,width=1 width=2,96", "params: width=2 is not NAME=NUMBER"),
        (",2,,96", ",2,width=wide,96", "params: width=wide is not NAME=NUMBER"),
        (",2,,96", ",2,width=-1,96", "params: width=-1 is not NAME=NUMBER"),
        (",2025,", ",", "line 2"),
        ('"', "", "line 2"),
    ],
)
def test_a_damaged_line_is_named(damaged, old, new, told):
    line = next(
        line
        for line in LINES
        if "96.18" in line and line.endswith(",recipe as in the authors' released code")
    )
    line = line.replace("recipe as", '"recipe, as') + '"'
    assert told in damaged([LINES[0], line.replace(old, new)])


def test_a_number_is_there_once(damaged):
    assert "mpd-agl on cifar10 stands there twice" in damaged([*LINES, LINES[1]])
    swept = next(line for line in LINES if "width=0.5" in line)
    again = swept.replace("width=0.5", "width=0.50")
    assert "rectangle on cifar10 stands there twice" in damaged([LINES[0], swept, again])


def test_another_header_is_refused(damaged):
    assert "its columns are missing" in damaged([""])
    assert "its columns are method, year" in damaged([LINES[0].removesuffix(",note")])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BenchError, match="No such file or directory; put the shipped file back"):
        published.read(tmp_path / "none.csv")


def test_a_file_that_is_no_text(tmp_path):
    file = tmp_path / "accuracy.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match="cannot be read"):
        published.read(file)
