"""Times things that live in a process each: all get ready side by side, and then they are timed in turn.

What is compiled takes a minute or more to be ready; on a machine with many cores that is a minute or two for
all together. While one is timed the others wait, so that nothing else runs on the GPU. `in_turn` does the
same in one process, where there are no cores to gain from.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any, NamedTuple

import torch
from in_turn import Pace, Times
from memory import START

EAGER_AT_A_TIME = 2
"""What is not compiled is ready within a second, and takes most of a GPU's memory in it."""
LATE = "it was not ready in time"
ANSWER = 120.0
"""Seconds within which a timed process must answer."""


class Work(NamedTuple):
    """What a process does over and over.

    check(what the first call gave): what is wrong with it, or "". compiles: whether the first call compiles.
    note: what is to be known of it.
    """

    call: Callable[[], Any]
    check: Callable[[Any], str] = lambda _: ""
    compiles: bool = False
    note: str = ""


Make = Callable[[torch.device], Work]
"""Picklable: a function of a module, or a `functools.partial` of one."""


@dataclass
class Found:
    """By the names of what was timed; failed: why something was not, in a sentence.

    first: seconds of the first call, which compiles. peaks: the most memory that a call took on the GPU,
    all that lies there in between included, in MB of 2^20 bytes; nan on the CPU.
    """

    times: Times
    peaks: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def apart(
    makes: Mapping[str, Make],
    device: torch.device,
    *,
    ready_within: float,
    pace: Pace,
    calls: int,
) -> Found:
    """Make everything ready, wait for `ready_within` seconds at most, then time what is ready.

    In every round each takes `pace.warm` calls that do not count and `calls` that do, one upon the other; its
    time of the round is their median.
    """
    seconds: dict[str, list[float]] = {}
    found = Found(Times(seconds))
    with _processes(makes, device, ready_within) as processes:
        until = time.monotonic() + ready_within
        for name, process in processes.items():
            word = process.listen(until - time.monotonic())
            if word[0] == "ready":
                found.notes[name], found.first[name] = word[1:]
                seconds[name] = []
            else:
                found.failed[name] = word[1]
        began = time.monotonic()
        for done in range(pace.rounds):
            if done >= pace.least and time.monotonic() - began >= pace.seconds:
                break
            for name in list(seconds):
                word = processes[name].ask((pace.warm, calls))
                if word[0] == "timed":
                    seconds[name].append(word[1])
                    found.peaks[name] = max(word[2], found.peaks.get(name, word[2]))
                else:
                    found.failed[name] = word[1]
                    del seconds[name]
    return found


class _Process(NamedTuple):
    process: BaseProcess
    pipe: Connection

    def listen(self, patience: float) -> tuple[Any, ...]:
        """What it says next; a process that says nothing is ended."""
        try:
            if self.pipe.poll(max(0.0, patience)):
                word: tuple[Any, ...] = self.pipe.recv()
                return word
        except (EOFError, OSError):
            self.process.join(ANSWER)
            return "failed", f"its process ended with exit code {self.process.exitcode}"
        self.process.kill()
        return "failed", LATE

    def ask(self, what: tuple[int, int]) -> tuple[Any, ...]:
        """What it says to that."""
        try:
            self.pipe.send(what)
        except OSError:
            self.process.join(ANSWER)
        return self.listen(ANSWER)


@contextmanager
def _processes(
    makes: Mapping[str, Make], device: torch.device, ready_within: float
) -> Iterator[dict[str, _Process]]:
    context = multiprocessing.get_context(START)
    # Imported once, by the server, so that every process starts with it and in no time.
    context.set_forkserver_preload(["bench.runner.train", "bench.registry"])
    gate = context.BoundedSemaphore(EAGER_AT_A_TIME)
    processes: dict[str, _Process] = {}
    try:
        for name, make in makes.items():
            here, there = context.Pipe()
            arguments = (make, device.type, there, gate, ready_within)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            there.close()
            processes[name] = _Process(process, here)
        yield processes
    finally:
        for each in processes.values():
            each.pipe.close()
        for each in processes.values():
            # It ends by itself when its pipe is closed, unless it computes.
            each.process.join(1.0)
            each.process.kill()


def _serve(make: Make, on: str, pipe: Connection, gate: Any, ready_within: float) -> None:
    """What a process does, until its pipe is closed."""
    until = time.monotonic() + ready_within
    try:
        torch.set_num_threads(1)
        device = torch.device(on)
        work = make(device)
        with nullcontext() if work.compiles else gate:
            began = time.perf_counter()
            given = _once_there_is_memory(work.call, until)
            _wait(device)
            took = time.perf_counter() - began
            _give_back(device)
        with gate:
            wrong = _once_there_is_memory(partial(work.check, given), until)
        del given
        _give_back(device)
        pipe.send(("failed", wrong) if wrong else ("ready", work.note, took))
        while not wrong:
            pipe.send(("timed", *_timed(work.call, device, *pipe.recv())))
    except (EOFError, ConnectionError):
        pass
    except Exception as problem:
        lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
        pipe.send(("failed", ": ".join([type(problem).__name__, *lines[:1]])))


def _once_there_is_memory(call: Callable[[], Any], until: float) -> Any:
    while True:
        try:
            return call()
        except Exception as problem:
            # Others get ready too, and give back what they took for it. A compiler has errors of its own.
            if "out of memory" not in str(problem) or time.monotonic() >= until:
                raise
        torch.cuda.empty_cache()
        time.sleep(1.0)


def _timed(call: Callable[[], Any], device: torch.device, warm: int, calls: int) -> tuple[float, float]:
    """Median seconds of a call, and the most memory in MB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(warm):
        call()
    gc.collect()
    gc.disable()
    try:
        seconds = (_by_events if device.type == "cuda" else _by_clock)(call, calls)
    finally:
        gc.enable()
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else math.nan
    _give_back(device)
    return median(seconds), peak


def _by_events(call: Callable[[], Any], calls: int) -> list[float]:
    """From the end of one call on the GPU to that of the next: whichever is slower, the GPU or its host."""
    torch.cuda.synchronize()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(calls + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize()
    return [one.elapsed_time(following) / 1e3 for one, following in pairwise(events)]


def _by_clock(call: Callable[[], Any], calls: int) -> list[float]:
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _give_back(device: torch.device) -> None:
    """Leave the GPU's memory to the others."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
