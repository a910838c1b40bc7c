"""Times neuron layers with pytest-benchmark, in a separate process that ignores the user's settings."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Stopped, printable
from bench.records.layer_times import Case
from bench.runner.engines.child import begin
from bench.runner.engines.process import died, end, start
from bench.suite import Profile

if TYPE_CHECKING:
    from bench.runner.timing.timed_layers import TimedLayer

JSON = "benchmarks.json"
Content = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What to time, and on what. seconds: the time for each number. hardware, versions: see `Case`."""

    cases: tuple[Case, ...]
    profile: Profile
    plugins: tuple[Path, ...]
    seconds: float
    hardware: str
    versions: dict[str, str | None]


def measure(job: Job, tell: Callable[[Case], None]) -> Content:
    """The content of the file: the output of pytest-benchmark, and `failed`, the cases with an error.

    tell: called with each case as it begins. Raises Stopped if the process dies.
    """
    with tempfile.TemporaryDirectory(prefix="spikegrad-latency-") as folder:
        process, pipe = start(_work, job, Path(folder) / "latency.log")
        at: Case | None = None
        try:
            while True:
                kind, what = pipe.recv()
                if kind == "end":
                    break
                if at != what:
                    at = what
                    tell(what)
        except EOFError:
            process.join()
            where = "before anything was timed" if at is None else f"at {at}"
            raise Stopped(
                f"latency: {where}, {died(process)[1]}; nothing is saved: "
                "leave that method out with --methods"
            ) from None
        finally:
            # Everything that it has started ends with it.
            end(process)
            pipe.close()
        file = Path(folder) / JSON
        content: Content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        content.setdefault("benchmarks", [])
        for benchmark in content["benchmarks"]:
            # The individual times are megabytes that no comparison needs.
            benchmark["stats"].pop("data", None)
        return content | {"failed": what}


def _work(job: Job, pipe: Connection, log: Path) -> None:
    """Entry point of the process."""
    begin(pipe, log)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        # Set by users for their own tests, or by a pytest that runs this code.
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest

    from bench.runner.train import set_profile

    set_profile(job.profile)
    cases = CaseList(job, pipe)
    here = Path(__file__).parent
    code = pytest.main(
        [
            str(here / "layer_benchmarks.py"),
            *("-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider"),
            # Ignore settings and conftest files, whatever the current folder.
            *("-c", os.devnull, "--rootdir", str(here), "--noconftest", "--import-mode=importlib"),
            *("--assert=plain", "-p", "no:warnings", "-p", "no:faulthandler", "-q"),
            *("--benchmark-only", "--benchmark-disable-gc", "--benchmark-quiet"),
            f"--benchmark-json={log.parent / JSON}",
        ],
        plugins=[_Named(cases)],
    )
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(int(code))
    pipe.send(("end", list(cases.failed.values())))


class CaseList:
    """The cases of a session, for `layer_benchmarks`, and those that have failed."""

    def __init__(self, job: Job, pipe: Connection) -> None:
        from bench.registry import load

        self.job = job
        self.cases = job.cases
        self.seconds = job.seconds
        self.failed: dict[Case, dict[str, Any]] = {}
        self._registry = load(job.plugins)
        self._pipe = pipe
        self._compiler_is_warm = False

    def layer(self, case: Case) -> TimedLayer:
        """The layer of a case. Raises whatever its method raises."""
        import torch

        from bench.runner.timing import timed_layers

        size = timed_layers.Size(case.timesteps, case.batch, case.units)
        device, compiled = torch.device(self.job.profile.device), case.mode == "compiled"
        if compiled and not self._compiler_is_warm:
            self._compiler_is_warm = True
            timed_layers.warm_compiler()
        torch.manual_seed(0)
        if case.kind == "peer":
            return timed_layers.of_peer(case.method, size, device, compiled=compiled)
        method = self._registry.method(case.method).item
        return timed_layers.of_method(method, size, device, compiled=compiled)

    def describe(self, case: Case, layer: TimedLayer | None, part: str, error: str | None = None) -> Content:
        """The `extra_info` stored with the times of one part."""
        return self.plain(case) | {
            "neuron": layer.neuron if layer else None,
            "part": part,
            "compile_s": round(layer.compile_s, 3) if layer else None,
            "threads": self.job.profile.threads,
            "device": self.job.profile.device,
            "hardware": self.job.hardware,
            "versions": self.job.versions,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "error": error,
        }

    def plain(self, case: Case) -> Content:
        """The timed case, as names and numbers."""
        values = {} if case.kind == "peer" else self._values(case.method)
        return case._asdict() | {"params": values}

    def begins(self, case: Case) -> None:
        """Report to the parent process that a case begins."""
        self._pipe.send(("case", case))

    def fails(self, case: Case, part: str, error: str) -> None:
        """Keep the first error of a case."""
        self.failed.setdefault(case, self.describe(case, None, part, error))

    def _values(self, method: str) -> dict[str, float | None]:
        from bench.surrogate import REFERENCE_THRESHOLD

        return self._registry.method(method).item.defaults(REFERENCE_THRESHOLD)


class _Named:
    """The pytest plugin that provides the cases, and follows the session."""

    def __init__(self, cases: CaseList) -> None:
        self.cases = cases

    def pytest_configure(self, config: Any) -> None:
        config.pluginmanager.register(self.cases, "cases")

    def pytest_runtest_setup(self, item: Any) -> None:
        self.cases.begins(item.callspec.params["layer"])

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        import pytest

        if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return
        problem = call.excinfo.value
        error = printable(" ".join(f"{type(problem).__name__}: {problem}".split()))
        part = item.originalname.removeprefix("test_")
        self.cases.fails(item.callspec.params["layer"], part, error)
