"""Classifies the words of a variant: about the method, or the network, the data and the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.suite import Measure, Profile, Recipe, Spec, value_text

PREFIXES = ("backbone.", "dataset.", "measure.")
ALWAYS_SAID = {"device", "dtype", "autocast"}
"""Profile settings that every variant includes; see `bench.suite.variant`."""
NOT_SAID = {"compile"}
"""Left out: it changes last bits at most, and some methods cannot be compiled."""
OPTIONS = {"subset", "cuda", "float64", "protocol", "torch", *Recipe.model_fields, *Profile.model_fields}
"""Words without a prefix that are not about the method; reserved, so no method parameter can use them."""
TRAINING = {"protocol", "torch", *Recipe.model_fields, *(Profile.model_fields.keys() - ALWAYS_SAID)}
"""Keys of words that rows have only while a row of their task was trained otherwise."""
DEFAULT = "default"


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
