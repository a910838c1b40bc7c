"""The page of a report as text: what is in it, what is not, and that nothing of a name is HTML."""

import json
import re
from html.parser import HTMLParser

import pytest
import shown_runs
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.records.store import Store
from bench.report import contents, page
from bench.report.contents import _compared
from bench.report.tasks import Entry, Task
from bench.tables.results import Results

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}{% raw %}"


class Parsed(HTMLParser):
    """Tags by name, texts, and the scripts of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.scripts, self._inside = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        else:
            self.texts.append(data)

    @property
    def data(self):
        (text,) = (text for kind, text in self.scripts if kind == "application/json")
        return json.loads(text)


def method(name, kind="fixed"):
    return {"cell": {"method": {"name": name, "params": {}}}, "method": declared(kind)}


def declared(kind):
    return {"kind": kind, "changes": "gradient", "fidelity": "paper"}


def fill(results, suite="hand"):
    """Two methods of three seeds, one failure, one damaged record, one record of another schema."""
    number = 0
    for name, accuracies in (("mpd-agl", (97.5, 98.0, 97.0)), ("rectangle", (96.5, 97.5, 97.25))):
        for seed, accuracy in enumerate(accuracies):
            number += 1
            found = shown_runs.record(
                number,
                suite,
                metrics=shown_runs.METRICS | {"test_accuracy": accuracy},
                cell={"method": {"name": name, "params": {}}, "seed": seed},
                configuration=f"of-{name}",
                method=declared("adaptive" if name == "mpd-agl" else "fixed"),
            )
            shown_runs.write(results, found)
    failed = shown_runs.record(
        77,
        suite,
        metrics={},
        cell={"method": {"name": "arctan", "params": {}}},
        configuration="of-arctan",
        method=declared("fixed"),
        status="failed",
        error=f"it said {HOSTILE}",
    )
    shown_runs.write(results, failed, [], [])
    store = Store(results, suite)
    for name, content in (("cut", '{"schema": 3, "id"'), ("later", json.dumps(shown_runs.record(schema=99)))):
        store.folder(name).mkdir()
        (store.folder(name) / "record.json").write_text(content)
    return store


@pytest.fixture
def suite(tiny):
    return tiny(name="hand", seeds=[0, 1, 2], description=f"A suite. {HOSTILE}")


def write(suite, results):
    store = Store(results, suite.name)
    return page.write(suite, store, Results.read(store, suite))


def written(suite, results):
    file = write(suite, results)
    return Parsed(file.read_text(encoding="utf-8"))


def test_it_has_the_rows_the_seeds_the_failure_and_what_was_left_out(suite, tmp_path):
    fill(tmp_path)
    found = written(suite, tmp_path)
    said = " ".join(" ".join(found.texts).split())
    for words in (
        "7 trainings: 1 failed, 6 ok",
        "2 files are left out",
        "97.50 ± 1.24 (n = 3)",
        "record.json is damaged (",
        "has the record schema 99",
        "Some CPU",
    ):
        assert words in said
    (task,) = found.data["tasks"]
    assert task["methods"] == ["mpd-agl", "rectangle", "arctan"]
    assert [seed[:3] for seed in found.data["seeds"]["t0-0"]] == [
        [0, "ok", "97.5000"],
        [1, "ok", "98.0000"],
        [2, "ok", "97.0000"],
    ]
    assert found.data["seeds"]["t0-2"][0][1] == "failed"
    assert set(task["maps"]["methods"]) == {"mpd-agl", "rectangle"}
    assert task["maps"]["methods"]["mpd-agl"]["runs"] == 3
    assert task["compared"] == ["mpd-agl", "rectangle"] and task["others"] == []
    card = dict(found.data["cards"][found.data["card_of"]["t0-0"]]["lines"])
    assert card["Kind"].startswith("adaptive: the surrogate") and card["Fidelity"].startswith("paper: from")
    assert set(task["curves"]) == {"mpd-agl", "rectangle"} and len(task["curves"]["mpd-agl"][0]) == 3
    assert "cannot be told from the" in said


def test_no_name_or_error_is_html(suite, tmp_path):
    fill(tmp_path)
    evil = shown_runs.record(
        88,
        "hand",
        cell={"method": {"name": HOSTILE, "params": {}}, "dataset": {"name": HOSTILE}},
        configuration="evil",
        variant=f"width={HOSTILE}",
    )
    shown_runs.write(tmp_path, evil)
    found = written(suite, tmp_path)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 3 and "img" not in tags
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert f"it said {HOSTILE}" in " ".join(found.texts)
    assert HOSTILE in {
        name for task in found.data["tasks"] for name in (m.split(" width")[0] for m in task["methods"])
    }


def test_nothing_in_it_leads_to_another_host(suite, tmp_path):
    fill(tmp_path)
    found = written(suite, tmp_path)
    links = [
        value for _, attributes in found.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert links and all(link.startswith(("#", "data:")) for link in links)
    (policy,) = (a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy


def test_the_scripts_are_those_that_its_policy_lets_run(suite, tmp_path):
    import base64
    import hashlib

    fill(tmp_path)
    found = written(suite, tmp_path)
    (policy,) = (a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a)
    for kind, text in found.scripts:
        if kind is None:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert len(re.findall("'sha256-", policy)) == 2


@given(st.text())
def test_json_in_a_page_ends_no_element_and_comes_back(text):
    found = page._json({"a": text, text: 1})
    assert not set(found) & set("<>&")
    assert json.loads(found) == {"a": text, text: 1}


def test_the_same_records_give_the_same_page(suite, tmp_path):
    fill(tmp_path)
    first = write(suite, tmp_path).read_bytes()
    assert write(suite, tmp_path).read_bytes() == first


def test_a_baseline_with_parameters_is_the_one_that_is_compared_at_first():
    entries = [
        Entry(("digits", "mlp", 2, method, variant), name, {"sweep": ""})
        for method, variant, name in (
            ("mpd-agl", "default", "mpd-agl"),
            ("arctan", "default", "arctan"),
            ("rectangle", "width=0.5 torch=2.14", "rectangle (width=0.5)"),
        )
    ]
    task = Task("t0", "digits", "digits", entries)
    assert _compared(task, "rectangle:width=0.5") == ["mpd-agl", "rectangle (width=0.5)"]
    assert _compared(task, "rectangle") == ["mpd-agl", "arctan"]


def test_of_a_sweep_the_row_that_stands_for_the_method_is_compared_at_first():
    entries = [
        Entry(("digits", "mlp", 2, method, f"width={width}"), f"{method} (width={width})", {"sweep": sweep})
        for method, width, sweep in (
            ("rectangle", 1, "best"),
            ("rectangle", 4, "other"),
            ("mpd-agl", 1, "best"),
            ("mpd-agl", 4, "other"),
        )
    ]
    task = Task("t0", "digits", "digits", entries)
    assert _compared(task, "rectangle") == ["mpd-agl (width=1)", "rectangle (width=1)"]
    # A baseline that is absent, or that is not compared, does not put another row of a sweep in its place.
    assert _compared(task, "arctan") == ["mpd-agl (width=1)", "rectangle (width=1)"]
    assert _compared(task, "rectangle:width=4") == ["mpd-agl (width=1)", "rectangle (width=1)"]


def test_tuned_rows_are_a_table_of_their_own_with_methods_to_compare(suite, tmp_path):
    fill(tmp_path)
    for number, name in enumerate(("rectangle", "mpd-agl"), 90):
        found = shown_runs.record(
            number,
            "hand",
            cell={
                "method": {"name": name, "params": {}},
                "selection": {"by": "tuned", "over": ("recipe.learning_rate",)},
            },
            configuration=f"tuned-{name}",
            variant="tuned",
            method=declared("fixed"),
        )
        shown_runs.write(tmp_path, found)
    found = written(suite, tmp_path)
    plain, tuned = found.data["tasks"]
    assert tuned["title"] == "digits · convnet · T = 2 · tuned"
    assert set(tuned["methods"]) == {"mpd-agl", "rectangle"} and "tuned" not in plain["title"]
    assert tuned["compared"] == plain["compared"] == ["mpd-agl", "rectangle"]
    # It is still one task: there is nothing to say about all tasks together.
    assert "All tasks together" not in found.texts


def test_other_rows_of_a_sweep_are_below_its_best_and_marked(suite, tmp_path):
    number = 0
    for width, accuracy in ((0.5, 90.0), (1.0, 95.0), (4.0, 85.0)):
        for seed in range(3):
            number += 1
            found = shown_runs.record(
                number,
                "hand",
                cell={
                    "method": {"name": "rectangle", "params": {"width": width}},
                    "selection": {"by": "sweep", "over": ("width",)},
                    "seed": seed,
                },
                configuration=f"width-{width}",
                variant=f"width={width:g}",
                method=declared("fixed"),
            )
            rows = [shown_runs.epochs(1)[0] | {"val_accuracy": accuracy}]
            shown_runs.write(tmp_path, found, rows)
    found = written(suite, tmp_path)
    rows = [attributes for tag, attributes in found.tags if tag == "tr" and "data-method" in attributes]
    assert [(row["data-method"], row.get("class")) for row in rows] == [
        ("rectangle (width=1)", None),
        ("rectangle (width=0.5)", "other"),
        ("rectangle (width=4)", "other"),
    ]
    (task,) = found.data["tasks"]
    assert task["others"] == ["rectangle (width=0.5)", "rectangle (width=4)"]
    assert [row["method"] for row in task["accuracy"]] == ["rectangle (width=1)"]
    assert [row["value"] for row in task["swept"]] == [0.5, 1.0, 4.0]
    assert "Grey, indented rows" in " ".join(found.texts)


def test_without_records_there_is_no_page(suite, tmp_path):
    with pytest.raises(BenchError, match=r"no records of the suite hand in .*: `spikegrad run` makes them"):
        write(suite, tmp_path)
    assert not (tmp_path / "reports").exists()


def test_a_place_that_cannot_be_written_is_a_sentence(suite, tmp_path):
    fill(tmp_path)
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(BenchError, match=r"hand\.html cannot be written: "):
        write(suite, tmp_path)


def test_a_single_run_without_layers_or_seeds_beside_it(suite, tmp_path):
    found = shown_runs.record(
        1,
        "hand",
        method=declared("reference"),
        metrics={
            name: shown_runs.METRICS[name] for name in ("test_accuracy", "test_accuracy_last", "val_accuracy")
        },
    )
    shown_runs.write(tmp_path, found, [], [])
    data = written(suite, tmp_path).data
    (task,) = data["tasks"]
    assert (task["maps"], task["slope"], task["anytime"], task["cost"]) == ({}, [], [], {})
    assert task["compared"] == ["mpd-agl", "mpd-agl"] and data["shapes"] == []


@pytest.mark.parametrize(("cells", "columns"), [(30, 10), (3, contents.FEWEST_COLUMNS)])
def test_the_longest_maps_share_columns(suite, tmp_path, monkeypatch, cells, columns):
    # Three layers and forty looks.
    monkeypatch.setattr(contents, "MOST_CELLS", cells)
    for seed in range(2):
        found = shown_runs.record(seed + 1, "hand", cell={"seed": seed})
        shown_runs.write(tmp_path, found, layer_rows=shown_runs.layers(looks=range(40)))
    (task,) = written(suite, tmp_path).data["tasks"]
    (grid,) = task["maps"]["methods"].values()
    assert grid["columns"][0] == 0 and grid["columns"][-1] == 39 and "–" in grid["columns"][1]
    assert len(grid["columns"]) == columns == len(grid["available"][0])


def test_long_learning_curves_leave_out_epochs_but_not_the_ends(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MOST_POINTS", 10)
    monkeypatch.setattr(contents, "FEWEST_EPOCHS", 5)
    for number, epochs in enumerate((40, 30), 1):
        name = {"method": {"name": f"of {epochs}", "params": {}}}
        found = shown_runs.record(number, "hand", cell=name, configuration=f"of-{epochs}")
        shown_runs.write(tmp_path, found, shown_runs.epochs(epochs))
    (task,) = written(suite, tmp_path).data["tasks"]
    shown = task["curve_epochs"]
    assert len(shown) == 5 and (shown[0], shown[-1]) == (1, 40)
    for epochs in (40, 30):
        values = [round(90 + (epoch - 1) / epochs, 3) if epoch <= epochs else None for epoch in shown]
        assert [each and each[0] for each in task["curves"][f"of {epochs}"]] == values


def test_a_method_has_one_card_for_all_tasks(suite, tmp_path):
    for number, steps in enumerate((2, 4), 1):
        found = shown_runs.record(number, "hand", cell={"timesteps": steps}, configuration=f"T={steps}")
        shown_runs.write(tmp_path, found, layer_rows=shown_runs.layers(timesteps=steps))
    data = written(suite, tmp_path).data
    assert len(data["cards"]) == 1 and data["card_of"] == {"t0-0": 0, "t1-0": 0}


def test_ten_thousand_records_fit_twenty_megabytes(suite, tmp_path):
    """Half of the records make a page that is smaller by what the other half needs, whatever all need."""
    number, sizes, names = 0, [], [f"block{i}.conv{i % 2}" for i in range(8)]
    for method in range(8):
        for seed in range(5):
            number += 1
            found = shown_runs.record(
                number,
                "hand",
                cell={"method": {"name": f"method {method}", "params": {}}, "seed": seed},
                configuration=f"of-{method}",
            )
            layers = shown_runs.layers(
                range(16),
                names,
                available_fraction=lambda e, i, t, seed=seed: (e + i + t + seed) / 40,
                gradient_norm=lambda e, i, t, seed=seed: 1.0 / (1 + e + i + t + seed),
                width=lambda e, i, t, seed=seed: 1 / (3 + e + i + seed),
                height=lambda e, i, t, seed=seed: 1 / (7 + e + i + t),
                gamma_mean=lambda e, i, t, seed=seed: (1 + e * i + seed) / 70,
            )
            shown_runs.write(tmp_path, found, shown_runs.epochs(15), layers)
        if method in (3, 7):
            sizes.append(write(suite, tmp_path).stat().st_size)
    assert (sizes[1] - sizes[0]) / 20 <= 20e6 / 10_000


def test_published_numbers_stand_beside_with_their_sources(suite, tmp_path):
    place = {"dataset": {"name": "cifar10"}, "backbone": {"name": "resnet19"}}
    shown_runs.write(tmp_path, shown_runs.record(1, "hand", cell=place), [], [])
    said = " ".join(" ".join(written(suite, tmp_path).texts).split())
    assert "Published and measured" in said and "96.18" in said
    assert "mpd-agl 96.18 (2025): DS-ATGO (AAAI 2026) Table 1" in said
    assert "rectangle (width=10) 30.82 (2023): LSG (IJCAI 2023) ablation" in said
    fill(tmp_path / "other")
    assert "Published and measured" not in " ".join(written(suite, tmp_path / "other").texts)


def test_a_number_and_its_unit_stay_on_one_line():
    made = (
        page.environment().from_string("{{ said|kept }}").render(said="with 80 % power at T = 2, a = b <i>")
    )
    assert made == "with 80\u00a0% power at T\u00a0=\u00a02, a = b &lt;i&gt;"
