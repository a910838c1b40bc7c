"""Display of layer times for `spikegrad latency`: a table per size, the fastest step first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console

from bench.errors import counted
from bench.records.layer_times import PARTS, Case, Comparison, LayerTime
from bench.show.terminal import say
from bench.show.terminal_table import print_table

NOTHING = "–"
Size = tuple[int, int, int, str]


def show(times: Sequence[LayerTime], baseline: str, compared: Comparison | None, console: Console) -> None:
    """The tables, then the errors, then the cases that could not be compared with an earlier file."""
    ordered = sorted(times, key=_order)
    for size, some in groupby(ordered, key=_size):
        _table(list(some), size, baseline, console)
    wrong = [time for time in ordered if time.error]
    if wrong:
        say(console, f"{counted(len(wrong), 'error')} in {counted(len(ordered), 'layer')}")
        for time in wrong:
            say(console, f"  {time.case}: {time.error}")
        say(console, "")
    if compared:
        for size, some in groupby([time for time in ordered if time.case in compared.ratios], key=_size):
            _ratios(list(some), size, compared.ratios, console)
        _remarks(compared, console)


def as_rows(times: Sequence[LayerTime], baseline: str, compared: Comparison | None) -> list[dict[str, Any]]:
    """One flat dictionary per case, for --json."""
    whole = sorted(times, key=_order)
    base, rows = _steps(times, baseline), []
    for time in whole:
        info = time.info
        ratios = compared.ratios.get(time.case, {}) if compared else {}
        rows.append(
            time.case._asdict()
            | {"neuron": info.neuron, "hardware": info.hardware}
            | {f"{part}_ms_p50": time.ms.get(part) for part in PARTS}
            | {"compile_s": info.compile_s, f"step_over_{baseline}": _over(time, base)}
            | ({f"{part}_new_over_old": ratios.get(part) for part in PARTS} if compared else {})
            | {"error": time.error}
        )
    return rows


def remarks_as_json(compared: Comparison) -> dict[str, Any]:
    """Remarks on the comparison with an earlier file: differences, and cases without a counterpart."""
    return {
        "not_the_same": compared.notes,
        "only_now": [case._asdict() for case in compared.only_new],
        "only_earlier": [case._asdict() for case in compared.only_old],
    }


def _table(times: Sequence[LayerTime], size: Size, baseline: str, console: Console) -> None:
    there = [time for time in times if time.ms]
    base = _steps(there, baseline)
    heads = ["neuron", *(f"{part}\nms" for part in PARTS)]
    if size[-1] == "compiled":
        heads.append("compile\ns")
    if base:
        heads.append(f"step /\n{baseline}")
    rows = []
    for time in there:
        cells = [time.info.neuron or NOTHING, *(_number(time.ms.get(part)) for part in PARTS)]
        if size[-1] == "compiled":
            cells.append(_number(time.info.compile_s))
        if base:
            cells.append(_number(_over(time, base)))
        rows.append((time, cells))
    _draw(_title(size), heads, rows, console)


def _ratios(
    times: Sequence[LayerTime], size: Size, ratios: Mapping[Case, Mapping[str, float]], console: Console
) -> None:
    rows = [(time, [_number(ratios[time.case].get(part)) for part in PARTS]) for time in times]
    _draw(f"new / old, {_title(size)}", PARTS, rows, console)


def _draw(
    title: str, heads: Sequence[str], rows: Sequence[tuple[LayerTime, list[str]]], console: Console
) -> None:
    print_table(
        console,
        ["method", *heads],
        [[time.case.method, *cells] for time, cells in rows],
        words=("method", "neuron"),
        title=title,
        styles=["dim" if time.case.kind == "peer" else None for time, _ in rows],
    )


def _remarks(compared: Comparison, console: Console) -> None:
    for note in compared.notes:
        say(console, f"not the same: {note}")
    for cases, where in ((compared.only_new, "only now"), (compared.only_old, "only in the earlier file")):
        for size, some in groupby(sorted(cases, key=_size_of), key=_size_of):
            say(console, f"{where}, {_title(size)}: {', '.join(case.method for case in some)}")
    if not compared.ratios:
        say(console, "nothing was timed both times")


def _title(size: Size) -> str:
    steps, batch, units, mode = size
    return f"T = {steps} · batch {batch} · {units} units · {mode}"


def _size_of(case: Case) -> Size:
    return case.timesteps, case.batch, case.units, case.mode


def _size(time: LayerTime) -> Size:
    return _size_of(time.case)


def _order(time: LayerTime) -> tuple[Any, ...]:
    steps, batch, units, mode = _size(time)
    # Eager first; untimed cases last.
    return steps, batch, units, mode != "eager", time.ms.get("step") or float("inf"), time.case.method


def _steps(times: Sequence[LayerTime], baseline: str) -> dict[Size, float]:
    return {_size(t): t.ms["step"] for t in times if t.case.method == baseline and "step" in t.ms}


def _over(time: LayerTime, base: Mapping[Size, float]) -> float | None:
    step, other = time.ms.get("step"), base.get(_size(time))
    return None if step is None or other is None else step / other


def _number(value: float | None) -> str:
    """A number with three significant digits."""
    if value is None:
        return NOTHING
    return (
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value < 1 else f"{value:.{1 + (value < 10)}f}"
    )
