"""The leaderboard of the page: blocks, names that are told apart, seeds."""

from written_records import FAIR, GOOD, matrix, runs

from bench.report.tasks import by_key, page_tasks, seeds
from bench.tables.results import Results
from bench.tables.text.readable import blocks


def test_blocks_are_those_of_the_terminal_in_its_order():
    table = Results(matrix()).table("accuracy")
    found = page_tasks(table)
    assert [task.title for task in found] == [block.title for block in blocks(table)]
    for task, block in zip(found, blocks(table), strict=True):
        assert [entry.name for entry in task.entries] == [line["method"] for line in block.lines]
    assert [task.id for task in found] == [f"t{number}" for number in range(len(found))]


def test_the_key_is_that_of_the_table_and_not_the_name_that_is_shown():
    records = runs("rectangle", GOOD) + runs("rectangle", FAIR, "width=2")
    (task,) = page_tasks(Results(records).table("accuracy"))
    assert [(entry.name, entry.key[-2:]) for entry in task.entries] == [
        ("rectangle", ("rectangle", "default")),
        ("rectangle (width=2)", ("rectangle", "width=2")),
    ]


def test_names_that_would_be_the_same_get_a_number():
    # A method that is called as another's variant is shown.
    records = runs("rectangle (width=2)", GOOD) + runs("rectangle", FAIR, "width=2") + runs("rectangle", FAIR)
    (task,) = page_tasks(Results(records).table("accuracy"))
    names = [entry.name for entry in task.entries]
    assert len(set(names)) == 3 and "rectangle (width=2) (2)" in names


def test_names_leave_out_the_prefix_of_what_a_sweep_varies_in_the_recipe():
    records = runs("rectangle", GOOD, "width=2 recipe.learning_rate=0.1")
    records += runs("arctan", FAIR, "recipe.learning_rate=0.1") + runs("arctan", FAIR)
    (task,) = page_tasks(Results(records).table("accuracy"))
    assert {entry.name for entry in task.entries} == {
        "rectangle (width=2 learning_rate=0.1)",
        "arctan (learning_rate=0.1)",
        "arctan",
    }


def test_seeds_have_every_status_and_one_line_of_reason():
    records = runs("rectangle", [98.0, "failed"])
    ((_, lines),) = by_key(Results(records).table("runs")).items()
    worked, failed = seeds(lines)
    assert worked == [0, "ok", "98.0000", "97.5000", "99.0000", 7, records[0]["id"], ""]
    assert failed == [1, "failed", "", "", "", None, records[1]["id"], "it was failed"]
