"""The page on which surrogate to take: the words of `spikegrad advise`, and the numbers of the table."""

import pandas as pd
import pytest
import shown_runs

from bench.errors import BenchError
from bench.records import protocol
from bench.report import choosing
from bench.tables import widths
from bench.tables.results import Results


def table(folder, **changes):
    rows = [
        dict.fromkeys(widths.COLUMNS, 2)
        | {"setting": setting, "recurrent": False, "measure": "test accuracy", "n": 3, "method": method}
        | {"width": width, "accuracy": 90 - loss, "val_accuracy": 90 - loss, "loss": loss, "val_loss": loss}
        | {"loss_ci_low": loss - 0.5 if loss else None, "loss_ci_high": loss + 0.5 if loss else None}
        for setting in ("a <b>", "c")
        for method, width, loss in (("arctan", 1, 0.0), ("arctan", 4, 7.0), ("rectangle", 1, 2.0))
    ]
    file = folder / "leaderboards" / "widths.csv"
    file.parent.mkdir(parents=True)
    pd.DataFrame(rows).assign(**changes).to_csv(file, index=False)
    return file


def test_it_says_what_to_take_and_what_is_lost(tmp_path):
    table(tmp_path)
    text = choosing.write(tmp_path, "index.html", []).read_text()
    assert "Take arctan, with a full width at half maximum equal to the threshold" in text
    assert "0.0 points of validation accuracy behind the best" in text
    assert "surrogate.atan(alpha=1.273)" in text
    assert "2.0 [1.5, 2.5]" in text and "7.0 [6.5, 7.5]" in text
    assert "a &lt;b&gt;" in text and "<b>" not in text


def test_without_a_table_or_a_common_shape_there_is_no_page(tmp_path):
    assert choosing.write(tmp_path, "index.html", []) is None
    table(tmp_path, setting=["a", "b", "c", "d", "e", "f"])
    assert choosing.write(tmp_path, "index.html", []) is None
    assert not (tmp_path / "reports").exists()


def test_a_page_that_has_nothing_to_say_any_more_is_removed(tmp_path):
    file = table(tmp_path)
    page = choosing.write(tmp_path, "index.html", [])
    file.unlink()
    assert choosing.write(tmp_path, "index.html", []) is None and not page.exists()
    page.mkdir()
    with pytest.raises(BenchError, match=r"choosing\.html cannot be removed"):
        choosing.write(tmp_path, "index.html", [])


def test_without_a_table_it_is_made_from_the_records(tmp_path):
    shapes = [("arctan", 0.25, 90.0), ("arctan", 0.5, 98.0), ("arctan", 2.0, 70.0), ("rectangle", 0.5, 96.0)]
    found = [swept(shapes, 0), Results([], trials=swept(shapes, 100, backbone="mlp").records)]
    text = choosing.write(tmp_path, "index.html", found).read_text()
    assert "Take arctan, with a full width at half maximum equal to the threshold" in text
    assert "In 2 settings it was 0.0 points of validation accuracy behind" in text
    assert "best learning rate" in text


def swept(shapes, first, backbone="convnet"):
    """The results of a suite with these shapes, widths and accuracies. first: number of a record."""
    numbered = enumerate(((*each, seed) for each in shapes for seed in range(3)), first)
    return Results(
        [
            shown_runs.record(
                number,
                cell={"method": {"name": name, "params": {"width": width}}, "seed": seed}
                | {"backbone": {"name": backbone}},
                configuration=f"{name}-{width}",
                variant=f"width={width:g}",
                metrics=shown_runs.METRICS
                | {"val_accuracy": accuracy + seed, "test_accuracy": accuracy, "train_samples": 1000},
                digests={"harness": protocol.harness()},
            )
            for number, (name, width, accuracy, seed) in numbered
        ]
    )


def test_a_damaged_table_is_a_sentence(tmp_path):
    file = table(tmp_path)
    file.write_text("setting,layers\na,2\n")
    with pytest.raises(BenchError, match=r"widths\.csv lacks the column timesteps: put a table of widths"):
        choosing.write(tmp_path, "index.html", [])
    file.write_bytes(b"")
    with pytest.raises(BenchError, match=r"widths\.csv cannot be read"):
        choosing.write(tmp_path, "index.html", [])


def test_it_names_the_accuracy_of_each_table_and_sets_calls_as_code(tmp_path):
    table(tmp_path)
    text = choosing.write(tmp_path, "index.html", []).read_text()
    assert "All settings together, by validation accuracy" in text and "c, by test accuracy" in text
    assert "What arctan at 1 loses in each setting, by test accuracy where there is one" in text
    assert "Means and worst cases over the settings are of validation accuracy." in text
    assert "<code>spike_grad=surrogate.atan(alpha=1.273)</code>" in text
    assert "<bdi>has none of these shapes" in text
