"""The laws that every method must pass: `spikegrad check`.

Each law is a function of a `Case`. It returns "" or a remark if the law holds, and `NoClaim` if the law does
not apply to the method. It raises `Broken` with the numbers and the input if the law does not hold. Any other
exception of the method is a broken law too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from bench.check import in_place, loop, networks, one_layer
from bench.check.case import Broken, Case, Compiler, NoClaim
from bench.errors import BenchError
from bench.measures.single_layer import repeatable
from bench.registry import load
from bench.runner.engines.process import NoAnswer, ask
from bench.runner.faults import CHANGED_IN_PLACE, changes_in_place
from bench.surrogate import Law

__all__ = ["LAWS", "MEANING", "Case", "Compiler", "Verdict", "check", "check_apart"]

LAWS: tuple[Law, ...] = get_args(Law)
LIMIT = 600.0
"""Seconds that the test of one law can take, on a third-party method."""
INSTEAD = (
    "assign a new tensor, as in self.mean = 0.9 * self.mean + 0.1 * new, instead of self.mean.mul_(0.9), "
    "or return a clone() of it from params"
)
Outcome = Literal["holds", "no claim", "declared", "broken"]

_TRIALS: dict[Law, Callable[[Case], str]] = {
    "forward": one_layer.forward,
    "derivative": one_layer.derivative,
    "loop": loop.loop,
    "area": one_layer.area,
    "finite": one_layer.finite,
    "dtype": one_layer.dtype,
    "deterministic": networks.deterministic,
    "state": networks.state,
    "one-step": networks.one_step,
    "backbones": networks.backbones,
    "compile": networks.compiles,
    "training": networks.training,
}
MEANING: dict[Law, str] = {law: (trial.__doc__ or "").rstrip(".") for law, trial in _TRIALS.items()}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one law.

    outcome: holds; no claim (the law does not apply to this method); declared (it does not hold, and the
    method declares that); broken. detail: the reason, or a remark.
    """

    law: Law
    outcome: Outcome
    detail: str = ""


def check(case: Case) -> Iterator[Verdict]:
    """Test every law, in order, each with its own random numbers. Raises nothing."""
    return _told_once(_verdict(law, case) for law in LAWS)


def check_apart(name: str, plugins: tuple[Path, ...], compiler: Compiler) -> Iterator[Verdict]:
    """As `check`, of a third-party method: in a process of its own, which it may hang or end."""
    questions = [(law, name, plugins, compiler) for law in LAWS]
    answers = zip(LAWS, ask(one, questions, limit=LIMIT), strict=True)
    return _told_once(
        Verdict(law, "broken", answer.why) if isinstance(answer, NoAnswer) else answer
        for law, answer in answers
    )


def _told_once(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Explain a change in place under the first law that it breaks, and refer to that under the others."""
    first: Law | None = None
    for verdict in verdicts:
        if verdict.outcome == "broken" and verdict.detail.startswith(CHANGED_IN_PLACE):
            if first is not None:
                verdict = replace(verdict, detail=f"the change in place told of under {first}")
            first = first or verdict.law
        yield verdict


def one(question: tuple[Law, str, tuple[Path, ...], Compiler]) -> Verdict:
    """The verdict of one law on the method of this name."""
    law, name, plugins, compiler = question
    registry = load(plugins)
    return _verdict(law, Case(registry.method(name).item, registry, compiler))


def _verdict(law: Law, case: Case) -> Verdict:
    declared = case.method.breaks.get(law)
    try:
        with repeatable(), _settings_kept():
            said = _TRIALS[law](case)
    except (Exception, SystemExit) as problem:
        detail = str(problem) if isinstance(problem, Broken) else _unexpected(problem, law, case)
        if declared is not None:
            return Verdict(law, "declared", f"{declared} ({detail})")
        return Verdict(law, "broken", detail)
    if isinstance(said, NoClaim):
        return Verdict(law, "no claim", said)
    return Verdict(law, "holds", said if declared is None else f"although it declares: {declared}")


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Restore process-wide settings that a method changes, so that the next one is not affected.

    Raises Broken if the method has changed one.
    """
    before = _settings()
    try:
        yield
    finally:
        after = _settings()
        torch.set_default_dtype(before["default dtype"])
        torch.set_grad_enabled(before["grad mode"])
        torch.use_deterministic_algorithms(before["deterministic algorithms"])
        torch.set_num_threads(before["threads"])
    changed = [name for name in before if after[name] != before[name]]
    if changed:
        raise Broken(f"it changes torch's {changed[0]} for the whole process")


def _settings() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "grad mode": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


def _unexpected(problem: BaseException, law: Law, case: Case) -> str:
    if changes_in_place(problem):
        # Compiled code has no lines, and every law of training meets the same change.
        with repeatable():
            where = in_place.place(lambda: _TRIALS["deterministic" if law == "compile" else law](case))
        return f"{CHANGED_IN_PLACE}{f' ({where})' * bool(where)}: {INSTEAD}"
    text = (str(problem).strip() or "no message").split("\n")[0]
    return text if isinstance(problem, BenchError) else f"{type(problem).__name__}: {text}"
