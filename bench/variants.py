"""What the words of a variant are about: the method, or the network, the data and the machine."""

from __future__ import annotations

from bench.suite import BackboneSpec

OPTIONS = {*BackboneSpec.model_fields, "backbone.width", "subset", "cuda", "float64", "autocast", "torch"} - {
    "name",
    "width",
}
DEFAULT = "default"


def words(variant: str) -> list[str]:
    """The parts of a variant; none for the default, and for what was not run."""
    return [] if variant in (DEFAULT, "") else variant.split(" ")


def is_option(word: str) -> bool:
    """Whether a word is about the network, the data or the machine, and not the method."""
    return word.split("=")[0] in OPTIONS or word.startswith("dataset.")


def own_words(variant: str) -> str:
    """What of a variant is about the method; "default" where nothing is.

    A word that begins with # tells configurations of one name apart, by their recipe or code, and is not.
    """
    own = [word for word in words(variant) if not is_option(word) and not word.startswith("#")]
    return " ".join(own) or DEFAULT


def full_name(method: str, own: str) -> str:
    """A method with what is its own of a variant."""
    return method if own == DEFAULT else f"{method} ({own})"
