"""One table for a paper: methods against tasks, with the verdicts of accuracy.csv."""

import re

import pytest
from written_records import FAIR, GOOD, POOR, runs, variation

from bench.errors import BenchError
from bench.tables.results import Results
from bench.tables.text import by_task, formats
from bench.tables.text.choice import EVERYTHING, Choice

RECIPE = {
    **{"epochs": 14, "batch_size": 48, "optimizer": "adamw", "learning_rate": 0.01, "momentum": 0.9},
    **{"weight_decay": 0.0, "schedule": "one-cycle", "augment": "standard"},
}
FIRST, SECOND = ("digits", "convnet", 4), ("blobs", "mlp", 2)


def records():
    found = []
    for task in (FIRST, SECOND):
        good, fair = (GOOD, FAIR) if task == FIRST else (FAIR, GOOD)
        found += [*runs("rectangle", good, task=task), *runs("arctan", fair, task=task)]
        found += [*runs("bad", POOR, task=task)]
        found += runs("ann-relu", [99.9, 99.8, 99.9, 99.9, 99.6], kind="reference", task=task)
    return found


def text(form, of=None, choice=EVERYTHING):
    return formats.to_paste(
        form, "tasks", Results(of or records()), suite="mine", command=["x"], choice=choice
    )


def marks(latex):
    """By method, for each task: bold and underlined."""
    lines = [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines() if r"$\pm$" in line]
    return {
        name: [("textbf" in cell, "underline" in cell) for cell in cells] for name, *cells in lines if cells
    }


def test_marks_are_the_verdicts_of_the_accuracy_table():
    table = Results(records()).table("accuracy")
    found = marks(text("latex"))
    assert [*found] == ["arctan", "rectangle", "bad", "ann-relu"]
    for place, dataset in enumerate(("blobs", "digits")):
        for line in table[table["dataset"] == dataset].to_dict("records"):
            bold, first = line["indistinguishable_from_best"] == "yes", line["rank"] == 1
            assert found[line["method"]][place] == (bold, first)


def test_a_choice_of_rows_changes_no_verdict_and_no_number_of_methods():
    whole, part = text("latex"), text("latex", choice=Choice(methods=["arctan", "bad"]))
    assert marks(part) == {name: found for name, found in marks(whole).items() if name in ("arctan", "bad")}
    assert "best of the 3 methods compared" in part and "--methods arctan,bad" in part
    only = text("latex", choice=Choice(datasets=["blobs"], digits=1))
    assert "convnet" not in only and r"\textbf{\underline{98.3}} $\pm$ 0.5" in only


def test_a_table_without_bold_does_not_explain_it():
    alike = text("latex", [*runs("arctan", GOOD), *runs("rectangle", GOOD)])
    assert r"\textbf" not in alike and "Bold" not in alike and "Underlined: the best mean of the 2" in alike


def test_markdown_and_latex_have_the_same_cells():
    table = text("markdown")
    assert "| method | blobs<br>mlp, T = 2 | digits<br>convnet, T = 4 |" in table
    assert "**<ins>98.32</ins>** ± 0.48" in table and table.count("\n| ") == 6


def test_a_sweep_is_its_best_row_and_tuned_rows_are_a_column():
    swept = [r for w, v in ((1.0, FAIR), (2.0, GOOD)) for r in variation("arctan", v, width=w)]
    tuned = variation("rectangle", GOOD, by="tuned", width=3.0)
    every = [*runs("rectangle", FAIR), *swept, *tuned]
    for record in every:
        record["cell"]["recipe"] = RECIPE
    made = by_task.table(Results(every), Choice())
    assert {*made.methods} == {"arctan (swept)", "rectangle"}
    assert any(cell.text.startswith("98.32") for (name, _), cell in made.cells.items() if "swept" in name)
    assert any("tuned" in column.heads for column in made.columns)
    assert "Swept: the value with the best validation accuracy" in by_task.note(made)


def test_a_swept_option_of_the_recipe_is_named_as_swept_at_its_default_too():
    every = []
    for task in (FIRST, SECOND):
        for value, outcomes in (
            (0.0, FAIR if task == FIRST else GOOD),
            (0.1, GOOD if task == FIRST else FAIR),
        ):
            over = ["recipe.label_smoothing"]
            made = variation("rectangle", outcomes, over=over, rate=value + 0.1, task=task)
            for record in made:
                record["cell"]["recipe"] = RECIPE | {"label_smoothing": value}
            every += made
    told = by_task.note(by_task.table(Results(every), Choice()))
    assert "All: 14 epochs," in told and "augmentation standard, label smoothing swept." in told
    assert "digits: " not in told


def test_the_caption_is_short_and_the_note_has_the_rest():
    latex = text("latex")
    (caption,) = re.findall(r"\\caption\{(.*)\}\\label\{tab:mine-tasks\}", latex)
    assert len(caption) < 230
    assert "simultaneous 95" in latex.split(r"\begin{minipage}")[1] and "resizebox" not in latex
    assert r"\usepackage{booktabs}" in latex and r"\begin{table}[tp]" in latex
    assert r"\begin{table*}[tp]" in text("latex", choice=Choice(columns="double"))


def test_a_failed_seed_is_told():
    found = text("markdown", [*records()[5:], *runs("rectangle", (*GOOD[:4], "failed"), task=FIRST)])
    assert "rectangle, digits: n = 4, 1 failed." in found


def alike(task):
    """Two methods that no test tells apart."""
    return [*runs("rectangle", GOOD, task=task), *runs("arctan", GOOD[::-1], task=task)]


def test_tasks_in_which_nothing_is_told_apart_are_in_one_sentence():
    third = ("rings", "mlp", 2)
    found = text("markdown", [*records(), *alike(third), *alike(("spirals", "mlp", 2))])
    assert "In rings and spirals no two methods can be told apart." in found
    assert "none is marked" not in found


def test_a_task_in_which_only_others_than_the_best_differ_is_named():
    made = by_task.table(Results(records()), Choice())
    (first, *_) = made.columns
    better = first.task.pairs.better.copy()
    better[0] = False
    first.task.pairs.__dict__["better"] = better
    assert f"In {first.name} no method can be told apart from the best, so none is marked." in by_task.note(
        made
    )


def test_digits_are_also_those_of_the_note():
    assert re.search(r"in points, of \d\.\d\d in", text("markdown"))
    assert re.search(r"in points, of \d\.\d in", text("markdown", choice=Choice(digits=1)))


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice(methods=["arctn"]), "--methods: the table tasks has no arctn; there are arctan"),
        (Choice(datasets=["x"]), "--datasets: the table tasks has no x; there are blobs, digits"),
        (Choice(digits=9), "--digits 9: give a number from 0 to 4"),
    ],
)
def test_what_there_is_not_is_a_sentence(choice, says):
    with pytest.raises(BenchError, match=re.escape(says)):
        text("latex", choice=choice)
