"""The page on which surrogate to take, made from the table of widths in a results folder, or its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.report.grid import Cell, Grid, number
from bench.report.page import FOLDER, environment, save
from bench.tables import advice, widths
from bench.tables.library_arguments import ARGUMENTS
from bench.tables.results import Results

FILE = "choosing.html"
WORDS = frozenset(("shape", "setting", "behind", "measured by"))


def write(results: Path, index: str, suites: Iterable[Results]) -> Path | None:
    """Write the page, and return the file; None, and no old page, if no shape has a width in all settings.

    results: the results folder. index: the name of the page that links to this one. suites: what the table of
    widths is made from where the folder has none.

    Raises BenchError if the table is damaged, or the page cannot be written or removed.
    """
    table, file = results / "leaderboards" / "widths.csv", results / "reports" / FILE
    found = widths.read(table) if table.is_file() else _of_records([*suites])
    ranked = widths.by_loss(found)
    if ranked.empty:
        try:
            file.unlink(missing_ok=True)
        except OSError as problem:
            raise BenchError(f"{file} cannot be removed: {problem.strerror or problem}") from None
        return None
    text = (
        environment()
        .get_template("choosing.html.jinja")
        .render(
            index=index,
            take=advice.take(ranked, 1.0),
            behind=advice.behind(ranked, found),
            arguments=[(library, _argument(advice.argument(library, ranked, 1.0))) for library in ARGUMENTS],
            grids=[_over_all(ranked), _elsewhere(ranked, found)],
            settings=_settings(found),
            style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        )
    )
    save(file, text)
    return file


def _of_records(suites: Sequence[Results]) -> pd.DataFrame:
    runs = [dict(record) for each in suites for record in each.records]
    return widths.widths(runs, [dict(record) for each in suites for record in each.trials])


def _argument(text: str) -> dict[str, str]:
    """The call, if there is one, and what is said about it."""
    call, _, said = text.partition("  ")
    return {"call": call, "said": said} if "(" in call else {"call": "", "said": text}


def _over_all(ranked: pd.DataFrame) -> Grid:
    heads = ("shape", "width / threshold", "behind the best, mean", "at most")
    forms = {"width": ".3g", "mean": ".1f", "worst": ".1f"}
    lines = [
        [Cell(str(row["method"])), *(Cell(f"{row[name]:{form}}") for name, form in forms.items())]
        for row in ranked.to_dict("records")
    ]
    return Grid("over-all", "All settings together, by validation accuracy", heads, lines, WORDS)


def _elsewhere(ranked: pd.DataFrame, found: pd.DataFrame) -> Grid:
    """What the shape and width to take lose in each setting."""
    method, width = str(ranked.iloc[0]["method"]), float(ranked.iloc[0]["width"])
    heads = ("setting", "spiking layers", "width / threshold", "behind", "seeds", "measured by")
    lines = []
    for name, rows in found.groupby("setting", sort=False):
        taken = widths.at(rows, method, width)
        if taken is not None:
            lines.append(
                [
                    Cell(str(name)),
                    number(int(taken["layers"])),
                    Cell(f"{taken['width']:.3g}"),
                    Cell(_behind(taken)),
                    number(int(taken["n"])),
                    Cell(str(taken["measure"])),
                ]
            )
    return Grid(
        "elsewhere",
        f"What {method} at {width:g} loses in each setting, by test accuracy where there is one",
        heads,
        lines,
        WORDS,
    )


def _settings(found: pd.DataFrame) -> list[Grid]:
    heads = ("shape", "width / threshold", "accuracy, %", "behind", "seeds")
    grids = []
    for place, (name, rows) in enumerate(found.groupby("setting", sort=False)):
        lines = [
            [
                Cell(str(row["method"])),
                Cell(f"{row['width']:.3g}"),
                number(row["accuracy"], ".1f"),
                Cell(_behind(row)),
                number(int(row["n"])),
            ]
            for row in rows.sort_values("loss").to_dict("records")
        ]
        caption = f"{name}, by {rows.iloc[0]['measure']}"
        grids.append(Grid(f"setting-{place}", caption, heads, lines, WORDS))
    return grids


def _behind(row: Mapping[Any, Any] | pd.Series) -> str:
    low, high = row["loss_ci_low"], row["loss_ci_high"]
    return f"{row['loss'] + 0.0:.1f}" + ("" if pd.isna(low) else f" [{low:.1f}, {high:.1f}]")
