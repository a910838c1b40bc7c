"""Writes docs/findings.md and its figures from the tables in results/: `python docs/findings.py`.

Every number on the page comes from a table or a record there; nothing is typed by hand. Another results
folder can be named: `python docs/findings.py results/local`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bench.records.record_files import Record
from bench.records.store import OK, Store, trial_store
from bench.suite import load_suite
from bench.tables import published, tuning_tables
from bench.tables.results import Results
from bench.tables.statistics import t_interval
from bench.variants import TUNED

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "findings.md"
FAIR, DEPTH, DECAY, SHORT = "fair-small", "scale-and-depth", "weight-decay", "paper-short"
SHAPES = ("rectangle", "triangle", "arctan", "fast-sigmoid", "sigmoid", "gaussian")
FEW = 3
"""The fewest rows for which a correlation is stated."""
COMMANDS = {
    FAIR: f"spikegrad tune {FAIR} --data-root DIR --results results\n"
    f"spikegrad run {FAIR} --data-root DIR --results results",
    DEPTH: f"spikegrad run {DEPTH} --data-root DIR --results results",
    DECAY: f"spikegrad run {DECAY} --results results",
    SHORT: f"spikegrad run {SHORT} --data-root DIR --results results",
}


class Tables:
    """The tables of one suite, and its records. Raises FileNotFoundError if there are none."""

    def __init__(self, results: Path, suite: str) -> None:
        self.suite, self.store = suite, Store(results, suite)
        self.accuracy = self.table("accuracy")

    def table(self, name: str) -> pd.DataFrame:
        """A table by name, with a column `task` and whether a row is tuned."""
        found = pd.read_csv(self.store.leaderboards / f"{name}.csv", keep_default_na=False, na_values=[""])
        found["variant"] = found["variant"].fillna("")
        words = found["variant"].str.split()
        if "timesteps" in found:
            found["task"] = [
                f"{d} on {b}, T = {t}"
                for d, b, t in zip(found["dataset"], found["backbone"], found["timesteps"], strict=True)
            ]
        found["tuned"] = [TUNED in of for of in words]
        return found

    def records(self) -> list[Record]:
        """The records of its runs that went well."""
        return [record for record in self.store.records() if record["status"] == OK]


def pair(found: Tables, method: str, other: str, *, tuned: bool) -> Iterator[dict[str, Any]]:
    """By task, the first method minus the other with its simultaneous interval."""
    pairs = found.table("pairs")
    pairs = pairs[pairs["tuned"] == tuned]
    for task, rows in pairs.groupby("task", sort=False):
        for first, second, sign in ((method, other, 1.0), (other, method, -1.0)):
            for row in rows[(rows["method"] == first) & (rows["other_method"] == second)].to_dict("records"):
                ends = sorted((sign * row["ci_low"], sign * row["ci_high"]))
                yield {
                    "task": task,
                    "difference": sign * row["difference"],
                    "low": ends[0],
                    "high": ends[1],
                    "p": row["p_adjusted"],
                    "equivalent": row["equivalent"],
                }


def said(of: dict[str, Any]) -> str:
    """`+0.28 [-0.10, +0.66]`."""
    return f"{of['difference']:+.2f} [{of['low']:+.2f}, {of['high']:+.2f}]"


def verdict(of: dict[str, Any]) -> str:
    """What an interval says of a difference."""
    if of["low"] > 0:
        return "better"
    if of["high"] < 0:
        return "worse"
    return "within 1 point" if of["equivalent"] == "yes" else "cannot be told apart"


def tally(rows: Sequence[dict[str, Any]]) -> str:
    """`better in 1 task, cannot be told apart in 2`."""
    verdicts = [verdict(row) for row in rows]
    counts = {word: verdicts.count(word) for word in dict.fromkeys(verdicts)}
    return ", ".join(f"{word} in {n} of {len(rows)} tasks" for word, n in counts.items())


def comparison(found: Tables, method: str, other: str) -> list[str]:
    """Sentences and a table: a method against another, at the defaults and tuned."""
    lines, table = [], ["| | task | difference | p | verdict |", "|---|---|---|---|---|"]
    for tuned, words in ((False, "at the defaults"), (True, "tuned")):
        rows = list(pair(found, method, other, tuned=tuned))
        if not rows:
            continue
        lines.append(f"`{method}` against `{other}`, {words}: {tally(rows)}.")
        for row in rows:
            p = "–" if math.isnan(row["p"]) else f"{row['p']:.3f}"
            table.append(f"| {words} | {row['task']} | {said(row)} | {p} | {verdict(row)} |")
    return [*lines, "", *table, ""]


def designs(found: Tables) -> list[str]:
    """What the suite can detect, a line per task."""
    notes = Results.read(found.store, load_suite(found.suite)).notes
    return ["What this design can detect:", "", *(f"- {note}" for note in notes), ""]


def layer_rows(found: Tables, method: str) -> pd.DataFrame:
    """The probes of a method at its defaults: a row per run, probe, layer and time step."""
    tables = []
    for record in found.records():
        cell, file = record["cell"], found.store.folder(record["id"]) / "layers.parquet"
        if cell["method"]["name"] != method or cell.get("selection") or not file.is_file():
            continue
        recipe = cell["recipe"]
        threshold = cell["backbone"]["threshold"]
        task = f"{cell['dataset']['name']} on {cell['backbone']['name']}, T = {cell['timesteps']}"
        tables.append(
            pd.read_parquet(file).assign(
                task=task,
                seed=cell["seed"],
                relative_width=lambda of, v=threshold: of["width"] / (2 * v),
                decay=f"{recipe['weight_decay']:g}, {recipe.get('decayed', 'all')}",
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def available(found: Tables) -> list[str]:
    """Does MPD-AGL raise the available fraction, and what were gamma and kappa?"""
    gradients = found.table("gradients")
    mine = gradients[(gradients["method"] == "mpd-agl") & ~gradients["tuned"]]
    lines = ["| task | mpd-agl − rectangle | 95 % interval |", "|---|---|---|"]
    signs = []
    for row in mine.to_dict("records"):
        low, high = row["available_fraction_delta_ci_low"], row["available_fraction_delta_ci_high"]
        signs.append("raises it" if low > 0 else "lowers it" if high < 0 else "cannot be told apart")
        lines.append(
            f"| {row['task']} | {row['available_fraction_delta']:+.4f} | {low:+.4f} to {high:+.4f} |"
        )
    counts = {word: signs.count(word) for word in dict.fromkeys(signs)}
    answer = ", ".join(f"{word} in {n} of {len(signs)} tasks" for word, n in counts.items())
    layers = layer_rows(found, "mpd-agl")
    table = [
        "| task | layer | γ̄ after training | κ / 2 v_th, t = 0 | later | available fraction before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    last = layers.groupby("task")["epoch"].transform("max")
    for (task, layer), of in layers[layers["epoch"] == last].groupby(["task", "layer"], sort=False):
        before = layers[(layers["task"] == task) & (layers["layer"] == layer) & (layers["epoch"] == 0)]
        first, later = of[of["t"] == 0], of[of["t"] > 0]
        table.append(
            f"| {task} | {layer + 1} | {of['gamma_mean'].mean():.3f} | {first['relative_width'].mean():.3f} "
            f"| {later['relative_width'].mean():.3f} | {before['available_fraction'].mean():.3f} "
            f"| {of['available_fraction'].mean():.3f} |"
        )
    wider = layers[layers["epoch"] == last].groupby(["task", "layer"])["gamma_mean"].mean()
    above = int((wider > 1).sum())
    return [
        f"The available fraction after training, MPD-AGL against the fixed rectangle: MPD-AGL {answer}. "
        f"γ̄ exceeded 1 in {above} of {len(wider)} layers. The window is as wide as the fixed one where "
        "κ / 2 v_th is 1.",
        "",
        *lines,
        "",
        *table,
        "",
    ]


def weight_decay(found: Tables) -> list[str]:
    """What if weight decay leaves gamma alone?"""
    layers, gradients = layer_rows(found, "mpd-agl"), found.table("gradients")
    lines = [
        "| task | weight decay | γ̄ | κ / 2 v_th | available fraction: mpd-agl − rectangle "
        "| test accuracy: mpd-agl − rectangle |",
        "|---|---|---|---|---|---|",
    ]
    told: dict[tuple[bool, str], int] = {}
    for (task, decay), of in layers.groupby(["task", "decay"], sort=True):
        end = of[of["epoch"] == of["epoch"].max()]
        amount, where = str(decay).split(", ")
        label = {f"weight_decay={amount}", f"decayed={where}"}
        accuracy, gradient = (
            next(
                row
                for row in table[(table["task"] == task) & (table["method"] == "mpd-agl")].to_dict("records")
                if label <= {*row["variant"].split()}
            )
            for table in (found.accuracy, gradients)
        )
        gamma, low, high = (
            end["gamma_mean"].mean(),
            gradient["available_fraction_delta_ci_low"],
            gradient["available_fraction_delta_ci_high"],
        )
        effect = "raises" if low > 0 else "lowers" if high < 0 else "does not visibly change"
        told[gamma > 1, effect] = told.get((gamma > 1, effect), 0) + 1
        difference = {
            "difference": accuracy["delta_vs_baseline"],
            "low": accuracy["delta_ci_low"],
            "high": accuracy["delta_ci_high"],
        }
        words = (
            "none" if amount == "0" else f"{amount} on {where if where == 'synapses' else 'all parameters'}"
        )
        lines.append(
            f"| {task} | {words} | {gamma:.3f} | {end['relative_width'].mean():.3f} "
            f"| {gradient['available_fraction_delta']:+.3f} [{low:+.3f}, {high:+.3f}] | {said(difference)} |"
        )
    sides = []
    for above, words in ((True, "Where γ̄ ends above 1"), (False, "Where weight decay takes γ̄ below 1")):
        effects = [f"{effect} it in {n}" for (side, effect), n in told.items() if side == above]
        total = sum(n for (side, _), n in told.items() if side == above)
        if effects:
            sides.append(f"{words}, MPD-AGL {' and '.join(effects)} of {total} settings.")
    return [
        f"MPD-AGL's claim is that it raises the available fraction. {' '.join(sides)} γ̄ is the mean over "
        "layers and seeds after training; a setting is a task with one kind of weight decay.",
        "",
        *lines,
        "",
    ]


def seeds(found: pd.DataFrame) -> str:
    """`1 or 2 seeds`: how many the rows of a table of accuracies have."""
    counts = sorted(set(found["n_seeds"]))
    return f"{' or '.join(map(str, counts))} seed{'s' * (counts != [1])}"


def full_size(found: Tables) -> list[str]:
    """What do MPD-AGL and its two parts do in the paper's own network?"""
    accuracy, gradients = found.accuracy, found.table("gradients")
    fractions = ["available_fraction_before_mean", "available_fraction_mean"]
    keys = ["task", "method", "variant"]
    both = accuracy.merge(gradients[[*keys, *fractions]], on=keys)
    ends = [
        "| method | test accuracy, % | minus rectangle | available fraction, untrained | trained | "
        "γ̄ | κ / 2 v_th |",
        "|---|---|---|---|---|---|---|",
    ]
    layers = {str(method): layer_rows(found, str(method)) for method in both["method"]}
    for row in both.to_dict("records"):
        of = layers[str(row["method"])]
        end = of[of["epoch"] == of["epoch"].max()]
        difference = "–" if row["method"] == "rectangle" else f"{row['delta_vs_baseline']:+.2f}"
        ends.append(
            f"| `{row['method']}` | {row['test_accuracy_mean']:.2f} | {difference} "
            f"| {row['available_fraction_before_mean']:.3f} | {row['available_fraction_mean']:.3f} "
            f"| {end['gamma_mean'].mean():.3f} | {end['relative_width'].mean():.3f} |"
        )
    course = [
        "| epoch | γ̄ | lowest and highest of a layer | κ / 2 v_th | available fraction | that of rectangle |",
        "|---|---|---|---|---|---|",
    ]
    fixed = layers["rectangle"].groupby("epoch")["available_fraction"].mean()
    for epoch, of in layers["mpd-agl"].groupby("epoch"):
        by_layer = of.groupby("layer")["gamma_mean"].mean()
        course.append(
            f"| {epoch} | {by_layer.mean():.3f} | {by_layer.min():.3f} and {by_layer.max():.3f} "
            f"| {of['relative_width'].mean():.3f} | {of['available_fraction'].mean():.3f} "
            f"| {fixed[epoch]:.3f} |"
        )
    return [
        "ResNet-19 at full width on all of CIFAR-10, with the paper's optimizer and weight decay, but a "
        "tenth of its epochs, crop and flip in place of AutoAugment, and bfloat16. Each row has "
        f"{seeds(accuracy)}. With fewer than 3, nothing is tested. In `mpd-agl:window`, the window follows γ "
        "and the height is fixed; in `mpd-agl:height`, it is the other way round.",
        "",
        *ends,
        "",
        "`mpd-agl` after each epoch (0: untrained), means over layers and time steps:",
        "",
        *course,
        "",
    ]


def complete(found: Tables) -> pd.DataFrame:
    """The table of tuning, without methods and tasks whose trials or runs are not all done."""
    tune = load_suite(found.suite).tune
    assert tune is not None
    table = found.table("tuned")
    whole = table[(table["n_cells"] == tune.trials * len(tune.seeds)) & table["gain"].notna()]
    methods = table["method"].nunique()
    return whole[whole.groupby("task")["method"].transform("nunique") == methods]


def tuning(found: Tables) -> list[str]:
    """What does tuning gain, compared with the choice of a method?"""
    lines = [
        "| task | gain, mean over methods | least | most | best − worst method, defaults | tuned |",
        "|---|---|---|---|---|---|",
    ]
    larger = 0
    tasks = complete(found).groupby("task", sort=False)
    for task, of in tasks:
        spreads = [
            of[name].max() - of[name].min() for name in ("default_accuracy_mean", "tuned_accuracy_mean")
        ]
        gain = of["gain"]
        larger += bool(gain.mean() > spreads[1])
        ends = [
            f"{row['gain']:+.2f} (`{row['method']}`)" for row in of.sort_values("gain").to_dict("records")
        ]
        numbers = " | ".join(f"{value:.2f}" for value in spreads)
        lines.append(f"| {task} | {gain.mean():+.2f} | {ends[0]} | {ends[-1]} | {numbers} |")
    return [
        f"Test accuracy, tuned minus default, in points. In {larger} of {len(tasks)} tasks tuning a method "
        "gained more on average than the best tuned method has over the worst.",
        "",
        *lines,
        "",
        *(f"- {sentence}" for sentence in tuning_tables.at_the_edge(found.table("tuning"))),
        "",
    ]


def spread(found: Tables) -> list[str]:
    """How much of the spread between shapes is left once scale is tuned?"""
    table = complete(found)
    table = table[table["method"].isin(SHAPES)]
    lines = ["| task | at the defaults | tuned |", "|---|---|---|"]
    narrower = 0
    tasks = table.groupby("task", sort=False)
    for task, of in tasks:
        ends = [of[name].max() - of[name].min() for name in ("default_accuracy_mean", "tuned_accuracy_mean")]
        narrower += bool(ends[1] < ends[0])
        lines.append(f"| {task} | {ends[0]:.2f} | {ends[1]:.2f} |")
    return [
        f"The best of the six fixed shapes minus the worst, in points of test accuracy. Tuning narrows it in "
        f"{narrower} of {len(tasks)} tasks.",
        "",
        *lines,
        "",
    ]


def robustness(found: Tables) -> list[str]:
    """Which methods are robust over learning rate and width?"""
    table = complete(found)
    table = table.assign(loss=table["val_accuracy_best"] - table["val_accuracy_median"])
    losses = table.pivot(index="method", columns="task", values="loss")
    losses = losses[list(dict.fromkeys(table["task"]))]
    own = table.drop_duplicates("method").set_index("method")["parameter"].fillna("")
    order = losses.mean(axis=1).sort_values()
    lines = [
        f"| method | own parameter | {' | '.join(losses.columns)} | mean |",
        f"|---|---|{'---|' * len(losses.columns)}---|",
    ]
    for method, mean in order.items():
        cells = " | ".join(f"{loss:.1f}" for loss in losses.loc[method])
        lines.append(f"| `{method}` | {own[method] or '–'} | {cells} | {mean:.1f} |")
    varied = [method for method in order.index if own[method]]
    return [
        "The best trial's validation accuracy minus the median trial's, in points: what is lost by an "
        f"average choice of values. Of the methods with a parameter of their own, `{varied[0]}` loses least "
        f"({order[varied[0]]:.1f} points) and `{varied[-1]}` most ({order[varied[-1]]:.1f}). Methods without "
        "one vary only the learning rate, so their figures compare with each other alone.",
        "",
        *lines,
        "",
    ]


def prediction(found: Tables) -> list[str]:
    """Does the available fraction predict accuracy?"""
    gradients = found.table("gradients")
    keys = ["task", "method", "variant"]
    merged = gradients.merge(found.accuracy[[*keys, "test_accuracy_mean"]], on=keys)
    merged = merged[merged["kind"] != "reference"]
    lines = [
        "| task | | rows | available fraction before | after | participation before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for (task, tuned), of in merged.groupby(["task", "tuned"], sort=False):
        if len(of) < FEW:
            continue
        found_here = []
        for column in ("available_fraction", "participation"):
            for when in ("_before_mean", "_mean"):
                rho = spearmanr(of[f"{column}{when}"], of["test_accuracy_mean"], nan_policy="omit")
                p = "p < 0.01" if rho.pvalue < 0.01 else f"p = {rho.pvalue:.2f}"
                found_here.append(f"{rho.statistic:+.2f} ({p})")
        label = "tuned" if tuned else "defaults"
        lines.append(f"| {task} | {label} | {len(of)} | {' | '.join(found_here)} |")
    return [
        "Spearman's rank correlation over the methods of a task between a measure of the gradient and mean "
        "test accuracy; p is not adjusted for the number of correlations.",
        "",
        *lines,
        "",
    ]


def swept_widths(found: Tables) -> pd.DataFrame:
    """The rows of sweeps over the width, with the columns `width` and `network`."""
    table = found.accuracy[found.accuracy["sweep"].isin(["best", "other"])].copy()
    table["width"] = table["variant"].str.extract(r"(?:^| )width=(\S+)", expand=False).astype(float)
    detached = ["backbone.detach_reset=true" in variant.split() for variant in table["variant"]]
    places = zip(table["task"], detached, strict=True)
    return table.assign(network=[f"{task}, reset detached" if cut else task for task, cut in places])


def widths(found: Tables) -> list[str]:
    """How does the best width move with depth and T?"""
    table = swept_widths(found)
    shapes, every = list(dict.fromkeys(table["method"])), sorted(set(table["width"]))
    best = [f"| network | {' | '.join(shapes)} |", f"|---|{'---|' * len(shapes)}"]
    heads = [f"width {width:g}" for width in every]
    means = [
        f"| network | {' | '.join(heads)} | between widths | between shapes | best − 1 | mpd-agl |",
        f"|---|{'---|' * (len(heads) + 4)}",
    ]
    adaptive = found.accuracy[found.accuracy["method"] == "mpd-agl"]
    detached = adaptive["variant"].str.split().map(lambda words: "backbone.detach_reset=true" in words)
    for network, of in table.groupby("network", sort=False):
        chosen = of[of["sweep"] == "best"].set_index("method")
        best.append(
            f"| {network} | "
            + " | ".join(f"{chosen['width'][s]:g}" if s in chosen.index else "–" for s in shapes)
            + " |"
        )
        at = of.groupby("width")["test_accuracy_mean"].mean()
        own = of.groupby("method")["test_accuracy_mean"]
        cut = network.endswith(", reset detached")
        mine = adaptive[(adaptive["task"] == network.removesuffix(", reset detached")) & (detached == cut)]
        last = f"{mine['test_accuracy_mean'].iloc[0]:.1f}" if len(mine) else "–"
        spread = (own.max() - own.min()).mean(), np.ptp(chosen["test_accuracy_mean"].to_numpy())
        cells = [*(f"{at.get(width, math.nan):.1f}" for width in every), *(f"{each:.1f}" for each in spread)]
        means.append(f"| {network} | {' | '.join(cells)} | {gain_over(found, of, 1.0)} | {last} |")
    return [
        "Widths are full widths at half maximum, in units of 2 v_th; each row has "
        f"{seeds(table)}. The width that is best by validation accuracy:",
        "",
        *best,
        "",
        "Test accuracy in percent, the mean over the shapes at each width. *Between widths*: best minus "
        "worst width, mean over the shapes. *Between shapes*: best minus worst shape, each at its best "
        "width. *best − 1*: each shape at its best width minus the same at width 1, mean over the shapes, "
        "with the 95 % interval over seeds. Widths are chosen by validation accuracy, so choosing does not "
        "inflate this gain in test accuracy.",
        "",
        *means,
        "",
        "![Test accuracy against width, a panel per network, a line per shape](findings-widths.svg)",
        "",
        *beside_published(table),
    ]


def beside_published(swept: pd.DataFrame) -> list[str]:
    """The rectangle's sweeps that papers report, and those here; nothing if either is missing.

    swept: the rows of sweeps, as `swept_widths` returns them.
    """
    ours, theirs = dict[str, dict[float, float]](), dict[str, dict[float, float]]()
    for of in swept[swept["method"] == "rectangle"].to_dict("records"):
        ours.setdefault(f"{of['network']}, here", {})[of["width"]] = of["test_accuracy_mean"]
    for number in published.read():
        width = published.settings(number.params).get("width")
        if number.method == "rectangle" and width:
            task = f"{number.dataset} on {number.backbone}, T = {number.timesteps}"
            theirs.setdefault(f"{task}, {number.source}", {})[width] = number.accuracy
    theirs = {name: at for name, at in theirs.items() if len(at) > 1}
    if not ours or not theirs:
        return []
    every = sorted({width for at in (*theirs.values(), *ours.values()) for width in at})
    lines = [
        f"| {name} | {' | '.join(f'{at[width]:.1f}' if width in at else '–' for width in every)} |"
        for name, at in (theirs | ours).items()
    ]
    return [
        "**Beside published sweeps.** For the rectangle, papers report such a sweep too "
        f"([tables.md](tables.md#publishedcsv)). {shape_of(theirs, 'Published')} {shape_of(ours, 'Here')} "
        "Networks, recipes and data differ: here a part of CIFAR-10, thin networks and few epochs, and so "
        "accuracies that leave less to lose. In ASGL's code, potentials also spread further, since its norm "
        "is not scaled by the threshold. So compare the shape of the curves, not the points that are lost. "
        f"Widths above {max(width for at in ours.values() for width in at):g} were not tried here. Test "
        "accuracy in percent:",
        "",
        f"| rectangle | {' | '.join(f'width {width:g}' for width in every)} |",
        f"|---|{'---|' * len(every)}",
        *lines,
        "",
    ]


def shape_of(sweeps: dict[str, dict[float, float]], who: str) -> str:
    """Where sweeps have their best width by test accuracy, and what the widest loses against it."""
    best = [max(at, key=lambda width, at=at: at[width]) for at in sweeps.values()]
    widest = ", ".join(f"{width:g}" for width in sorted({max(at) for at in sweeps.values()}))
    lost = [max(at.values()) - at[max(at)] for at in sweeps.values()]
    return (
        f"{who}, the best of the widths tried lies between {min(best):g} and {max(best):g}, and the widest "
        f"({widest}) loses {min(lost):.1f} to {max(lost):.1f} points against it."
    )


def gain_over(found: Tables, swept: pd.DataFrame, width: float) -> str:
    """What the best width gains over this one, by test accuracy: mean over shapes, and interval over seeds.

    swept: the rows of one network, as `swept_widths` returns them.
    """
    keys = ["task", "method", "variant"]
    by_seed = found.table("runs").set_index([*keys, "seed"])["test_accuracy"]
    gains = []
    for shape, of in swept.groupby("method"):
        best, plain = of[of["sweep"] == "best"], of[of["width"] == width]
        if best.empty or plain.empty:
            continue
        at = [by_seed[row["task"], shape, row["variant"]] for row in (best.iloc[0], plain.iloc[0])]
        gains.append(at[0] - at[1])
    mean = sum(gains) / len(gains)
    low, high = t_interval(mean.to_numpy())
    return f"{mean.mean():+.1f} [{low:+.1f}, {high:+.1f}]"


def widths_chart(found: Tables) -> alt.Chart:
    """Test accuracy against width: a panel per network, a line per shape."""
    return (
        alt.Chart(swept_widths(found))
        .mark_line(point=True)
        .encode(
            x=alt.X("width:Q", scale=alt.Scale(type="log", base=2), title="width, in units of 2 v_th"),
            y=alt.Y("test_accuracy_mean:Q", title="test accuracy, %", scale=alt.Scale(zero=False)),
            color=alt.Color("method:N", title=None),
            facet=alt.Facet("network:N", columns=3, title=None),
        )
        .properties(width=200, height=160)
        .configure(font="sans-serif", background="white")
    )


def gains_chart(found: Tables) -> alt.FacetChart:
    """Default and tuned accuracy of every method: a panel per task."""
    tuned = complete(found)
    long = tuned.melt(
        id_vars=["task", "method"],
        value_vars=["default_accuracy_mean", "tuned_accuracy_mean"],
        var_name="which",
        value_name="accuracy",
    ).replace({"default_accuracy_mean": "default", "tuned_accuracy_mean": "tuned"})
    order = list(tuned.groupby("method")["tuned_accuracy_mean"].mean().sort_values(ascending=False).index)
    y = alt.Y("method:N", sort=order, title=None)
    scale = alt.Scale(zero=False, nice=True)
    from_to = {"x": alt.X("min(accuracy):Q", scale=scale, title="test accuracy, %"), "x2": "max(accuracy):Q"}
    rule = alt.Chart().mark_rule(opacity=0.5).encode(y=y, **from_to)
    colour = alt.Color(
        "which:N",
        title=None,
        scale=alt.Scale(domain=["default", "tuned"], range=["#30638e", "#d1495b"]),
        legend=alt.Legend(orient="bottom"),
    )
    dots = alt.Chart().mark_point(filled=True, size=80, opacity=1)
    dots = dots.encode(x=alt.X("accuracy:Q", scale=scale), y=y, color=colour)
    panels = alt.layer(rule, dots, data=long).properties(width=240, height=260)
    facets = panels.facet(facet=alt.Facet("task:N", title=None), columns=3).resolve_scale(x="independent")
    return facets.configure(font="sans-serif", background="white")


CHARTS = {
    "findings.svg": (FAIR, gains_chart),
    "findings-widths.svg": (DEPTH, widths_chart),
}
Answer = Callable[[Tables], list[str]]
QUESTIONS: tuple[tuple[str, str, Answer], ...] = (
    ("What does tuning gain, compared with the choice of a method?", FAIR, tuning),
    ("Does MPD-AGL differ from a tuned rectangle?", FAIR, lambda f: comparison(f, "mpd-agl", "rectangle")),
    ("Does it raise the available fraction?", FAIR, available),
    ("What if weight decay leaves γ alone?", DECAY, weight_decay),
    ("What happens in the paper's network at full size?", SHORT, full_size),
    (
        "Is its effect the window's or the height's?",
        FAIR,
        lambda f: [*comparison(f, "mpd-agl:window", "mpd-agl"), *comparison(f, "mpd-agl:height", "mpd-agl")],
    ),
    (
        "Does measured spread beat the formula, and does adapting matter?",
        FAIR,
        lambda f: [
            *comparison(f, "mpd-agl:measured", "mpd-agl"),
            *comparison(f, "mpd-agl:frozen", "mpd-agl"),
        ],
    ),
    ("How much of the spread between shapes is left once scale is tuned?", FAIR, spread),
    ("Which methods are robust over learning rate and width?", FAIR, robustness),
    ("How does the best width move with depth and T?", DEPTH, widths),
    ("Does the available fraction predict accuracy?", FAIR, prediction),
)


def read(results: Path) -> dict[str, Tables]:
    """The suites of this page that have results, by name."""
    suites = (FAIR, DEPTH, DECAY, SHORT)
    there = [suite for suite in suites if (results / "leaderboards" / suite / "accuracy.csv").is_file()]
    return {suite: Tables(results, suite) for suite in there}


def page(there: dict[str, Tables]) -> str:
    """The whole page; questions whose suite has no results are left out."""
    lines = [
        "# Findings",
        "",
        f"What was found with {', '.join(f'`{suite}`' for suite in there)}: short trainings; small networks "
        f"on two CPU cores, and in `{SHORT}` the paper's network on a GPU. Differences are in percentage "
        "points, paired by seed, with simultaneous "
        "95 % intervals ([tables.md](tables.md#what-is-compared-and-what-is-assumed)). "
        "“Cannot be told apart” does not mean equal. [fairness.md](fairness.md) explains how methods were "
        "tuned. `python docs/findings.py` writes this page from the tables in `results/`.",
        "",
    ]
    if FAIR in there:
        lines += ["![Test accuracy of each method at its defaults and tuned, by task](findings.svg)", ""]
    for question, suite, answer in QUESTIONS:
        if suite in there:
            lines += [f"## {question}", "", *answer(there[suite])]
    for suite, found in there.items():
        trials = trial_store(found.store).records()
        hours = sum(record["seconds"] for record in (*trials, *found.records())) / 3600
        before = f"{len(trials):,} trials and " if trials else ""
        lines += [
            f"## The suite {suite}",
            "",
            f"{before}{len(found.records()):,} training runs, {hours:.1f} hours one after the other. "
            "To repeat:",
            "",
            "```sh",
            COMMANDS[suite],
            "```",
            "",
            *designs(found),
        ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write the page and its figures."""
    there = read(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results")
    PAGE.write_text(page(there), encoding="utf-8")
    for name, (suite, chart) in CHARTS.items():
        if suite in there:
            chart(there[suite]).save(PAGE.with_name(name))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
