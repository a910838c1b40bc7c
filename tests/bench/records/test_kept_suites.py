"""A name of a suite stands for one matrix in a results folder."""

import re

import pytest

from bench.errors import BenchError
from bench.records import kept_suites
from bench.records.store import Store


@pytest.fixture
def store(tmp_path, tiny):
    made = Store(tmp_path / "results", "tiny")
    kept_suites.keep(made, tiny(methods=["rectangle", "arctan"], seeds=[0, 1]))
    return made


def test_what_is_kept_comes_back(store, tiny):
    assert kept_suites.kept(store) == tiny(methods=["rectangle", "arctan"], seeds=[0, 1])
    assert kept_suites.kept(Store(store.results, "other")) is None


def test_an_unknown_name_is_told_what_the_folder_holds(store, tmp_path):
    with pytest.raises(BenchError, match=r"no suite 'tinny': .*results holds results of tiny$"):
        kept_suites.find("tinny", store.results)
    with pytest.raises(BenchError, match=r"no suite 'tiny': .*elsewhere holds no results: --results names"):
        kept_suites.find("tiny", tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"methods": ["rectangle"]}, "its methods had arctan"),
        ({"methods": ["rectangle", {"name": "arctan", "params": {"width": 2}}]}, "its methods had arctan"),
        ({"seeds": [1, 2]}, "its seeds had 0"),
        ({"timesteps": [9]}, "its timesteps had 2"),
        ({"measure": {"probe": "off", "descent": True}}, "measure.descent is False there and True here"),
    ],
)
def test_another_matrix_of_the_name_is_refused_with_what_differs(store, tiny, changes, told):
    other = tiny(**{"methods": ["rectangle", "arctan"], "seeds": [0, 1]} | changes)
    with pytest.raises(BenchError, match=f"holds another suite of the name tiny: .*{re.escape(told)}"):
        kept_suites.check(store, other)


def test_another_recipe_is_named_by_key_and_values(store, tiny):
    same = tiny(methods=["rectangle", "arctan"], seeds=[0, 1])
    other = same.model_copy(update={"recipe": same.recipe.model_copy(update={"momentum": 0.5})})
    with pytest.raises(BenchError, match=r"recipe\.momentum is 0\.9 there and 0\.5 here; give"):
        kept_suites.check(store, other)


def test_more_entries_go_on_and_what_decides_no_training_may_change(store, tiny):
    more = tiny(methods=["rectangle", "mpd-agl", "arctan"], seeds=[0, 1, 2])
    assert kept_suites.check(store, more) == ["methods mpd-agl", "seeds 2"]
    free = {"baseline": "arctan", "timeout": 9, "times": True, "description": "other words"}
    assert kept_suites.check(store, tiny(methods=["rectangle", "arctan"], seeds=[0, 1], **free)) == []


def test_a_damaged_one_is_named(store, tiny):
    file = store.runs / "suite.json"
    file.write_text("{")
    with pytest.raises(BenchError, match=re.escape(f"{file} is damaged (")):
        kept_suites.check(store, tiny())
