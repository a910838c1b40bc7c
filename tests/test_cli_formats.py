"""`spikegrad leaderboard --format`: what a user types, and what comes out to be pasted."""

import shutil
from pathlib import Path

import pytest

from bench import api
from bench.errors import BenchError
from bench.tables import diff

ROOT = Path(__file__).resolve().parents[1]
QUICK = ROOT / "results" / "leaderboards" / "quick" / "accuracy.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the records of the quick suite as its own results."""
    made = tmp_path_factory.mktemp("formats")
    for what in ("runs", "latency"):
        shutil.copytree(ROOT / "results" / what / "quick", made / "results" / "local" / what / "quick")
    return made


def test_latex_is_a_fragment_with_a_table_for_each_task(folder, spikegrad):
    done = spikegrad("leaderboard", "quick", "--format", "latex", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    made_by, needs, *_ = done.stdout.splitlines()
    assert made_by == "% Made by: spikegrad leaderboard quick --table accuracy --format latex"
    assert needs == r"% Needs \usepackage{booktabs}"
    table = diff.read(QUICK)
    assert done.stdout.count(r"\begin{table") == table["dataset"].nunique()
    for dataset in set(table["dataset"]):
        assert rf"\label{{tab:quick-{dataset}}}" in done.stdout
    best = table[table["rank"] == 1].iloc[0]
    half = (best["test_accuracy_images_ci_high"] - best["test_accuracy_images_ci_low"]) / 2
    mean = rf"\textbf{{{best['test_accuracy_mean']:.2f}}} $\pm$ {half:.2f}"
    assert f"{best['method']} & gradient & paper & {mean} & 5 & " in done.stdout
    assert f"a true difference of {best['detectable']:.2f} percentage points or more" in done.stdout
    assert done.stdout.isascii()


def test_markdown_has_a_caption_and_bold(folder, spikegrad):
    done = spikegrad("leaderboard", "quick", "--format", "markdown", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    title, _, caption, _, heads, _, best, *rest = done.stdout.splitlines()
    note = next(line for line in rest if line.startswith("±: "))
    assert title == "### digits · resnet19 · T = 2 · backbone.width=0.0625"
    assert caption.startswith("Test accuracy, suite quick: digits, resnet19, T = 2, backbone.width=0.0625.")
    assert "Bold: the methods" in caption and len(caption) < 250
    assert "4 epochs, AdamW" in note and "does not prove that they are equal" in note
    assert heads.startswith("| rank | method |") and "| Δ to baseline | p |" in heads
    row = diff.read(QUICK).iloc[0]
    assert (
        f"| {row['method']} | {row['kind']} |" in best and f"**{row['test_accuracy_mean']:.2f}** ± " in best
    )


def test_a_suite_that_nobody_published_on_says_so(folder, spikegrad):
    done = spikegrad("leaderboard", "quick", "--table", "published", cwd=folder)
    assert done.returncode == 0
    assert done.stdout == "No published number is known for a task of this suite.\n"
    header = spikegrad("leaderboard", "quick", "--table", "published", "--format", "csv", cwd=folder)
    assert (
        header.stdout.startswith("dataset,backbone,timesteps,method,variant,")
        and header.stdout.count("\n") == 1
    )
    latex = spikegrad("leaderboard", "quick", "--table", "published", "--format", "latex", cwd=folder)
    assert latex.stdout.splitlines()[1:] == ["% The table has no rows."]


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex"])
def test_json_and_a_format_are_refused_together(folder, spikegrad, form):
    done = spikegrad("leaderboard", "quick", "--json", "--format", form, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --json and --format {form} are two forms of one table: give one of them\n"


def test_any_baseline_and_several(folder, spikegrad):
    before = {f.name: f.read_bytes() for f in folder.glob("results/local/leaderboards/quick/*")}
    asked = ["--baseline", "arctan", "--baseline", "rectangle:4"]
    shown = spikegrad("leaderboard", "quick", *asked, cwd=folder)
    assert (shown.returncode, shown.stderr) == (0, "")
    first, second = shown.stdout.split("baseline: rectangle:4\n")
    assert first.startswith("baseline: arctan\n") and second.count("rectangle") == first.count("rectangle")
    pasted = spikegrad("leaderboard", "quick", *asked, "--format", "markdown", cwd=folder).stdout
    assert pasted.count("Δ: difference to arctan in") == pasted.count("Δ: difference to rectangle:4 in")
    # It is looked at, and not kept.
    assert before == {f.name: f.read_bytes() for f in folder.glob("results/local/leaderboards/quick/*")}


@pytest.mark.parametrize("form", [[], ["--format", "latex"], ["--json"]])
def test_a_baseline_without_a_row_is_refused(folder, spikegrad, form):
    done = spikegrad("leaderboard", "quick", "--baseline", "rectangle:3", *form, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --baseline: no row rectangle:3 to compare with; there are ")
    assert "rectangle:4" in done.stderr
    report = spikegrad("report", "quick", "--baseline", "rectangl", cwd=folder)
    assert (report.returncode, report.stdout) == (2, "")
    assert "no row rectangl to compare with; there are rectangle, " in report.stderr


def test_a_report_against_another_baseline_is_a_file_of_its_own(folder, spikegrad):
    done = spikegrad("report", "quick", "--baseline", "rectangle:4", cwd=folder)
    (file,) = (folder / "results/local/reports").iterdir()
    assert (done.returncode, file.name) == (0, "quick-against-rectangle-4.html")
    assert "Δ to baseline" in file.read_text(encoding="utf-8")
    file.unlink()


@pytest.mark.parametrize("form", [["--format", "csv"], ["--json"]])
def test_one_table_has_one_baseline(folder, spikegrad, form):
    asked = ["--baseline", "arctan", "--baseline", "triangle"]
    done = spikegrad("leaderboard", "quick", *asked, *form, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --baseline arctan --baseline triangle: ")
    assert "--table pairs" in done.stderr


def test_the_command_in_the_comment_names_the_results_that_were_given(folder):
    results = folder / "results/local"
    found = api.read_results(*api.stored("quick", results), save=False)
    made = api.paste(found, "quick", "latex", "cost", results=results)
    assert made.splitlines()[0].endswith("results/local --table cost --format latex")


def test_without_records_there_is_no_table(tmp_path):
    with pytest.raises(BenchError, match="no records of the suite quick"):
        api.leaderboard("quick", results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_of_published_numbers_is_named(tmp_path, monkeypatch):
    broken = tmp_path / "accuracy.csv"
    broken.write_text("method\n")
    monkeypatch.setattr("bench.tables.published.published_accuracies", lambda: broken)
    shutil.copytree(ROOT / "results" / "runs" / "quick", tmp_path / "runs" / "quick")
    with pytest.raises(BenchError, match="its columns are method"):
        api.leaderboard("quick", results=tmp_path)
    assert not (tmp_path / "leaderboards").exists()
