"""`spikegrad figure`: what a user types, and the files that a paper includes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ("accuracy", "differences", "curves", "gradients", "pareto")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    for what in ("runs", "latency"):
        shutil.copytree(ROOT / "results" / what / "quick", folder / what / "quick")
    for suite in ("weight-decay", "scale-and-depth"):
        (folder / "runs" / suite).symlink_to(ROOT / "results" / "runs" / suite)
    return folder


def texts_of(file):
    return re.findall(r"<text[^>]*>([^<]+)</text>", file.read_text(encoding="utf-8"))


def points(file):
    """Width and height of the page of a .pdf."""
    box = re.search(rb"/MediaBox *\[ *0 0 ([\d.]+) ([\d.]+)", file.read_bytes())
    return float(box[1]), float(box[2])


@pytest.fixture(scope="module")
def found(results):
    """By suite: its store and results."""
    from bench import api

    stored = {suite: api.stored(suite, results) for suite in ("quick", "weight-decay", "scale-and-depth")}
    return {suite: (of[0], api.read_results(*of, save=False)) for suite, of in stored.items()}


@pytest.mark.parametrize(
    ("suite", "which", "width"),
    [
        *(("quick", which, 3.17) for which in FIGURES),
        *(("scale-and-depth", which, 6.48) for which in FIGURES),
        *(("scale-and-depth", which, 3.17) for which in ("accuracy", "gradients")),
        *(("weight-decay", which, 3.17) for which in ("differences", "gradients")),
        ("quick", "accuracy", 5.0),
    ],
)
def test_a_figure_is_no_wider_than_asked_and_no_higher_than_a_page(
    found, tmp_path, capsys, suite, which, width
):
    from bench.report import suite_figures
    from bench.tables.text.choice import EVERYTHING

    caption = suite_figures.save(which, *found[suite], tmp_path / "a.pdf", EVERYTHING, width)
    wide, high = points(tmp_path / "a.pdf")
    assert width * 72 * 0.93 < wide <= width * 72
    # A page of 550 points, without a caption in letters of 4.5 points and lines of 12.
    room = 540 - 12 * -(-len(caption) * 4.5 // (width * 72))
    assert high <= room or "pt high" in capsys.readouterr().err


def test_panels_above_each_other_number_the_same_layers_once(found, tmp_path):
    from bench.report import suite_figures
    from bench.tables.text.choice import EVERYTHING

    # Six tasks of one network, which else would be higher than any page.
    suite_figures.save("gradients", *found["weight-decay"], tmp_path / "a.pdf", EVERYTHING)
    assert points(tmp_path / "a.pdf")[1] <= 510


def test_a_figure_higher_than_a_page_is_a_warning_that_says_what_to_do(found, tmp_path, capsys, monkeypatch):
    from bench.report import suite_figures
    from bench.tables.text.choice import EVERYTHING

    monkeypatch.setattr(suite_figures, "PAGE", 150)
    suite_figures.save("accuracy", *found["quick"], tmp_path / "a.pdf", EVERYTHING)
    (line,) = capsys.readouterr().err.splitlines()
    high = round(points(tmp_path / "a.pdf")[1])
    assert line.startswith(f"warning: {tmp_path / 'a.pdf'} is ") and re.search(r"is (\d+) pt high", line)
    assert abs(int(re.search(r"is (\d+) pt", line)[1]) - high) <= 1
    assert re.search(r"more than most pages hold with its caption \((\d+) pt\)", line)[1]
    assert "--width double, --datasets or --methods" in line


def test_panels_have_the_order_and_letters_of_the_table_of_tasks(spikegrad, results, found, tmp_path):
    from bench.tables.text import by_task
    from bench.tables.text.choice import EVERYTHING

    file = tmp_path / "a.svg"
    done = spikegrad("figure", "weight-decay", "curves", "--results", results, "--figure", file, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, f"wrote {file}\n")
    heads = [text for text in texts_of(file) if re.match(r"\([a-z]\) ", text)]
    columns = by_task.table(found["weight-decay"][1], EVERYTHING).columns
    assert heads == [column.heads[0] for column in columns] and heads[0] == "(a) digits"
    subtitles = re.findall(r">(decayed=\w+)<", file.read_text(encoding="utf-8"))
    assert subtitles == [column.heads[-1] for column in columns]


def test_a_heading_of_the_table_is_not_broken_behind_an_equals_sign(found):
    from bench.tables.text import formats

    latex = formats.to_paste("latex", "tasks", found["weight-decay"][1], suite="x", command=["x"])
    assert r"weight\_decay=0.003 \\" in latex and not re.search(r"= *\\\\", latex)


def test_methods_are_named_once_for_the_panels_beside_each_other(spikegrad, results, tmp_path):
    file = tmp_path / "a.svg"
    asked = ["--results", results, "--figure", file, "--width", "double"]
    assert spikegrad("figure", "scale-and-depth", "accuracy", *asked, cwd=tmp_path).returncode == 0
    # Five tasks in two rows.
    assert texts_of(file).count("fast-sigmoid (swept)") == 2
    assert texts_of(file).count("test accuracy, %") == 3


def test_panels_side_by_side_have_room_for_the_words_of_their_titles(spikegrad, results, tmp_path):
    file = tmp_path / "a.svg"
    asked = ["--results", results, "--figure", file]
    assert spikegrad("figure", "weight-decay", "differences", *asked, cwd=tmp_path).returncode == 0
    # Six tasks, two in a row, with the name once in each.
    assert texts_of(file).count("mpd-agl") == 3


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_the_caption_for_a_pdf_is_latex(spikegrad, results, tmp_path, suffix):
    asked = ["--results", results, "--figure", tmp_path / f"a.{suffix}"]
    done = spikegrad("figure", "weight-decay", "accuracy", *asked, cwd=tmp_path)
    says = r"95\,\% interval" if suffix == "pdf" else "95 % interval"
    assert says in done.stdout
    assert done.stdout.endswith("backbone.width=0.5. Suite weight-decay.\n")
    if suffix == "pdf":
        assert not re.search(r"(?<!\\)[%_&#]", done.stdout)


def test_underscores_of_a_caption_are_escaped():
    from bench.tables.text.latex_text import escape

    assert escape("The 95 % interval of my_method.") == r"The 95\,\% interval of my\_method."


@pytest.mark.parametrize("which", FIGURES)
def test_every_figure_names_its_tasks_and_only_the_methods_it_shows(spikegrad, results, tmp_path, which):
    file = tmp_path / "figure.svg"
    asked = ["--methods", "mpd-agl,arctan", "--datasets", "digits,yin-yang", "--width", "double"]
    done = spikegrad("figure", "quick", which, "--results", results, "--figure", file, *asked, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, f"wrote {file}\n")
    assert done.stdout.endswith("Suite quick.\n")
    drawn = file.read_text(encoding="utf-8")
    texts = set(re.findall(r"<text[^>]*>([^<]+)</text>", drawn))
    assert {"digits", "yin-yang", "mpd-agl", "arctan"} <= texts
    assert not {"randman", "triangle", "reference", "control"} & texts
    assert abs(float(re.search(r'width="([\d.]+)"', drawn)[1]) - 6.48 * 96) < 5
    marks = re.findall(
        r'aria-roledescription="(?:point|rule mark|line mark)"|mark-(?:symbol|line) role-mark', drawn
    )
    assert marks


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<svg")])
def test_the_suffix_sets_the_format_and_a_pdf_is_as_wide_as_a_column(
    spikegrad, results, tmp_path, suffix, start
):
    file = tmp_path / f"figure.{suffix}"
    asked = ["--results", results, "--figure", file, "--datasets", "digits"]
    done = spikegrad("figure", "quick", "accuracy", *asked, cwd=tmp_path)
    assert done.returncode == 0 and file.read_bytes().startswith(start)
    if suffix == "png":
        assert abs(int.from_bytes(file.read_bytes()[16:20], "big") - 3.17 * 288) < 15


def test_intervals_of_differences_are_those_that_decide(results):
    from bench import api
    from bench.report import figure_rows
    from bench.report.tasks import page_tasks

    table = api.read_results(*api.stored("quick", results), save=False).table("accuracy")
    for task in page_tasks(table):
        for row in figure_rows.differences(task):
            line = table[(table["dataset"] == task.dataset) & (table["method"] == row["method"])].iloc[0]
            assert row["low"] == pytest.approx(line["delta_ci_low"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quick", "accurcy", "--figure", "a.pdf"], "no figure 'accurcy': there are accuracy, differences"),
        (["quick", "curves", "--figure", "a.gif"], "must end in one of .svg, .png, .pdf, .html"),
        (["quick", "curves", "--figure", "none/a.pdf"], "there is no folder none"),
        (["paper", "curves", "--figure", "a.pdf"], "no records of the suite paper"),
        (["quick", "curves", "--figure", "a.pdf", "--methods", "arctn"], "the table curves has no arctn"),
        (["quick", "differences", "--figure", "a.pdf", "--methods", "rectangle"], "nothing to draw"),
        (
            ["quick", "curves", "--figure", "a.pdf", "--width", "wide"],
            "--width wide: give single, double, or",
        ),
        (["quick", "curves", "--figure", "a.pdf", "--width", "85"], "inches from 1.5 to 20, as in 3.25"),
        (["quick", "curves", "--figure", "a.pdf", "--width", "nan"], "--width nan: give single"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(spikegrad, results, tmp_path, arguments, says):
    done = spikegrad("figure", *arguments, "--results", results, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and says in line and not [*tmp_path.glob("a.*")]


def test_a_suite_without_probes_says_so(spikegrad, results, tmp_path):
    copy = Path(shutil.copytree(results, tmp_path / "copy"))
    from bench.records.record_files import sealed

    for file in (copy / "runs" / "quick").glob("*/record.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["cell"]["seed"]:
            shutil.rmtree(file.parent)
            continue
        files = {n: (file.parent / n).read_bytes() for n in record["files"] if n != "layers.parquet"}
        (file.parent / "layers.parquet").unlink()
        gone = re.compile("available|participation|gain|slope|dead|first_to|silent|zero_fraction|vanish")
        record["metrics"] = {k: v for k, v in record["metrics"].items() if not gone.search(k)}
        file.write_text(json.dumps(sealed(record, files)), encoding="utf-8")
    done = spikegrad("figure", "quick", "gradients", "--figure", "a.pdf", "--results", copy, cwd=tmp_path)
    assert done.returncode == 2 and 'must not say probe = "off"' in done.stderr.splitlines()[-1]


def test_one_csv_of_all_suites_has_the_rows_of_each(spikegrad, tmp_path):
    folder = tmp_path / "results"
    for suite in ("weight-decay", "paper-short"):
        shutil.copytree(ROOT / "results" / "runs" / suite, folder / "runs" / suite)
    done = spikegrad("leaderboard", "--all", "--results", folder, "--format", "csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "all.csv").write_text(done.stdout, encoding="utf-8")
    every = pd.read_csv(tmp_path / "all.csv")
    assert [*every["suite"].unique()] == ["paper-short", "weight-decay"]
    for suite, rows in every.groupby("suite"):
        shipped = pd.read_csv(ROOT / "results" / "leaderboards" / suite / "accuracy.csv")
        for column in ("method", "variant", "test_accuracy_mean", "delta_ci_low", "rank_high"):
            assert rows[column].tolist() == pytest.approx(shipped[column].tolist(), nan_ok=True)
        half = (shipped["test_accuracy_images_ci_high"] - shipped["test_accuracy_images_ci_low"]) / 2
        assert rows["test_accuracy_half"].tolist() == pytest.approx(half.tolist(), abs=1e-4)
    assert (every["parameters"] > 1000).all() and every["train_seconds_mean"].notna().all()


def test_all_suites_where_there_are_none_are_one_sentence(spikegrad, tmp_path):
    done = spikegrad("leaderboard", "--all", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no records in results/local: `spikegrad run` makes them\n"


def test_a_figure_needs_no_torch(environment, results, tmp_path):
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text("raise ImportError('torch is not installed')")
    command = [sys.executable, "-m", "bench", "figure", "quick", "gradients"]
    done = subprocess.run(
        [*command, "--results", results, "--figure", tmp_path / "a.svg", "--datasets", "digits"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": f"{tmp_path / 'blocked'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and (tmp_path / "a.svg").is_file()
