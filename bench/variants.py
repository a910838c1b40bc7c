"""The label of a configuration, its *variant*, and what its words are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.suite import BackboneSpec, Cell, Measure, Profile, Recipe, Spec

PREFIXES = ("backbone.", "dataset.", "measure.")
ALWAYS_SAID = {"device", "dtype", "autocast"}
"""Profile settings that every variant includes; see `variant`."""
NOT_SAID = {"compile"}
"""Left out: it changes last bits at most, and some methods cannot be compiled."""
OPTIONS = {
    *("subset", "cuda", "float64", "machine", "protocol", "torch"),
    *Recipe.model_fields,
    *Profile.model_fields,
}
"""Words without a prefix that are not about the method; reserved, so no method parameter can use them."""
TRAINING = {"protocol", "torch", *Recipe.model_fields, *(Profile.model_fields.keys() - ALWAYS_SAID)}
"""Keys of words that rows have only while a row of their task was trained otherwise."""
DEFAULT = "default"
RECIPE = "recipe."
"""Begins the name of a swept or tuned key of the recipe."""
TUNED = "tuned"
"""The word of a variant whose values `spikegrad tune` chose."""


def variant(
    cell: Cell, defaults: Mapping[str, float | None], dataset: Mapping[str, int | float | str]
) -> str:
    """The short label of a configuration: what differs from the defaults, or "default".

    defaults: the method's parameters at this threshold.
    dataset: those of the dataset.

    A sweep or a trial names what it varies, defaults included; for what tuning chose, "tuned" stands for it.

    Two configurations can share a label, since it omits the rest of the recipe: `bench.tables.rows`
    distinguishes them.
    """
    over, tuned = (cell.selection.over, cell.selection.by == TUNED) if cell.selection else ((), False)
    parts = [TUNED] if tuned else []
    for key, value in cell.method.params.items():
        if (not tuned) if key in over else defaults.get(key) != value:
            parts.append(f"{key}={value_text(value)}")
    recipe = [] if tuned else [key for key in over if key.startswith(RECIPE)]
    parts += [f"{key}={value_text(getattr(cell.recipe, key.removeprefix(RECIPE)))}" for key in recipe]
    plain = BackboneSpec(name=cell.backbone.name)
    for key, value in cell.backbone.model_dump().items():
        if value != getattr(plain, key):
            parts.append(f"backbone.{key}={value_text(value)}")
    # A path can have spaces, which separate the words of a variant.
    data = {k: str(v).replace(" ", "%20") for k, v in cell.dataset.params.items() if dataset.get(k) != v}
    parts += [f"dataset.{k}={v}" for k, v in data.items()]
    if cell.dataset.subset is not None:
        parts.append(f"subset={cell.dataset.subset}")
    if cell.profile.device != "cpu":
        parts.append(cell.profile.device)
    if cell.profile.dtype != "float32":
        parts.append(cell.profile.dtype)
    if cell.profile.autocast != "off":
        parts.append(f"autocast={cell.profile.autocast}")
    return " ".join(parts) or DEFAULT


def value_text(value: object) -> str:
    """The value of an option, as written in a suite."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(variant: str) -> list[str]:
    """The parts of a variant; none for the default, and for rows that were not run."""
    return [] if variant in (DEFAULT, "") else variant.split(" ")


def is_option(word: str) -> bool:
    """Whether a word is about the network, the data or the machine, not the method."""
    return word.split("=")[0] in OPTIONS or word.startswith(PREFIXES)


def without_training(variant: str) -> str:
    """The variant without what only other rows of its task make it say."""
    kept = [w for w in words(variant) if w.split("=")[0] not in TRAINING and not w.startswith("measure.")]
    return " ".join(kept) or DEFAULT


def own_words(variant: str) -> str:
    """The words of a variant that are about the method; "default" if there are none.

    A word that begins with # distinguishes configurations of one name, by their recipe or code, and is left
    out.
    """
    own = [word for word in words(variant) if not is_option(word) and not word.startswith("#")]
    return " ".join(own) or DEFAULT


def names(method: str, variant: str) -> set[str]:
    """What a baseline may be called: METHOD:VARIANT, and METHOD if its parameters are the defaults."""
    own = own_words(variant)
    return {f"{method}:{own}"} | ({method} if own == DEFAULT else set())


def full_name(method: str, own: str) -> str:
    """A method with its own part of a variant."""
    return method if own == DEFAULT else f"{method} ({own})"


def network(cell: Cell, variant: str) -> str:
    """Data, network and time steps of a cell, each with its own words of the variant: `digits mlp T=2`."""

    def of(name: str, prefix: str) -> str:
        own = [word.removeprefix(prefix) for word in words(variant) if word.startswith(prefix)]
        return f"{name} ({' '.join(own)})" if own else name

    data, backbone = of(cell.dataset.name, "dataset."), of(cell.backbone.name, "backbone.")
    return f"{data} {backbone} T={cell.timesteps}"


def training_words(cell: Mapping[str, Any]) -> dict[str, str]:
    """How a cell was trained, by key: distinguishes rows with the same variant.

    A missing key has its default value, as in records of earlier versions.
    """
    parts: tuple[tuple[str, str, type[Spec], set[str]], ...] = (
        ("recipe", "", Recipe, set()),
        ("profile", "", Profile, ALWAYS_SAID | NOT_SAID),
        ("measure", "measure.", Measure, set()),
    )
    return {
        f"{prefix}{key}": f"{prefix}{key}={value_text(cell[part].get(key, field.default))}"
        for part, prefix, spec, without in parts
        if part in cell
        for key, field in spec.model_fields.items()
        if key not in without and (key in cell[part] or not field.is_required())
    }
