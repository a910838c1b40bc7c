"""What the project ships in results/ and README: made by this code, and from these records."""

import importlib.util
import runpy
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench import api, registry
from bench.paths import TRIALS
from bench.records.store import Store
from bench.tables import diff

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
MEASURED = ("anytime", "cost", "gradients", "latency")
SUITES = sorted(path.name for path in (RESULTS / "leaderboards").iterdir() if path.is_dir())


@pytest.mark.parametrize("suite", SUITES)
def test_tables_are_made_from_the_records_beside_them(suite, tmp_path):
    for folder in ("runs", "latency"):
        for name in (suite, f"{suite}{TRIALS}"):
            if (RESULTS / folder / name).is_dir():
                shutil.copytree(RESULTS / folder / name, tmp_path / folder / name)
    api.leaderboard(suite, results=tmp_path)
    shipped = {table.name: table.read_bytes() for table in (RESULTS / "leaderboards" / suite).iterdir()}
    made = {table.name: table.read_bytes() for table in (tmp_path / "leaderboards" / suite).iterdir()}
    assert made == shipped
    assert set(made) >= {f"{name}.csv" for name in ("accuracy", "runs", *MEASURED)}


@pytest.mark.parametrize("suite", ["quick", "weight-decay"])
def test_no_method_dataset_or_backbone_has_changed_since(suite):
    # Fails after an edit of such a file: run the suite again with --results results.
    plan = api.make_plan(suite, results=RESULTS)
    assert [planned.id for planned in plan.pending] == []
    assert {planned.state for planned in plan.cells} == {"done"}


@pytest.mark.parametrize("suite", SUITES)
def test_records_come_from_committed_code_and_name_no_path(suite):
    for record in Store(RESULTS, suite).records():
        assert record["environment"]["git"]["dirty"] is False
        text = (RESULTS / "runs" / suite / record["id"] / "record.json").read_text()
        assert '"/' not in text


def test_the_findings_are_those_of_the_tables():
    script = runpy.run_path(str(ROOT / "docs" / "findings.py"))
    made = script["page"](script["read"](RESULTS))
    assert made == (ROOT / "docs" / "findings.md").read_text(encoding="utf-8"), "python docs/findings.py"


def test_quick_shows_what_it_is_there_to_show():
    table = diff.read(RESULTS / "leaderboards" / "quick" / "accuracy.csv")
    assert set(table["dataset"]) == {"digits", "digits-events", "randman", "yin-yang"}
    assert (table["n_seeds"] == 5).all()
    for task, rows in table.groupby("dataset"):
        row = rows.set_index("method")
        verdict = row["indistinguishable_from_best"]
        # Known to be bad; and too narrow a window, where layers or time steps follow each other.
        bad = [
            "rectangle:4",
            "straight-through",
            *(["rectangle:0.25"] if task in ("digits", "randman") else []),
        ]
        assert set(verdict[bad]) == {"no"}, task


def test_what_readme_says_was_found_is_in_the_table():
    table = diff.read(RESULTS / "leaderboards" / "quick" / "accuracy.csv").set_index(["dataset", "method"])
    for task in ("digits", "digits-events", "randman", "yin-yang"):
        row = table.loc[task]
        assert row.loc["mpd-agl", "delta_ci_low"] < 0 < row.loc["mpd-agl", "delta_ci_high"]
        assert row.loc["rectangle:4", "indistinguishable_from_best"] == "no"
    narrow = table.xs("rectangle:0.25", level="method")
    assert narrow.loc["yin-yang", "indistinguishable_from_best"] == "yes"
    assert (narrow.loc[["digits", "randman"], "test_accuracy_mean"] < 20).all(), "guessing is 10"


def test_what_readme_says_of_tuning_is_in_the_tables():
    folder = RESULTS / "leaderboards" / "fair-small"
    accuracy, tuned = (pd.read_csv(folder / f"{name}.csv") for name in ("accuracy", "tuned"))
    for task in ("digits-events", "fashion-mnist"):
        rows = accuracy[accuracy["variant"].str.startswith("tuned") & (accuracy["dataset"] == task)]
        assert len(rows) == 13 and set(rows["indistinguishable_from_best"]) == {"yes"}, task
    recurrent = accuracy[accuracy["variant"].str.startswith("tuned") & (accuracy["dataset"] == "randman")]
    arctan = recurrent.set_index("method").loc["arctan"]
    assert round(arctan["delta_vs_baseline"], 1) == 6.5 and arctan["delta_ci_low"] > 0
    mine = accuracy[accuracy["method"] == "mpd-agl"]
    assert len(mine) == 6 and ((mine["delta_ci_low"] < 0) & (mine["delta_ci_high"] > 0)).all()
    events = tuned[tuned["dataset"] == "digits-events"]
    assert round(events["gain"].mean()) == 30
    assert events["tuned_accuracy_mean"].max() - events["tuned_accuracy_mean"].min() < 4


def test_what_readme_says_of_weight_decay_is_in_the_table():
    table = pd.read_csv(RESULTS / "leaderboards" / "weight-decay" / "gradients.csv")
    rows = table[table["method"] == "mpd-agl"].set_index(["dataset", "variant"])
    assert len(rows) == 6
    for (_, variant), row in rows.iterrows():
        norms_decay = {"weight_decay=0.003", "decayed=all"} <= {*variant.split()}
        side = "available_fraction_delta_ci_high" if norms_decay else "available_fraction_delta_ci_low"
        assert (row[side] < 0) == norms_decay, "lowered where norms decay, raised elsewhere"
    accuracy = pd.read_csv(RESULTS / "leaderboards" / "weight-decay" / "accuracy.csv")
    mine = accuracy[(accuracy["method"] == "mpd-agl") & accuracy["variant"].str.contains("0.003 decayed=all")]
    assert len(mine) == 2 and sum(mine["delta_ci_low"] > 0) == 1
    assert round(mine["delta_vs_baseline"].max()) == 3


def test_what_readme_says_of_library_functions_is_in_the_table():
    table = pd.read_csv(RESULTS / "leaderboards" / "every-method" / "accuracy.csv")
    shipped = table[table["kind"] == "library"]
    assert {name.partition("/")[0] for name in shipped["method"]} == {"snntorch", "norse"}
    assert (len(shipped), int((shipped["delta_ci_high"] < 0).sum())) == (18, 14)
    assert set(shipped["method"][shipped["n_failed"] == 5]) == {"snntorch/LSO", "snntorch/sigmoid"}


def test_no_method_has_changed_since_every_method_was_trained():
    # A new method is no fault: `spikegrad run every-method --results results` gives it its rows.
    plan = api.make_plan("every-method", results=RESULTS)
    assert [planned.cell.method.name for planned in plan.cells if planned.state == "stale"] == []


@pytest.mark.parametrize("table", MEASURED)
def test_quick_has_measured_all_there_is_to_measure(table):
    frame = pd.read_csv(RESULTS / "leaderboards" / "quick" / f"{table}.csv")
    rows = frame[frame["backbone"] != "neuron"]
    assert rows["method"].nunique() >= 9
    # What is a fact of each row, whatever its method.
    facts = {
        "anytime": ["anytime_accuracy_mean"],
        "cost": ["spikes_per_sample_mean", "sops_per_sample_mean", "macs_per_sample_mean", "energy_uj_mean"],
        "gradients": ["available_fraction_mean", "vanishing_slope_mean"],
        "latency": ["inference_ms_p50_batch1", "train_step_ms_p50", "peak_memory_mb"],
    }
    assert rows[facts[table]].notna().all(axis=None)
    records = Store(RESULTS, "quick").records()
    assert {name for record in records for name in record["unmeasured"]} == set()


def script(name):
    """The module docs/NAME.py."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_methods_shows_what_their_code_computes():
    # If this fails: tox run -e readme.
    page = script("methods").text(registry.load())
    assert (ROOT / "docs" / "methods.md").read_text(encoding="utf-8") == page


def test_the_page_of_speed_shows_what_paper_is_estimated_to_take():
    # If this fails: tox run -e readme.
    assert script("hours").section() in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_shipped_table():
    readme = script("readme")
    records = Store(RESULTS, readme.SUITE).records()
    table = diff.read(RESULTS / "leaderboards" / readme.SUITE / "accuracy.csv")
    # If this fails: tox run -e readme.
    assert readme.section(records, table) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_on_gradients_says_what_the_shipped_table_says():
    readme = script("readme")
    table = pd.read_csv(RESULTS / "leaderboards" / readme.SUITE / "gradients.csv")
    # If this fails: tox run -e readme.
    assert readme.gradients_section(table) in (ROOT / "docs" / "gradients.md").read_text(encoding="utf-8")
