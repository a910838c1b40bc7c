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
from bench.report import suite_figures
from bench.suite import shipped_suites
from bench.tables.results import OF_TUNING, Results
from bench.tables.text import by_task, formats, render_tables
from bench.tables.text.captions import ABOUT
from bench.tables.text.choice import EVERYTHING, Choice
from bench.tables.text.latex_text import escape

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "bench"))

from written_records import FAIR, GOOD, POOR, runs, variation  # noqa: E402

SUITE = "quick"
TUNED = "fair-small"
SUITES = [s.name for s in shipped_suites() if (ROOT / "results" / "runs" / s.name).is_dir()]
WHICH = ("accuracy", *render_tables.SHOWN)
UNFIT = re.compile(
    r"Overfull \\[hv]box.*|.*Float too large.*|.*Warning: (?:Reference|There were undefined).*|.*multiply.*"
)
"""What a log says of text that does not fit, or refers to nothing."""
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
RECIPE = {"optimizer": "adamw", "schedule": "one-cycle", "weight_decay": 0.0, "augment": "standard"}
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
        packages = sorted({*re.findall(r"^% Needs (\\usepackage\{[a-z,]+\})$", latex, re.M)})
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
        shutil.copytree(ROOT / "results" / what, folder / what)
    return folder


def suite_of(which):
    return TUNED if which in OF_TUNING else SUITE


def shipped(which):
    return pd.read_csv(shipped_leaderboard(suite_of(which)) / f"{which}.csv")


def pasted(which, results, suite=None, columns=None):
    suite = suite or suite_of(which)
    found = api.read_results(*api.stored(suite, results), save=False)
    return api.paste(found, suite, "latex", which, results=results, choice=Choice(columns=columns))


@pytest.mark.parametrize(
    ("options", "columns"),
    [("", None), ("twocolumn", None), ("twocolumn", "single"), ("twocolumn", "double")],
)
@pytest.mark.parametrize("suite", SUITES)
def test_all_tables_of_a_suite_fit_documents_of_one_and_of_two_columns(
    typeset, results, suite, options, columns
):
    found = api.read_results(*api.stored(suite, results), save=False)
    every = [which for which in (*WHICH, by_task.NAME) if which not in OF_TUNING or found.trials]
    made = [pasted(which, results, suite, columns) for which in every]
    page, log = typeset("\n\\clearpage\n".join(made), options)
    assert not UNFIT.findall(log)
    assert r"\tiny" not in "".join(made) and "resizebox" not in "".join(made)
    # The font has no underscore: LaTeX draws a line, which is no text.
    drawn, methods = re.sub(r"[\s_]", "", page), {*found.table("accuracy")["method"]}
    assert [method for method in methods if method.replace("_", "") not in drawn] == []


@pytest.mark.parametrize("which", [name for name in WHICH if name != "published"])
@pytest.mark.parametrize("options", ["", "twocolumn"])
def test_a_shipped_table_fits_the_line_and_its_numbers_are_on_the_page(typeset, results, which, options):
    page, log = typeset(pasted(which, results), options)
    assert not UNFIT.findall(log)
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
            # Each task has as many digits as its largest number needs.
            assert any(f"{memory:.{digits}f}" in page for digits in (2, 3))


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


@pytest.mark.parametrize(("suite", "width"), [("quick", "single"), ("quick", "double")])
def test_a_figure_and_its_caption_fit_a_page(typeset, results, tmp_path, capsys, suite, width):
    store, asked = api.stored(suite, results)
    found = api.read_results(store, asked, save=False)
    for which in ("accuracy", "gradients"):
        file, room = tmp_path / f"{which}.pdf", suite_figures.WIDTHS[width]
        caption = escape(suite_figures.save(which, store, found, file, EVERYTHING, room))
        kind = {"single": "figure", "double": "figure*"}[width]
        included = rf"\includegraphics[width=\linewidth]{{{which}.pdf}}\caption{{{caption}}}"
        latex = rf"\begin{{{kind}}}{included}\end{{{kind}}}"
        _, log = typeset(f"% Needs \\usepackage{{graphicx}}\n{latex}", "twocolumn")
        assert not UNFIT.findall(log) and "pt high" not in capsys.readouterr().err


def test_a_figure_too_high_for_a_page_with_its_caption_is_a_warning(results, tmp_path, capsys):
    store, asked = api.stored("weight-decay", results)
    found = api.read_results(store, asked, save=False)
    suite_figures.save("gradients", store, found, tmp_path / "a.pdf", EVERYTHING)
    # Lower than 510 points: only the caption makes it too high.
    assert " pt high, more than most pages hold with its caption" in capsys.readouterr().err


def test_a_table_without_rows_compiles(typeset, results):
    typeset(pasted("published", results) + r"\mbox{}")


def hostile(names, task=("digits", "convnet", 4)):
    records = [*runs("rectangle", GOOD, task=task)]
    for record in records:
        record["cell"]["method"]["params"] = {"width": 1.0, "height": None}
    for i, name in enumerate(names):
        records += runs(name, (FAIR, POOR, (*POOR[:3], "failed", "oom"))[i % 3], task=task)
    for record in records:
        record["error"] = record["error"] and f"{record['error']}: {HOSTILE[0]} at {'x/' * 60}"
        if record["status"] == "ok":
            gradients = {"available_fraction": 0.25, "descent_gain_1e-2": 1.25e-9, "vanishing_slope": -0.5}
            costs = {"energy_uj": 0.5, "spikes_per_sample": 123456.0, "train_seconds": 2.0}
            record["metrics"] |= gradients | costs | {"anytime_accuracy": [50.0] * task[2]}
    return records


def paste(which, records, suite="mine", choice=EVERYTHING, trials=()):
    command = ["spikegrad", "leaderboard", f"a b\n{HOSTILE[0]}.toml"]
    results = Results(records, trials=trials)
    return formats.to_paste("latex", which, results, suite=suite, command=command, choice=choice)


@pytest.mark.parametrize("options", ["", "twocolumn"])
@pytest.mark.parametrize("which", [*WHICH, by_task.NAME])
def test_hostile_names_compile_and_the_numbers_are_there(typeset, which, options):
    records, trials = hostile(HOSTILE, PAPER_TASK), []
    if which in OF_TUNING:
        records, over = [], ("recipe.learning_rate", "width")
        for name in HOSTILE:
            records += variation(name, FAIR, by="", task=PAPER_TASK)
            records += variation(name, GOOD, by="tuned", over=over, task=PAPER_TASK, width=0.5)
            trials += variation(
                name, FAIR[:2], by="tuning", over=over, first=1000, task=PAPER_TASK, width=0.5
            )
        for record in records:
            record["cell"]["recipe"] |= RECIPE
    page, log = typeset(paste(which, records, suite=HOSTILE[0], trials=trials), options)
    assert not UNFIT.findall(log)
    expected = {
        "accuracy": ["98.32 ± 0.48", "97.46 ± 0.38", "91.66 ± 1.44"],
        "pairs": ["0.86", "<0.001", "6.66"],
        "overall": ["98.30", "97.43"],
        "gradients": ["0.25", "1.25×10-9", "-0.5"],
        "cost": ["0.5 ± 0", "123,456 ± 0"],
        "anytime": ["50.00 ± 0.00"],
        "latency": ["AMD EPYC, 1 thread"],
        "runs": ["98.60", "failed", "oom"],
        "published": ["width=1", "92.68", "98.32 ± 0.48", "+5.64", "unknown", "secondary"],
        "tuning": ["97.50", "width", "0.5", "yes"],
        "tuned": ["97.50", "98.32", "width", "0.5"],
        "tasks": ["98.32 ± 0.48", "97.46 ± 0.38", "91.66 ± 1.44"],
    }
    flat = " ".join(page.split())
    for number in expected[which]:
        assert number in flat
    if which != "published":
        assert "[U+" in flat and "script" in flat


@pytest.mark.parametrize("columns", ["single", "double"])
@pytest.mark.parametrize("which", ["accuracy", by_task.NAME])
def test_a_choice_of_hostile_names_with_fewer_digits(typeset, which, columns):
    choice = Choice(methods=[HOSTILE[0], HOSTILE[2], HOSTILE[-2]], digits=1, columns=columns)
    page, log = typeset(paste(which, hostile(HOSTILE), HOSTILE[0], choice), "twocolumn")
    assert not UNFIT.findall(log)
    flat = " ".join(page.split())
    assert "97.5 ± 0.4" in flat and "97.46" not in flat and "98.3 ±" not in flat
    assert "mpd|agl" in flat and "[red]" not in flat
    if which == "accuracy":
        assert re.search(r" 0\.\d{3} ", flat) and "p: of the same family" in flat


@pytest.mark.parametrize("options", ["", "twocolumn"])
@pytest.mark.parametrize("which", ["accuracy", "runs", "anytime"])
def test_many_rows_go_over_several_pages_and_stay_on_the_line(typeset, which, options):
    names = [f"family/{i:03}-of-many" for i in range(100)]
    latex = paste(which, hostile(names))
    page, log = typeset(latex, options)
    assert "longtable" not in latex and not UNFIT.findall(log)
    assert page.count("\f") >= 2
    assert "Table 1, continued." in page
    assert all(name in page for name in names)
