"""Spike recordings in HDF5, in the layout of the Spiking Heidelberg Digits, and their binning.

    spikes/times   N recordings of any length: time of each event in seconds, ascending (float)
    spikes/units   as long as the times: input unit of each event (whole numbers from 0)
    labels [N]     whole numbers
    extra/speaker  [N], whole numbers; optional

Layout: Cramer et al., "The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural
Networks", TNNLS 2022, https://doi.org/10.1109/TNNLS.2020.3044364. N recordings, E events in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.data.frames import Kept, Part, frames, track
from bench.data.loading import Request, Setting
from bench.errors import BenchError

MICROSECONDS = 1_000_000
PARAMS = {
    # The value in the examples of SHD's authors (https://github.com/fzenke/spytorch, tutorial 4).
    "duration": Setting(1.4, low=0.001, high=3600.0, help="seconds, divided evenly into the time steps"),
    "pool": Setting(1, low=1, help="neighbouring units to sum into one; must divide the number of units"),
}
"""Parameters of every dataset that is read here."""

Times = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


class SpikeFile:
    """An open file with checked layout; use it in a `with` statement.

    labels: [N].
    speakers: [N], None if the file has none.
    units: the number of units.
    classes: the number of classes; None takes it from the labels, which must then all occur.

    Raises BenchError, naming file and record, if the file has another layout or labels are out of range.
    """

    def __init__(self, path: Path, units: int, classes: int | None = None) -> None:
        try:
            import h5py
        except ImportError as error:
            raise BenchError(f"{path}: h5py reads it and cannot be imported ({error}); install it") from error
        self.path, self.units = path, units
        with ExitStack() as undo:
            try:
                # Several processes can read a file at once, even if no lock can be written.
                self._file = undo.enter_context(h5py.File(path, "r", locking="best-effort"))
                self._times = self._ragged("spikes/times", "f", "seconds as floating-point numbers")
                self._units = self._ragged("spikes/units", "iu", "whole numbers")
                self.labels = self._numbers("labels")
                self.speakers = self._numbers("extra/speaker") if "extra/speaker" in self._file else None
            except (OSError, RuntimeError) as error:
                raise BenchError(
                    f"{path} is no whole HDF5 file ({_first_line(error)}); fetch or write it again"
                ) from error
            lengths = {"spikes/times": len(self._times), "spikes/units": len(self._units)}
            lengths["labels"] = len(self.labels)
            if self.speakers is not None:
                lengths["extra/speaker"] = len(self.speakers)
            if len(set(lengths.values())) > 1 or not len(self.labels):
                counts = ", ".join(f"{key} {n:,}" for key, n in lengths.items())
                raise BenchError(f"{path}: each recording needs one entry in every array; it has {counts}")
            self.classes = check_labels(path, self.labels, classes)
            self._open = undo.pop_all()

    def __len__(self) -> int:
        return len(self.labels)

    def __enter__(self) -> SpikeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def events(self, i: int) -> tuple[Times, Whole]:
        """Times [E] in seconds and units [E] of recording i.

        Raises BenchError, naming file and record, if they are not a valid recording: different in number, not
        finite, before 0, out of order, or with a unit that does not exist.
        """
        where = f"{self.path}, record {i}"
        try:
            times = np.asarray(self._times[i], dtype=np.float64)
            units = np.asarray(self._units[i]).astype(np.int64)
        except (OSError, RuntimeError) as error:
            raise BenchError(
                f"{where} cannot be read ({_first_line(error)}); fetch or write the file again"
            ) from error
        if len(times) != len(units):
            raise BenchError(
                f"{where}: it has {len(times):,} times and {len(units):,} units; each event has both"
            )
        for wrong, what in (
            (~np.isfinite(times), "is no time"),
            (times < 0, "lies before the start"),
            (np.append(False, times[1:] < times[:-1]), "comes after a later one; sort the events by time"),
        ):
            if wrong.any():
                k = int(wrong.argmax())
                raise BenchError(f"{where}, event {k}: {times[k]:g} s {what}")
        outside = (units < 0) | (units >= self.units)
        if outside.any():
            k = int(outside.argmax())
            raise BenchError(
                f"{where}, event {k}: unit {units[k]} is not one of the {self.units} units "
                f"0 to {self.units - 1}"
            )
        return times, units

    def _array(self, key: str) -> Any:
        import h5py

        found = self._file.get(key)
        if not isinstance(found, h5py.Dataset):
            raise BenchError(
                f"{self.path}: it has no array {key}; SHD's layout is spikes/times, spikes/units and labels"
            )
        return found

    def _ragged(self, key: str, kinds: str, what: str) -> Any:
        import h5py

        found = self._array(key)
        # Recordings of equal length can also be rows of a table.
        base = found.dtype if found.ndim == 2 else h5py.check_vlen_dtype(found.dtype)
        if base is None or found.ndim > 2 or np.dtype(base).kind not in kinds:
            raise BenchError(
                f"{self.path}: {key} is {found.dtype if base is None else base}, {found.ndim}-dimensional; "
                f"it must hold one list of {what} for each recording"
            )
        return found

    def _numbers(self, key: str) -> Whole:
        found = self._array(key)
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise BenchError(
                f"{self.path}: {key} is {found.dtype}, {found.ndim}-dimensional; it must hold one whole "
                "number for each recording"
            )
        return np.asarray(found[:]).astype(np.int64)


def check_labels(where: Path, labels: Whole, classes: int | None) -> int:
    """The number of classes, after checking labels [N].

    classes: the expected number; if None, labels must cover all classes from 0 to the largest label.

    Raises BenchError, naming the record or the class.
    """
    known = max(int(labels.max()) + 1, 1) if classes is None else classes
    wrong = (labels < 0) | (labels >= known)
    if wrong.any():
        i = int(wrong.argmax())
        raise BenchError(
            f"{where}, record {i}: label {labels[i]} is not one of the {known} classes 0 to {known - 1}"
        )
    if classes is None:
        # A set: a single huge label must not allocate a table of its size.
        present = set(labels.tolist())
        missing = next((c for c in range(known) if c not in present), None)
        if missing is not None:
            raise BenchError(
                f"{where}: its labels go up to {known - 1} and class {missing} has no sample; number the "
                "classes from 0 without a gap"
            )
    return known


def load(
    request: Request,
    name: str,
    files: Mapping[str, Path],
    units: int,
    classes: int | None,
    need_speakers: bool = False,
) -> dict[str, Kept]:
    """Frames of each file, [N, T, units / pool] in `Kept.x`, from the cache or created now.

    They are uint8, or int16 if pool is above 1.

    request: T, and the parameters in `PARAMS`.
    files: by the name of the split, training file first.
    classes: None takes the number from the labels.

    `Kept.extra` has "late" [N], the number of events after the duration, which are dropped, and "speaker" [N]
    if the file has it.

    Raises BenchError as in `SpikeFile` and `bench.data.frames.frames`, and if pool does not divide the units,
    speakers are needed and missing, or all events of a recording lie after the duration.
    """
    duration, pool = float(request.params["duration"]), int(request.params["pool"])
    if units % pool:
        raise BenchError(f"dataset {name}: pool = {pool} does not divide the {units} units")
    _require(name, files)
    settings = {"timesteps": request.timesteps, "duration": duration, "pool": pool, "units": units}
    with ExitStack() as opened:

        def parts() -> dict[str, Part]:
            made, known = {}, classes
            for each, path in files.items():
                file = opened.enter_context(SpikeFile(path, units, known))
                known = file.classes
                if need_speakers and file.speakers is None:
                    raise BenchError(
                        f"{path}: it has no array extra/speaker, by which speakers are held out for "
                        "validation; fetch the original file"
                    )
                made[each] = _part(file, request.timesteps, duration, pool)
            return made

        shape = (request.timesteps, units // pool)
        # Sums over units overflow a byte sooner, and still take no more space than the units would.
        dtype = "uint8" if pool == 1 else "int16"
        return frames(request, name, settings, list(files.values()), shape, dtype, parts)


def count(
    times: Times, units: Whole, timesteps: int, duration: float, channels: int, pool: int = 1
) -> tuple[Whole, int]:
    """Event counts, [T, channels / pool], and the number of events that came too late.

    times, units: [E]. Step k counts the events in [k, k+1)·duration/T seconds; channel c counts those of
    units pool·c to pool·c + pool - 1. Events at `duration` or later are late. Times and duration are first
    rounded to whole microseconds, so that no rounding of a quotient moves an event.
    """
    end = round(duration * MICROSECONDS)
    # Clip times far beyond the end, so that none overflows.
    ticks = np.rint(np.minimum(times, 2 * duration) * MICROSECONDS).astype(np.int64)
    inside = ticks < end
    step = ticks[inside] * timesteps // end
    wide = channels // pool
    place = step * wide + units[inside] // pool
    counts = np.bincount(place, minlength=timesteps * wide).reshape(timesteps, wide)
    return counts, int(len(times) - inside.sum())


def held_out(speakers: Whole, labels: Whole, fraction: float, name: str) -> tuple[Tensor, list[int]]:
    """The recordings of held-out speakers (bool [N]), and these speakers' numbers.

    Speakers are held out from the highest number down, as many as bring their share of the recordings nearest
    to `fraction` (fewer on a tie), with every class on both sides. Raises BenchError if that is impossible.
    """
    known = np.unique(speakers)
    every = len(np.unique(labels))
    best: tuple[float, npt.NDArray[np.bool_], list[int]] | None = None
    for many in range(1, len(known)):
        chosen = np.isin(speakers, known[-many:])
        if all(len(np.unique(labels[side])) == every for side in (chosen, ~chosen)):
            off = abs(int(chosen.sum()) - fraction * len(labels))
            if best is None or off < best[0]:
                best = off, chosen, [int(s) for s in known[-many:]]
    if best is None:
        raise BenchError(
            f"dataset {name}: no last few of its {len(known)} speakers can be held out for validation so "
            f"that all {every} classes are left on both sides"
        )
    return torch.from_numpy(best[1]), best[2]


def late_note(kept: Mapping[str, Kept], duration: float) -> str:
    """A note on events dropped after the duration; "" if there are none."""
    found = {each: part.extra["late"] for each, part in kept.items()}
    said = [
        f"{late.sum():,} in {(late > 0).sum():,} {each} recordings"
        for each, late in found.items()
        if late.any()
    ]
    return f"events after {duration:g} s are left out: {', '.join(said)}" if said else ""


def verify(name: str, files: Mapping[str, Path], units: int, classes: int | None) -> list[str]:
    """Read every record of every file and summarise the content; files and classes as for `load`.

    Raises BenchError at the first error, naming file and record.
    """
    facts = []
    _require(name, files)
    for path in files.values():
        with SpikeFile(path, units, classes) as file:
            classes = file.classes
            total, last = 0, 0.0
            for i in track(range(len(file)), f"reading {path.name}"):
                times, _ = file.events(i)
                total, last = total + len(times), max(last, float(times[-1]) if len(times) else 0.0)
            by = "" if file.speakers is None else f" of {len(np.unique(file.speakers))} speakers"
            facts.append(
                f"{path.name}: {len(file):,} recordings{by}, {len(np.unique(file.labels))} classes, "
                f"{total:,} events, the last at {last:.3f} s"
            )
    return facts


def _require(name: str, files: Mapping[str, Path]) -> None:
    for path in files.values():
        if not path.is_file():
            raise BenchError(
                f"dataset {name}: {path} is not there; put it there (spikegrad data prepare {name}), or let "
                "--data-root or SPIKEGRAD_DATA name the folder that holds the data"
            )


def _part(file: SpikeFile, timesteps: int, duration: float, pool: int) -> Part:
    late = np.zeros(len(file), dtype=np.int64)

    def read(i: int) -> Whole:
        times, units = file.events(i)
        # The array is saved only after the last recording has been read, when it is complete.
        counts, late[i] = count(times, units, timesteps, duration, file.units, pool)
        if late[i] and late[i] == len(times):
            raise BenchError(
                f"{file.path}, record {i}: all its {len(times):,} events come after duration = {duration:g} "
                f"s, the first at {times[0]:g}; give times in seconds, or a longer duration"
            )
        return counts

    extra = {"late": late} if file.speakers is None else {"late": late, "speaker": file.speakers}
    return Part(len(file), read, file.labels, extra)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
