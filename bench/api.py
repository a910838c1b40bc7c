"""The Python interface: what the command line does, without its rendering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bench.errors import BenchError, Stopped, warn
from bench.measures import kept_derivatives
from bench.paths import TRIALS, default_results
from bench.paths import data_root as find_data_root
from bench.records import kept_suites, reading
from bench.records.claims import TIMES, Claims
from bench.records.record_files import Record
from bench.records.store import OK, Store, writable
from bench.records.timings import Timing
from bench.suite import Suite, load_suite

if TYPE_CHECKING:
    import pandas as pd

    from bench.runner.engines.following import Listener, Scheduler
    from bench.runner.plan import Plan, Planned
    from bench.runner.timing.serial import TimesListener
    from bench.runner.timing.times import Measurement
    from bench.tables.results import Results
    from bench.tables.text.choice import Choice
    from bench.tables.text.formats import Form

    class RunListener(Listener, TimesListener, Protocol):
        """Receives the progress of a whole run."""


DRAWING = 60.0
"""Seconds in which a method's derivative must be computed."""
FINAL = ("failed", "timeout")
"""How a method that is at fault ends a process that draws its derivative."""


class Silent:
    """A listener that ignores everything."""

    def started(self, planned: Planned) -> None:
        """Do nothing."""

    def epoch(self, planned: Planned, epoch: int, val_accuracy: float) -> None:
        """Do nothing."""

    def ended(self, planned: Planned, record: Record) -> None:
        """Do nothing."""

    def waiting(self, cells: int | None) -> None:
        """Do nothing."""

    def submitted(self, job: str, tasks: Mapping[str, int] | None) -> None:
        """Do nothing."""

    def timing(self, measurement: Measurement, number: int, total: int) -> None:
        """Do nothing."""

    def timed(self, measurement: Measurement, timing: Timing, number: int, total: int) -> None:
        """Do nothing."""


def run(
    suite: str,
    *,
    results: Path | str | None = None,
    data_root: Path | str | None = None,
    methods: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    add: bool = False,
    plugins: Iterable[Path | str] = (),
    device: str | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    retry: bool = False,
    again: bool = False,
    times: bool | None = None,
    listener: RunListener | None = None,
) -> pd.DataFrame:
    """Run the missing part of a suite, write its tables, and return the accuracy table.

    The arguments are those of `spikegrad run`. Raises BenchError if nothing was started, and its subclass
    Stopped if a run that had started could not continue.
    """
    plan = make_plan(
        suite,
        results=results,
        data_root=data_root,
        methods=methods,
        datasets=datasets,
        seeds=seeds,
        add=add,
        plugins=plugins,
        device=device,
        retry=retry,
        again=again,
        times=times,
        timeout=timeout,
    )
    made = execute(plan, jobs=jobs, retry=retry, listener=listener or Silent())
    return made.table("accuracy")


def make_plan(
    suite: str,
    *,
    results: Path | str | None = None,
    data_root: Path | str | None = None,
    methods: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    add: bool = False,
    plugins: Iterable[Path | str] = (),
    device: str | None = None,
    retry: bool = False,
    again: bool = False,
    times: bool | None = None,
    timeout: float | None = None,
    before: datetime | None = None,
    elsewhere: bool = False,
) -> Plan:
    """What `run` would do; starts and writes nothing.

    times: whether to measure latency, overriding the suite. timeout: seconds that a cell, or loading a
    dataset, may take, overriding the suite. before: what has ended since is not pending, however it ended,
    unless it was interrupted.
    elsewhere: the plan is only displayed, so a GPU that it needs does not have to be present.

    Raises BenchError at the first error.
    """
    asked = _asked(suite, results, data_root, methods, datasets, seeds, add, plugins, times, timeout)
    from bench.runner import plan, trials

    options: dict[str, Any] = {
        "plugins": asked.plugins,
        "data_root": asked.data_root,
        "device": device,
        "again": again,
        "elsewhere": elsewhere,
    }
    variations: plan.Variations = plan.as_listed
    untuned = 0
    if asked.suite.tune:
        chosen, untuned = trials.picks(trials.trial_plan(asked.suite, asked.store, **options))
        variations = trials.tuned(chosen)
    made = plan.make_plan(asked.suite, asked.store, retry=retry, variations=variations, **options)
    made = replace(made, whole=asked.whole, untuned=untuned)
    return made if before is None else made.without_ended_since(before)


def make_trial_plan(
    suite: str,
    *,
    results: Path | str | None = None,
    data_root: Path | str | None = None,
    methods: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    plugins: Iterable[Path | str] = (),
    device: str | None = None,
    retry: bool = False,
    again: bool = False,
    timeout: float | None = None,
) -> Plan:
    """The trials of a suite with `[tune]`, as far as they are known; starts and writes nothing.

    The arguments are those of `spikegrad tune`. Raises BenchError at the first error.
    """
    asked = _asked(suite, results, data_root, methods, datasets, None, False, plugins, None, timeout)
    if asked.suite.tune is None:
        raise BenchError(f"the suite {asked.suite.name} is not tuned: it has no table [tune]")
    from bench.runner import trials

    made = trials.trial_plan(
        asked.suite,
        asked.store,
        plugins=asked.plugins,
        data_root=asked.data_root,
        device=device,
        retry=retry,
        again=again,
    )
    return replace(made, whole=asked.whole)


class _Asked(NamedTuple):
    """A suite as the user asks for it; whole: as its file defines it."""

    suite: Suite
    whole: Suite
    store: Store
    plugins: tuple[Path, ...]
    data_root: Path


def _asked(
    suite: str,
    results: Path | str | None,
    data_root: Path | str | None,
    methods: Sequence[str] | None,
    datasets: Sequence[str] | None,
    seeds: Sequence[int] | None,
    add: bool,
    plugins: Iterable[Path | str],
    times: bool | None,
    timeout: float | None,
) -> _Asked:
    files = tuple(Path(p) for p in plugins)
    chosen = load_suite(suite)
    if times is not None:
        chosen = chosen.model_copy(update={"times": times})
    store = Store(Path(results) if results is not None else default_results(), chosen.name)
    if more := kept_suites.check(store, chosen):
        warn(f"the suite {chosen.name} has more than when it was last run here: {'; '.join(more)}")
    writable(store.results)
    root = find_data_root(Path(data_root) if data_root is not None else None)
    if root.exists() and not root.is_dir():
        raise BenchError(f"the data root {root} is not a folder: give the folder that holds the datasets")
    # Only now, after the cheap checks: this imports torch.
    from bench.runner.vetting import load

    # A method given on the command line is there to be compared, so it joins the suite's own.
    given = [name for name, entry in load(files).methods.items() if entry.given]
    cut = chosen.joined(given).only(methods=methods, datasets=datasets, seeds=seeds, add=add)
    if timeout is not None:
        cut = cut.model_copy(update={"timeout": timeout})
    return _Asked(cut, chosen, store, files, root)


def execute(
    plan: Plan,
    *,
    jobs: int | None = None,
    retry: bool = False,
    wait: bool = True,
    scheduler: Scheduler | None = None,
    listener: RunListener,
) -> Results:
    """Run the pending cells of a plan, measure latency, write the suite's tables, and return its results.

    retry: repeat timings that failed. wait: for what other runs of the suite train, at the end.
    scheduler: what trains on other machines, and nothing here; then no latency is measured.

    Several runs can work on one suite: each cell is trained by one of them, and each returns when all are
    done.

    Raises BenchError if the results folder is locked or not writable, Stopped if writing fails.
    """
    from bench.runner.engines import following, local
    from bench.runner.timing import serial, times

    timeout = plan.suite.timeout
    with plan.store.shared() as claims:
        _keep_suite(plan)
        plan = plan.reread()
        try:
            if scheduler is None:
                local.run(plan, jobs=jobs, timeout=timeout, listener=listener, claims=claims, wait=wait)
            else:
                following.run(plan, scheduler, listener=listener, claims=claims)
            records = plan.store.records()
            worked = [record["id"] for record in records if record["status"] == OK]
            to_time = times.pending(plan, worked=worked, retry=retry) if scheduler is None else []
            if to_time and not _undisturbed(plan, claims):
                warn("times are not measured here, because another run of the suite is at work")
                to_time = []
            serial.run(plan, to_time, timeout=timeout, listener=listener)
            claims.release(TIMES)
            _draw(plan, records)
        except KeyboardInterrupt:
            if plan.store.records():
                read_results(plan.store, plan.whole or plan.suite)
            raise
        return read_results(plan.store, plan.whole or plan.suite)


def tune(
    plan: Plan,
    *,
    jobs: int | None = None,
    listener: RunListener,
    again: Callable[[], Plan] | None = None,
) -> Plan:
    """Run the pending trials of `make_trial_plan`, write the tables of tuning, and return the final plan.

    again: plans once more, for a sampler that chooses its next trials by the last; ends when nothing is
    pending, or when circumstances stop every trial of a round.

    Raises BenchError if the results folder is locked or not writable, Stopped if writing fails.
    """
    from bench.runner.engines import local

    assert plan.suite.tune is not None
    # A sampler that chooses the next trials by the last ones must make them all itself.
    joined = plan.store.shared() if plan.suite.tune.sampler == "grid" else plan.store.lock()
    with joined as claims:
        _keep_suite(plan)
        plan = plan.reread()
        while plan.pending:
            before = {planned.id for planned in plan.pending}
            local.run(plan, jobs=jobs, timeout=plan.suite.timeout, listener=listener, claims=claims)
            if again is None:
                break
            plan = again()
            if before <= {planned.id for planned in plan.pending}:
                break
    return plan


def _undisturbed(plan: Plan, claims: Claims) -> bool:
    """Whether times can be measured here; then others on this machine train nothing until TIMES is free."""
    from bench.runner.engines.process import writing

    with writing(plan.store.results):
        if not claims.take(TIMES):
            return False
        alone = not claims.theirs(here=True)
    if not alone:
        claims.release(TIMES)
    return alone


def _keep_suite(plan: Plan) -> None:
    from bench.runner.engines.process import writing

    if plan.whole is None:
        return
    kept_suites.check(plan.store, plan.whole)
    with writing(plan.store.results):
        kept_suites.keep(plan.store, plan.whole)


def _draw(plan: Plan, records: Sequence[Record]) -> None:
    """Store the derivatives of the methods of these records, for reports. A failure only causes a warning."""
    from bench.runner.engines.process import NoAnswer, ask

    store = plan.store
    want = kept_derivatives.wanted(records)
    there = kept_derivatives.read(store.results, store.suite, want)
    missing = [(of, plan.plugins) for name, of in want.items() if name not in there]
    try:
        # In a process of its own: it calls the methods, and the trainings are done.
        answers = ask(kept_derivatives.draw, missing, limit=DRAWING, logs=store.runs)
        for (of, _), drawn in zip(missing, answers, strict=True):
            if isinstance(drawn, NoAnswer):
                if drawn.status not in FINAL:
                    continue
                drawn = kept_derivatives.stored_curve(of, f"not drawn: {drawn.why}", [], [])
            if drawn is not None:
                kept_derivatives.keep(store.results, store.suite, of, drawn)
    except OSError as problem:
        warn(f"the methods' derivatives cannot be kept in {store.results}: {problem.strerror or problem}")


def leaderboard(suite: str, *, results: Path | str | None = None) -> pd.DataFrame:
    """Regenerate the tables of a suite from its records, and return the accuracy table.

    Raises BenchError if there are no records.
    """
    return read_results(*stored(suite, results)).table("accuracy")


def paste(
    found: Results,
    suite: str,
    form: Form,
    table: str,
    *,
    results: Path | str | None,
    choice: Choice | None = None,
) -> str:
    """A table of a suite's results as text to paste, with captions. suite, results: as the user gave them.

    choice: what of the table is shown, and how; all of it by default. Raises BenchError if it names what the
    table does not have.
    """
    from bench.tables.text import formats
    from bench.tables.text.choice import EVERYTHING

    command = ["leaderboard", suite, *(["--results", str(results)] if results else []), "--table", table]
    return formats.to_paste(
        form,
        table,
        found,
        suite=found.store.suite if found.store else suite,
        command=["spikegrad", *command, "--format", form],
        choice=choice or EVERYTHING,
    )


def everything(results: Path | str | None = None) -> dict[Store, Results]:
    """The results of every suite in a results folder, by name; no table is written.

    Warns about what is left out. Raises BenchError if there are no records, or they cannot be read.
    """
    folder = Path(results) if results is not None else default_results()
    names = [each.name for each in sorted((folder / "runs").glob("*/")) if not each.name.endswith(TRIALS)]
    found = {}
    for name in names:
        store, chosen = stored(name, folder)
        if store.records():
            found[store] = read_results(store, chosen, save=False)
    if not found:
        raise BenchError(f"no records in {folder}: `spikegrad run` makes them")
    return found


def stored(suite: str, results: Path | str | None) -> tuple[Store, Suite]:
    """The records of a suite, and the suite.

    Raises BenchError for an unknown suite, and for the trials of one.
    """
    if suite.endswith(TRIALS):
        own = suite.removesuffix(TRIALS)
        raise BenchError(
            f"{suite} holds the tuning trials of {own}: "
            f"`spikegrad leaderboard {own} --table tuning` shows them"
        )
    chosen, store = kept_suites.find(suite, Path(results) if results is not None else default_results())
    return store, chosen


def report_of_run(plan: Plan, results: Results, *, anything_new: bool) -> Path | None:
    """The path of the report after a run, regenerated if there is anything new.

    If it cannot be written, warns and returns None: the run itself is done.
    """
    from bench.report import page

    file = page.file_of(plan.store)
    try:
        if anything_new or not file.is_file():
            page.write(plan.whole or plan.suite, plan.store, results)
        return file
    except BenchError as problem:
        warn(str(problem))
        return None


def read_results(store: Store, suite: Suite, *, save: bool = True, tell: bool = True) -> Results:
    """The results of a suite; its tables are written as CSV files. save: if False, they are not.

    tell: warn about each record and timing that is left out because it is damaged.
    Raises BenchError if there are no records, Stopped if the files cannot be written.
    """
    from bench.tables.results import Results

    found = Results.read(store, suite)
    if tell:
        reading.tell(found.left_out)
    if save:
        _save(found.tables, store)
    return found


def write_tuning_tables(plan: Plan) -> dict[str, pd.DataFrame]:
    """Write the tables of tuning, and return them by name.

    Raises BenchError if there are no trials, Stopped if the files cannot be written.
    """
    from bench.tables.results import OF_TUNING, Results

    store = _own_store(plan)
    trials, left_out = plan.store.survey()
    reading.tell(left_out)
    if not trials:
        raise BenchError(f"there are no trials of the suite {plan.suite.name} in {plan.store.results}")
    found = Results(store.records(), trials=trials)
    made = {name: found.table(name) for name in OF_TUNING}
    _save(made, store)
    return made


def tables_of(plan: Plan) -> Path:
    """The folder of a suite's tables, given the plan of its runs or of its trials."""
    return _own_store(plan).leaderboards


def _own_store(plan: Plan) -> Store:
    return Store(plan.store.results, plan.suite.name)


def _save(made: dict[str, pd.DataFrame], store: Store) -> None:
    from bench.tables.results import save

    try:
        save(made, store.leaderboards)
    except Stopped:
        raise
    except BenchError as problem:
        # The training runs are finished and kept.
        raise Stopped(str(problem)) from None
    except OSError as problem:
        why = problem.strerror or problem
        raise Stopped(f"cannot write the tables to {store.leaderboards}: {why}") from None
