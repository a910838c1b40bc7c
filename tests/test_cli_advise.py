"""`spikegrad advise`, and docs/choosing.md, which says the same."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "choosing.md"
CHOOSING = runpy.run_path(str(ROOT / "docs" / "choosing.py"))


@pytest.fixture(scope="module")
def measured():
    return CHOOSING["measured"](ROOT / "results")


def test_the_shipped_measurements_are_those_of_the_records(measured):
    assert (ROOT / "results" / "leaderboards" / "widths.csv").read_text() == measured.to_csv(index=False)


def test_the_page_says_what_the_measurements_say(measured):
    pairs = pd.read_csv(ROOT / "results" / "leaderboards" / "scale-and-depth" / "pairs.csv")
    text = PAGE.read_text()
    assert CHOOSING["written"](text, CHOOSING["parts"](measured, pairs)) == text


def test_prose_of_the_page_follows_from_its_tables(measured):
    few = measured[(measured["layers"] <= 3) & (measured["measure"] == "test accuracy")]
    best = few.loc[few.groupby(["setting", "method"])["val_accuracy"].idxmax()]
    assert best["width"].max() <= 1
    deep = measured[(measured["layers"] == 20) & (measured["method"] == "rectangle")]
    assert deep.loc[deep["width"].idxmin(), "loss_ci_low"] > 5
    ranked = CHOOSING["by_loss"](measured)
    assert ranked.groupby("method")["mean"].min().agg(lambda of: of.max() - of.min()) < 1.5
    assert (ranked.groupby("method")["mean"].agg(lambda of: of.max() - of.min()) > 8).all()


def test_advice_names_a_surrogate_its_arguments_and_what_others_lose(spikegrad, tmp_path):
    done = spikegrad("advise", "--layers", "20", "--timesteps", "4", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "Take arctan, with a full width at half maximum equal to the threshold: 1 at"
    )
    for library in ("snntorch", "SpikingJelly", "norse"):
        assert re.search(rf"^  {library} +\S", done.stdout, re.MULTILINE)
    assert (
        "cifar10 on resnet19 (width 0.0625), T = 2, of 20 spiking layers: 9,000 samples, 2 epochs"
        in done.stdout
    )
    assert re.search(r"^rectangle +12\.8 ", done.stdout, re.MULTILINE)


def test_a_threshold_scales_the_width(spikegrad, tmp_path):
    made = [
        json.loads(spikegrad("advise", "--threshold", v, "--json", cwd=tmp_path).stdout) for v in ("1", "0.5")
    ]
    assert [of["take"]["width"] for of in made] == [1.0, 0.5]
    assert [of["take"]["arguments"]["snntorch"] for of in made] == [
        "spike_grad=surrogate.atan(alpha=1.273)",
        "spike_grad=surrogate.atan(alpha=2.546)",
    ]
    assert made[0]["take"]["settings"] == 8
    intervals = [row["loss_ci_low"] is None for row in made[0]["most_like_yours"]]
    # The best row has no difference to itself.
    assert (len(intervals), sum(intervals)) == (20, 1)


def test_ones_own_results_advise_too(spikegrad, tmp_path):
    folder = tmp_path / "results" / "runs" / "scale-and-depth"
    shutil.copytree(ROOT / "results" / "runs" / "scale-and-depth", folder)
    made = json.loads(spikegrad("advise", "--results", "results", "--json", cwd=tmp_path).stdout)
    assert made["take"]["settings"] == 5


@pytest.mark.parametrize(
    ("suites", "settings"), [((), 8), (("fair-small",), 3), (("scale-and-depth", "paper-short"), 5)]
)
def test_shipped_results_as_ones_own_give_the_shipped_advice(spikegrad, tmp_path, suites, settings):
    given = ["--results", str(ROOT / "results"), *(word for name in suites for word in ("--suite", name))]
    for more in ([], ["--recurrent"]):
        done = spikegrad("advise", *given, *more, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    made = json.loads(spikegrad("advise", *given, "--json", cwd=tmp_path).stdout)
    assert made["take"]["settings"] == settings
    if not suites:
        assert made == json.loads(spikegrad("advise", "--json", cwd=tmp_path).stdout)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--results", "nowhere"], "nowhere is no results folder: it has no folder runs"),
        (["--results", str(ROOT / "results"), "--suite", "quick"], "none of the suites quick has a fixed"),
        (["--results", str(ROOT / "results"), "--suite", "nosuch"], "--suite nosuch: there is no such suite"),
        (["--threshold", "inf"], "Invalid value for '--threshold'"),
        (["--layers", "0"], "Invalid value for '--layers'"),
        (["--suite", "quick"], "--suite names suites of --results"),
    ],
)
def test_mistakes_are_sentences(spikegrad, tmp_path, options, sentence):
    done = spikegrad("advise", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
