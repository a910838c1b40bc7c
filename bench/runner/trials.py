"""The trials of `spikegrad tune`: which cells they are, and which values they choose.

Every method has the same number of trials in each task, however many parameters it has. What a method tries
depends on nothing but itself, the task and the suite's `[tune]`: adding a method changes no other's trials.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError
from bench.randomness import derive
from bench.records import choosing
from bench.records.store import FAILED, OK, Store, trial_store
from bench.registry import Registry
from bench.runner import plan
from bench.runner.plan import KnownData, Place, Plan, Planned, Variation, complete
from bench.suite import Cell, Matrix, MethodEntry, MethodSpec, Recipe, Selection, Suite, Tune
from bench.surrogate import Method, Param

RATE = "recipe.learning_rate"
DIGITS = 4
"""Significant digits of the values that are tried."""
MOST_REPEATS = 100
"""After so many proposals that have been tried before, a search range counts as exhausted."""


class Key(NamedTuple):
    """One method in one task: what is tuned on its own.

    fixed: its parameters that are not tuned. recipe: without its learning rate.
    """

    place: Place
    method: str
    fixed: tuple[tuple[str, float | None], ...]
    recipe: Recipe


def own_parameter(method: Method, given: Collection[str] = ()) -> tuple[str, Param] | None:
    """The parameter that tuning varies: the first that declares a search range; None if there is none.

    given: parameters that the suite sets, which stay as they are.
    """
    free = ((name, param) for name, param in method.params.items() if param.search and name not in given)
    return next(free, None)


def _own(entry: MethodSpec, registry: Registry) -> tuple[str, Param] | None:
    return own_parameter(registry.method(entry.name).item, entry.params)


def values(param: Param, count: int, threshold: float) -> list[float]:
    """So many values of the search range at this threshold, evenly spaced, ends included.

    The default takes the place of the nearest value.
    """
    return spaced(*_range(param, threshold), count, _at(param, param.default, threshold), log=param.log)


def _range(param: Param, threshold: float) -> tuple[float, float]:
    """The search range at this threshold."""
    assert param.search is not None
    low, high = (_at(param, value, threshold) for value in param.search)
    assert low is not None and high is not None
    return min(low, high), max(low, high)


def rates(tune: Tune, learning_rate: float, count: int) -> list[float]:
    """So many learning rates: the suite's own if they are as many, otherwise spaced over their range."""
    listed = [_round(multiple * learning_rate) for multiple in tune.rates]
    if count == len(listed):
        return listed
    return spaced(min(listed), max(listed), count, learning_rate, log=True)


def spaced(low: float, high: float, count: int, keep: float | None, *, log: bool) -> list[float]:
    """Evenly spaced values from low to high; `keep` takes the place of the nearest, if it lies between.

    With three or more, both ends stay.
    """
    if count == 1:
        return [_round(keep if keep is not None else math.sqrt(low * high) if log else (low + high) / 2)]

    def on_axis(value: float) -> float:
        return math.log(value) if log else value

    start, step = on_axis(low), (on_axis(high) - on_axis(low)) / (count - 1)
    found = [start + i * step for i in range(count)]
    if keep is not None and low <= keep <= high and keep not in (low, high):
        inner = range(1, count - 1) if count > 2 else range(count)
        nearest = min(inner, key=lambda i: abs(found[i] - on_axis(keep)))
        found[nearest] = on_axis(keep)
    return [_round(math.exp(value) if log else value) for value in found]


def trial_plan(
    suite: Suite,
    store: Store,
    *,
    plugins: Sequence[Path] = (),
    data_root: Path,
    device: str | None = None,
    retry: bool = False,
    again: bool = False,
    elsewhere: bool = False,
) -> Plan:
    """The trials of a suite with `[tune]`, as far as they are known: TPE chooses the next by the last.

    store: that of the suite. The arguments are those of `bench.runner.plan.make_plan`, and so are the errors.
    """
    assert suite.tune is not None
    tune, known = suite.tune, KnownData()
    studies: dict[Key, _Study] = {}

    def tried(place: Place, entry: MethodEntry, matrix: Matrix, registry: Registry) -> Sequence[Variation]:
        (recipe,) = matrix.recipes
        if tune.sampler == "grid":
            return grid(tune, place, entry, recipe, registry)
        key = key_of_entry(place, entry, recipe, registry)
        if key not in studies:
            studies[key] = _Study(tune, key, entry, recipe, registry)
        return studies[key].asked

    while True:
        made = plan.make_plan(
            suite,
            trial_store(store),
            plugins=plugins,
            data_root=data_root,
            device=device,
            retry=retry,
            again=again,
            elsewhere=elsewhere,
            variations=tried,
            trials=True,
            known=known,
        )
        if not _asked_more(made, studies, tune.trials):
            return made


def grid(
    tune: Tune, place: Place, entry: MethodEntry, recipe: Recipe, registry: Registry
) -> Sequence[Variation]:
    """Every combination of a learning rate and a value of the method's own parameter.

    A method without one gets as many learning rates.
    """
    own = _own(entry, registry)
    if own is None:
        return [
            _variation(entry, recipe, rate, {}) for rate in rates(tune, recipe.learning_rate, tune.trials)
        ]
    name, param = own
    listed = rates(tune, recipe.learning_rate, len(tune.rates))
    points = values(param, tune.points, place.backbone.threshold)
    return [_variation(entry, recipe, rate, {name: value}) for rate, value in product(listed, points)]


def picks(trials: Plan) -> tuple[dict[Key, Cell], int]:
    """The best trial of each method in each task, and the number of cells that are not finished.

    A method that has not finished all its trials in a task has none there.
    """
    assert trials.suite.tune is not None
    found, unfinished = dict[Key, Cell](), 0
    for key, cells in _by_key(trials).items():
        by_trial = [list(group) for group in _by_configuration(cells).values()]
        left = sum(not _final(planned) for planned in cells)
        if left and trials.suite.tune.sampler == "tpe":
            # Of those that are not chosen yet, the plan has none.
            left += (trials.suite.tune.trials - len(by_trial)) * len(trials.suite.tune.seeds)
        unfinished += left
        chosen = (
            choosing.best([[p.record for p in group if p.record] for group in by_trial]) if not left else None
        )
        if chosen is not None:
            found[key] = by_trial[chosen][0].cell
    return found, unfinished


def tuned(chosen: Mapping[Key, Cell]) -> plan.Variations:
    """The variations of a tuned suite that is run: each method at its defaults, and as tuned."""

    def found(place: Place, entry: MethodEntry, matrix: Matrix, registry: Registry) -> Sequence[Variation]:
        listed = list(plan.as_listed(place, entry, matrix, registry))
        for recipe in matrix.recipes:
            cell = chosen.get(key_of_entry(place, entry, recipe, registry))
            if cell is not None and cell.selection is not None:
                selection = Selection(by="tuned", over=cell.selection.over)
                listed.append(Variation(cell.method, cell.recipe, selection))
        return listed

    return found


def key_of_entry(place: Place, entry: MethodEntry, recipe: Recipe, registry: Registry) -> Key:
    """The key of a listed method in a task."""
    own = _own(entry, registry)
    params = complete(registry, entry, place.backbone).params
    return _key(place, entry.name, params, recipe, [own[0]] if own else [])


def _key_of_cell(cell: Cell) -> Key:
    place = Place(cell.dataset, cell.backbone, cell.timesteps)
    over = cell.selection.over if cell.selection else ()
    return _key(place, cell.method.name, cell.method.params, cell.recipe, over)


def _key(
    place: Place, method: str, params: Mapping[str, float | None], recipe: Recipe, over: Sequence[str]
) -> Key:
    fixed = tuple(sorted((name, value) for name, value in params.items() if name not in over))
    return Key(place, method, fixed, recipe.model_copy(update={"learning_rate": 1.0}))


def _variation(entry: MethodSpec, recipe: Recipe, rate: float, own: Mapping[str, float]) -> Variation:
    return Variation(
        MethodSpec(name=entry.name, params={**entry.params, **own}),
        recipe.model_copy(update={"learning_rate": rate}),
        Selection(by="tuning", over=(RATE, *own)),
    )


def _by_key(trials: Plan) -> dict[Key, list[Planned]]:
    found: dict[Key, list[Planned]] = defaultdict(list)
    for planned in trials.cells:
        found[_key_of_cell(planned.cell)].append(planned)
    return found


def _by_configuration(cells: Sequence[Planned]) -> dict[str, list[Planned]]:
    found: dict[str, list[Planned]] = defaultdict(list)
    for planned in cells:
        found[planned.configuration].append(planned)
    return found


def _final(planned: Planned) -> bool:
    return not planned.pending and planned.record is not None and planned.record["status"] in (OK, *FAILED)


class _Study:
    """The trials of one method in one task, chosen by Optuna's TPE; the same for the same results."""

    def __init__(self, tune: Tune, key: Key, entry: MethodSpec, recipe: Recipe, registry: Registry) -> None:
        optuna = _optuna()
        place = [key.place.dataset, key.place.backbone]
        where = [of.model_dump_json(exclude_defaults=True) for of in place]
        name = f"{' '.join(where)} {key.place.timesteps} {key.method} {key.fixed}"
        sampler = optuna.samplers.TPESampler(seed=derive(0, "tpe", name) % 2**32)
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self.entry, self.recipe = entry, recipe
        self.own = _own(entry, registry)
        listed = [multiple * recipe.learning_rate for multiple in tune.rates]
        self.rates = (min(listed), max(listed))
        self.ends = _range(self.own[1], key.place.backbone.threshold) if self.own else ()
        self.scores: dict[tuple[float, ...], float] = {}
        self.asked: list[Variation] = []
        self.exhausted = not self.ask()

    def ask(self) -> bool:
        """Choose the next trial, none that has been tried before. Returns whether there is one."""
        for _ in range(MOST_REPEATS):
            self.trial = self.study.ask()
            self.values: tuple[float, ...] = (
                _round(self.trial.suggest_float("rate", *self.rates, log=True)),
            )
            own = {}
            if self.own is not None:
                name, param = self.own
                own = {name: _round(self.trial.suggest_float("own", *self.ends, log=param.log))}
                self.values = (*self.values, own[name])
            if self.values not in self.scores:
                self.asked.append(_variation(self.entry, self.recipe, self.values[0], own))
                return True
            self.study.tell(self.trial, self.scores[self.values])
        return False

    def tell(self, score: float) -> None:
        """The result of the last trial: a mean validation accuracy."""
        self.scores[self.values] = score
        self.study.tell(self.trial, score)

    def of_last(self, cells: Sequence[Planned]) -> list[Planned]:
        """Those of the cells that belong to the last trial."""
        return [planned for planned in cells if _values(planned.cell) == self.values]


def _asked_more(made: Plan, studies: Mapping[Key, _Study], most: int) -> bool:
    """Whether a study whose last trial is finished has chosen another one."""
    more = False
    cells = _by_key(made) if studies else {}
    for key, study in studies.items():
        last = study.of_last(cells[key])
        if len(study.asked) < most and not study.exhausted and all(map(_final, last)):
            study.tell(choosing.validation([planned.record for planned in last if planned.record]))
            study.exhausted = not study.ask()
            more = more or not study.exhausted
    return more


def _values(cell: Cell) -> tuple[float, ...]:
    """The learning rate of a trial, and the value of the method's own parameter."""
    over = cell.selection.over if cell.selection else ()
    own = [value for name in over if (value := cell.method.params.get(name)) is not None]
    return (cell.recipe.learning_rate, *own)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise BenchError(
            'tune.sampler = "tpe" needs Optuna, which is missing: pip install "optuna>=4", or take "grid"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _at(param: Param, value: float | None, threshold: float) -> float | None:
    return replace(param, default=value).at(threshold)


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
