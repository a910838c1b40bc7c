"""One run on a terminal: header, curves, layers against epochs, and numbers.

Epochs are counted as trained: 0 is before training, 1 after the first epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.records.runs import Found, Run, plugins, why_no_layers
from bench.records.store import OK
from bench.records.timings import hardware
from bench.show.braille import plot
from bench.show.heat_map import MARKED, HeatMap, beside
from bench.show.layer_grids import MEANING, Grids, grids, size_scale
from bench.show.show_numbers import gradient_lines, other_lines, plain, text
from bench.show.terminal import table_width

WIDEST = 120
"""The most columns that the display uses, however wide the terminal is."""
SIDE_BY_SIDE = 100
GAP = 4
PLOT_ROWS = 6
TRACEBACK_LINES = 8
ACCURACY = "test %"
FOLDED = ("variant", "dataset", "backbone")
"""Columns of the list of runs that wrap on a narrow terminal."""


def show(run: Run, console: Console) -> None:
    """Print everything that is known about a run."""
    width = min(console.width, WIDEST)
    blocks = [_header(run, width)]
    if run.epochs:
        blocks.append(_curves(run.epochs, width))
    if run.layers:
        blocks.append(_layers(grids(run.layers), width, _coloured(console)))
    else:
        blocks.append(_folded(f"The layers were not probed: {why_no_layers(run)}.", width))
    others = {k: v for k, v in run.record.get("unmeasured", {}).items() if run.layers or k != "gradients"}
    if others:
        blocks.append(
            [line for k, v in others.items() for line in _folded(f"{k} was not measured: {v}", width)]
        )
    for lines in blocks:
        for line in lines:
            console.print(line, no_wrap=True, crop=True, overflow="crop")
        console.print()
    if run.record["metrics"]:
        _numbers(run, console, width)


def show_list(found: Sequence[Found], console: Console) -> None:
    """Print runs to choose from; if there is little room, values that they share are printed once above."""
    texts = [_list_texts(each) for each in found]
    columns = list(texts[0])
    if table_width([[name, *(line[name] for line in texts)] for name in columns]) > console.width:
        shared = [name for name in columns[1:-1] if len({line[name] for line in texts}) == 1]
        if shared and len(found) > 1:
            columns = [name for name in columns if name not in shared]
            said = ", ".join(f"{name} {texts[0][name]}" for name in shared)
            console.print(Text(f"all: {said}", "dim"))
    drawn = Table(box=None, pad_edge=False)
    for name in columns:
        numeric = name in ("T", "seed", ACCURACY)
        drawn.add_column(
            name, justify="right" if numeric else "left", no_wrap=name not in FOLDED, overflow="fold"
        )
    for each, line in zip(found, texts, strict=True):
        style = None if each.record["status"] == OK else "red"
        drawn.add_row(*(Text(line[name]) for name in columns), style=style)
    console.print(drawn)


def _list_texts(found: Found) -> dict[str, str]:
    """The text of each column of the list of runs."""
    heads = {"timesteps": "T", "test_accuracy": ACCURACY}
    texts = {heads.get(name, name): value for name, value in found.summary().items()}
    texts[ACCURACY] = text(texts[ACCURACY], ".2f")
    return {name: plain(value) for name, value in texts.items()}


def title(record: dict[str, Any]) -> str:
    """`mpd-agl (width=0.5) on digits, convnet, T=4, seed 0`."""
    cell = record["cell"]
    variant = "" if record["variant"] == "default" else f" ({record['variant']})"
    return plain(
        f"{cell['method']['name']}{variant} on {cell['dataset']['name']}, {cell['backbone']['name']}, "
        f"T={cell['timesteps']}, seed {cell['seed']}"
    )


def accuracy(record: dict[str, Any]) -> str:
    """The test accuracy of a run, and the weights that it belongs to."""
    metrics, epochs = record["metrics"], record["cell"]["recipe"]["epochs"]
    if metrics.get("test_accuracy") is None:
        return "no test accuracy"
    said = f"test accuracy {text(metrics['test_accuracy'], '.2f', ' %')}"
    if metrics.get("best_epoch") is not None:
        best = text(metrics.get("val_accuracy"), ".2f", " %")
        said += f" after epoch {metrics['best_epoch'] + 1:.0f} of {epochs}, the best in validation ({best})"
    if metrics.get("test_accuracy_last") is not None:
        said += f"; after the last epoch {text(metrics['test_accuracy_last'], '.2f', ' %')}"
    return said


def _header(run: Run, width: int) -> list[Text]:
    record = run.record
    lines = _folded(title(record), width, "bold")
    ok = record["status"] == OK
    if ok:
        lines += _folded(accuracy(record), width)
    else:
        lines += _folded(f"status: {record['status']}", width, "bold red")
    if record.get("error"):
        lines += _folded(f"error: {record['error']}", width, "red")
    for line in (record.get("traceback") or [])[-TRACEBACK_LINES:]:
        lines += [Text(plain(part), "dim") for part in wrap(line, width, replace_whitespace=False)]
    facts = [
        f"status {record['status']}" if ok else "",
        f"{record['seconds']:.1f} s in all",
        hardware(record["environment"]),
        str(record.get("digests", {}).get("harness", "")),
        str(record.get("ended", ""))[:10],
    ]
    lines += _folded(" · ".join(filter(None, facts)), width, "dim")
    for said in plugins(record):
        lines += _folded(said, width, "dim")
    return lines + _folded(f"run {record['id']} of the suite {record.get('suite')}", width, "dim")


def _curves(epochs: Sequence[dict[str, Any]], width: int) -> list[Text]:
    two = width >= SIDE_BY_SIDE
    each = (width - GAP) // 2 if two else width
    loss = _curve("training loss", [row["train_loss"] for row in epochs], each, ".3g")
    validation = _curve("validation accuracy, %", [row["val_accuracy"] for row in epochs], each, ".1f")
    curves = beside(loss, validation, each - loss[1].cell_len + GAP) if two else [*loss, Text(), *validation]
    rates = [row["learning_rate"] for row in epochs]
    known = [rate for rate in rates if rate is not None]
    if not known:
        return curves
    first, most, last = (text(rate, ".3g") for rate in (rates[0], max(known), rates[-1]))
    return [*curves, *_folded(f"learning rate {first} at first, {most} at most, {last} last", width, "dim")]


def _curve(name: str, values: Sequence[float | None], width: int, form: str) -> list[Text]:
    """A curve with its extremes at the left and epochs below; all lines are padded to the same width."""
    known = [value for value in values if value is not None]
    high, low = text(max(known, default=None), form), text(min(known, default=None), form)
    labels = max(len(high), len(low))
    columns = max(4, width - labels - 2)
    drawn = plot(values, columns, PLOT_ROWS)
    beside = [high, *[""] * (PLOT_ROWS - 2), low]
    said = f"{name}: last {text(values[-1], form)}"
    lines = [Text(said[:width], "bold")]
    lines += [Text(f"{label:>{labels}} │{line}") for label, line in zip(beside, drawn, strict=True)]
    end = str(len(values)) if len(values) > 1 else ""
    epochs = "epoch 1" + f"{end:>{columns - 7}}" if columns > 7 + len(end) else "1" + f"{end:>{columns - 1}}"
    lines.append(Text(" " * labels + "  " + epochs, "dim"))
    widest = max(line.cell_len for line in lines)
    for line in lines:
        line.pad_right(widest - line.cell_len)
    return lines


def _layers(found: Grids, width: int, coloured: bool) -> list[Text]:
    low, high = size_scale(found.sizes)
    available = HeatMap(
        "available fraction: neurons that pass a gradient on",
        found,
        lambda of: of.available,
        0,
        1,
        ".2f",
    )
    sizes = HeatMap(
        "gradient size: log10, relative to the last layer",
        found,
        lambda of: of.sizes,
        low,
        high,
        "+.1f",
    )
    half = (width - GAP) // 2
    both = max(available.with_numbers, sizes.with_numbers)
    if both <= half or (both > width and width >= SIDE_BY_SIDE):
        each = half
        lines = _two(available.lines(half, coloured), sizes.lines(half, coloured), half)
    else:
        each = width
        lines = [*available.lines(width, coloured), Text(), *sizes.lines(width, coloured)]
    return [*lines, Text(), *_marks(found, available.per_column(each), width)]


def _two(left: list[Text], right: list[Text], half: int) -> list[Text]:
    """Two maps side by side, with aligned rows even if one has a longer title."""
    above = [next(i for i, line in enumerate(lines) if line.style != "bold") for lines in (left, right)]
    for lines, has in zip((left, right), above, strict=True):
        lines[has:has] = [Text()] * (max(above) - has)
    return beside(left, right, GAP + half - max(line.cell_len for line in left))


def _marks(found: Grids, per_column: int, width: int) -> list[Text]:
    """How to read the maps."""
    across = "Across: epochs trained, 0 being before training."
    if per_column > 1:
        across += f" A column is the mean of up to {per_column} epochs."
    if not found.signs:
        return _folded(f"{across} No layer was silent or without gradient.", width, "dim")
    lines = _folded(across, width, "dim")
    for sign in found.signs:
        first, *more = wrap(MEANING[sign], max(1, width - 4))
        lines.append(Text().append(f" {sign} ", MARKED).append(f" {first}"))
        lines += [Text(f"    {line}") for line in more]
    return lines


def _numbers(run: Run, console: Console, width: int) -> None:
    metrics = run.record["metrics"]
    lines = gradient_lines(metrics)
    if lines:
        drawn = Table(box=None, pad_edge=False, width=None)
        drawn.add_column("gradient", overflow="fold")
        for name in ("after training", "before"):
            drawn.add_column(name, justify="right", no_wrap=width >= 60, overflow="fold")
        for line in lines:
            drawn.add_row(*map(Text, line))
        console.print(drawn, width=width)
        console.print()
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(no_wrap=width >= 60, overflow="fold")
    drawn.add_column(overflow="fold")
    for what, how_much in other_lines(metrics, run.record["cell"]["timesteps"]):
        drawn.add_row(Text(what), Text(how_much))
    console.print(drawn, width=width)


def _coloured(console: Console) -> bool:
    """Whether there are enough colours for a scale: the basic 16 differ between terminals."""
    return not console.no_color and console.color_system in ("256", "truecolor")


def _folded(said: str, width: int, style: str = "") -> list[Text]:
    """A sentence, wrapped to the width."""
    return [Text(part, style) for part in wrap(plain(said), width)]
