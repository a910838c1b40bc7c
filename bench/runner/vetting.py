"""Third-party code, called in a process of its own before or instead of this one.

A plugin whose import or method hangs, exits or crashes thus costs itself alone, and not the command. The
code of this project is called here: starting a process takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from bench import registry
from bench.registry import Entry, Origin, Registry
from bench.runner.engines.process import NoAnswer, ask
from bench.surrogate import Method

LIMIT = 60.0
"""Seconds that an import, or a look at one method, can take."""
Answer = TypeVar("Answer")
_vetted: set[Origin] = set()


def load(plugins: Iterable[Path] = ()) -> Registry:
    """As `bench.registry.load`, for the process that the user has started.

    Raises BenchError if a plugin path does not exist, or two items have the same name.
    """
    plugins = tuple(plugins)
    new = [origin for origin in registry.foreign(plugins) if origin not in _vetted]
    for origin, answer in zip(new, ask(registry.try_import, new, limit=LIMIT), strict=True):
        _vetted.add(origin)
        if isinstance(answer, NoAnswer):
            registry.refuse({origin: f"its import failed: {answer.why}"})
    return registry.load(plugins)


def of_each(
    function: Callable[[Method], Answer], entries: Iterable[Entry[Method]], plugins: tuple[Path, ...]
) -> dict[str, Answer | NoAnswer]:
    """function(method) of each method, by name. function: can be imported by name."""
    entries = list(entries)
    others = [entry.item.name for entry in entries if not entry.shipped]
    answers = ask(_of_method, [(function, name, plugins) for name in others], limit=LIMIT)
    own = {entry.item.name: function(entry.item) for entry in entries if entry.shipped}
    return {**own, **dict(zip(others, answers, strict=True))}


def _of_method(question: tuple[Callable[[Method], Answer], str, tuple[Path, ...]]) -> Answer:
    function, name, plugins = question
    return function(registry.load(plugins).methods[name].item)
