"""Every table typeset by LaTeX and read back from the page: `tox run -e latex`."""

import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from bench import api
from bench.paths import shipped_leaderboard
from bench.tables.results import Results
from bench.tables.text import formats, render_tables
from bench.tables.text.captions import ABOUT
from bench.tables.text.choice import Choice
from bench.tables.text.latex import LONG

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from written_records import FAIR, GOOD, POOR, runs  # noqa: E402

SUITE = "quick"
WHICH = ("accuracy", *render_tables.SHOWN)
PROGRAMS = {"pdflatex": "texlive-latex-recommended", "pdftotext": "poppler-utils"}
HOSTILE = [
    r"a_b%c$d{e}~^\#&",
    "<script>",
    "mpd|agl, κ",
    "🙂 and 👩‍🔬",
    "שלום عليكم",
    "long" * 50,
    "long words " * 18,
    "[red]",
    "*",
    "ΑΩ σς Δ ± × é ñ ß ł ī đ ﬁ ¿? ``'' -- --- \\end{tabular} \\\\ % \u202e",
    "²₃ “a” «b» … – — ` ´ ~ ^ |",
]
PAPER_TASK = ("cifar10", "resnet19", 2)


@pytest.fixture(scope="session", autouse=True)
def _programs():
    """A missing program is a failure: who asks for these tests wants to know."""
    missing = [
        f"{name} (on Debian: apt install {p})" for name, p in PROGRAMS.items() if not shutil.which(name)
    ]
    if missing:
        pytest.exit(f"the tests of LaTeX tables need {' and '.join(missing)}", returncode=1)


@pytest.fixture
def typeset(tmp_path):
    """typeset(latex, options) -> the text of the pages, and the log."""

    def make(latex, options=""):
        # Only what the comment says that is needed.
        packages = re.findall(r"^% Needs (\\usepackage\{[a-z,]+\})$", latex, re.M)
        body = [rf"\documentclass[{options}]{{article}}", *packages, r"\begin{document}", latex]
        (tmp_path / "page.tex").write_text("\n".join([*body, r"\end{document}"]), encoding="ascii")
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "page.tex"]
        for _ in range(2):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120)
            log = done.stdout.decode("latin-1")
            assert done.returncode == 0, log[-3000:]
        text = subprocess.run(
            ["pdftotext", "-layout", "page.pdf", "-"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return unicodedata.normalize("NFKC", text.stdout.decode()).replace("−", "-"), log

    return make


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A copy of the shipped records."""
    folder = tmp_path_factory.mktemp("results")
    for what in ("runs", "latency"):
        shutil.copytree(ROOT / "results" / what / SUITE, folder / what / SUITE)
    return folder


def shipped(which):
    return pd.read_csv(shipped_leaderboard(SUITE) / f"{which}.csv")


def pasted(which, results):
    found = api.read_results(*api.stored(SUITE, results))
    return api.paste(found, SUITE, "latex", which, results=results)


@pytest.mark.parametrize("which", [name for name in WHICH if name != "published"])
@pytest.mark.parametrize("options", ["", "twocolumn"])
def test_a_shipped_table_fits_the_line_and_its_numbers_are_on_the_page(typeset, results, which, options):
    page, log = typeset(pasted(which, results), options)
    assert "Overfull" not in log and "Warning: Reference" not in log
    assert " ".join(ABOUT[which].split()[:3]) in " ".join(page.split())
    table = shipped(which)
    for method in set(table["method"]):
        assert page.count(method) >= table["method"].eq(method).sum()
    if which == "accuracy":
        for line in table.to_dict("records"):
            half = (line["test_accuracy_images_ci_high"] - line["test_accuracy_images_ci_low"]) / 2
            numbers = f"{line['test_accuracy_mean']:.2f} ± {half:.2f}"
            assert re.search(rf"{line['method']}\b.*{re.escape(numbers)} +{line['n_seeds']}\b", page)
        for low in table["delta_ci_low"].dropna():
            assert f"[{round(low, 2) + 0:+.2f}, " in page
    if which == "runs":
        for line in table.to_dict("records"):
            assert re.search(
                rf"{line['method']} +{line['seed']} .*{line['test_accuracy']:.2f} .*{line['id']}", page
            )
    if which == "latency":
        for memory in table["peak_memory_mb"]:
            assert f"{memory:.2f}" in page


@pytest.mark.parametrize("columns", ["single", "double"])
@pytest.mark.parametrize("suite", ["quick", "weight-decay"])
def test_methods_by_tasks_fit_a_two_column_page(typeset, suite, columns):
    results = ROOT / "results"
    found = api.read_results(*api.stored(suite, results), save=False)
    latex = api.paste(found, suite, "latex", "tasks", results=results, choice=Choice(columns=columns))
    page, log = typeset(latex, "twocolumn")
    assert r"\usepackage{booktabs}" in latex and "Overfull" not in log
    for line in pd.read_csv(shipped_leaderboard(suite) / "accuracy.csv").to_dict("records"):
        half = (line["test_accuracy_images_ci_high"] - line["test_accuracy_images_ci_low"]) / 2
        assert f"{line['test_accuracy_mean']:.2f} ± {half:.2f}" in page


def test_a_table_without_rows_compiles(typeset, results):
    typeset(pasted("published", results) + r"\mbox{}")


def hostile(names, task=("digits", "convnet", 4)):
    records = [*runs("rectangle", GOOD, task=task)]
    for i, name in enumerate(names):
        records += runs(name, (FAIR, POOR, (*POOR[:3], "failed", "oom"))[i % 3], task=task)
    for record in records:
        record["error"] = record["error"] and f"{record['error']}: {HOSTILE[0]} at {'x/' * 60}"
        if record["status"] == "ok":
            gradients = {"available_fraction": 0.25, "descent_gain_1e-2": 1.25e-9, "vanishing_slope": -0.5}
            costs = {"energy_uj": 0.5, "spikes_per_sample": 123456.0, "train_seconds": 2.0}
            record["metrics"] |= gradients | costs | {"anytime_accuracy": [50.0] * task[2]}
    return records


def paste(which, records, suite="mine"):
    command = ["spikegrad", "leaderboard", f"a b\n{HOSTILE[0]}.toml"]
    return formats.to_paste("latex", which, Results(records), suite=suite, command=command)


@pytest.mark.parametrize("which", WHICH)
def test_hostile_names_compile_and_the_numbers_are_there(typeset, which):
    records = hostile(HOSTILE, PAPER_TASK)
    page, log = typeset(paste(which, records, suite=HOSTILE[0]))
    # A word that cannot be broken may stand out a little, over no other column.
    assert all(float(points) < 4 for points in re.findall(r"Overfull \\hbox \((.*?)pt", log))
    expected = {
        "accuracy": ["98.32 ± 0.48", "97.46 ± 0.38", "91.66 ± 1.44"],
        "overall": ["98.30", "97.43"],
        "gradients": ["0.25", "1.25×10-9", "-0.5"],
        "cost": ["0.5 ± 0", "123,456 ± 0"],
        "anytime": ["50.00 ± 0.00"],
        "latency": ["AMD EPYC, 1 thread"],
        "runs": ["98.60", "failed", "oom"],
        "published": ["92.68", "98.32 ± 0.48", "+5.64", "unknown", "secondary"],
    }
    flat = " ".join(page.split())
    for number in expected[which]:
        assert number in flat
    if which != "published":
        assert "[U+" in flat and "script" in flat


@pytest.mark.parametrize("which", ["accuracy", "runs", "anytime"])
def test_many_rows_go_over_several_pages_and_stay_on_the_line(typeset, which):
    names = [f"family/{i:03}-of-many" for i in range(LONG * 3)]
    latex = paste(which, hostile(names))
    page, log = typeset(latex)
    assert r"\begin{longtable}" in latex and "Overfull" not in log
    assert page.count("\f") >= 2
    assert "continued on the next page" in page
    assert all(name in page for name in names)
