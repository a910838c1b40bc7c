"""Captions for tables that are pasted elsewhere: everything needed to read a table on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import counted
from bench.tables.columns import KEY
from bench.tables.results import Results
from bench.tables.rows import Row
from bench.tables.text.readable import Block, bold_note

ABOUT = {
    "accuracy": "Test accuracy",
    "pairs": "All pairs of methods",
    "overall": "All tasks together",
    "gradients": "Gradient health",
    "cost": "Cost of one inference, counted on the test set",
    "anytime": "Test accuracy when the output is averaged over the first t time steps",
    "latency": "Time of inference and training",
    "runs": "Every run",
    "published": "Published and measured test accuracy",
}
READING = {
    "pairs": "Difference in percentage points, paired by seed, with a simultaneous 95 % interval for all "
    "pairs, then with an interval for other seeds on other images. Agreement: the share of test images with "
    "the same predicted class.",
    "overall": "Interquartile mean: the mean of the middle half of all runs of all tasks, in percent, with a "
    "95 % bootstrap interval; failed runs count as chance. Better than baseline: the probability that a run "
    "beats one of the baseline on the same task. Pareto-optimal in accuracy, energy and training step.",
    "gradients": "Means over the successful runs, after the last epoch.",
    "cost": "Mean ± half the 95 % t-interval over seeds. Energy is an estimate: 4.6 pJ a multiplication, "
    "0.9 pJ a synaptic operation.",
    "anytime": "Mean ± half the 95 % t-interval over seeds.",
    "latency": "Medians, each of one measurement; training seconds were measured on a busy machine.",
    "published": "Measured: mean ± half the 95 % t-interval over n seeds; gap: measured minus published, in "
    "percentage points. Source: primary if the authors report the number themselves, secondary if it was "
    "read elsewhere; published.csv names it. Differences are given as the value here against the paper's.",
}
CHOSEN = "of the weights with the best validation accuracy"
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD"}


class Captions:
    """The captions of the tables of a suite's results, with its protocol and design."""

    def __init__(self, suite: str, results: Results) -> None:
        self.suite, self.baseline = suite, results.baseline
        self.rows = {row.key: row for row in results.rows}
        self.designs = {
            row.key: said for task in results.tasks for said in [task.design()] for row in task.rows
        }

    def of(self, which: str, block: Block) -> str:
        """The caption of one block of the table `which`, as plain text."""
        title = block.title.replace(" · ", ", ")
        head = f"{ABOUT.get(which, which)}, suite {self.suite}: {title}."
        own = self._named(block)
        parts = [head, self._reading(which, block), _protocol(own)]
        if which == "accuracy":
            said = {name: self.designs[row.key] for name, row in own.items()}
            parts += [_grouped(said), bold_note(block.rows)]
            if any(block.apart) and not all(block.apart):
                where = "Without a rank" if "rank" in block.heads else "Below the line"
                parts.append(f"{where}: not compared with the best.")
        return " ".join(filter(None, parts))

    def _reading(self, which: str, block: Block) -> str:
        if which != "accuracy":
            return READING.get(which, "")
        p = " p: of the same family." if "p" in block.heads else ""
        return (
            "In percent, mean ± half the 95 % interval over n seeds and the images of the test set, "
            f"{CHOSEN}; failed runs count as chance. Δ: difference to {self.baseline} in percentage points, "
            f"paired by seed, with a simultaneous 95 % interval for all pairs of rows.{p}"
        )

    def _named(self, block: Block) -> dict[str, Row]:
        """The rows of a block that have runs, by their names in the block."""
        key = [*KEY[:3], "alone", KEY[4]]
        if not {*key} <= {*block.rows.columns}:
            return {}
        found = zip(block.rows["method"], block.rows[key].itertuples(index=False, name=None), strict=True)
        return {name: self.rows[place] for name, place in found if place in self.rows}


def _protocol(own: Mapping[str, Row]) -> str:
    if not own:
        return ""
    seeds = sorted(set[int]().union(*(row.seeds for row in own.values())))
    return f"{_grouped({name: _recipe(row) for name, row in own.items()})} {_seeds(seeds)}.".strip()


def _recipe(row: Row) -> str:
    """How a row was trained, in a sentence; "" if its records do not say."""
    recipe: Mapping[str, Any] = row.records[0]["cell"].get("recipe", {})
    if not recipe:
        return ""
    optimizer = OPTIMIZERS.get(recipe["optimizer"], recipe["optimizer"])
    if recipe["optimizer"] == "sgd":
        optimizer = f"{optimizer} with momentum {recipe['momentum']:g}"
    epochs, batch = recipe["epochs"], recipe["batch_size"]
    return (
        f"{counted(epochs, 'epoch')}, {optimizer}, learning rate {recipe['learning_rate']:g} "
        f"({recipe['schedule']}), weight decay {recipe['weight_decay']:g}, batches of {batch}, "
        f"augmentation {recipe['augment']}."
    )


def _seeds(seeds: Sequence[int]) -> str:
    """`Seeds 0 to 4`."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"Seeds {seeds[0]} to {seeds[-1]}"
    return f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _grouped(said: Mapping[str, str]) -> str:
    """The sentences about rows: a sentence shared by all rows once, otherwise each with its rows' names."""
    groups: dict[str, list[str]] = {}
    for name, words in said.items():
        groups.setdefault(words, []).append(name)
    if len(groups) == 1:
        (words,) = groups
        return words[:1].upper() + words[1:] if words.startswith("no ") else words
    return " ".join(f"{', '.join(names)}: {words}" for words, names in groups.items() if words)
