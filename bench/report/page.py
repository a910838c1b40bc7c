"""The page of a report: one HTML file that makes no network requests, written atomically."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import write_atomic
from bench.records.store import Store
from bench.report.contents import DEFAULT_COLUMNS, HEADS, HIGHER, WORDS, Contents, contents
from bench.show.drawing_packages import need
from bench.suite import Suite
from bench.tables.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent


def file_of(store: Store, baseline: str = "") -> Path:
    """The file of a suite's report, or of one with another baseline than the suite's."""
    against = f"-against-{re.sub(r'[^A-Za-z0-9.=_-]+', '-', baseline)}" if baseline else ""
    return store.results / "reports" / f"{store.suite}{against}.html"


def write(suite: Suite, store: Store, results: Results) -> Path:
    """Write the report of a suite, and return the file.

    results: from the folder of `store`; their baseline can be another than the suite's.

    Raises BenchError if a package is missing, or the file cannot be written.
    """
    need("the report", ["jinja2", "altair", "vl_convert"])
    file = file_of(store, results.baseline if results.baseline != suite.baseline else "")
    text = html(contents(suite.model_copy(update={"baseline": results.baseline}), store, results))
    save(file, text)
    return file


def save(file: Path, text: str) -> None:
    """Write a page. Raises BenchError if it cannot be written."""
    try:
        write_atomic(file, text.encode("utf-8", "backslashreplace"))
    except OSError as problem:
        raise BenchError(f"{file} cannot be written: {problem.strerror or problem}") from None


def html(shown: Contents) -> str:
    """The page as HTML. Every name and error in it is escaped text, never code or markup."""
    # Imported here: a machine that writes no reports need not have these packages.
    from bench.report import figures
    from bench.report.bundle import vega

    scripts = {"vega": vega(), "script": (FOLDER / "page.js").read_text(encoding="utf-8")}
    page: str = (
        environment()
        .get_template("page.html.jinja")
        .render(
            shown=shown,
            heads=HEADS,
            words=WORDS,
            higher=HIGHER,
            default_columns=DEFAULT_COLUMNS,
            differences=[
                block
                for block, task in zip(shown.blocks, shown.data["tasks"], strict=True)
                if task["differences"]
            ],
            style=(FOLDER / "page.css").read_text(encoding="utf-8"),
            data=_json({**shown.data, "figures": figures.all_figures(shown.suite.baseline)}),
            sweeps=any(entry.other for block in shown.blocks for entry in block.task.entries),
            hashes=" ".join(_hash(script) for script in scripts.values()),
            kinds=_values(shown, "kind"),
            fidelities=_values(shown, "fidelity"),
            datasets=list(dict.fromkeys(block.task.dataset for block in shown.blocks)),
            **scripts,
        )
    )
    return page


def environment() -> Environment:
    """The templates of this folder. Every value that they insert is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["kept"] = _kept
    return made


def _kept(text: str) -> str:
    """The text with "80 %" and "T = 2" each on one line."""
    return re.sub(r"(?<=\d) (?=%)|(?<=\bT) (?== )|(?<=\bT =) ", "\u00a0", text)


def _json(data: Any) -> str:
    """JSON to embed in a page: no text in it can end the surrounding element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    """The script's hash: the page's content security policy allows only scripts with a listed hash."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _values(shown: Contents, column: str) -> list[str]:
    return sorted({entry.line[column] for block in shown.blocks for entry in block.task.entries})
