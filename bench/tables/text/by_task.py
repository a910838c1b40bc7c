"""One table for a paper: a row per method, a column per task; for the terminal, Markdown and LaTeX.

A column is a task in one setting, in which all methods are compared with each other. Of a sweep, the row that
stands for its method is shown; tuned rows are a setting, and so a column, of their own. The verdicts are
those of the whole table, whatever is shown of it.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from string import ascii_lowercase
from typing import Literal

import pandas as pd
from rich.console import Console

from bench.records.timings import hardware
from bench.show.terminal import say
from bench.show.terminal_table import print_table
from bench.tables.accuracy_table import Task, accuracy_of
from bench.tables.all_pairs import FEWEST
from bench.tables.columns import KEY
from bench.tables.results import Results
from bench.tables.rows import OTHERS, SWEPT, Row
from bench.tables.text import latex_layout as layout
from bench.tables.text import readable
from bench.tables.text.captions import CHOSEN, grouped, recipe_of, seeds_of
from bench.tables.text.choice import Choice
from bench.tables.text.latex import comments_of, slug
from bench.tables.text.latex_text import number
from bench.variants import DEFAULT, RECIPE, TUNED, full_name, is_option

NAME = "tasks"
BEST, FIRST = "*", "†"
"""Signs behind a number on the terminal, which has neither bold nor underlined cells in a pipe."""
WIDE = 16
"""A line of a heading with more characters is broken, if it can be."""


@dataclass(frozen=True)
class Column:
    """A task in one setting.

    name: what notes call it; heads: the lines of its heading; words: what else its rows share.
    """

    task: Task
    name: str
    heads: Sequence[str]
    words: Sequence[str]


@dataclass(frozen=True)
class Cell:
    """The accuracy of a method in a column.

    text: the mean and half its interval; best: cannot be told from the best, while others can; first: has
    the best mean; runs: the number of seeds, and of those that failed.
    """

    text: str
    best: bool
    first: bool
    runs: str
    row: Row


@dataclass(frozen=True)
class ByTask:
    """A row per method, best average rank first, and those without a rank last; cells: by method, column."""

    columns: Sequence[Column]
    methods: Sequence[str]
    cells: Mapping[tuple[str, int], Cell]
    ranked: frozenset[str]
    of_images: bool
    digits: int

    def line(self, method: str) -> list[Cell | None]:
        """The cells of a method; None where it was not run."""
        return [self.cells.get((method, place)) for place in range(len(self.columns))]


def table(results: Results, choice: Choice) -> ByTask:
    """The methods and tasks that are chosen. Raises BenchError for those that there are not."""
    choice.check(NAME, results.table("accuracy"))
    asked = [task for task in results.tasks if not choice.datasets or task.rows[0].task[0] in choice.datasets]
    columns = _columns(asked)
    cells, ranks, images = dict[tuple[str, int], Cell](), dict[str, list[int]](), []
    for place, column in enumerate(columns):
        lines = accuracy_of([column.task])
        best = readable.best_of(lines.to_dict("records"))
        shown, of = choice.among(lines), {row.key: row for row in column.task.rows}
        for line, among, bold in zip(lines.to_dict("records"), shown, best, strict=True):
            row = of[tuple(line[name] for name in KEY)]
            if row.sweep == OTHERS or not among:
                continue
            name = _name(row)
            if (name, place) in cells:
                # Two versions of the code of one method.
                name = full_name(name, row.words[-1] if row.words else DEFAULT)
            ranked = not pd.isna(line["rank"])
            ranks.setdefault(name, []).extend([int(line["rank"])] if ranked else [])
            images.append(not pd.isna(line["test_accuracy_images_ci_low"]))
            text = readable.accuracy_text(line, choice.digits)
            cells[name, place] = Cell(text, bold, ranked and line["rank"] == 1, readable.behind(line), row)
    order = sorted(ranks, key=lambda name: (not ranks[name], mean(ranks[name] or [0]), name))
    return ByTask(
        columns, order, cells, frozenset(name for name in ranks if ranks[name]), all(images), choice.digits
    )


def text(form: Literal["markdown", "latex"], suite: str, made: ByTask, choice: Choice, made_by: str) -> str:
    """The table as text to paste. made_by: the command that made it, for the comment in LaTeX."""
    if form == "latex":
        return _latex(suite, made, choice, made_by)
    cells = [[readable.escaped(name), *map(_markdown, made.line(name))] for name in made.methods]
    heads = ["method", *("<br>".join(map(readable.escaped, column.heads)) for column in made.columns)]
    says = caption(suite, made, "Bold", "underlined")
    return readable.pipe_table(f"{suite} · all tasks", says, heads, cells, note(made))


def show(suite: str, made: ByTask, console: Console) -> None:
    """Print the table on the terminal."""
    heads = ["method", *(", ".join(column.heads) for column in made.columns)]
    lines = [[name, *map(_marked, made.line(name))] for name in made.methods]
    styles = [None if name in made.ranked else "dim" for name in made.methods]
    print_table(console, heads, lines, words=["method"], styles=styles)
    say(console, f"{caption(suite, made, BEST, FIRST)} {note(made)}")


def caption(suite: str, made: ByTask, best: str, first: str) -> str:
    """A line or two. best, first: how the marks of the best look."""
    sizes = sorted({len(column.task.compared) for column in made.columns})
    among = " to ".join(str(size) for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]))
    over = "seeds and test images" if made.of_images else "seeds"
    compared = f"the {among} methods compared in a task"
    marks = (
        f"{best}: not distinguishable from the best of {compared}; {first}: the best mean."
        if any(cell.best for cell in made.cells.values())
        else f"{first.capitalize()}: the best mean of {compared}."
    )
    return f"Test accuracy (%) in the suite {suite}: mean ± half the 95 % interval over {over}. {marks}"


def note(made: ByTask) -> str:
    """What else a reader needs: training, seeds, test, power, failures, machine."""
    by_column = {
        column.name: {name: cell.row for name in made.methods if (cell := made.cells.get((name, place)))}
        for place, column in enumerate(made.columns)
    }
    options = {column.name: ", ".join(column.words) for column in made.columns}
    rows = [row for of in by_column.values() for row in of.values()]
    parts = [
        grouped({name: f"{words}." for name, words in options.items() if words}),
        _trained(by_column),
        grouped({name: seeds_of(of.values()) for name, of in by_column.items()}),
        f"Accuracies are {CHOSEN}; failed runs count as chance.",
        *_verdicts(made.columns, made.digits),
        *_exceptions(made),
        "Swept: the value with the best validation accuracy in each task." if _any(rows, SWEPT) else "",
        "Tuned: the values with the best validation accuracy of as many trials for each method."
        if any(row.tuned for row in rows)
        else "",
        "Below the line: not compared." if {*made.methods} - made.ranked else "",
        f"Trained on {'; '.join(sorted({hardware(r['environment']) for row in rows for r in row.records}))}.",
    ]
    return " ".join(part for part in parts if part)


def _trained(rows: Mapping[str, Mapping[str, Row]]) -> str:
    """How the rows of each column were trained; what all columns share is said once."""
    by_row = {column: {name: _recipe(row) for name, row in of.items()} for column, of in rows.items()}
    if any(len({*of.values()}) > 1 for of in by_row.values()):
        return grouped({column: grouped(of) for column, of in by_row.items()})
    of_column = {name: next(iter(of.values()), "").rstrip(".").split(", ") for name, of in by_row.items()}
    shared = [c for c in next(iter(of_column.values()), []) if all(c in of for of in of_column.values())]
    own = {name: ", ".join(c for c in clauses if c not in shared) for name, clauses in of_column.items()}
    parts = [grouped({name: f"{words}." for name, words in own.items() if words})]
    return " ".join([*filter(None, parts), *([f"All: {', '.join(shared)}."] if any(shared) else [])])


def _recipe(row: Row) -> str:
    """How a row was trained, without the values that differ from row to row because they were chosen."""
    said = recipe_of(row)
    for key in row.over:
        name = key.removeprefix(RECIPE).replace("_", " ")
        said = re.sub(rf"\b{name} \S+(?=[, ]|\.$)", f"{name} {TUNED if row.tuned else SWEPT}", said)
    return said


def _any(rows: Sequence[Row], word: str) -> bool:
    return any(word in row.own_words.split() for row in rows)


def _columns(tasks: Sequence[Task]) -> list[Column]:
    shared = [_shared(task) for task in tasks]
    places = [task.rows[0].task for task in tasks]
    # Notes call a column by its data set, or by a letter if another one has that too.
    letters = len({dataset for dataset, *_ in places}) < len(places)
    found = list[Column]()
    for task, words in zip(tasks, shared, strict=True):
        dataset, backbone, steps = task.rows[0].task
        alike = [of for of, place in zip(shared, places, strict=True) if place == task.rows[0].task]
        differ = [word for word in words if not all(word in of for of in alike)]
        own = [word.removeprefix("backbone.").removeprefix("dataset.") for word in differ]
        name = f"({_letter(len(found))})" if letters else dataset
        heads = [f"{name} {dataset}" if letters else dataset, f"{backbone}, T = {steps}"]
        heads += own or ["default"] * (len(alike) > 1)
        found.append(Column(task, name, heads, [word for word in words if word not in differ]))
    return found


def _letter(number: int) -> str:
    """From a to z, then aa, ab and so on."""
    before, last = divmod(number, 26)
    return (_letter(before - 1) if before else "") + ascii_lowercase[last]


def _shared(task: Task) -> list[str]:
    """The words that all rows share, on the network, the data and the training."""
    every = [{*row.words} for row in task.rows if row.words] or [set[str]()]
    first = next((row.words for row in task.rows if row.words), [])
    return [w for w in first if (is_option(w) or w == TUNED) and all(w in words for words in every)]


def _name(row: Row) -> str:
    own = " ".join(word for word in row.own_words.split() if word not in (TUNED, DEFAULT))
    return full_name(row.method, own or DEFAULT)


def _verdicts(columns: Sequence[Column], digits: int) -> Iterator[str]:
    """The test, what it can detect, and where it finds nothing."""
    tested = [column for column in columns if column.task.pairs.judged]
    if tested:
        yield (
            "Test: all pairs of the methods of a task, paired by seed, with simultaneous 95 % intervals "
            "(moderated t, Bonferroni)."
        )
    least = {column.name: column.task.pairs.detectable() for column in tested}
    if said := ", ".join(f"{v:.{digits}f} in {k}" for k, v in least.items() if not math.isnan(v)):
        yield f"With 80 % power it detects differences, in points, of {said}."
    alike = [column.name for column in tested if not column.task.pairs.better.any()]
    if alike:
        yield f"In {_and(alike)} no two methods can be told apart."
    # Others than the best can differ there.
    if best := [c.name for c in tested if not c.task.pairs.better[0].any() and c.name not in alike]:
        yield f"In {_and(best)} no method can be told apart from the best, so none is marked."
    if untested := [column.name for column in columns if column not in tested]:
        yield f"Not tested, with fewer than {FEWEST} seeds or two methods in common: {', '.join(untested)}."


def _and(names: Sequence[str]) -> str:
    """For a sentence: a, a and b, or a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _exceptions(made: ByTask) -> Iterator[str]:
    """Cells whose runs are not all ok, in words."""
    for (name, place), cell in made.cells.items():
        if "," in cell.runs:
            yield f"{name}, {made.columns[place].name}: n = {cell.runs}."


def _markdown(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    first, *rest = cell.text.split(" ", 1)
    first = f"<ins>{first}</ins>" if cell.first else first
    return " ".join([f"**{first}**" if cell.best else first, *rest])


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return "–  "
    return cell.text + (BEST * cell.best + FIRST * cell.first).ljust(2)


def _latex(suite: str, made: ByTask, choice: Choice, made_by: str) -> str:
    lines = list[str]()
    if made.methods:
        grid, says = _grid(made), caption(suite, made, "Bold", "underlined")
        lines = layout.floats(grid, says, f"tab:{slug(suite, NAME)}", note(made), choice.columns)
    return "\n".join([*comments_of(made_by, lines), *layout.flushed(lines), ""])


def _grid(made: ByTask) -> layout.Grid:
    columns = [layout.Column(["method"], made.methods, key=True)]
    for place, column in enumerate(made.columns):
        cells = [made.cells.get((name, place)) for name in made.methods]
        texts = ["–" if cell is None else cell.text for cell in cells]
        columns.append(layout.Column(_broken(column.heads), texts, [*map(_cell, cells)]))
    return layout.Grid(columns, [name not in made.ranked for name in made.methods])


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return number("–")
    first, *rest = number(cell.text).split(" ", 1)
    first = rf"\underline{{{first}}}" if cell.first else first
    return " ".join([rf"\textbf{{{first}}}" if cell.best else first, *rest])


def _broken(heads: Sequence[str]) -> list[str]:
    """The lines of a heading; a wide one is broken behind a comma, and no value is parted from its name."""
    # "T = 2" is not broken: a blank that textwrap does not know stands in it.
    loose = [head.replace(" = ", "\u00a0=\u00a0") for head in heads]
    broken = [textwrap.wrap(of, WIDE, break_long_words=False, break_on_hyphens=False) for of in loose]
    return [
        line for head, of in zip(heads, broken, strict=True) for line in (of if len(head) > WIDE else [head])
    ]
