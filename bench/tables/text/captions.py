"""Captions for tables that are pasted elsewhere: everything needed to read a table on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import counted
from bench.suite import Recipe
from bench.tables.columns import KEY
from bench.tables.results import Results
from bench.tables.rows import Row
from bench.tables.text.readable import Block, bold_note
from bench.variants import RECIPE, value_text

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
    "tuning": "Every trial of tuning",
    "tuned": "What tuning chose, and what it gains",
}
SHORT = {"accuracy": "In percent, mean ± half the 95 % interval."}
"""What a reader must know at once; the rest is in the note."""
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
    "tuning": "Validation: mean accuracy over the tuning seeds, in percent; failed runs count as chance.",
    "tuned": "Validation: mean accuracy over the tuning seeds, in percent, over all trials. Test accuracy on "
    "the suite's seeds. Gain: tuned minus default in percentage points, paired by seed, with the 95 % "
    "t-interval of this method alone. Failed runs count as chance.",
    "published": "A number published at known parameters (for a threshold of 0.5) is compared only "
    "with rows of these. Measured: mean ± half the 95 % t-interval over n seeds; gap: measured minus "
    "published, in percentage points. Source: primary if the authors report the number themselves, secondary "
    "if it was read elsewhere; published.csv names it. Differences are given as the value here "
    "against the paper's.",
}
CHOSEN = "of the weights with the best validation accuracy"
OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD"}
OPTIONS = {
    **dict.fromkeys(("rand_operations", "rand_magnitude", "rand_probability"), ""),
    **{"mixup": " (alpha)", "cutmix": " (alpha)", "erasing": " (probability)"},
    **dict.fromkeys(("loss", "tet_weight", "label_smoothing"), ""),
}
"""Keys of a recipe that a caption names only where they differ from their defaults, and what follows each."""


class Captions:
    """The captions of the tables of a suite's results, with its protocol and design."""

    def __init__(self, suite: str, results: Results) -> None:
        self.suite, self.baseline = suite, results.baseline
        self.rows = {row.key: row for row in results.rows}
        self.designs = {
            row.key: said for task in results.tasks for said in [task.design()] for row in task.rows
        }

    def of(self, which: str, block: Block) -> str:
        """The caption of one block of the table `which`, as plain text: a line or two."""
        title = block.title.replace(" · ", ", ")
        head = f"{ABOUT.get(which, which)}, suite {self.suite}: {title}."
        bold = bold_note(block.rows).partition(". ")[0].removesuffix(".") if which == "accuracy" else ""
        return " ".join(filter(None, [head, SHORT.get(which, ""), f"{bold}." * bool(bold)]))

    def note(self, which: str, block: Block) -> str:
        """The rest of what a reader needs who sees this block and nothing else, to stand below it."""
        own = self._named(block)
        parts = [self._reading(which, block)]
        # A trial has its own learning rate and its own seeds.
        if which != "tuning":
            parts += ["Default:" * (which == "tuned" and bool(own)), protocol(own)]
        if which == "accuracy":
            parts += [grouped({name: self.designs[row.key] for name, row in own.items()})]
            parts += [bold_note(block.rows).partition(". ")[2]]
            if any(block.apart) and not all(block.apart):
                where = "Without a rank" if "rank" in block.heads else "Below the line"
                parts.append(f"{where}: not compared with the best.")
        return " ".join(filter(None, parts))

    def _reading(self, which: str, block: Block) -> str:
        if which != "accuracy":
            return READING.get(which, "")
        p = " p: of the same family." if "p" in block.heads else ""
        return (
            f"±: over n seeds and the images of the test set, {CHOSEN}; failed runs count as chance. Δ: "
            f"difference to {self.baseline} in percentage points, paired by seed, with a simultaneous 95 % "
            f"interval for all pairs of rows.{p}"
        )

    def _named(self, block: Block) -> dict[str, Row]:
        """The rows shown of a block that have runs, by their names in the block."""
        key = [*KEY[:3], "alone", KEY[4]]
        if not {*key} <= {*block.rows.columns}:
            return {}
        found = zip(block.rows["method"], block.rows[key].itertuples(index=False, name=None), strict=True)
        shown = {line["method"] for line in block.lines}
        return {name: self.rows[place] for name, place in found if place in self.rows and name in shown}


def protocol(own: Mapping[str, Row]) -> str:
    """How these rows were trained, and with which seeds; by name where they differ."""
    return f"{grouped({name: recipe_of(row) for name, row in own.items()})} {seeds_of(own.values())}".strip()


def recipe_of(row: Row) -> str:
    """How a row was trained, in a sentence; "" if its records do not say."""
    recipe: Mapping[str, Any] = row.records[0]["cell"].get("recipe", {})
    if not recipe:
        return ""
    optimizer = OPTIMIZERS.get(recipe["optimizer"], recipe["optimizer"])
    if recipe["optimizer"] == "sgd":
        optimizer = f"{optimizer} with momentum {recipe['momentum']:g}"
    epochs, batch = recipe["epochs"], recipe["batch_size"]
    decayed = " (synapses)" * (recipe.get("decayed") == "synapses")
    clauses = [
        f"{counted(epochs, 'epoch')}, {optimizer}, learning rate {recipe['learning_rate']:g} "
        f"({recipe['schedule']}), weight decay {recipe['weight_decay']:g}{decayed}, batches of {batch}, "
        f"augmentation {recipe['augment']}"
    ]
    for key, unit in OPTIONS.items():
        default = Recipe.model_fields[key].default
        value = recipe.get(key, default)
        # What a sweep varies is named at its default too: tables over several tasks say "swept" there.
        if value != default or f"{RECIPE}{key}" in row.over:
            clauses.append(f"{key.replace('_', ' ')} {value_text(value)}{unit}")
    return f"{', '.join(clauses)}."


def seeds_of(rows: Iterable[Row]) -> str:
    """`Seeds 0 to 4.`: of all these rows; "" without any."""
    seeds = sorted(set[int]().union(*(row.seeds for row in rows)))
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"Seeds {seeds[0]} to {seeds[-1]}."
    return f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}." if seeds else ""


def grouped(said: Mapping[str, str]) -> str:
    """The sentences about rows: a sentence shared by all rows once, otherwise each with its rows' names."""
    groups: dict[str, list[str]] = {}
    for name, words in said.items():
        groups.setdefault(words, []).append(name)
    if len(groups) == 1:
        (words,) = groups
        return words[:1].upper() + words[1:] if words.startswith("no ") else words
    return " ".join(f"{', '.join(names)}: {words}" for words, names in groups.items() if words)
