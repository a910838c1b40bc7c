"""Two folders of tables: what else moved beside accuracy, and what cannot be compared."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.tables import diff_folders

QUICK = Path(__file__).resolve().parents[3] / "results" / "leaderboards" / "quick"


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(QUICK, tmp_path / "quick"))


def change(file, column, value, row=0):
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    table.loc[row, column] = value
    table.to_csv(file, index=False)


def test_equal_folders_are_equal_in_every_number(copy):
    found = diff_folders.compare(QUICK, copy)
    assert {pair.verdict for pair in found.accuracy.pairs} == {"identical"}
    for name, said in zip(("overall", "gradients", "cost", "anytime"), found.others, strict=False):
        assert said.startswith(f"{name}.csv: ") and said.endswith(" numbers are the same to 0.1%.")
    assert found.others[-1].startswith("latency.csv: on the same hardware inference of 1 1.00 times as long")


def test_the_numbers_that_moved_farthest_are_named(copy):
    change(copy / "cost.csv", "energy_uj_mean", "99.5")
    change(copy / "cost.csv", "sops_per_sample_mean", "", row=1)
    change(copy / "gradients.csv", "gain_mean", "", row=2)
    _, gradients, cost, *_ = diff_folders.compare(QUICK, copy).others
    before = pd.read_csv(QUICK / "cost.csv").iloc[0]
    assert f"energy_uj_mean of digits resnet19 2 {before['method']}" in cost
    assert f"{before['energy_uj_mean']:.4g} → 99.5" in cost and "→ nan" in cost
    numbers = (
        pd.read_csv(QUICK / "cost.csv").drop(columns="timesteps").select_dtypes("number").notna().sum().sum()
    )
    assert f"{numbers - 2} of {numbers}" in cost and "gain_mean of" in gradients


def test_times_of_another_machine_are_not_compared(copy):
    table = pd.read_csv(copy / "latency.csv", dtype=str, keep_default_na=False)
    table.assign(hardware="Another").to_csv(copy / "latency.csv", index=False)
    assert diff_folders.compare(QUICK, copy).others[-1].endswith("1 thread against Another.")
    times = table.assign(train_step_ms_p50=[str(2 * float(v)) for v in table["train_step_ms_p50"]])
    times.to_csv(copy / "latency.csv", index=False)
    assert (
        f"training step 2.00 times as long (median of {len(table)})"
        in diff_folders.compare(QUICK, copy).others[-1]
    )


def test_files_alone_are_compared_by_accuracy_alone(copy):
    assert diff_folders.compare(QUICK / "accuracy.csv", copy / "accuracy.csv").others == []
    (copy / "cost.csv").unlink()
    assert not [said for said in diff_folders.compare(QUICK, copy).others if said.startswith("cost")]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (QUICK.parent, r"leaderboards holds no accuracy\.csv; did you mean .*quick.*\?"),
        (QUICK.parent.parent / "runs", r"runs holds no accuracy\.csv: give a folder below leaderboards/"),
        (Path("nowhere"), r"cannot read nowhere \(No such file"),
    ],
)
def test_what_is_no_leaderboard_is_named(place, message):
    with pytest.raises(BenchError, match=message):
        diff_folders.compare(place, QUICK)


def test_a_damaged_table_is_named(copy):
    (copy / "cost.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BenchError, match=r"cost\.csv lacks the column dataset: make it again"):
        diff_folders.compare(QUICK, copy)
    (copy / "cost.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchError, match=r"cost\.csv cannot be read"):
        diff_folders.compare(QUICK, copy)
