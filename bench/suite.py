"""What to run: a suite is a TOML file that describes a matrix of cells.

A cell is one training run. Its id is a hash of everything that determines its result. Cells that differ only
in their seed form a configuration.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from bench.errors import BenchError
from bench.paths import LAYERS, TRIALS, suites_folder

RECORD_SCHEMA = 4
"""Part of every id: records of different schemas are never mixed."""


NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""Valid suite names: a plain name for a folder."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Spec(BaseModel):
    """A frozen part of a suite; rejects unknown keys, nan and inf."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_as_number(cls, content: Any) -> Any:
        """Refuse `learning_rate = true`, which would be 1."""
        for name, value in content.items() if isinstance(content, Mapping) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field and field.annotation in (int, float):
                raise ValueError(f"{name} = {str(value).lower()} is not a number")
        return content


class GrownSpec(Spec):
    """A spec with fields that earlier versions lacked; left out of dumps at their defaults, so ids stay."""

    added: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        plain = {key for key in self.added if getattr(self, key) == fields[key].default}
        return {key: value for key, value in content.items() if key not in plain}


class NamedSpec(Spec):
    """An entry of a list."""

    name: str


Named = TypeVar("Named", bound=NamedSpec)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class MethodSpec(NamedSpec):
    """A method and the parameters that differ from its defaults."""

    params: dict[str, float | None] = {}

    @field_validator("params", mode="before")
    @classmethod
    def _numbers(cls, params: Any) -> Any:
        for name, value in params.items() if isinstance(params, Mapping) else ():
            if isinstance(value, bool):
                raise ValueError(f"{name} = {str(value).lower()} is not a number")
        return params


class MethodEntry(MethodSpec):
    """A method as a suite lists it; swept: the parameters for which the suite lists several values."""

    swept: tuple[str, ...] = ()


class DatasetSpec(NamedSpec):
    """A dataset, and the parameters that differ from its defaults.

    subset: how many of its training samples (validation included) are used.
    """

    subset: int | None = Field(None, ge=1)
    params: dict[str, StrictInt | StrictFloat | StrictStr] = {}

    def __hash__(self) -> int:
        return hash((self.name, self.subset, tuple(self.params.items())))


class BackboneSpec(NamedSpec):
    """A backbone and the options that all backbones share.

    width: multiplier of the channel counts.
    neuron: lif, or plif (learned decay, one per layer).
    norm: the normalisation before each neuron.
    reset: to zero (hard) or by subtracting the threshold (soft).
    detach_reset: no gradient through the reset.
    threshold: v_th.
    decay: tau, or its initial value.
    """

    width: float = Field(1.0, gt=0)
    neuron: Literal["lif", "plif"] = "lif"
    norm: Literal["tdbn", "bn", "none"] = "tdbn"
    reset: Literal["zero", "subtract"] = "zero"
    detach_reset: bool = False
    threshold: float = Field(0.5, gt=0)
    decay: float = Field(0.2, gt=0, lt=1)


class Recipe(GrownSpec):
    """How a network is trained; the same for every method of a suite.

    decayed: what weight decay acts on. all: norms too, as in the code of MPD-AGL; synapses: kernels and
        matrices alone.
    schedule: one-cycle and cosine change the rate after every batch, cosine-epochs after every epoch; both
        cosines fall to 0. No schedule changes the momentum.
    augment: "standard" is the usual augmentation for the dataset, which can be none. For datasets that have
        it, "auto" adds AutoAugment as torchvision has it, "auto-paper" as the code of papers has it, and
        "rand" adds RandAugment; see `bench.data.augment`.
    rand_operations, rand_magnitude, rand_probability: see `bench.data.augment.randaugment`; they are for
        augment = "rand".
    best_test_epoch: also evaluate on the test data after every epoch and record the best, as many papers do;
        it does not select anything.
    loss, label_smoothing, tet_weight: see `bench.model.loss`; mean is the cross-entropy of the output
        averaged over time. tet_weight is for loss = "tet".
    mixup, cutmix: see `bench.data.mixing`. erasing: the probability that a part of a sample is erased, see
        `bench.data.augment.erase`. cutmix and erasing need images.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["one-cycle", "cosine", "cosine-epochs", "constant"] = "one-cycle"
    augment: Literal["none", "standard", "auto", "auto-paper", "rand"] = "standard"
    best_test_epoch: bool = False
    decayed: Literal["all", "synapses"] = "all"
    loss: Literal["mean", "tet"] = "mean"
    tet_weight: float = Field(0.05, ge=0, le=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    cutmix: float = Field(0.0, ge=0)
    erasing: float = Field(0.0, ge=0, le=1)
    rand_operations: int = Field(2, ge=1, le=14)
    rand_magnitude: int = Field(9, ge=0, le=30)
    rand_probability: float = Field(1.0, ge=0, le=1)

    added = frozenset(
        {"decayed", "loss", "tet_weight", "label_smoothing", "mixup", "cutmix", "erasing"}
        | {"rand_operations", "rand_magnitude", "rand_probability"}
    )

    @model_validator(mode="after")
    def _no_option_without_its_choice(self) -> Self:
        rand = dict.fromkeys(("rand_operations", "rand_magnitude", "rand_probability"), ("augment", "rand"))
        for option, (key, choice) in {"tet_weight": ("loss", "tet"), **rand}.items():
            value = getattr(self, option)
            if getattr(self, key) != choice and value != type(self).model_fields[option].default:
                raise ValueError(f'{option} = {value:g} is for {key} = "{choice}"')
        return self


class Profile(Spec):
    """Settings that can change bits without changing the experiment.

    device: auto is resolved when the suite is planned.
    threads: CPU threads of one training run; two already differ from one in the last bit.
    compile: whether training is compiled, see `bench.model.compiling`; auto is resolved for each cell when
        the suite is planned, see `bench.runner.workload`.
    autocast: the dtype of convolutions and linear layers, see `bench.model.precision`.
    channels_last: store the channels of each pixel together, which often speeds up convolutions; auto,
        resolved in the same way as compile, means true for training on images on a GPU.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"
    threads: int = Field(1, ge=1, le=1024)
    compile: Literal["auto", "neuron", "step", "off"] = "auto"
    autocast: Literal["off", "bfloat16", "float16"] = "off"
    channels_last: Literal[True, False, "auto"] = "auto"
    deterministic: bool = True
    tf32: bool = False


class Measure(Spec):
    """What is measured in addition to accuracy; it does not change training.

    probe: when gradients are probed, layer by layer: before training and after every epoch ("all"), before
        and after training ("ends"), or never ("off").
    descent: whether to try a step along the surrogate gradient, before and after training: some 35 passes
        over 256 samples in float64 each time.
    finite_differences: whether to compare the gradient with differences of the loss too: 128 more passes.

    descent and finite_differences are each skipped if they would take more than half as long as the training.
    """

    probe: Literal["all", "ends", "off"] = "ends"
    descent: bool = True
    finite_differences: bool = False


class Selection(Spec):
    """Why a cell is one of several variants of its method, of which only one is compared with other methods.

    by: sweep (the suite lists several values), tuning (a trial, on the tuning seeds), or tuned (the values of
        the best trial, on the suite's seeds).
    over: what the variants differ in: names of parameters, and of keys of the recipe as recipe.KEY.
    """

    by: Literal["sweep", "tuning", "tuned"]
    over: tuple[str, ...] = Field(min_length=1)


class Cell(GrownSpec):
    """One training run. method.params and dataset.params hold every parameter, with defaults filled in."""

    method: MethodSpec
    dataset: DatasetSpec
    backbone: BackboneSpec
    timesteps: int = Field(ge=1)
    recipe: Recipe
    profile: Profile
    measure: Measure = Measure()
    seed: Seed
    selection: Selection | None = None

    added = frozenset({"selection"})

    @property
    def trial(self) -> bool:
        """Whether it is a trial of tuning, for which no test data is loaded."""
        return self.selection is not None and self.selection.by == "tuning"

    def configuration(self, checksum: str) -> str:
        """A hash of everything but the seed; checksum: that of the data."""
        return _hash(self.model_dump(exclude={"seed"}), checksum)

    def id(self, checksum: str) -> str:
        """A hash of everything."""
        return _hash(self.model_dump(), checksum)


def _swept(value: Any) -> Any:
    """Expands each entry with a list as an option into one entry per value of the list."""
    if not isinstance(value, list | tuple):
        return value
    swept: list[Any] = []
    for entry in value:
        if isinstance(entry, dict):
            lists = [each if isinstance(each, list) and each else [each] for each in entry.values()]
            swept += [dict(zip(entry, chosen, strict=True)) for chosen in product(*lists)]
        else:
            swept.append(entry)
    return tuple(swept)


def _methods(value: Any) -> Any:
    """Expands a method with a list as a parameter into one entry per value; one name stands for a list."""
    given: Any = [value] if isinstance(value, str) else value
    entries: list[Any] = []
    for entry in given:
        params: Any = entry.get("params") if isinstance(entry, Mapping) else None
        lists = _lists(params)
        if not lists:
            entries.append(_named(entry))
            continue
        for chosen in product(*lists.values()):
            one = dict(zip(lists, chosen, strict=True))
            entries.append({**entry, "params": {**params, **one}, "swept": sorted(lists)})
    return tuple(entries)


def _lists(values: Any) -> dict[str, Any]:
    """The entries of a table that are lists with something in them."""
    items = values.items() if isinstance(values, dict) else ()
    return {key: value for key, value in items if _is_list(value)}


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0


DatasetEntry = Annotated[DatasetSpec, BeforeValidator(_named)]
BackboneEntry = Annotated[BackboneSpec, BeforeValidator(_named)]
Datasets = tuple[DatasetEntry, ...]
Backbones = Annotated[tuple[BackboneEntry, ...], BeforeValidator(_swept)]
Timesteps = tuple[Annotated[int, Field(ge=1)], ...]


class Task(Spec):
    """A part of a suite: datasets x backbones x timesteps, and the differences from the suite's recipe."""

    datasets: Datasets = Field(min_length=1)
    backbones: Backbones = Field(min_length=1)
    timesteps: Timesteps = Field(min_length=1)
    recipe: dict[str, Any] = {}

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        return _without_repeats(self, "datasets", "backbones", "timesteps")


class Matrix(NamedTuple):
    """One full product of a suite, with its recipes; swept: the keys in which several recipes differ."""

    datasets: tuple[DatasetSpec, ...]
    backbones: tuple[BackboneSpec, ...]
    timesteps: tuple[int, ...]
    recipes: tuple[Recipe, ...]
    swept: tuple[str, ...] = ()


class Tune(Spec):
    """The trials of `spikegrad tune`, the same number for every method; see docs/fairness.md.

    rates: learning rates, as multiples of the recipe's.
    points: values of the method's own parameter. A method without one gets rates x points learning rates.
    seeds: none of them may be a seed of the suite.
    sampler: grid tries every combination; tpe chooses as many with Optuna's TPE, after a random start.
    """

    rates: tuple[Annotated[float, Field(gt=0)], ...] = Field((0.1, 0.3, 1.0, 3.0), min_length=1)
    points: int = Field(4, ge=1)
    seeds: tuple[Seed, ...] = Field((1000, 1001), min_length=1)
    sampler: Literal["grid", "tpe"] = "grid"

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        if len(self.rates) == 1 and self.points > 1:
            raise ValueError(
                "rates has one value, and a method without a parameter of its own needs two to have as many "
                "trials as the others"
            )
        return _without_repeats(self, "rates", "seeds")

    @property
    def trials(self) -> int:
        """The number of trials of one method in one task."""
        return len(self.rates) * self.points


class Suite(Spec):
    """The matrix methods x datasets x backbones x timesteps x seeds under one recipe.

    An entry is a name, or a table with a name and options. A list as an option of a backbone stands for one
    entry per value. A list as a parameter of a method, or as a value in a recipe, is a sweep: all its values
    run, and the one with the best validation accuracy is compared. The method "all" stands for every
    installed one. If datasets need their own backbones or recipes, `tasks` replaces datasets, backbones and
    timesteps.

    recipe: the values that are not swept, and the first of those that are; see recipe_sweep.
    recipe_sweep: the swept keys of the recipe with all their values.
    tune: the trials of `spikegrad tune`; None if the suite is not tuned.

    baseline: the method that the others are compared with.
    timeout: seconds that a cell can take.
    times: whether a run ends with a latency phase, one network at a time.
    targets: by dataset, a validation accuracy in percent; tables say after how many epochs it was reached.
    """

    name: str = Field(pattern=f"^{NAME.pattern}$")
    description: str = ""
    methods: Annotated[tuple[MethodEntry, ...], BeforeValidator(_methods)] = Field(min_length=1)
    datasets: Datasets = ()
    backbones: Backbones = ()
    timesteps: Timesteps = ()
    tasks: tuple[Task, ...] = ()
    seeds: tuple[Seed, ...] = Field(min_length=1)
    baseline: str = "rectangle"
    timeout: float = Field(3600, gt=0)
    recipe: Recipe
    recipe_sweep: dict[str, tuple[Any, ...]] = {}
    tune: Tune | None = None
    profile: Profile = Profile()
    measure: Measure = Measure()
    times: bool = True
    targets: dict[str, Annotated[float, Field(gt=0, le=100)]] = {}

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name == LAYERS:
            raise ValueError(f"{name!r} is where `spikegrad latency` keeps its files; choose another name")
        if name.endswith(TRIALS):
            raise ValueError(f"{name!r} is where `spikegrad tune` keeps its trials; choose another name")
        return name

    @model_validator(mode="before")
    @classmethod
    def _split_recipe(cls, content: Any) -> Any:
        if not isinstance(content, Mapping) or not (lists := _lists(content.get("recipe"))):
            return content
        first = {key: values[0] for key, values in lists.items()}
        return {**content, "recipe": {**content["recipe"], **first}, "recipe_sweep": lists}

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [field for field in PRODUCT if field in self.model_fields_set]
        if self.tasks and given:
            raise ValueError(f"{given[0]} and tasks are both there; give each task its own {given[0]}")
        for field in PRODUCT:
            if not self.tasks and not getattr(self, field):
                state = "is empty" if field in given else "is missing"
                raise ValueError(f"the key {field!r} {state}")
        own: dict[str, dict[str, Any]] = {"recipe": {}}
        own |= {f"tasks.{number}.recipe": task.recipe for number, task in enumerate(self.tasks)}
        for where, recipe in own.items():
            try:
                self._recipes(recipe)
            except ValidationError as error:
                raise ValueError(f"{where}: {_first(error)}") from None
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        named = {dataset.name for matrix in self.matrices for dataset in matrix.datasets}
        if unknown := [name for name in self.targets if name not in named]:
            raise ValueError(f"targets names {unknown[0]!r}, which is no dataset of the suite")
        if self.tune and (both := [seed for seed in self.tune.seeds if seed in self.seeds]):
            raise ValueError(
                f"tune.seeds: {both[0]} is also a seed of the suite; what is tuned on a seed must not be "
                "judged on it"
            )
        swept = [key for matrix in self.matrices for key in matrix.swept]
        swept += [key for entry in self.methods for key in entry.swept]
        if self.tune and swept:
            raise ValueError(f"tune and a sweep of {swept[0]} are both there; leave one of them out")
        return _without_repeats(self, "methods", *PRODUCT, "seeds")

    @property
    def matrices(self) -> list[Matrix]:
        """Its parts; a suite without tasks has one."""
        if not self.tasks:
            return [Matrix(self.datasets, self.backbones, self.timesteps, *self._recipes({}))]
        return [Matrix(t.datasets, t.backbones, t.timesteps, *self._recipes(t.recipe)) for t in self.tasks]

    def _recipes(self, own: Mapping[str, Any]) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
        """The recipes of a task with these differences, and the keys in which they differ."""
        values = {**self.recipe_sweep, **own}
        lists = {key: value if _is_list(value) else (value,) for key, value in values.items()}
        for key, listed in lists.items():
            if repeated := [value for i, value in enumerate(listed) if value in listed[:i]]:
                raise ValueError(f"{key} lists {repeated[0]} twice")
        plain = self.recipe.model_dump()
        found = [
            Recipe.model_validate({**plain, **dict(zip(lists, chosen, strict=True))})
            for chosen in product(*lists.values())
        ]
        swept = tuple(sorted(f"recipe.{key}" for key, value in lists.items() if len(value) > 1))
        return tuple(found), swept

    def joined(self, methods: Sequence[str]) -> Suite:
        """This suite with these methods added."""
        there = {spec.name for spec in self.methods}
        more = tuple(MethodEntry(name=name) for name in methods if name not in there)
        return self.model_copy(update={"methods": (*self.methods, *more)}) if more else self

    def only(
        self,
        *,
        methods: Sequence[str] | None = None,
        datasets: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        add: bool = False,
    ) -> Suite:
        """This suite restricted to the given names; existing entries keep their options.

        add: also add names that the suite does not have, except for datasets of a suite with tasks, whose
        recipe would be unknown.

        Raises BenchError for a name that the suite does not have, or if the result is not a valid suite.
        """
        changes: dict[str, Any] = {}
        if methods is not None:
            changes["methods"] = self._chosen("methods", self.methods, methods, MethodEntry, add)
        if datasets is not None and self.tasks:
            changes["tasks"] = self._tasks_of(datasets)
        elif datasets is not None:
            changes["datasets"] = self._chosen("datasets", self.datasets, datasets, DatasetSpec, add)
        if datasets is not None:
            changes["targets"] = {name: goal for name, goal in self.targets.items() if name in datasets}
        if seeds is not None:
            if (other := [seed for seed in seeds if seed not in self.seeds]) and not add:
                raise BenchError(self._lacks("seeds", other[0], self.seeds))
            changes["seeds"] = tuple(dict.fromkeys(seeds))
        content = {field: getattr(self, field) for field in self.model_fields_set | changes.keys()}
        try:
            return Suite.model_validate({**content, **changes})
        except ValidationError as error:
            raise BenchError(f"suite {self.name}: {_first(error)}") from None

    def _chosen(
        self,
        what: str,
        listed: tuple[Named, ...],
        names: Sequence[str],
        spec: type[Named],
        add: bool,
    ) -> tuple[Named, ...]:
        chosen: list[Named] = []
        for name in dict.fromkeys(names):
            there = [each for each in listed if each.name == name]
            # "all" stands for every installed method.
            if not (there or add or any(each.name == "all" for each in listed)):
                raise BenchError(self._lacks(what, name, [each.name for each in listed]))
            chosen += there or [spec(name=name)]
        return tuple(chosen)

    def _lacks(self, what: str, name: object, there: Sequence[object]) -> str:
        close = difflib.get_close_matches(str(name), map(str, there), n=1)
        has = f"did you mean {close[0]}?" if close else f"it has {', '.join(map(str, there))};"
        return (
            f"--{what}: the suite {self.name} does not have {name}: {has} with `--add` it joins what the "
            "suite has"
        )

    def _tasks_of(self, datasets: Sequence[str]) -> tuple[Task, ...]:
        known = dict.fromkeys(d.name for task in self.tasks for d in task.datasets)
        if unknown := [name for name in datasets if name not in known]:
            raise BenchError(
                f"suite {self.name} has no task with the dataset {unknown[0]!r}: it has {', '.join(known)}"
            )
        cut = [
            task.model_copy(update={"datasets": tuple(d for d in task.datasets if d.name in datasets)})
            for task in self.tasks
        ]
        return tuple(task for task in cut if task.datasets)


def suite_of_cells(name: str, cells: Sequence[Mapping[str, Any]]) -> Suite:
    """A suite that contains these cells, for records without a known suite; the first sets its options."""
    first = cells[0]
    return Suite.model_validate(
        {
            "name": name,
            "methods": list(
                {cell["method"]["name"]: {"name": cell["method"]["name"]} for cell in cells}.values()
            ),
            "datasets": [first["dataset"]],
            "backbones": [first["backbone"]],
            "timesteps": [first["timesteps"]],
            "seeds": sorted({cell["seed"] for cell in cells}),
            "recipe": first["recipe"],
            "times": False,
        }
    )


def load_suite(name: str) -> Suite:
    """A shipped suite by name, or a TOML file by path.

    A file can name a shipped suite as `like`: then it only lists the differences. Raises BenchError if there
    is no such suite, or it is invalid.
    """
    shipped = {p.stem: p for p in sorted(suites_folder().glob("*.toml"))}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise BenchError(
            f"no suite {name!r}: the shipped ones are {', '.join(shipped)}; "
            "anything else is a path to a TOML file"
        )
    try:
        found = Suite.model_validate(_content(path, shipped))
    except ValidationError as error:
        raise BenchError(f"suite {path}: {_first(error)}") from None
    if found.name in shipped and path != shipped[found.name] and found != load_suite(found.name):
        # It would share records and tables with the shipped suite.
        raise BenchError(f"suite {path}: the name {found.name!r} is that of a shipped suite; give it its own")
    return found


def _content(path: Path, shipped: Mapping[str, Path], *above: Path) -> dict[str, Any]:
    """A file's content, merged into the shipped suite named by `like`; above: files that lead here."""
    try:
        # Some editors begin a file with a byte-order mark.
        said = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"suite {path} is not valid TOML: {error}") from None
    like = said.pop("like", None)
    if like is None:
        return said
    if not isinstance(like, str) or like not in shipped:
        raise BenchError(f"suite {path}: like = {like!r} is no shipped suite; there are {', '.join(shipped)}")
    way = (*above, path)
    if shipped[like] in way:
        raise BenchError(f"suite {path}: like = {like!r} leads back to where it came from; leave it out")
    return _laid_over(_content(shipped[like], shipped, *way), said)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merges tables key by key; for other values, including lists, the upper one wins."""
    merged = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _laid_over(below[key], above[key])
    return merged


def shipped_suites() -> list[Suite]:
    """Every shipped suite, by name."""
    return [load_suite(p.stem) for p in sorted(suites_folder().glob("*.toml"))]


Checked = TypeVar("Checked", bound=Spec)


def _without_repeats(spec: Checked, *fields: str) -> Checked:
    for field in fields:
        values = getattr(spec, field)
        repeated = [v for i, v in enumerate(values) if v in values[:i]]
        if repeated:
            raise ValueError(f"{field} lists {getattr(repeated[0], 'name', repeated[0])} twice")
    return spec


def _hash(content: dict[str, Any], checksum: str) -> str:
    canonical = json.dumps(
        {"schema": RECORD_SCHEMA, "data": checksum, "cell": content}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _first(error: ValidationError) -> str:
    """One of pydantic's errors as a sentence; an unknown key comes first, since it explains the others."""
    all_found = error.errors()
    found = next((e for e in all_found if e["type"] == "extra_forbidden"), all_found[0])
    where = _location(found)
    if found["type"] == "extra_forbidden":
        missing = [_location(e) for e in all_found if e["type"] == "missing"]
        *place, last = where.split(".")
        inside = [INSIDE[part] for part in place if part in INSIDE]
        if place and place[0] in TABLES:
            own = [key.rpartition(".")[2] for key in KEYS if key.startswith(f"{place[0]}.")]
            close = [f"{place[0]}.{key}" for key in difflib.get_close_matches(last, own, n=1)]
            hint = f"[{place[0]}] has {', '.join(own)}"
        elif inside:
            close = difflib.get_close_matches(last, inside[-1].model_fields, n=1)
            hint = f"there are {', '.join(inside[-1].model_fields)}"
        else:
            close, hint = difflib.get_close_matches(where, missing or KEYS, n=1), "check its spelling"
        return f"unknown key {where!r}; " + (f"did you mean {close[0]!r}?" if close else hint)
    if found["type"] == "missing":
        return f"the key {where!r} is missing"
    message = found["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    given = "" if found["type"] == "value_error" else f", got {found['input']!r}"
    return f"{where}: {message}{given}" if where else message


def _location(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))


PRODUCT = ("datasets", "backbones", "timesteps")
KEYS = [
    "like",
    *Suite.model_fields,
    *(f"recipe.{key}" for key in Recipe.model_fields),
    *(f"profile.{key}" for key in Profile.model_fields),
    *(f"measure.{key}" for key in Measure.model_fields),
    *(f"tune.{key}" for key in Tune.model_fields),
]
"""Every key with a fixed place, for suggestions."""
INSIDE: dict[str, type[Spec]] = {
    "methods": MethodEntry,
    "datasets": DatasetSpec,
    "backbones": BackboneSpec,
    "tasks": Task,
}
"""The type of the entries of each list."""
TABLES = ("recipe", "profile", "measure", "tune")
