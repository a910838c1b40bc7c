"""The default engine: worker processes on this machine, one per configuration.

A worker is forked from a server that has torch loaded, so that it starts at once. It leads its own process
group, so that everything it started ends with it. If it dies, the running cell leaves a record that says
how, and a new worker continues with the following cells.

A worker trains the seeds of its configuration one after another, so that it compiles once for all of them.
On a GPU it ends after a failed seed, since its CUDA state may be broken, and a new worker trains the next
seed. A GPU on which several runs in a row end through the machine's fault gets no more runs.

The longest configurations start first; when all have started, a free worker takes waiting seeds from one of
them.

A cell whose worker was killed from outside is tried once more, and so is one that ran out of memory beside
others, then with twice the room.

Several runs can work on one suite, on this machine or others: each claims a cell before it trains it, passes
over those that others have claimed, and at the end waits for them and trains what they left undone. While
one measures times, others on its machine train nothing.
"""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from bench.errors import Stopped, printable
from bench.records.claims import TIMES, Claims
from bench.records.record_files import Record
from bench.records.store import logs_prefix
from bench.runner.engines.child import cut, last_lines
from bench.runner.engines.gpu_query import ADVICE, usable_gpus
from bench.runner.engines.process import BEGINNING, LEAVING, LOOK, died, end, start, unwritable, writing
from bench.runner.engines.slots import Need, Slot, Slots, of_machine
from bench.runner.faults import judge_abort
from bench.runner.gpus import Gpu
from bench.runner.plan import Plan, Planned
from bench.runner.worker import UNHARMED, Job, make_record, now, work

SOON, LATE = 1.0, 5.0
"""Seconds between two looks at what other runs do: at first, and after many at which nothing had changed."""
FAULTS = 3
"""A GPU closes after this many runs in a row end through its fault, until a run still on it succeeds."""


class Listener(Protocol):
    """Receives events as they happen."""

    def started(self, planned: Planned) -> None:
        """A cell has started."""

    def epoch(self, planned: Planned, epoch: int, val_accuracy: float) -> None:
        """An epoch has ended; epochs count from 0."""

    def ended(self, planned: Planned, record: Record) -> None:
        """A cell has ended, with any status, and its record is written; another run may have trained it."""

    def waiting(self, cells: int | None) -> None:
        """Nothing is left to start here, and other runs train this many cells of the plan.

        None: another run on this machine measures times, which a training would change.
        """


def run(
    plan: Plan,
    *,
    jobs: int | None,
    timeout: float,
    listener: Listener,
    claims: Claims | None = None,
    wait: bool = True,
) -> None:
    """Run the pending cells of a plan; returns when each has left a record.

    jobs: concurrent runs; None for as many as fit on the cores and in memory. timeout: the most seconds for
    one cell. claims: divide the cells with other runs of the suite, see `Store.shared`; None if there cannot
    be others. wait: for the cells that they train; otherwise these are left without a record from here.

    Raises Stopped if results cannot be written or the last GPU fails, and KeyboardInterrupt after ending the
    workers; finished results are kept in each case. Raises BenchError if a GPU is needed and none is usable.
    """
    cuda = any(planned.cell.profile.device == "cuda" for planned in plan.pending)
    gpus = usable_gpus() if cuda else []
    with writing(plan.store.results):
        # In the results folder: the next run removes what a killed one has left.
        plan.store.runs.mkdir(parents=True, exist_ok=True)
        logs = Path(tempfile.mkdtemp(prefix=logs_prefix(), dir=plan.store.runs))
    engine = _Local(plan, of_machine(jobs, gpus), gpus, timeout, listener, logs, claims, wait)
    try:
        engine.run()
    except KeyboardInterrupt:
        engine.interrupt()
        raise
    finally:
        engine.close()
        shutil.rmtree(logs, ignore_errors=True)


class _Group:
    """The cells of one configuration that no worker has begun, and the resources that each needs.

    tried: how earlier attempts at its only cell ended, if it is tried again.
    """

    def __init__(self, plan: Plan, cells: Iterable[Planned], tried: tuple[str, ...] = ()) -> None:
        self.waiting = deque(cells)
        self.tried = tried
        first = self.waiting[0]
        load = plan.workloads.of(first.cell, first.known)
        profile = first.cell.profile
        self.need = Need(profile.threads, load.memory if load else 0.0, profile.device == "cuda")
        self.seconds_each = load.seconds / profile.threads if load else 0.0

    @property
    def seconds(self) -> float:
        """Approximate seconds of all waiting cells."""
        return len(self.waiting) * self.seconds_each


@dataclass
class _Worker:
    """A worker process.

    current: the cell it was given last; given: when; began: when it began the cell. beside: whether others
    have shared the memory of its machine or GPU with this cell.
    """

    process: BaseProcess
    pipe: Connection
    log: Path
    group: _Group
    slot: Slot
    current: Planned | None
    given: float = field(default_factory=time.monotonic)
    began: float | None = None
    beside: bool = False

    def give(self, planned: Planned | None) -> None:
        """Record its next cell; None if it is to end."""
        self.current, self.given, self.began, self.beside = planned, time.monotonic(), None, False

    def limit(self, timeout: float) -> float:
        """The time by which its current task must be done; timeout: seconds of a run."""
        if self.current is None:
            return self.given + LEAVING
        return self.given + BEGINNING if self.began is None else self.began + timeout

    def end(self) -> None:
        """End the whole process group."""
        end(self.process)


class _Local:
    def __init__(
        self,
        plan: Plan,
        slots: Slots,
        gpus: Sequence[Gpu],
        timeout: float,
        listener: Listener,
        logs: Path,
        claims: Claims | None,
        wait_for_others: bool,
    ) -> None:
        self.plan = plan
        self.claims = claims
        self.wait_for_others = wait_for_others
        self.slots = slots
        self.gpus = gpus
        self.faults = Counter[int]()
        self.timeout = timeout
        self.listener = listener
        self.logs = logs
        groups = (
            _Group(plan, cells)
            for _, cells in itertools.groupby(plan.pending, lambda planned: planned.configuration)
        )
        # The sort is stable: equal groups keep the order of the plan.
        self.queue = deque(sorted(groups, key=lambda group: -group.seconds))
        self.workers: list[_Worker] = []
        self.elsewhere: list[Planned] = []
        self.tried: set[str] = set()
        self.timed = False
        self.pause = SOON
        self.looked = time.monotonic()
        self.count = itertools.count()

    def run(self) -> None:
        while self.queue or self.workers or self.elsewhere:
            self._look_elsewhere()
            self._fill()
            if self.workers:
                self._wait()
            elif self.timed:
                self.listener.waiting(None)
                time.sleep(SOON)
            elif self.queue:
                # No worker runs, and still no group fits.
                raise Stopped(
                    f"the last GPU was given up after {FAULTS} trainings in a row that ended through its own "
                    f"fault, as their records say: {ADVICE}; finished runs are kept: "
                    "rerun the same command to resume"
                )
            for worker in list(self.workers):
                self._serve(worker)

    def _fill(self) -> None:
        """Start as many workers as fit."""
        self.timed = False
        while not self.timed and (group := self._next()):
            slot = self.slots.take(group.need)
            if slot is None:
                return
            first = self._take(group)
            if first is not None:
                self.workers.append(self._start(group, slot, first))
                self._crowd()
                continue
            self.slots.give_back(slot)
            if group.waiting and all(group is not worker.group for worker in self.workers):
                self.queue.appendleft(group)

    def _next(self) -> _Group | None:
        """The first queued group that fits; if all have begun, the one with the most work waiting."""
        if self.queue:
            group = next((g for g in self.queue if self.slots.fits(g.need)), None)
            if group is not None:
                self.queue.remove(group)
            return group
        shared = {id(worker.group): worker.group for worker in self.workers if worker.group.waiting}
        return max(shared.values(), key=lambda group: group.seconds, default=None)

    def _take(self, group: _Group) -> Planned | None:
        """The next waiting cell that no other run trains or has trained.

        None if there is none; also if another run measures times here, and then cells are still waiting.
        """
        while group.waiting:
            planned = group.waiting.popleft()
            if self.claims is None:
                return planned
            with writing(self.plan.store.results):
                mine = self.claims.take(planned.id)
                # After the claim, as the other run looks for claims after its own: one sees the other.
                measured = mine and TIMES in self.claims.theirs(here=True)
            if measured:
                self.timed = True
                self.claims.release(planned.id)
                group.waiting.appendleft(planned)
                return None
            if not mine:
                self.elsewhere.append(planned)
            elif not self._ended_elsewhere(planned):
                return planned
        return None

    def _ended_elsewhere(self, planned: Planned) -> bool:
        """Whether another run has trained it; one that a user or the system stopped there is trained here."""
        record = self.plan.news(planned)
        if record is None or record["status"] == "interrupted":
            return False
        self._ended(planned, record)
        return True

    def _ended(self, planned: Planned, record: Record) -> None:
        """Pass on the end of a cell, whose record is written."""
        if self.claims is not None:
            self.claims.release(planned.id)
        self.listener.ended(planned, record)

    def _try_again(self, worker: _Worker, record: Record, *, room: bool) -> bool:
        """Queue the worker's cell once more, if it has not been tried again yet; room: with twice the room.

        Its record is kept until another one takes its place.
        """
        planned = worker.current
        assert planned is not None
        if planned.id in self.tried or (room and not worker.beside):
            return False
        self.tried.add(planned.id)
        # As it is on disk, so that it is not taken for one of another run.
        again = replace(planned, record=self.plan.store.read(planned.id))
        group = _Group(self.plan, [again], (f"{record['status']}: {record['error']}",))
        if room:
            group.need = worker.group.need.doubled()
        self.queue.append(group)
        return True

    def _look_elsewhere(self) -> None:
        """Queue the cells that other runs claimed and gave up; wait for them if nothing else is left here."""
        if not self.elsewhere or self.claims is None:
            return
        idle = not self.workers and not self.queue
        if idle and self.wait_for_others:
            self.listener.waiting(len(self.elsewhere))
            time.sleep(self.pause)
        elif not idle and time.monotonic() - self.looked < LATE:
            return
        self.looked = time.monotonic()
        with writing(self.plan.store.results):
            theirs = self.claims.theirs()
        still = [planned for planned in self.elsewhere if planned.id in theirs]
        for planned in self.elsewhere:
            if planned.id not in theirs and not self._ended_elsewhere(planned):
                self.queue.append(_Group(self.plan, [planned]))
        self.pause = min(2 * self.pause, LATE) if len(still) == len(self.elsewhere) else SOON
        self.elsewhere = still if self.wait_for_others or not idle else []

    def interrupt(self) -> None:
        for worker in self.workers:
            worker.end()
            with suppress(EOFError, OSError):
                # The record of a cell that ended just before must not be overwritten.
                while worker.current is not None and worker.pipe.poll():
                    self._hear(worker, worker.pipe.recv())
            if worker.current is not None and worker.began is not None:
                self._write(worker, "interrupted", "stopped by the user")

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        self.workers.clear()

    def _start(self, group: _Group, slot: Slot, first: Planned) -> _Worker:
        log = self.logs / f"{next(self.count)}.log"
        job = Job(
            first.cell,
            first.known,
            self.plan.store.results.resolve(),
            self.plan.store.suite,
            tuple(path.resolve() for path in self.plan.plugins),
            self.plan.data_root,
            self.slots.most(group.need),
            self._gpu(slot),
            group.tried,
        )
        return _Worker(*start(work, job, log), log, group, slot, first)

    def _crowd(self) -> None:
        """Note which workers run beside others."""
        on = Counter(worker.slot.gpu for worker in self.workers if worker.current)
        for worker in self.workers:
            worker.beside = worker.beside or on[worker.slot.gpu] > 1

    def _gpu(self, slot: Slot) -> Gpu | None:
        return None if slot.gpu is None else self.gpus[slot.gpu]

    def _wait(self) -> None:
        """Wait until a worker sends a message, ends, or reaches its time limit; for SOON at the most."""
        first = min(worker.limit(self.timeout) for worker in self.workers)
        until = min(first, time.monotonic() + SOON)
        handles = [handle for w in self.workers for handle in (w.pipe, w.process.sentinel)]
        ready = list[object]()
        while not ready and time.monotonic() < until:
            ready += wait(handles, timeout=max(0.0, min(until - time.monotonic(), LOOK)))
            for worker in self.workers:
                cut(worker.log)

    def _serve(self, worker: _Worker) -> None:
        try:
            # Limit the number of messages, so that a chatty worker does not block the others.
            for _ in range(100):
                if not worker.pipe.poll():
                    break
                self._hear(worker, worker.pipe.recv())
        except (EOFError, OSError):
            self._buried(worker)
            return
        if time.monotonic() > worker.limit(self.timeout):
            worker.end()
            if worker.current is not None:
                began, late = worker.began is not None, f"took longer than {self.timeout:g} s"
                self._write(worker, "timeout", late if began else f"had not begun after {BEGINNING:g} s")
            self._dismiss(worker)
        elif not worker.process.is_alive() and not worker.pipe.poll():
            self._buried(worker)

    def _hear(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        match message:
            case ("start", _) if worker.current is not None:
                worker.began = time.monotonic()
                self.listener.started(worker.current)
            case ("epoch", _, epoch, value) if worker.current is not None:
                self.listener.epoch(worker.current, epoch, value)
            case ("end", _, record, goes_on) if worker.current is not None:
                self._count_faults(worker.slot, record["status"])
                if record["status"] != "oom" or not self._try_again(worker, record, room=True):
                    self._ended(worker.current, record)
                if goes_on:
                    self._give(worker)
                else:
                    worker.give(None)
            case ("unwritable", _, why):
                raise unwritable(self.plan.store.results, why)

    def _give(self, worker: _Worker) -> None:
        """Send the worker its next cell, or None if there is none, after which it ends."""
        worker.give(self._take(worker.group))
        self._crowd()
        # If it has died meanwhile, `_buried` handles it.
        with suppress(OSError):
            worker.pipe.send(worker.current and worker.current.cell)

    def _count_faults(self, slot: Slot, status: str) -> None:
        """Close a broken GPU: it fails at once, is free first, and would get all remaining runs."""
        if slot.gpu is None:
            return
        if status == "interrupted":
            self.faults[slot.gpu] += 1
        elif status in UNHARMED:
            self.faults[slot.gpu] = 0
            self.slots.reopen(slot.gpu)
        if self.faults[slot.gpu] >= FAULTS:
            self.slots.close(slot.gpu)

    def _buried(self, worker: _Worker) -> None:
        """Handle a worker that has ended, normally or in the middle of a cell."""
        worker.process.join(LEAVING)
        code = worker.process.exitcode
        # A cell that it was given but did not begin is lost too; otherwise it would be retried for ever.
        if worker.current is not None:
            said = judge_abort("\n".join(last_lines(worker.log))) if code == -signal.SIGABRT else None
            status, error = said or died(worker.process)
            lost = status == "interrupted" and code is not None and not said
            self._write(worker, status, error, lost=lost)
            if said:
                self._count_faults(worker.slot, status)
        self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        # Processes that a dead worker started can survive in its group.
        worker.end()
        worker.pipe.close()
        self.workers.remove(worker)
        self.slots.give_back(worker.slot)
        others = [*self.queue, *(each.group for each in self.workers)]
        if worker.group.waiting and worker.group not in others:
            self.queue.appendleft(worker.group)

    def _write(self, worker: _Worker, status: str, error: str, *, lost: bool = False) -> None:
        """Write the record of a cell whose worker could not. lost: the worker was killed from outside."""
        planned = worker.current
        assert planned is not None
        kept = self.plan.store.read(planned.id)
        if kept is not None and kept != planned.record:
            # The worker wrote the record and died before it could report that.
            worker.give(None)
            self._ended(planned, kept)
            return
        seconds = time.monotonic() - worker.began if worker.began is not None else 0.0
        record = make_record(planned.cell, planned.known, self.plan.registry, self._gpu(worker.slot)) | {
            **({"tried": list(worker.group.tried)} if worker.group.tried else {}),
            "suite": self.plan.store.suite,
            "workers": self.slots.most(worker.group.need),
            "status": status,
            "error": printable(error),
            "traceback": [printable(line) for line in last_lines(worker.log)],
            "metrics": {},
            "unmeasured": {},
            "started": now(ago=seconds),
            "ended": now(),
            "seconds": round(seconds, 3),
        }
        with writing(self.plan.store.results):
            self.plan.store.write(record)
        if not (lost and self._try_again(worker, record, room=False)):
            self._ended(planned, record)
        worker.give(None)
