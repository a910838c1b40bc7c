"""One page over the suites of a results folder: what each found, with a link to its report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from bench.errors import counted
from bench.records.store import Store
from bench.report import choosing
from bench.report.findings import findings
from bench.report.page import FOLDER, environment, file_of, save
from bench.report.provenance import between
from bench.report.tasks import page_tasks
from bench.tables.results import Results

FILE = "index.html"


class Line(NamedTuple):
    """A suite on the page. link: its report's file, beside the page; "" if there is none."""

    suite: str
    link: str
    found: str
    counts: str
    days: str


def write(results: Path, found: Iterable[tuple[Store, Results]]) -> Path:
    """Write the page of these suites, and return the file. results: the folder that they are in.

    With a table of widths in the folder, or sweeps of them in the suites, the page `choosing.FILE` is written
    too, with a link to it.

    Raises BenchError if a file cannot be written, or that table is damaged.
    """
    suites = [*found]
    beside = choosing.write(results, FILE, [each for _, each in suites])
    file = results / "reports" / FILE
    lines = [_line(store, each) for store, each in suites]
    text = (
        environment()
        .get_template("index.html.jinja")
        .render(
            lines=lines,
            choosing=beside.name if beside else "",
            style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        )
    )
    save(file, text)
    return file


def _line(store: Store, results: Results) -> Line:
    tasks = page_tasks(results.table("accuracy"))
    said = findings(tasks, {row.key: row for row in results.rows}, results.baseline)
    report = file_of(store)
    return Line(
        store.suite,
        quote(report.name) if report.is_file() else "",
        " ".join(said),
        f"{counted(len(tasks), 'task')} · {counted(len(results.records), 'training')}",
        between(results.records),
    )
