"""Tuning on the page, against values worked out by hand."""

import pytest
import shown_runs
from test_page import HOSTILE, declared, write, written

from bench.records.store import Store, trial_store

RATE = "recipe.learning_rate"
# By learning rate and width: the validation accuracies of two seeds. None: the training failed.
RECTANGLE = {
    (0.01, 0.5): (80.0, 82.0),
    (0.01, 1.0): (90.0, 92.0),
    (0.1, 0.5): (70.0, None),
    (0.1, 1.0): (60.0, 62.0),
}
ARCTAN = {(0.001, None): (50.0, 52.0), (0.01, None): (85.0, 87.0), (0.1, None): (95.0, 97.0)}


def tried(results, method, trials, number=0, over="width", **cell):
    """Write the trials of a method; the number of records so far."""
    for (rate, value), accuracies in trials.items():
        own = {} if value is None else {over: value}
        for seed, accuracy in enumerate(accuracies, 1000):
            number += 1
            found = shown_runs.record(
                number,
                "hand.tune",
                metrics={} if accuracy is None else {"val_accuracy": accuracy, "best_epoch": 0},
                cell={
                    "method": {"name": method, "params": own},
                    "recipe": shown_runs.CELL["recipe"] | {"learning_rate": rate},
                    "selection": {"by": "tuning", "over": (RATE, *own)},
                    "seed": seed,
                    **cell,
                },
                configuration=f"{method} {rate} {value} {sorted(cell.items())}",
                variant=" ".join([*(f"{name}={value}" for name in own), f"{RATE}={rate}"]),
                method=declared("fixed"),
                data={"checksum": "c0ffee", "classes": 10},
                status="failed" if accuracy is None else "ok",
                error="it failed" if accuracy is None else None,
            )
            rows = [] if accuracy is None else [{**shown_runs.epochs(1)[0], "val_accuracy": accuracy}]
            shown_runs.write(results, found, rows, [])
    return number


@pytest.fixture
def suite(tiny, tmp_path):
    """A suite of one training of each method, without trials yet."""
    for number, method in enumerate(("rectangle", "arctan"), 1):
        cell = {"method": {"name": method, "params": {}}}
        found = shown_runs.record(number, "hand", cell=cell, configuration=f"of-{method}")
        shown_runs.write(tmp_path, found | {"method": declared("fixed")}, [], [])
    return tiny(name="hand", seeds=[0])


def test_without_trials_there_is_no_section(suite, tmp_path):
    found = written(suite, tmp_path)
    assert found.data["tuning"] == []
    assert "Tuning" not in found.texts
    assert "tuning" not in {attributes.get("id") for _, attributes in found.tags}


def test_heat_maps_and_curves_have_the_values_worked_out_by_hand(suite, tmp_path):
    tried(tmp_path, "rectangle", RECTANGLE, tried(tmp_path, "arctan", ARCTAN))
    found = written(suite, tmp_path)
    assert "Tuning" in found.texts and "best validation %" in found.texts
    (task,) = found.data["tuning"]
    cells = {
        (row["method"], row["learning_rate"], row["value"]): (row["accuracy"], row["failed"], row["chosen"])
        for row in task["trials"]
    }
    assert cells == {
        ("rectangle", 0.01, 0.5): (81.0, 0, "no"),
        ("rectangle", 0.01, 1.0): (91.0, 0, "yes"),
        # The failed training counts as chance, which is 10 % for 10 classes.
        ("rectangle", 0.1, 0.5): (40.0, 1, "no"),
        ("rectangle", 0.1, 1.0): (61.0, 0, "no"),
        ("arctan", 0.001, ""): (51.0, 0, "no"),
        ("arctan", 0.01, ""): (86.0, 0, "no"),
        ("arctan", 0.1, ""): (96.0, 0, "yes"),
    }
    assert {(row["method"], row["parameter"]) for row in task["trials"]} == {
        ("rectangle", "width"),
        ("arctan", ""),
    }
    assert task["scale"] == [40.0, 96.0]
    curves = [(row["method"], row["k"], row["best"]) for row in task["curves"]]
    # Of rectangle's six pairs of trials, 91 is the best of three, 81 of two, 61 of one.
    assert curves == [
        ("arctan", 1, pytest.approx((51 + 86 + 96) / 3, rel=1e-5)),
        ("arctan", 2, pytest.approx((86 + 96 + 96) / 3, rel=1e-5)),
        ("arctan", 3, 96.0),
        ("rectangle", 1, (40 + 61 + 81 + 91) / 4),
        ("rectangle", 2, pytest.approx((3 * 91 + 2 * 81 + 61) / 6, rel=1e-5)),
        ("rectangle", 3, (3 * 91 + 81) / 4),
        ("rectangle", 4, 91.0),
    ]


def test_each_task_has_its_own_trials_and_scale(suite, tmp_path):
    done = tried(tmp_path, "arctan", ARCTAN)
    tried(tmp_path, "arctan", {(0.2, None): (20.0, 30.0)}, done, timesteps=4)
    first, second = written(suite, tmp_path).data["tuning"]
    assert first["scale"] == [51.0, 96.0] and second["scale"] == [25.0, 25.0]
    assert [(row["k"], row["best"]) for row in second["curves"]] == [(1, 25.0)]


def test_a_trial_that_is_damaged_is_named(suite, tmp_path):
    tried(tmp_path, "arctan", ARCTAN)
    folder = trial_store(Store(tmp_path, "hand")).folder("cut")
    folder.mkdir()
    (folder / "record.json").write_text("{")
    assert "record.json is damaged (" in " ".join(written(suite, tmp_path).texts)


def test_no_name_is_html(suite, tmp_path):
    tried(tmp_path, HOSTILE, {(0.01, 1.0): (90.0, 92.0)}, over="width")
    found = written(suite, tmp_path)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 3 and "img" not in tags
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    (row,) = found.data["tuning"][0]["trials"]
    assert row["method"] == HOSTILE and HOSTILE in found.texts


def test_the_same_trials_give_the_same_page(suite, tmp_path):
    tried(tmp_path, "rectangle", RECTANGLE)
    first = write(suite, tmp_path).read_bytes()
    assert write(suite, tmp_path).read_bytes() == first
