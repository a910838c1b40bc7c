"""Progress of a run: bars and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from bench import variants
from bench.errors import counted
from bench.records.record_files import Record
from bench.records.store import OK
from bench.records.timings import Timing
from bench.show.terminal import say

if TYPE_CHECKING:
    from bench.runner.plan import Planned
    from bench.runner.timing.times import Measurement


class Estimate:
    """Time left, from the epochs and cells that have ended since the start."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.ended = 0
        self.running: dict[str, float] = {}
        self.began = 0.0

    def start(self) -> None:
        """A cell starts. The first one starts the clock, so that loading torch does not count."""
        self.began = self.began or time.monotonic()

    def epoch(self, planned: Planned, epoch: int) -> None:
        """An epoch of a running cell has ended."""
        self.running[planned.id] = (epoch + 1) / planned.cell.recipe.epochs

    def end(self, planned: Planned) -> None:
        """A cell has ended."""
        self.running.pop(planned.id, None)
        self.ended += 1

    def text(self) -> str:
        """For example "about 3 min left"; empty if nothing has finished yet, or nothing is left to do."""
        done = self.ended + sum(self.running.values())
        # What others train can end before anything has started here.
        if not done or not self.began or self.ended == self.total:
            return ""
        return f"{duration((time.monotonic() - self.began) / done * (self.total - done))} left"


def duration(seconds: float) -> str:
    """An approximate duration in words."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def title(planned: Planned, varied: Sequence[str] = ()) -> str:
    """One cell in a few words: what differs from the defaults stands behind what it belongs to.

    varied: keys of its recipe and profile to add; see `differing`.
    """
    cell = planned.cell
    method = variants.full_name(cell.method.name, variants.own_words(planned.variant))
    training = _training(planned) if varied else {}
    added = f", {' '.join(training[key] for key in varied)}" * bool(varied)
    return f"{variants.network(cell, planned.variant)} {method} seed {cell.seed}{added}"


def differing(cells: Iterable[Planned]) -> list[str]:
    """The keys of recipe and profile in which cells differ that have one title otherwise."""
    alike: dict[str, list[dict[str, str]]] = {}
    for planned in cells:
        alike.setdefault(title(planned), []).append(_training(planned))
    groups = [found for found in alike.values() if len(found) > 1]
    keys = dict.fromkeys(key for found in groups for words in found for key in words)
    return [key for key in keys if any(len({words.get(key) for words in found}) > 1 for found in groups)]


def _training(planned: Planned) -> dict[str, str]:
    return variants.training_words(planned.cell.model_dump(mode="json"))


def outcome(record: Record) -> str:
    """How a cell ended, in a few words."""
    if record["status"] == OK:
        found = record["metrics"]
        what = "test" if "test_accuracy" in found else "validation"
        accuracy = found["test_accuracy" if what == "test" else "val_accuracy"]
        return f"{accuracy:.2f} % {what} accuracy in {record['seconds']:.1f} s{_resumed(record)}"
    why = " ".join(str(record["error"]).split())
    return f"{record['status'].upper()}: {why} (`spikegrad show {record['id']}`)"


def _resumed(record: Record) -> str:
    """That a training went on from a checkpoint, and what was wrong with others."""
    resumed = record.get("resumed")
    if not resumed:
        return ""
    after = resumed["epochs_before"]
    words = [f", resumed after {counted(after, 'epoch')}"] if after else []
    return "".join([*words, *(f"; {note}" for note in resumed["notes"])])


SILENCE = 60.0
"""Seconds of silence after which a log reports the progress of a long run."""


class Lines:
    """A line for each cell that ends, and one now and then in between: for log files and pipes."""

    def __init__(self, console: Console, total: int, varied: Sequence[str]) -> None:
        self.console = console
        self.estimate = Estimate(total)
        self.varied = varied
        self.spoke = 0.0
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, planned: Planned) -> None:
        """Nothing to say yet."""
        self.estimate.start()
        self.spoke = self.spoke or time.monotonic()

    def epoch(self, planned: Planned, epoch: int, val_accuracy: float) -> None:
        """One line, if there has been none for a while."""
        self.estimate.epoch(planned, epoch)
        if time.monotonic() - self.spoke >= SILENCE:
            epochs = planned.cell.recipe.epochs
            at = f"epoch {epoch + 1} of {epochs}"
            self._say(f"{title(planned, self.varied)}: {at}, {val_accuracy:.2f} % on validation")

    def ended(self, planned: Planned, record: Record) -> None:
        """One line."""
        self.estimate.end(planned)
        self._say(f"{title(planned, self.varied)}: {outcome(record)}")

    def waiting(self, cells: int | None) -> None:
        """One line, when it changes."""
        if (what := waiting(cells)) != self.said:
            say(self.console, what)
        self.said = what

    def submitted(self, job: str, tasks: Mapping[str, int] | None) -> None:
        """One line, when it changes."""
        if (what := submitted(job, tasks)) != self.said:
            say(self.console, what)
        self.said = what

    def timing(self, measurement: Measurement, number: int, total: int) -> None:
        """Nothing to say yet."""

    def timed(self, measurement: Measurement, timing: Timing, number: int, total: int) -> None:
        """One line."""
        say(self.console, f"[times {number}/{total}] {measurement.title}: {took(timing)}")

    def _say(self, what: str) -> None:
        e = self.estimate
        left = f", {e.text()}" if e.text() else ""
        say(self.console, f"[{e.ended}/{e.total}] {what}{left}")
        self.spoke = time.monotonic()


WIDE = 120
"""Columns of a terminal on which bars are long."""


def _wrapped(text: str) -> TextColumn:
    """A column that takes several lines where it is narrow; numbers and bars keep their place."""
    return TextColumn(text, markup=False, table_column=Column(overflow="fold"))


class Bars:
    """A bar for the run and one for each running cell; failures are printed above them."""

    def __init__(self, console: Console, total: int, varied: Sequence[str]) -> None:
        self.estimate = Estimate(total)
        self.varied = varied
        self.progress = Progress(
            _wrapped("{task.description}"),
            BarColumn(bar_width=24 if console.width >= WIDE else 6),
            MofNCompleteColumn(),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            _wrapped("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("cells", total=total, note="")
        self.tasks: dict[str, TaskID] = {}
        self.times: TaskID | None = None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def started(self, planned: Planned) -> None:
        """Add a bar, in place of that of an earlier attempt."""
        self.estimate.start()
        if (before := self.tasks.pop(planned.id, None)) is not None:
            self.progress.remove_task(before)
        self.tasks[planned.id] = self.progress.add_task(
            title(planned, self.varied), total=planned.cell.recipe.epochs, note="starting"
        )

    def epoch(self, planned: Planned, epoch: int, val_accuracy: float) -> None:
        """Advance the cell's bar."""
        self.progress.update(
            self.tasks[planned.id], completed=epoch + 1, note=f"{val_accuracy:.1f} % on validation"
        )
        self.estimate.epoch(planned, epoch)
        self.progress.update(self.whole, note=self.estimate.text())

    def ended(self, planned: Planned, record: Record) -> None:
        """Remove the cell's bar, and advance the run's."""
        task = self.tasks.pop(planned.id, None)
        if task is not None:
            self.progress.remove_task(task)
        if record["status"] != OK:
            say(self.progress.console, f"{title(planned, self.varied)}: {outcome(record)}", "red")
        self.estimate.end(planned)
        self.progress.update(self.whole, advance=1, note=self.estimate.text())

    def waiting(self, cells: int | None) -> None:
        """Say so behind the run's bar."""
        self.progress.update(self.whole, note=waiting(cells))

    def submitted(self, job: str, tasks: Mapping[str, int] | None) -> None:
        """Say so behind the run's bar."""
        self.progress.update(self.whole, note=submitted(job, tasks))

    def timing(self, measurement: Measurement, number: int, total: int) -> None:
        """Show one bar for all timings."""
        if self.times is None:
            self.progress.update(self.whole, visible=False)
            self.times = self.progress.add_task("times", total=total, note="")
        self.progress.update(self.times, note=measurement.title)

    def timed(self, measurement: Measurement, timing: Timing, number: int, total: int) -> None:
        """Advance the bar."""
        assert self.times is not None
        self.progress.update(self.times, completed=number)
        if timing["status"] != OK:
            say(self.progress.console, f"{measurement.title}: {took(timing)}", "red")


def waiting(cells: int | None) -> str:
    """What a run waits for, in words; see `bench.runner.engines.local.Listener`."""
    if cells is None:
        return "waiting while another run on this machine measures times"
    return f"waiting for {counted(cells, 'cell')} that other runs of the suite train"


def submitted(job: str, tasks: Mapping[str, int] | None) -> str:
    """A job and the states of its tasks, in words; see `bench.runner.engines.following.Scheduler`."""
    if tasks is None:
        return f"{job}: the scheduler does not answer"
    states = ", ".join(f"{number} {state}" for state, number in tasks.items())
    return f"{job}: {states or 'submitted'}"


def took(timing: Timing) -> str:
    """The measured times, or why there are none, in words."""
    found = timing["metrics"]
    if timing["status"] != OK:
        return f"{timing['status'].upper()}: {' '.join(str(timing['error']).split())}"
    if timing["kind"] == "inference":
        one, many = (found[f"inference_ms_p50_batch{batch}"] for batch in (1, 100))
        return f"{one:.2f} ms for one sample, {many:.2f} ms for a hundred"
    return f"{found['train_step_ms_p50']:.2f} ms a training step, {found['peak_memory_mb']:.0f} MB at most"


def listener(console: Console, total: int, cells: Iterable[Planned] = ()) -> Lines | Bars:
    """Bars on a terminal, lines elsewhere; cells: those that it will tell of, to tell them apart."""
    varied = differing(cells)
    return Bars(console, total, varied) if console.is_terminal else Lines(console, total, varied)
