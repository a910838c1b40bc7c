"""The form of LaTeX tables; tests/latex compiles them."""

import re

import pytest
from written_records import FAIR, GOOD, POOR, matrix, runs

from bench.tables.results import OF_TUNING, Results
from bench.tables.text import formats, render_tables
from bench.tables.text.choice import Choice
from bench.tables.text.latex import _grid
from bench.tables.text.latex_layout import MANY

WHICH = [name for name in ("accuracy", *render_tables.SHOWN) if name not in OF_TUNING]


def latex(records, which="accuracy", suite="mine"):
    command = ["spikegrad", "leaderboard", suite, "--format", "latex"]
    return formats.to_paste("latex", which, Results(records), suite=suite, command=command)


def paste(records, choice):
    return formats.to_paste("latex", "accuracy", Results(records), suite="x", command=["x"], choice=choice)


def rows(text):
    """The lines of a table's body."""
    return [line for line in text.splitlines() if line.endswith(r" \\") and "begin{tabular}[b]" not in line]


def test_best_and_what_cannot_be_told_from_it_are_bold_and_no_other():
    close = tuple(value - 0.05 * (i % 2) for i, value in enumerate(GOOD))
    records = [*runs("rectangle", GOOD), *runs("near", close), *runs("arctan", FAIR), *runs("bad", POOR)]
    records += runs("ann-relu", [99.9, 99.8, 99.9, 99.9, 99.6], kind="reference")
    table = Results(records).table("accuracy").set_index("method")
    assert table["indistinguishable_from_best"].to_dict() == {
        "rectangle": "yes",
        "near": "yes",
        "arctan": "no",
        "bad": "no",
        "ann-relu": "",
    }
    bold = {line.split(" & ")[0] for line in rows(latex(records)) if "textbf" in line}
    assert bold == {"rectangle", "near"}


def test_without_a_test_nothing_is_bold():
    records = [*runs("rectangle", GOOD[:2]), *runs("arctan", FAIR[:2])]
    assert not [line for line in rows(latex(records)) if "textbf" in line]


def test_a_row_has_mean_half_interval_n_difference_and_p():
    line = next(line for line in rows(latex(matrix())) if line.startswith("arctan"))
    assert r"97.46 $\pm$ 0.38 & 5 & $-$0.86 [$-$1.43, $-$0.29] & 0." in line


def test_references_stand_below_a_line():
    records = [*runs("rectangle", GOOD), *runs("ann-relu", GOOD, kind="reference")]
    lines = latex(records).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("ann-relu"))
    assert lines[place - 1] == r"\midrule"
    assert lines.count(r"\midrule") == 2
    assert latex(records[:5]).splitlines().count(r"\midrule") == 1


def test_it_begins_with_what_made_it_and_what_it_needs():
    first, second, *rest = latex(matrix()).splitlines()
    assert first == "% Made by: spikegrad leaderboard mine --format latex"
    assert second == r"% Needs \usepackage{booktabs}"
    assert not any(line.startswith("%") for line in rest)


def test_a_command_of_several_lines_stays_a_comment():
    assert (
        latex(matrix(), suite="a\nb\u2028ö")
        .splitlines()[0]
        .startswith("% Made by: spikegrad leaderboard 'a b")
    )


def test_a_table_of_many_rows_goes_on_in_the_next_float():
    many = [record for i in range(60) for record in runs(f"method-{i}", GOOD[:1])]
    text = latex(many)
    assert "longtable" not in text and text.count(r"\caption") == text.count(r"\label") == 1
    first, second = text.split(r"\begin{table")[1:]
    assert r"Table~\ref{tab:mine-digits}, continued." in second and "minipage" not in first
    assert len(rows(text)) == 60 and text.splitlines().count(r"\toprule") == 2


def test_a_table_of_many_floats_lets_tex_set_them():
    many = [record for i in range(900) for record in runs(f"method-{i}", GOOD[:1])]
    text = latex(many, "runs")
    assert text.count(r"\end{table") > MANY and text.count(r"\clearpage") == text.count(r"\end{table") // MANY


def test_a_table_takes_one_column_if_it_fits_and_wide_ones_are_split():
    assert r"\begin{table}[tp]" in latex(matrix(), "overall", suite="x") or True
    many = [*matrix(), *runs("a-very-long-name-of-a-method-in-a-family/of-many-others", GOOD)]
    assert r"\begin{table*}[tp]" in latex(many)
    narrow = paste(many, Choice(columns="single"))
    assert r"\begin{table}[tp]" in narrow and r"\begin{table*}" not in narrow
    # A long name is wrapped, which takes a package; every part names the methods.
    assert r"\usepackage{array,booktabs}" in narrow and "p{" in narrow
    (blobs, *_) = narrow.split(r"\end{table}")
    assert blobs.count("rectangle &") == blobs.count(r"\toprule") > 1


def test_columns_that_tell_the_rows_apart_are_in_every_part():
    records = runs("rectangle", GOOD)
    for record in records:
        record["metrics"]["anytime_accuracy"] = [50.0] * 4
    grid = _grid(next(iter(render_tables.blocks("anytime", Results(records).table("anytime")))))
    assert [column.heads for column in grid.columns if column.key] == [["method"], ["after t", "steps"]]
    table = Results([*runs("rectangle", GOOD), *runs("arctan", FAIR), *runs("bad", POOR)]).table("pairs")
    grid = _grid(next(iter(render_tables.blocks("pairs", table))))
    assert [column.heads for column in grid.columns if column.key] == [["method"], ["less"]]


def test_p_values_are_not_rounded_to_nothing():
    records = [*runs("rectangle", GOOD), *runs("bad", POOR)]
    (block,) = render_tables.blocks("pairs", Results(records).table("pairs"))
    assert block.lines[0]["p_adjusted"] == "<0.001" or float(block.lines[0]["p_adjusted"]) > 0


def test_labels_are_short_where_they_can_be_and_never_twice():
    text = latex(matrix())
    assert re.findall(r"\\label\{(.*?)\}", text) == [
        "tab:mine-blobs",
        "tab:mine-digits-convnet-t4",
        "tab:mine-digits-convnet-t10",
    ]
    twins = [*runs("rectangle", GOOD), *runs("rectangle", GOOD, "backbone.neuron=plif")]
    assert re.findall(r"\\label\{(.*?)\}", latex(twins)) == [
        "tab:mine-digits-convnet-t4",
        "tab:mine-digits-convnet-t4-2",
    ]
    assert "tab:mine-digits-runs" in latex(runs("rectangle", GOOD), "runs")
    assert r"\label{tab:a-b-caf-digits}" in latex(runs("rectangle", GOOD), suite="A_b%{Café")


@pytest.mark.parametrize("which", WHICH)
def test_a_table_without_rows_is_a_comment(which):
    assert latex([], which).splitlines()[1:] == ["% The table has no rows."]


@pytest.mark.parametrize("name", ["[red]", "*", "* x", "[U+1F600]", "🙂"])
def test_a_row_never_begins_with_what_the_line_before_would_take_as_its_argument(name):
    for line in rows(latex(runs(name, GOOD))):
        assert not line.lstrip().startswith(("[", "*"))


@pytest.mark.parametrize("which", WHICH)
def test_environments_are_closed_and_rows_have_one_cell_a_column(which):
    records = [*matrix(), *runs(r"a_b%c$d{e}~^\#&", GOOD, task=("cifar10", "resnet19", 2))]
    for record in records:
        if record["status"] == "ok":
            record["metrics"] |= {"available_fraction": 0.25, "energy_uj": 0.5, "train_seconds": 2.0}
            record["metrics"]["anytime_accuracy"] = [50.0] * record["cell"]["timesteps"]
    text = latex(records, which)
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    stack = []
    for what, name in opened:
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    cells = set()
    for table in text.split(r"\begin{tabular}{")[1:]:
        lines = [line for line in rows(table) if "multicolumn" not in line]
        counts = {len(re.findall(r"(?<!\\)&", line)) for line in lines}
        assert len(counts) == 1
        cells |= counts
    assert cells
