"""Splits, subsets and the checks on what a loader returns."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.data.frames import Part, Stored, frames
from bench.data.loading import (
    Dataset,
    Request,
    Setting,
    Split,
    Splits,
    dataset,
    prepare,
    stratified,
    with_ids,
)
from bench.errors import BenchError
from bench.randomness import uniform

REQUEST = Request(Path("/nonexistent"), timesteps=3)
SHAPE = (1, 2, 2)


def split(count: int, start: int = 0, classes: int = 4) -> Split:
    """Every sample is filled with its id."""
    ids = torch.arange(start, start + count)
    return Split(ids.float().view(-1, 1, 1, 1).expand(-1, *SHAPE).contiguous(), ids % classes, ids)


def declared(load: Callable[[], Splits], **facts) -> Dataset:
    given_facts = {"shape": SHAPE, "classes": 4, "licence": "none", "source": "made up", **facts}

    @dataset("toy", **given_facts)
    def toy(request: Request) -> Splits:
        return load()

    return toy.declared[0]


def simple(train: int = 100, test: int = 20, **facts) -> Dataset:
    return declared(lambda: Splits(split(train), split(test, start=10_000)), **facts)


def with_val(train: int = 60, val: int = 40) -> Dataset:
    return declared(lambda: Splits(split(train), split(20, 10_000), val=split(val, 5_000)))


def ids(part: Split) -> set[int]:
    return set(part.ids.tolist())


# --- declaring ---


def test_a_loader_may_declare_several_datasets():
    @dataset("one", shape=[1, 2, 2], classes=4, licence="a", source="b")
    @dataset("two", shape=(1, 2, 2), classes=4, licence="a", source="b", events=True)
    def load(request: Request) -> Splits:
        raise NotImplementedError

    assert [d.name for d in load.declared] == ["two", "one"]
    assert [d.shape for d in load.declared] == [SHAPE, SHAPE]
    assert [d.events for d in load.declared] == [True, False]


@pytest.mark.parametrize("taken", ["auto-paper", "rand"])
def test_an_augmentation_with_a_name_that_is_taken_is_refused(taken):
    with pytest.raises(BenchError, match=f"the dataset mine declares an augmentation '{taken}', which every"):
        dataset("mine", shape=(1,), classes=2, licence="", source="", augment={taken: lambda x, *_: x})


def test_with_ids_counts_from_start():
    made = with_ids(np.zeros((3, 1, 2, 2), np.float32), [2, 0, 1], start=7)
    assert made.ids.tolist() == [7, 8, 9] and made.y.dtype == made.ids.dtype == torch.int64


# --- stratified ---

SIZES = st.lists(st.integers(5, 40), min_size=2, max_size=6)


def labels_of(sizes: list[int]) -> torch.Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.permutation(np.repeat(np.arange(len(sizes)), sizes)))


@given(sizes=SIZES, share=st.floats(0.5, 1))
def test_stratified_keeps_shares_within_one_sample(sizes, share):
    y = labels_of(sizes)
    count = round(share * len(y))
    rows = stratified(y, count, "toy")
    assert len(rows) == count and torch.equal(rows, rows.unique())
    for label, size in enumerate(sizes):
        assert abs(int((y[rows] == label).sum()) - size * count / len(y)) < 1


@given(sizes=SIZES)
def test_stratified_is_deterministic_and_takes_all_of_all(sizes):
    y = labels_of(sizes)
    assert torch.equal(stratified(y, len(y), "toy"), torch.arange(len(y)))
    half = stratified(y, len(y) // 2, "toy")
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(stratified(y, len(y) // 2, "toy"), half)


def test_stratified_chooses_at_random():
    """Not the first of each class, and about evenly over the rows."""
    rows = stratified(torch.arange(10_000) % 2, 1000, "toy").double()
    assert abs(rows.mean() - 5000) < 4 * 10_000 / 12**0.5 / 1000**0.5


def test_stratified_says_how_many_it_takes():
    y = torch.tensor([0] * 90 + [1] * 10)
    with pytest.raises(BenchError, match=r"toy: 4 of 100 samples leave class 1 .* at least 10"):
        stratified(y, 4, "toy")
    assert 1 in y[stratified(y, 10, "toy")]


# --- prepare ---


def test_validation_is_cut_out_of_training():
    prepared = prepare(simple(), REQUEST)
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (80, 20, 20)
    assert ids(prepared.train) | ids(prepared.val) == set(range(100))
    assert prepared.train.y.bincount().tolist() == [20] * 4
    assert prepared.val.y.bincount().tolist() == [5] * 4
    for part in (prepared.train, prepared.val, prepared.test):
        assert torch.equal(part.x[:, 0, 0, 0].long(), part.ids) and torch.equal(part.ids % 4, part.y)


def test_validation_of_the_loader_is_kept():
    prepared = prepare(with_val(), REQUEST)
    assert ids(prepared.val) == set(range(5000, 5040)) and len(prepared.train) == 60


@pytest.mark.parametrize("subset", [24, 40, 41, 99, 100])
@pytest.mark.parametrize("make", [simple, with_val])
def test_subset_leaves_test_alone(make, subset):
    whole, part = prepare(make(), REQUEST), prepare(make(), REQUEST, subset=subset)
    assert len(part.train) + len(part.val) == subset
    assert torch.equal(part.test.x, whole.test.x)
    assert ids(part.train) | ids(part.val) <= ids(whole.train) | ids(whole.val)
    assert ids(part.train).isdisjoint(ids(part.val))
    counts = torch.cat([part.train.y, part.val.y]).bincount(minlength=4)
    assert counts.max() - counts.min() <= 2


def test_checksum_names_the_content():
    checksum = prepare(simple(), REQUEST).checksum
    assert prepare(simple(), REQUEST).checksum == checksum
    assert prepare(simple(), REQUEST, subset=40).checksum != checksum
    changed = split(100)
    changed.x[3, 0, 1, 1] += 1
    assert prepare(declared(lambda: Splits(changed, split(20, 10_000))), REQUEST).checksum != checksum


def test_tuning_never_loads_the_test_set():
    def refuse() -> Split:
        raise BenchError("the test set was read")

    toy = declared(lambda: Splits(split(100), refuse))
    tuned, whole = prepare(toy, REQUEST, 40, test=False), prepare(simple(), REQUEST, 40)
    assert torch.equal(tuned.train.ids, whole.train.ids) and torch.equal(tuned.val.ids, whole.val.ids)
    with pytest.raises(RuntimeError, match=r"^the test data of toy was not loaded: this is a tuning trial$"):
        _ = tuned.test
    assert tuned.facts.train_samples == 32
    with pytest.raises(BenchError, match=r"^the test set was read$"):
        prepare(toy, REQUEST)


def test_tuning_drops_a_test_set_that_was_loaded():
    """Nothing of it counts: neither what is wrong with it, nor its content."""
    good, wrong = simple(), declared(lambda: Splits(split(100), split(20, start=0, classes=9)))
    checksum = prepare(good, REQUEST, test=False).checksum
    assert prepare(wrong, REQUEST, test=False).checksum == checksum != prepare(good, REQUEST).checksum
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = prepare(good, REQUEST, test=False).test


def test_a_test_set_from_a_function_is_like_any_other():
    late, plain = declared(lambda: Splits(split(100), lambda: split(20, 10_000))), simple()
    assert prepare(late, REQUEST).checksum == prepare(plain, REQUEST).checksum
    assert torch.equal(prepare(late, REQUEST).test.x, prepare(plain, REQUEST).test.x)
    overlapping = declared(lambda: Splits(split(100), lambda: split(20, 90)))
    with pytest.raises(BenchError, match=r"dataset toy: \d+ samples are both in train and in test"):
        prepare(overlapping, REQUEST)


def test_prepared_data_can_be_changed():
    whole = prepare(simple(), REQUEST)
    changed = dataclasses.replace(whole, note="changed")
    assert changed.test is whole.test and changed.note == "changed"
    tuned = dataclasses.replace(prepare(simple(), REQUEST, test=False), note="changed")
    with pytest.raises(RuntimeError, match="not loaded"):
        _ = tuned.test


def test_a_note_may_tell_what_was_loaded():
    loaded = ["train"]

    def test() -> Split:
        loaded.append("test")
        return split(20, 10_000)

    toy = declared(lambda: Splits(split(100), test, note=lambda: " and ".join(loaded)))
    assert prepare(toy, REQUEST, test=False).note == "train"
    assert prepare(toy, REQUEST).note == "train and test"


def test_events_have_the_requested_time_steps():
    def load() -> Splits:
        return Splits(*(with_ids(torch.zeros(40, 3, *SHAPE), torch.arange(40) % 4, s) for s in (0, 40)))

    assert len(prepare(declared(load, events=True), REQUEST).train) == 32
    with pytest.raises(BenchError, match=r"shape \(3, 1, 2, 2\), declared is \(5, 1, 2, 2\)"):
        prepare(declared(load, events=True), Request(Path("/nonexistent"), timesteps=5))


# --- what is wrong is said with its numbers ---


def refused(train: Split, message: str, **others) -> None:
    parts = {"train": train, "test": split(20, 10_000), **others}
    with pytest.raises(BenchError, match=f"^dataset toy.*{message}") as caught:
        prepare(declared(lambda: Splits(**parts)), REQUEST)
    assert "\n" not in str(caught.value)


def test_wrong_shape():
    good = split(40)
    refused(Split(good.x[..., :1], good.y, good.ids), r"train split.*\(1, 2, 1\), declared is \(1, 2, 2\)")


@pytest.mark.parametrize("shift", [-1, 1])
def test_label_out_of_range(shift):
    good = split(40)
    refused(
        Split(good.x, good.y + shift, good.ids), f"labels run from {shift} to {3 + shift}.* 4 classes from 0"
    )


def test_lengths_that_differ():
    good = split(40)
    refused(Split(good.x, good.y[:39], good.ids[:38]), "40 samples, 39 labels and 38 ids")


def test_empty():
    refused(split(40), "val split: it is empty", val=split(0, 5000))


def test_wrong_dtype():
    good = split(40)
    refused(Split(good.x.double(), good.y, good.ids), "torch.float64.* float32, uint8 or int16")


def test_ids_twice_in_a_split():
    good = split(40)
    refused(Split(good.x, good.y, good.ids // 2), "40 samples have only 20 ids")


@pytest.mark.parametrize("part", ["test", "val"])
def test_overlap(part):
    message = f"5 samples are both in train and in {part}, the first with id 35"
    others = {"val": split(20, 5000), part: split(20, 35)}
    refused(split(40), message, **others)


@pytest.mark.parametrize("make", [simple, with_val])
def test_subset_too_large(make):
    with pytest.raises(BenchError, match=r"subset = 101 .* more than the 100 training samples"):
        prepare(make(), REQUEST, subset=101)


@pytest.mark.parametrize("subset", [-3, 0, 3, 8])
@pytest.mark.parametrize("make", [simple, with_val])
def test_subset_too_small(make, subset):
    with pytest.raises(BenchError, match=r"samples leave class \d with none; take at least \d"):
        prepare(make(), REQUEST, subset=subset)


# --- parameters, and facts that follow from the data ---

PARAMS = {
    "units": Setting(20, low=1, high=100),
    "smooth": Setting(2.0, low=0),
    "slices": Setting("time", choices=("time", "count")),
    "path": Setting(""),
}


def test_parameters_are_completed_and_a_whole_number_may_stand_for_a_real_one():
    toy = simple(params=PARAMS)
    assert toy.settle({}) == {"units": 20, "smooth": 2.0, "slices": "time", "path": ""}
    found = toy.settle({"smooth": 3, "path": "here"})
    assert found == {"units": 20, "smooth": 3.0, "slices": "time", "path": "here"}
    assert type(found["smooth"]) is float


@pytest.mark.parametrize(
    ("given_params", "message"),
    [
        ({"unit": 3}, "dataset toy has no parameter 'unit': it has units, smooth, slices, path"),
        ({"units": 2.5}, "dataset toy: units must be a whole number, got 2.5"),
        ({"units": "many"}, "dataset toy: units must be a whole number, got 'many'"),
        ({"units": 0}, "dataset toy: units must lie between 1 and 100, got 0"),
        ({"smooth": -1}, "dataset toy: smooth must lie between 0 and inf, got -1.0"),
        ({"smooth": float("nan")}, "dataset toy: smooth must lie between 0 and inf, got nan"),
        ({"slices": "tme"}, "dataset toy: slices must be time or count, got 'tme'"),
        ({"path": 3}, "dataset toy: path must be a text, got 3"),
    ],
)
def test_wrong_parameters_are_refused(given_params, message):
    with pytest.raises(BenchError) as caught:
        simple(params=PARAMS).settle(given_params)
    assert str(caught.value) == message


def test_no_parameters():
    with pytest.raises(BenchError, match="has no parameter 'units': it has none"):
        simple().settle({"units": 1})


def test_shape_and_classes_may_follow_from_the_data():
    def load() -> Splits:
        return Splits(split(100), split(20, 10_000), shape=SHAPE, classes=4, note="some of them")

    prepared = prepare(declared(load, shape=None, classes=None), REQUEST)
    assert (prepared.shape, prepared.classes, prepared.note) == (SHAPE, 4, "some of them")
    assert prepared.facts.checksum == prepare(simple(), REQUEST).checksum
    for missing, what in (({"shape": None}, "shape"), ({"classes": None}, "number of classes")):
        with pytest.raises(BenchError, match=f"neither its declaration nor its loader gives the {what}"):
            prepare(simple(**missing), REQUEST)


def test_a_wrong_label_is_named_with_its_sample():
    bad = split(40)
    bad.y[7] = 9
    refused(bad, "the first wrong one is 9, of the sample with id 7")


def test_flat_events():
    x = torch.zeros(40, 3, 5, dtype=torch.int16)
    flat = Split(x, torch.arange(40) % 4, torch.arange(40))
    toy = declared(lambda: Splits(flat, Split(x, flat.y, flat.ids + 100)), shape=(5,), events=True)
    assert prepare(toy, REQUEST).train.x.shape[1:] == (3, 5)


# --- luck ---


@pytest.mark.parametrize("seed", [0, 1])
def test_who_is_split_off_says_nothing_of_how_a_sample_is_augmented(seed):
    """Augmentation of the first epoch draws by (seed, 0, id), and ids are often places."""
    y = torch.arange(10_000) % 2
    kept = stratified(y, 1000, "toy", torch.arange(10_000))
    draws = uniform(seed, 0, kept, draws=2)
    assert ((draws.mean(0) - 0.5).abs() < 4 * (1 / 12 / 1000) ** 0.5).all()


def test_luck_goes_by_ids_so_that_a_missing_sample_changes_little():
    y, ids = torch.arange(400) % 4, torch.arange(400) * 7
    whole = set(ids[stratified(y, 40, "toy", ids)].tolist())
    rows = torch.cat([torch.arange(20), torch.arange(21, 400)])
    rest = set(ids[rows][stratified(y[rows], 40, "toy", ids[rows])].tolist())
    assert len(whole & rest) >= 38
    shuffled = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    again = set(ids[shuffled][stratified(y[shuffled], 40, "toy", ids[shuffled])].tolist())
    assert again == whole, "the order of samples does not matter"


def test_the_validation_samples_are_pinned():
    """Another choice would make all published numbers incomparable: not by accident."""
    val = prepare(simple(40), REQUEST).val
    assert val.ids.tolist() == [6, 9, 11, 13, 24, 26, 28, 31]


# --- samples that stay on disk ---


def test_stored_samples_are_split_like_any_others(tmp_path):
    def part(count: int, start: int) -> Part:
        whole = split(count, start)
        return Part(count, lambda i: whole.x[i].numpy(), whole.y.numpy())

    def load() -> Splits:
        request = Request(tmp_path, 3, cache=tmp_path)
        kept = frames(
            request, "toy", {}, [], SHAPE, "float32", lambda: {"a": part(100, 0), "b": part(20, 10_000)}
        )
        return Splits(with_ids(kept["a"].x, kept["a"].y, 0), with_ids(kept["b"].x, kept["b"].y, 10_000))

    for subset in (None, 60):
        stored, plain = (prepare(toy, REQUEST, subset) for toy in (declared(load), simple()))
        for mine, theirs in zip(
            (stored.train, stored.val, stored.test), (plain.train, plain.val, plain.test), strict=True
        ):
            assert isinstance(mine.x, Stored)
            assert torch.equal(mine.x[torch.arange(len(mine))], theirs.x)
            assert torch.equal(mine.ids, theirs.ids)
        assert prepare(declared(load), REQUEST, subset).checksum == stored.checksum
    assert prepare(declared(load), REQUEST).checksum != stored.checksum
