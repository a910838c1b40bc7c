"""Finding one run, reading it, and its layers against the epochs."""

import json
import math
import shutil

import pytest
import shown_runs
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.records import runs
from bench.show import layer_grids
from bench.show.layer_grids import BOTH, DEAD, SILENT, buckets, grids, size_scale

ONE, TWO, OTHER = (shown_runs.record(number)["id"] for number in (1, 2, 3))


@pytest.fixture
def results(tmp_path):
    """Two suites: `hand` with two methods, `more` with one run."""
    shown_runs.write(tmp_path, shown_runs.record(1))
    arctan = {"method": {"name": "arctan"}, "seed": 1}
    shown_runs.write(tmp_path, shown_runs.record(2, cell=arctan))
    shown_runs.write(tmp_path, shown_runs.record(3, suite="more", cell={"seed": 4}))
    return tmp_path


def ids(listing):
    return [found.record["id"] for found in listing.found]


# --- finding ---


def test_an_id_and_its_beginning(results):
    for asked in (ONE, ONE[:1], OTHER.upper()):
        listing = runs.find(asked, results)
        assert listing.chosen.record["id"].startswith(asked.lower())
    assert runs.find(ONE, results).chosen.folder == results / "runs/hand" / ONE


@pytest.mark.parametrize("end", ["", "/", "/record.json"])
def test_the_path_of_a_run(results, tmp_path_factory, end):
    folder = results / "runs/hand" / ONE
    found = runs.find(f"{folder}{end}", tmp_path_factory.mktemp("elsewhere")).chosen
    assert (found.folder, found.record["id"]) == (folder, ONE)


def test_a_suite_is_listed_even_where_it_has_one_run(results):
    assert ids(runs.find("hand", results)) == [TWO, ONE]
    assert runs.find("hand", results).chosen is None
    assert runs.find("more", results).chosen is None
    assert ids(runs.find(str(results / "runs/hand"), results / "nowhere")) == [TWO, ONE]


def test_a_suite_by_its_file(results, tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(
        'name = "hand"\nmethods = ["rectangle"]\ndatasets = ["digits"]\nbackbones = ["mlp"]\n'
        "timesteps = [1]\nseeds = [0]\n[recipe]\nepochs = 1\nbatch_size = 2\nlearning_rate = 0.1\n"
    )
    assert ids(runs.find(str(file), results)) == [TWO, ONE]


@pytest.mark.parametrize(
    ("narrow", "chosen"),
    [({"method": "arctan"}, TWO), ({"seed": 0}, ONE), ({"dataset": "digits", "seed": 1}, TWO)],
)
def test_a_suite_narrowed_to_one_run(results, narrow, chosen):
    assert runs.find("hand", results, **narrow).chosen.record["id"] == chosen


def test_a_suite_narrowed_to_several(results):
    assert ids(runs.find("hand", results, dataset="digits")) == [TWO, ONE]


@pytest.mark.parametrize(
    ("asked", "narrow", "sentence"),
    [
        ("hnad", {}, r"^no run or suite 'hnad' in .*: did you mean 'hand'\?$"),
        (
            "zzz",
            {},
            "^no run or suite 'zzz' in .*: there are the suites hand, more; or give another --results$",
        ),
        ("", {}, "^no run or suite '' in "),
        ("..", {}, r"^no run or suite '\.\.' in "),
        (ONE[:-1] + "f", {}, f"did you mean '{ONE}'"),
        (
            "hand",
            {"method": "arctn"},
            r"^no run with the method 'arctn' in the suite hand in .*: did you mean",
        ),
        ("hand", {"method": "zzz"}, "methods there: arctan, mpd-agl$"),
        ("hand", {"seed": 7}, "^no run with the seed 7 in the suite hand in .*: seeds there: 1, 0$"),
        (ONE, {"dataset": "blobs"}, "^no run with the dataset 'blobs' in .*: datasets there: digits$"),
        ("nowhere.toml", {}, "^no suite 'nowhere.toml'"),
        ("x" * 256, {}, "^x{20}… is too long for the name of a run, a suite or a folder$"),
    ],
)
def test_what_is_not_there(results, asked, narrow, sentence):
    with pytest.raises(BenchError, match=sentence):
        runs.find(asked, results, **narrow)


def test_the_beginning_of_several(results):
    shown_runs.write(results, shown_runs.record(0x11, cell={"seed": 9}))
    with pytest.raises(
        BenchError, match=rf"^'1' begins 2 runs, 1{'0' * 15} \(mpd-agl on digits, seed 0\), 11"
    ):
        runs.find("1", results)
    # An option can tell them apart too.
    assert runs.find("1", results, seed=9).chosen.record["id"].startswith("11")


def test_one_id_in_two_suites(results):
    shutil.copytree(results / "runs/hand" / ONE, results / "runs/more" / ONE)
    with pytest.raises(
        BenchError, match=f"is in several suites: give its path, .*hand/{ONE} or .*more/{ONE}$"
    ):
        runs.find(ONE, results)


def test_no_results_at_all(tmp_path):
    with pytest.raises(BenchError, match=r"^there are no runs in .*: give --results"):
        runs.find("quick", tmp_path)


# --- what is damaged ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("\xff", "is damaged"),
        ('{"id": NaN}', "is damaged .NaN is no JSON"),
        ('{"schema": 2}', "has the record schema 2 and this version reads 4: run its suite again$"),
        (json.dumps(shown_runs.record(1, metrics={"test_accuracy": "high"})), "is damaged .metrics"),
        (json.dumps(shown_runs.record(1) | {"cell": {}}), "is damaged .cell.method: Field required"),
    ],
)
def test_a_damaged_record_is_named(results, text, sentence):
    file = results / "runs/hand" / ONE / "record.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BenchError, match=f"^{file} {sentence}") as raised:
        runs.find(ONE, results)
    assert "\n" not in str(raised.value)
    # Beside others it is left out, and told of.
    listing = runs.find("hand", results)
    assert ids(listing) == [TWO]
    assert [line.startswith(str(file)) for line in listing.damaged] == [True]


@pytest.mark.parametrize("name", ["epochs", "layers"])
@pytest.mark.parametrize("content", [b"", b"PAR1 and so on"])
def test_a_damaged_table_is_named(results, name, content):
    file = results / "runs/hand" / ONE / f"{name}.parquet"
    file.write_bytes(content)
    with pytest.raises(BenchError, match=f"^{file} has the hash .* it was edited or damaged"):
        runs.find(ONE, results)
    with pytest.raises(BenchError, match=f"^{file} is damaged") as raised:
        runs.read(runs.Found(file.parent, shown_runs.record()))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t": None}, "not a whole number"),
        ({"epoch": 0.5}, "not a whole number"),
        ({"gradient_norm": "large"}, "large"),
    ],
)
def test_a_table_of_other_things(tmp_path, changes, reason):
    rows = [row | changes for row in shown_runs.layers()]
    shown_runs.write(tmp_path, shown_runs.record(), layer_rows=rows)
    with pytest.raises(BenchError, match=rf"layers\.parquet is damaged \(.*{reason}"):
        runs.read(runs.Found(tmp_path / "runs/hand" / ONE, shown_runs.record()))


def test_a_table_without_a_column(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "silent_fraction"} for row in shown_runs.layers()]
    shown_runs.write(tmp_path, shown_runs.record(), layer_rows=rows)
    with pytest.raises(BenchError, match="it lacks the column silent_fraction"):
        runs.read(runs.Found(tmp_path / "runs/hand" / ONE, shown_runs.record()))


# --- reading ---


def test_rows_come_sorted_and_unknown_is_none(tmp_path):
    rows = shown_runs.layers(silent_fraction=lambda e, i, t: None if i else math.inf)
    shown_runs.write(tmp_path, shown_runs.record(), layer_rows=rows[::-1])
    run = runs.read(runs.find(ONE, tmp_path).chosen)
    places = [(row["epoch"], row["layer"], row["t"]) for row in run.layers]
    assert places == [(e, i, t) for e in range(4) for i in range(3) for t in range(2)]
    assert {row["silent_fraction"] for row in run.layers} == {None}
    assert {row["participation"] for row in run.layers} == {None}
    assert json.dumps(run.layers, allow_nan=False)
    assert run.epochs == shown_runs.epochs()


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"cell": {"measure": {"probe": "off"}}}, 'the suite says probe = "off"'),
        ({"status": "failed"}, "the run ended as failed"),
        ({"unmeasured": {"gradients": "MemoryError: none"}}, "MemoryError: none"),
        ({}, "layers.parquet is not there"),
    ],
)
def test_why_there_are_no_layers(tmp_path, parts, reason):
    shown_runs.write(tmp_path, shown_runs.record(**parts), layer_rows=[])
    run = runs.read(runs.find(ONE, tmp_path).chosen)
    assert run.layers == []
    assert runs.why_no_layers(run).endswith(reason)


# --- the grids ---


def test_norms_combine_over_time_and_stand_against_the_last_layer():
    def norm(epoch, layer, t):
        return [[3.0, 4.0], [0.3, 0.4], [30.0, 40.0]][layer][t]

    found = grids(shown_runs.layers(looks=(0, 5), gradient_norm=norm))
    assert found.layers == ("conv1", "conv2", "conv3")
    assert found.columns == ((0, 0), (5, 5))
    # The root of the sum of squares is 5, 0.5 and 50.
    for sizes in zip(*found.sizes, strict=True):
        assert sizes == pytest.approx((-1, -2, 0))


def test_available_fractions_are_means_over_time():
    found = grids(shown_runs.layers())
    # 0.1 x number of the layer, and 0.2 more at the second of two steps.
    assert [line[0] for line in found.available] == pytest.approx([0.2, 0.3, 0.4])


def test_marks_need_every_neuron_silent_and_a_gradient_of_exactly_zero():
    rows = shown_runs.layers(
        looks=(0,),
        names=("a", "b", "c", "d"),
        silent_fraction=lambda e, i, t: [1.0, 0.999, 1.0, 0.0][i],
        gradient_norm=lambda e, i, t: [0.0, 0.0, 1e-300, 1.0][i],
    )
    found = grids(rows)
    assert [line[0] for line in found.marks] == [BOTH, DEAD, SILENT, ""]
    assert found.signs == [SILENT, DEAD, BOTH]
    assert [line[0] is None for line in found.sizes] == [True, True, False, False]


def test_where_the_last_layer_has_no_gradient_nothing_is_compared():
    found = grids(shown_runs.layers(gradient_norm=lambda e, i, t: 0.0 if i == 2 else 1.0))
    assert {size for line in found.sizes for size in line} == {None}


def test_unknown_numbers_are_unknown():
    found = grids(shown_runs.layers(available_fraction=None, gradient_norm=None, silent_fraction=None))
    assert {value for line in (*found.available, *found.sizes) for value in line} == {None}
    assert {mark for line in found.marks for mark in line} == {""}


@given(st.integers(0, 400), st.integers(3, 100))
def test_buckets_hold_everything_once_in_order_with_the_ends_alone(number, most):
    found = buckets(number, most)
    assert [i for of in found for i in of] == list(range(number))
    assert len(found) == min(number, most)
    if found:
        assert (list(found[0]), list(found[-1])) == ([0], [number - 1])
    inner = [len(of) for of in found[1:-1]]
    assert not inner or max(inner) - min(inner) <= 1


@pytest.mark.parametrize(("most", "left"), [(2, [[0], [8]]), (1, [[8]])])
def test_with_less_room_than_three_the_ends_are_left(most, left):
    assert list(map(list, buckets(9, most))) == left


@given(st.integers(1, 60), st.integers(3, 20))
def test_fitted_columns_are_means_and_keep_the_marks(looks, width):
    rows = shown_runs.layers(
        looks=range(looks),
        names=("a", "b"),
        timesteps=1,
        available_fraction=lambda e, i, t: e / 100,
        silent_fraction=lambda e, i, t: float(e == looks // 2 and i == 1),
    )
    found = grids(rows)
    fitted = found.fitted(width)
    assert (fitted.columns[0], fitted.columns[-1]) == ((0, 0), (looks - 1, looks - 1))
    for (first, last), value in zip(fitted.columns, fitted.available[0], strict=True):
        # The mean of consecutive numbers.
        assert value == pytest.approx((first + last) / 200)
        assert last - first < fitted.per_column
    assert sum(mark == SILENT for mark in fitted.marks[1]) == 1
    assert set(fitted.marks[0]) == {""}


@pytest.mark.parametrize(
    ("sizes", "scale"),
    [
        ([], (-3, 1)),
        ([0.0, -2.9, None, 1.0], (-3, 1)),
        ([-3.1, 0.0], (-4, 1)),
        ([10.2, 0.0], (-3, 11)),
    ],
)
def test_the_scale_of_sizes_grows_in_whole_decades(sizes, scale):
    assert size_scale((tuple(sizes),)) == scale


def test_no_layers():
    assert layer_grids.grids([]).layers == ()
