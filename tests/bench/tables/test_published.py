"""The published numbers: the shipped file, and files that cannot be relied on."""

import csv

import pytest

from bench import registry
from bench.errors import BenchError
from bench.paths import published_accuracies
from bench.suite import BackboneSpec, Recipe
from bench.tables import published

NOT_HERE = {"psg"}
"""Methods without a formula precise enough to be written."""
NETWORKS_NOT_HERE = {"vgg11"}
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
    assert {n.dataset for n in numbers} - found.datasets.keys() == set()
    assert {n.backbone for n in numbers} - found.backbones.keys() == NETWORKS_NOT_HERE


def test_what_is_known_of_a_protocol_is_a_recipe_of_a_suite():
    known = 0
    for number in published.read():
        there = number.model_dump(exclude_none=True)
        recipe = {name: there[name] for name in Recipe.model_fields if name in there}
        Recipe.model_validate({"epochs": 1, "batch_size": 2, "learning_rate": 1} | recipe)
        BackboneSpec.model_validate(
            {"name": number.backbone} | {name: there[name] for name in ("neuron", "reset") if name in there}
        )
        known += bool(recipe)
    assert known >= 5


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
        ("mpd-agl,2025", "mpd-agl,", "year"),
        (",resnet19,", ",resnet19,,", "line 2"),
        (",2025,", ",", "line 2"),
        ('"', "", "line 2"),
    ],
)
def test_a_damaged_line_is_named(damaged, old, new, told):
    line = next(line for line in LINES[1:] if '"' in line and "best test epoch" in line and "96.18" in line)
    assert told in damaged([LINES[0], line.replace(old, new)])


def test_a_number_is_there_once(damaged):
    assert "mpd-agl on cifar10 stands there twice" in damaged([*LINES, LINES[1]])


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
