"""Events to frames: against a plain loop, against tonic where it counts every event, and by laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.events import check_events, recordings, slices, to_frames, tonic
from bench.errors import BenchError

SENSOR = (2, 3, 4)
FIELDS = np.dtype([("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", bool)])
HOW = ("count", "time")


def structured(rows, dtype=FIELDS):
    """Events from rows (t, x, y, p)."""
    return np.array([tuple(row) for row in rows], dtype=dtype)


RECORDINGS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=40
).map(lambda rows: structured(sorted(rows, key=lambda row: row[0])))


def plain_loop(events, timesteps, how):
    """One event at a time, written from the docstring of `to_frames`."""
    frames = np.zeros((timesteps, *SENSOR), dtype=int)
    if len(events) == 0:
        return frames
    first, last = int(events["t"][0]), int(events["t"][-1])
    whole = len(events) if how == "count" else last - first
    step = max(1, whole // timesteps)
    for i, event in enumerate(events):
        passed = i if how == "count" else int(event["t"]) - first
        frame = 0
        while frame < timesteps - 1 and passed >= (frame + 1) * step:
            frame += 1
        frames[frame, int(event["p"]), event["y"], event["x"]] += 1
    return frames


# --- laws ---


@pytest.mark.parametrize("how", HOW)
@given(events=RECORDINGS, timesteps=st.integers(1, 50))
def test_equals_a_plain_loop(how, events, timesteps):
    frames = to_frames(events, timesteps, SENSOR, how)
    assert frames.shape == (timesteps, *SENSOR) and frames.dtype == np.int64
    np.testing.assert_array_equal(frames, plain_loop(events, timesteps, how))


@pytest.mark.parametrize("how", HOW)
@given(events=RECORDINGS, timesteps=st.integers(1, 50))
def test_every_event_is_counted_once(how, events, timesteps):
    frames = to_frames(events, timesteps, SENSOR, how)
    assert frames.sum() == len(events)
    np.testing.assert_array_equal(frames.sum(0), to_frames(events, 1, SENSOR, how)[0])


@given(events=RECORDINGS, timesteps=st.integers(1, 50))
def test_equal_counts_are_equal(events, timesteps):
    counts = to_frames(events, timesteps, SENSOR, "count").sum((1, 2, 3))
    if len(events) >= timesteps:
        assert (counts[:-1] == len(events) // timesteps).all()
        assert 0 <= counts[-1] - len(events) // timesteps < timesteps
    else:
        assert counts.tolist() == [1] * len(events) + [0] * (timesteps - len(events))


@pytest.mark.parametrize("how", HOW)
@given(events=RECORDINGS, timesteps=st.integers(1, 50), start=st.integers(0, 10**12))
def test_the_clock_may_start_anywhere(how, events, timesteps, start):
    later = events.copy()
    later["t"] += start
    np.testing.assert_array_equal(
        to_frames(later, timesteps, SENSOR, how), to_frames(events, timesteps, SENSOR, how)
    )


def test_types_of_the_fields_do_not_matter():
    events = structured([(5, 0, 1, True), (9, 3, 2, False), (30, 3, 0, True)])
    unsigned = events.astype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
    for how in HOW:
        np.testing.assert_array_equal(to_frames(unsigned, 2, SENSOR, how), to_frames(events, 2, SENSOR, how))


def test_channel_one_is_on():
    frames = to_frames(structured([(0, 3, 2, True)]), 1, SENSOR, "time")
    assert np.argwhere(frames).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("how", HOW)
def test_more_frames_than_events_or_moments(how):
    none, three = structured([]), structured([(7, 0, 0, True)] * 3)
    assert to_frames(none, 4, SENSOR, how).sum() == 0
    assert to_frames(three, 4, SENSOR, how).sum((1, 2, 3)).tolist() == (
        [1, 1, 1, 0] if how == "count" else [3, 0, 0, 0]
    )


# --- tonic ---


@pytest.fixture(scope="module")
def tonic_frames():
    """tonic_frames(events, T, how): the frames of tonic's ToFrame transform."""
    transforms = pytest.importorskip("tonic.transforms")

    def call(events, timesteps, how):
        bins = {"n_event_bins" if how == "count" else "n_time_bins": timesteps}
        return transforms.ToFrame(sensor_size=(4, 3, 2), **bins)(events)

    return call


@pytest.mark.parametrize("how", HOW)
@given(events=RECORDINGS, timesteps=st.integers(1, 8))
def test_equals_tonic_but_for_the_rest(tonic_frames, how, events, timesteps):
    """All frames but the last are tonic's; the last has what tonic drops besides."""
    long_enough = len(events) and np.ptp(events["t"]) >= timesteps and len(events) >= timesteps
    if not long_enough:
        return
    ours, theirs = to_frames(events, timesteps, SENSOR, how), tonic_frames(events, timesteps, how)
    np.testing.assert_array_equal(ours[:-1], theirs[:-1])
    assert (ours[-1] >= theirs[-1]).all()
    if how == "count" and len(events) % timesteps == 0:
        np.testing.assert_array_equal(ours, theirs)


def test_tonic_drops_events(tonic_frames):
    """Why the counting is not left to tonic: should this change, it can be."""
    events = structured([(t, 0, 0, True) for t in range(0, 70, 10)])
    assert tonic_frames(events, 2, "count").sum() == 6
    assert tonic_frames(events, 2, "time").sum() == 6
    assert tonic_frames(events, 9, "count").sum() == 0
    assert tonic_frames(structured([(7, 0, 0, True)] * 3), 2, "time").sum() == 0


# --- checks ---

GOOD = [(0, 0, 0, 0), (5, 3, 2, 1), (5, 1, 1, 0), (9, 2, 2, 1)]
WHOLE = np.dtype([("t", np.int64), ("x", np.int64), ("y", np.int64), ("p", np.int64)])


def test_good_events_pass():
    check_events("a.bin", structured(GOOD, WHOLE), SENSOR, "us")
    check_events(
        "a.bin", structured(GOOD).astype([("t", "u8"), ("x", "u2"), ("y", "u2"), ("p", "?")]), SENSOR, "us"
    )


@pytest.mark.parametrize(
    ("event", "changed", "message"),
    [
        (2, (4, 1, 1, 0), "t = 4 us comes after t = 5 us"),
        (3, (-1, 2, 2, 1), "t = -1 us comes after t = 5 us"),
        (0, (0, 4, 0, 0), "x = 4 is not in 0 to 3"),
        (3, (9, -1, 0, 0), "x = -1 is not in 0 to 3"),
        (1, (5, 0, 3, 0), "y = 3 is not in 0 to 2"),
        (1, (5, 0, -7, 0), "y = -7 is not in 0 to 2"),
        (2, (5, 0, 0, 2), "p = 2 is not in 0 to 1"),
        (2, (5, 0, 0, -1), "p = -1 is not in 0 to 1"),
    ],
)
def test_the_faulty_event_is_named(event, changed, message):
    rows = [*GOOD[:event], changed, *GOOD[event + 1 :]]
    with pytest.raises(BenchError) as caught:
        check_events("folder/a.bin", structured(rows, WHOLE), SENSOR, "us")
    assert str(caught.value).startswith(f"folder/a.bin, event {event}: {message}; ")
    assert "\n" not in str(caught.value)


def test_the_first_fault_is_named():
    rows = [*GOOD, (3, 0, 0, 0), (2, 0, 0, 0)]
    with pytest.raises(BenchError, match="event 4: t = 3 us comes after t = 9 us"):
        check_events("a.bin", structured(rows, WHOLE), SENSOR, "us")


def test_unsigned_times_going_back_are_seen():
    events = structured([(5, 0, 0, 0), (4, 0, 0, 0)]).astype(
        [("t", "u8"), ("x", "u2"), ("y", "u2"), ("p", "?")]
    )
    with pytest.raises(BenchError, match="event 1: t = 4 ms comes after t = 5 ms"):
        check_events("a.bin", events, SENSOR, "ms")


def test_no_events_are_refused():
    with pytest.raises(BenchError, match=r"a\.bin has no events"):
        check_events("a.bin", structured([]), SENSOR, "us")


# --- files ---


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(BenchError) as caught:
        recordings("some-set", tmp_path / "Set" / "Train", "*/*.bin", "https://a.b; unpack it")
    for part in (
        "some-set",
        str(tmp_path / "Set" / "Train"),
        "is not there",
        "--data-root",
        "SPIKEGRAD_DATA",
    ):
        assert part in str(caught.value)
    assert str(caught.value).endswith("holds it, or get them from https://a.b; unpack it")
    (tmp_path / "Set" / "Train").mkdir(parents=True)
    with pytest.raises(BenchError, match=r"Train holds no \*/\*\.bin; "):
        recordings("some-set", tmp_path / "Set" / "Train", "*/*.bin", "https://a.b; unpack it")


def test_a_missing_tonic_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tonic.io", None)
    with pytest.raises(BenchError, match=r"some-set: tonic .* pip install tonic"):
        tonic("some-set", "io")


@pytest.mark.parametrize("how", HOW)
def test_the_setting(how):
    assert slices(how).default == how and set(slices(how).choices) == set(HOW)
