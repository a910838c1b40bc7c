"""Checks of this machine, its data and a results folder before a run: `spikegrad doctor`."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.data.holdings import holding
from bench.errors import BenchError, counted, listed
from bench.files import nearest, write_atomic
from bench.paths import cache_folder
from bench.records import protocol
from bench.records.claims import living
from bench.records.kept_suites import FILE, kept
from bench.records.store import CHECKPOINT, ELSEWHERE, INCOMPLETE, OK, Store
from bench.registry import Registry
from bench.registry import load as load_registry
from bench.runner.engines.gpu_query import usable_gpus
from bench.runner.engines.process import NoAnswer, ask
from bench.runner.engines.slots import cores, free_memory
from bench.runner.environment import cpu_model, git, versions

State = Literal["good", "note", "bad"]
GIB, MIB = 2**30, 2**20
LITTLE_DISK = GIB
"""Bytes of free disk below which a run may fail to write."""
LITTLE_MEMORY = 2 * GIB
"""Bytes of free memory below which a run may be ended by the system."""
COMPILING = 300.0
"""Seconds in which a small network must be compiled."""
NAMED = 5


@dataclass(frozen=True)
class Finding:
    """One fact. state: good, note (it changes what a run does), or bad (runs will fail, or lack something).

    means: what it means for a run, or what to do; "" if nothing.
    """

    topic: str
    state: State
    found: str
    means: str = ""


def findings(registry: Registry, results: Path, data_root: Path) -> Iterator[Finding]:
    """Every finding, as it is made; the slow ones come last."""
    yield from software(registry)
    yield from machine()
    yield from disks(results)
    yield data(registry, data_root)
    yield from stored(results)
    yield from gpus()
    yield compiler()


def software(registry: Registry) -> Iterator[Finding]:
    """Versions, and plugins that cannot be imported."""
    installed = versions()
    ours = f"spikegrad-bench {installed['spikegrad-bench'] or 'not installed'}, {protocol.harness()}"
    commit = git()
    if commit:
        ours += f", commit {commit['commit'][:8]}" + ", with changes" * commit["dirty"]
    dirty = "records say that the code had changes; commit them before a run that counts"
    yield Finding(
        "project",
        "note" if commit and commit["dirty"] else "good",
        ours,
        dirty * bool(commit and commit["dirty"]),
    )
    rest = ", ".join(
        f"{name} {version}" for name, version in installed.items() if version and name != "spikegrad-bench"
    )
    yield Finding("libraries", "good", f"Python {platform.python_version()}, {rest}")
    for broken in registry.broken:
        yield Finding(
            "plugin", "bad", f"{broken.source}: {broken.error}", "its methods are missing until it is fixed"
        )


def machine() -> Iterator[Finding]:
    """Processor, cores and memory."""
    threads = cores()
    yield Finding(
        "processor",
        "good",
        f"{cpu_model()}, {counted(threads, 'core')} usable",
        "trainings of one thread each run side by side" * (threads > 1),
    )
    memory = free_memory()
    little = memory < LITTLE_MEMORY
    yield Finding(
        "memory",
        "bad" if little else "good",
        "unknown" if memory == float("inf") else f"{memory / GIB:.1f} GiB free",
        "the system may end trainings; close other programs" if little else "",
    )


def disks(results: Path) -> Iterator[Finding]:
    """Free disk where a run writes, and whether it can write there."""
    for topic, folder in (
        ("results", results),
        ("cache", cache_folder()),
        ("temporary files", Path(tempfile.gettempdir())),
    ):
        there = nearest(folder)
        try:
            free = shutil.disk_usage(there).free
            with tempfile.TemporaryDirectory(prefix=".spikegrad-doctor-", dir=there) as tried:
                write_atomic(Path(tried) / "file", b"written")
        except OSError as problem:
            why = problem.strerror or str(problem)
            yield Finding(
                topic, "bad", f"{folder}: {why}", "nothing can be written there; give another folder"
            )
            continue
        little = free < LITTLE_DISK
        yield Finding(
            topic,
            "bad" if little else "good",
            f"{folder}: {free / GIB:.1f} GiB free",
            "a run stops where the disk is full; what is finished is kept" if little else "",
        )


def data(registry: Registry, root: Path) -> Finding:
    """Which datasets can be loaded."""
    states: dict[bool, list[str]] = {True: [], False: []}
    for name, entry in sorted(registry.datasets.items()):
        try:
            states[holding(entry.item, root).complete].append(name)
        except BenchError:
            states[False].append(name)
    lacking = ", ".join(states[False])
    return Finding(
        "data",
        "note" if lacking else "good",
        f"{root}: {', '.join(states[True]) or 'nothing'}",
        f"not there: {lacking}; `spikegrad data prepare NAME` fetches one or says which files to put where"
        if lacking
        else "",
    )


def stored(results: Path) -> Iterator[Finding]:
    """The records of each suite in a results folder."""
    runs = results / "runs"
    folders = sorted(each for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []
    if not folders:
        yield Finding("records", "good", f"none in {results}")
    for folder in folders:
        yield _suite(Store(results, folder.name))


def _suite(store: Store) -> Finding:
    topic = f"records of {store.suite}"
    try:
        records, left_out = store.survey()
        suite = kept(store)
    except BenchError as problem:
        return Finding(topic, "bad", str(problem))
    found = [counted(len(records), "record")]
    counts = {
        "failed or diverged": sum(r["status"] not in (OK, *INCOMPLETE) for r in records),
        "stopped by circumstances": sum(r["status"] in INCOMPLETE for r in records),
        "from other machines": sum(ELSEWHERE in r["id"] for r in records),
        "of another protocol": sum(r["digests"].get("harness") != protocol.harness() for r in records),
        "of another torch": sum(r["digests"].get("libraries") != protocol.libraries() for r in records),
    }
    found += [f"{number} {what}" for what, number in counts.items() if number]
    checkpoints = dict[Path, int]()
    for file in store.runs.glob(f"*/*{CHECKPOINT}"):
        # A run at work can remove it meanwhile.
        with suppress(OSError):
            checkpoints[file] = file.stat().st_size
    if checkpoints:
        trainings = counted(len({file.parent for file in checkpoints}), "training")
        size = sum(checkpoints.values()) / MIB
        found.append(f"checkpoints of {trainings} ({size:.0f} MiB), removed when these are finished")
    means = []
    if counts["stopped by circumstances"]:
        means.append("`spikegrad run` repeats those that circumstances stopped")
    if counts["of another protocol"]:
        means.append("those of another protocol are stale: `spikegrad run` repeats them")
    if suite is None and records:
        means.append(f"{FILE} is missing: `spikegrad run` writes it")
    if at_work := living(store.runs):
        means.append(f"at work on it now: {listed([run.where for run in at_work], NAMED)}")
    if left_out:
        found.append(f"{len(left_out)} left out")
        means.insert(0, listed(left_out, NAMED))
    state: State = "bad" if left_out else "note" if means else "good"
    return Finding(topic, state, ", ".join(found), "; ".join(means))


def gpus() -> Iterator[Finding]:
    """The GPUs that can be used."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = (
            f"torch {torch.__version__} finds none"
            if built
            else f"torch {torch.__version__} is built without CUDA"
        )
        yield Finding("GPU", "note", why, "trainings run on the CPU")
        return
    try:
        for gpu in usable_gpus():
            yield Finding("GPU", "good", f"{gpu.about['name']}, {gpu.free / GIB:.1f} GiB free")
    except BenchError as problem:
        yield Finding("GPU", "bad", str(problem))


def compiler() -> Finding:
    """Whether compiled training computes here what eager training does."""
    (said,) = ask(compiled_problem, ["mpd-agl"], limit=COMPILING)
    eager = "trainings run eager, which takes longer and gives the same numbers"
    if isinstance(said, NoAnswer):
        return Finding("compiler", "bad", said.why, eager)
    if said:
        return Finding("compiler", "note", said, eager)
    return Finding("compiler", "good", "compiled spikes and gradients are those of eager code")


def compiled_problem(method: str) -> str:
    """Why a small network cannot be trained compiled on the CPU; "" if it can."""
    import torch
    from torch.nn import functional

    from bench.model.backbone import Network, build_network
    from bench.model.compiling import prepare
    from bench.model.layers import NeuronOptions

    registry = load_registry()
    torch.manual_seed(0)
    network = build_network(
        registry.backbone("mlp").item,
        registry.method(method).item,
        {},
        NeuronOptions(),
        shape=(1, 8, 8),
        classes=10,
        width=0.25,
        timesteps=2,
        epochs=1,
        seed=0,
    )

    def loss(network: Network, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(network(x).mean(0), y)

    x, y = torch.randn(32, 1, 8, 8), torch.arange(32) % 10
    return prepare(network, "neuron", x, y, loss)[1]


def worst(found: Sequence[Finding]) -> State:
    """The worst state of several findings."""
    states = [each.state for each in found]
    return "bad" if "bad" in states else "note" if "note" in states else "good"
