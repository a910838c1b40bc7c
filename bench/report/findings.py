"""What a suite found, in a few sentences, from the verdicts of its tasks alone.

A sentence says no more than the intervals of the tables: a method is better or worse only where the
interval of a difference excludes zero, and what cannot be told apart is called neither equal nor best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.errors import counted
from bench.report.tasks import Entry, Key, Task, known
from bench.tables.rows import Row
from bench.variants import DEFAULT, TUNED, full_name, words

MOST_NAMES = 4
"""Of more names than these, only the number is given."""
UNTESTED = (
    "Nothing is tested: no task has two methods with at least 3 seeds in common, so no method can be called "
    "better than another."
)


def findings(tasks: Sequence[Task], of: Mapping[Key, Row], baseline: str) -> list[str]:
    """Sentences on who is among the best, and who differs from the baseline."""

    def name(entry: Entry) -> str:
        """The same in all tasks, also where a task is tuned, or the row is the best of a sweep."""
        own = [word for word in words(of[entry.key].own_words) if word != TUNED]
        return full_name(of[entry.key].method, " ".join(own) or DEFAULT)

    tested = [task for task in tasks if _said(task, "yes", "no")]
    if not tested:
        return [UNTESTED]
    apart = [task for task in tested if _said(task, "no")]
    left = len(tasks) - len(tested)
    return [
        *_best(tested, apart, name),
        *_against(tested, baseline, name),
        *([f"On {counted(left, 'task')} nothing is tested, for lack of seeds or methods."] if left else []),
    ]


def _best(tested: Sequence[Task], apart: Sequence[Task], name: Callable[[Entry], str]) -> list[str]:
    open_ones, number = len(tested) - len(apart), len(tested)
    if not apart:
        return [f"{_on(number, number)} no method can be told from the best{_detectable(tested)}."]
    said = [f"{_on(open_ones, number)} no method can be told from the best."] if open_ones else []
    if len(apart) == 1:
        (task,) = apart
        # With failed seeds a row is called nothing good; it is what the others are below all the same.
        leading = [name(entry) for entry in _said(task, "yes")]
        below = [name(entry) for entry in _said(task, "no")]
        where = f"On {task.title}, " if number > 1 else ""
        verb = "is" if len(below) == 1 else "are"
        led = f"; {_names(leading)} {_lead(leading)}" if leading else ", which has failed seeds"
        return [*said, f"{where}{_names(below)} {verb} below the best{led}."]
    among = _tasks_of((name(entry) for entry in _said(task, "yes")) for task in apart)
    below_of = _tasks_of((name(entry) for entry in _said(task, "no")) for task in apart)

    def count(some: int) -> str:
        return f"all {some}" if some == len(apart) else f"{some} of the {len(apart)}"

    leading, best = _most(among)
    below, worst = _most(below_of)
    lead = f"{_names(leading)} cannot be told from the best in {count(best)} tasks that tell methods apart"
    if not leading:
        lead = f"In the {len(apart)} tasks that tell methods apart, the best has failed seeds"
    verb = "is" if len(below) == 1 else "are"
    return [*said, f"{lead}; {_names(below)} {verb} below it in {count(worst)}."]


def _against(tested: Sequence[Task], baseline: str, name: Callable[[Entry], str]) -> list[str]:
    compared = [task for task in tested if any(_interval(entry) for entry in task.compared)]
    if not compared:
        return []
    number = len(compared)
    ends = [[(name(entry), end) for entry in task.compared if (end := _interval(entry))] for task in compared]
    better = _tasks_of((called for called, (low, _) in of if low > 0) for of in ends)
    worse = _tasks_of((called for called, (_, high) in of if high < 0) for of in ends)
    if not better and not worse:
        return [f"No method can be told from the baseline {baseline}."]
    above = f"Better than the baseline {baseline}: {_counts(better, number)}"
    if not better:
        above = f"No method is better than the baseline {baseline} by more than noise"
    return [f"{above}; worse: {_counts(worse, number)}." if worse else f"{above}."]


def _tasks_of(names: Iterable[Iterable[str]]) -> Counter[str]:
    """In how many tasks each name occurs; two rows of a task can have one, as two versions of a method do."""
    return Counter(name for of in names for name in dict.fromkeys(of))


def _said(task: Task, *verdicts: str) -> list[Entry]:
    """The rows with one of these verdicts; one with failed seeds is not among the best."""
    return [
        entry
        for entry in task.compared
        if known(entry.line["indistinguishable_from_best"]) in verdicts
        and not (verdicts == ("yes",) and entry.line["n_failed"])
    ]


def _interval(entry: Entry) -> tuple[float, float] | None:
    low, high = entry.line["delta_ci_low"], entry.line["delta_ci_high"]
    return None if known(low) is None or known(high) is None else (float(low), float(high))


def _detectable(tasks: Iterable[Task]) -> str:
    """How large a difference would have been seen."""
    found = [known(entry.line["detectable"]) for task in tasks for entry in task.compared]
    sizes = sorted(float(value) for value in found if value is not None)
    if not sizes:
        return ""
    ends = list(dict.fromkeys(f"{size:.1f}" for size in (sizes[0], sizes[-1])))
    return f"; the smallest difference that is detected with 80 % power is {' to '.join(ends)} points"


def _on(some: int, number: int) -> str:
    if number == 1:
        return "Here"
    return f"On {'all ' if some == number else f'{some} of '}{number} tasks"


def _lead(names: Sequence[str]) -> str:
    return "is the best" if len(names) == 1 else "cannot be told from it"


def _most(counts: Counter[str]) -> tuple[list[str], int]:
    """Those with the highest count, in their order, and this count."""
    most = max(counts.values(), default=0)
    return [name for name, count in counts.items() if count == most], most


def _counts(counts: Counter[str], number: int) -> str:
    """`triangle in 3 of 4 tasks, arctan and sigmoid in 1`."""
    by_count: dict[int, list[str]] = {}
    for name, count in counts.most_common():
        by_count.setdefault(count, []).append(name)
    tasks = f" of {number} tasks" if number > 1 else ""
    parts = []
    for place, (count, names) in enumerate(by_count.items()):
        where = f" in {count}{tasks if place == 0 else ''}" if number > 1 else ""
        parts.append(f"{_names(names)}{where}")
    return ", ".join(parts)


def _names(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{len(names)} methods"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
