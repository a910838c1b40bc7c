"""Published and measured accuracies side by side, with the known differences in protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench import variants
from bench.records.store import FAILED
from bench.suite import Recipe
from bench.tables import published, statistics
from bench.tables.columns import DECLARED, KEY, PUBLISHED, Line, frame, named
from bench.tables.published import Published
from bench.tables.rows import Row

PUBLISHED_COLUMNS = (
    *(*KEY, *DECLARED, "params", "published", "published_sd", "runs", "year", "source", "source_kind"),
    *("measure", "measured_mean", "measured_sd", "n_seeds", "gap", "same_protocol", "differs", "note"),
)
RECIPE = {
    "epochs": "epochs",
    "batch_size": "batch size",
    "optimizer": "optimizer",
    "learning_rate": "learning rate",
    "momentum": "momentum",
    "weight_decay": "weight decay",
    "schedule": "schedule",
    "augment": "augmentation",
    "loss": "loss",
    "label_smoothing": "label smoothing",
    "mixup": "mixup",
    "cutmix": "cutmix",
    "erasing": "erasing",
}
NEURON = {"neuron": "neuron", "reset": "reset", "threshold": "threshold", "decay": "decay"}
CHOSEN_BY = {
    "test_accuracy_best_epoch": "best test epoch",
    "test_accuracy_last": "last epoch",
    "test_accuracy": "validation",
}
"""For each accuracy, how its epoch was chosen."""
NO_DIFFERENCE = ("cuda", *(f"backbone.{name}" for name in NEURON))
"""Words of a variant that do not change the protocol, or are compared separately."""


def published_of(of: Sequence[Row], numbers: Sequence[Published] | None = None) -> pd.DataFrame:
    """A row for each row of the accuracy table and each number published for its method in its task.

    A number whose parameters are given is compared only with rows of these parameters. Below them, without
    measurements: published numbers in the records' tasks for methods without such a row.
    numbers: the default is the shipped file. Raises BenchError if it cannot be read.
    """
    numbers = published.read() if numbers is None else numbers
    lines = [line for number in numbers for line in _lines(number, of)]
    return frame(sorted(lines, key=_place), PUBLISHED_COLUMNS)


def _place(line: Line) -> tuple[Any, ...]:
    measured = bool(line["measure"])
    # As numbers: as text, 10 would come before 2.5.
    params = published.settings(line["params"]).items()
    numbers = [(name, math.inf if value is None else value) for name, value in params]
    own = (*(line[name] for name in (*KEY[3:], "source")), numbers)
    return (*(line[name] for name in KEY[:3]), not measured, *own)


def _lines(number: Published, of: Sequence[Row]) -> Iterator[Line]:
    there = [row for row in of if row.task == number.task]
    same = [row for row in there if _is_of(number, row)]
    for row in same:
        yield row.identity() | _stated(number) | _compared(number, row)
    if there and not same:
        key = named(KEY, (*number.task, number.method, ""))
        unknown = dict.fromkeys((*DECLARED, "measure", "same_protocol", "differs"), "")
        yield key | unknown | _stated(number)


def _is_of(number: Published, row: Row) -> bool:
    """Whether a row has the method of a number, at its parameters."""
    asked = published.settings(number.params)
    method, _, value = row.method.partition(":")
    # rectangle:2 is rectangle at a value, and only known parameters say whether at this one.
    at_value = published.NUMBER.fullmatch(value) and asked and None not in asked.values()
    if number.method not in (row.method, method if at_value else row.method):
        return False
    cell = row.records[0]["cell"]
    scale = published.THRESHOLD / cell["backbone"].get("threshold", published.THRESHOLD)
    here = {name: value and value * scale for name, value in cell["method"]["params"].items()}
    return all(value is None or math.isclose(here.get(name) or 0, value) for name, value in asked.items())


def _stated(number: Published) -> Line:
    there = {name: getattr(number, name) for name in ("runs", "year", "source", "source_kind")}
    sds = {"published": number.accuracy, "published_sd": number.accuracy_sd}
    return there | sds | {"params": number.params or "", "note": number.note or ""}


def _compared(number: Published, row: Row) -> Line:
    measure = _measure(number, row)
    values = row.values(measure)
    mean = statistics.mean(values)
    gap = mean - number.accuracy
    differs, unknown = _differences(number, row, measure), _unknown(number, row)
    told = [*differs, *([f"unknown: {', '.join(unknown)}"] if unknown else [])]
    return {
        **named(PUBLISHED[2:], (mean, statistics.sd(values), gap)),
        "measure": measure,
        "n_seeds": values.size,
        # If all runs failed, there is nothing to compare.
        "same_protocol": "" if math.isnan(mean) else "no" if differs else "unknown" if unknown else "yes",
        "differs": "; ".join(told),
    }


def _measure(number: Published, row: Row) -> str:
    """The measured accuracy whose epoch is chosen as in the paper, if that is known and was recorded."""
    noted = bool(row.measured("test_accuracy_best_epoch"))
    if number.chosen_by in ("last epoch", "validation"):
        return next(name for name, how in CHOSEN_BY.items() if how == number.chosen_by)
    return "test_accuracy_best_epoch" if noted else "test_accuracy"


def _differences(number: Published, row: Row, measure: str) -> list[str]:
    """Known differences, with the value here before the paper's."""
    ours = _ours(row)
    pairs = [(words, ours.get(name), getattr(number, name)) for name, words in (RECIPE | NEURON).items()]
    pairs.append(("epoch chosen by", CHOSEN_BY[measure], number.chosen_by))
    known = [(what, here, there) for what, here, there in pairs if here is not None and there is not None]
    apart = [
        f"{what} {variants.value_text(here)} against {variants.value_text(there)}"
        for what, here, there in known
        if here != there
    ]
    if number.validation == "none":
        apart.append("part of the training data is kept for validation here")
    # How it was trained is compared above, recipe by recipe; the rest of that changes no protocol.
    said = variants.words(variants.without_training(row.variant))
    same = {*NO_DIFFERENCE, *published.settings(number.params)}
    own = [word for word in said if not word.startswith("#") and word.split("=")[0] not in same]
    apart += [f"{word} here" for word in own]
    if failed := row.count(*FAILED):
        apart.append(f"without {failed} failed of {len(row.records)} runs")
    return [*apart, *([number.differs] if number.differs else [])]


def _unknown(number: Published, row: Row) -> list[str]:
    """What is unknown about the paper, or about the method here."""
    recipe, neuron = (
        {name: words for name, words in names.items() if getattr(number, name) is None}
        for names in (RECIPE, NEURON)
    )
    unknown = _without_momentum(number.optimizer, recipe).values()
    found = ["recipe"] if len(recipe) == len(RECIPE) else [*unknown]
    found += ["neuron"] if len(neuron) == len(NEURON) else neuron.values()
    found += [name for name, value in published.settings(number.params).items() if value is None]
    if number.validation is None:
        found.append("validation data")
    if number.chosen_by is None:
        found.append("choice of the epoch")
    if row.records[0]["method"]["fidelity"] == "reconstructed":
        found.append("parts of the method's rule")
    return found


def _ours(row: Row) -> dict[str, Any]:
    """Recipe and neuron of a row, named as in a suite."""
    cell = row.records[0]["cell"]
    recipe: dict[str, Any] = dict(cell.get("recipe", {}))
    if recipe:
        # Records leave these out at their defaults.
        recipe = {name: Recipe.model_fields[name].default for name in Recipe.added} | recipe
    own = _without_momentum(recipe.get("optimizer"), recipe)
    return own | {name: cell["backbone"].get(name) for name in NEURON}


def _without_momentum(optimizer: str | None, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The same keys without the momentum, which AdamW has not."""
    return {name: value for name, value in recipe.items() if name != "momentum" or optimizer != "adamw"}
