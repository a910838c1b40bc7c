"""The derivative curve of each method of a suite, computed once and stored, so that a report needs no torch.

<results>/derivatives/<suite>/ID.json: h(x) at v_th = 0.5, as autograd delivers it in the first step of
training. The id is a hash of the method, its parameters, and the file that defines it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import printable
from bench.files import write_atomic

SCHEMA = 1
POINTS = 161
REACH = 2.0
"""Range of potentials drawn above and below the threshold: four thresholds."""
DIGITS = 5


class Of(NamedTuple):
    """What a curve belongs to: a method with its parameters, as defined by the file with this digest."""

    method: str
    params: Mapping[str, float | None]
    digest: str

    @property
    def id(self) -> str:
        """The name of its file."""
        content = [SCHEMA, self.method, dict(self.params), self.digest]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class StoredCurve(BaseModel):
    """A curve.

    x: membrane potential minus threshold.
    h: None at points where it is not finite.
    problem: why there is no curve, or that it differs between evaluations; otherwise "".
    formula, latex, link: the method's rule as text and as LaTeX, and its source; "" in files of earlier
        versions.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, populate_by_name=True)

    of_schema: int = Field(SCHEMA, alias="schema")
    method: str
    params: dict[str, float | None]
    digest: str
    x: list[float]
    h: list[float | None]
    problem: str
    formula: str = ""
    latex: str = ""
    link: str = ""


def wanted(records: Iterable[Mapping[str, Any]]) -> dict[str, Of]:
    """The methods of these records by id, without references, which have no surrogate."""
    found: dict[str, Of] = {}
    for record in records:
        if record["method"]["kind"] != "reference" and "method" in record.get("digests", {}):
            method = record["cell"]["method"]
            of = Of(method["name"], method["params"], record["digests"]["method"])
            found[of.id] = of
    return found


def read(results: Path, suite: str, ids: Iterable[str]) -> dict[str, StoredCurve]:
    """The stored curves that exist and are intact, by id."""
    found = {}
    for name in ids:
        try:
            content = (_folder(results, suite) / f"{name}.json").read_bytes()
            curve = StoredCurve.model_validate_json(content)
        except (OSError, ValidationError):
            continue
        if Of(curve.method, curve.params, curve.digest).id == name and len(curve.x) == len(curve.h):
            found[name] = curve
    return found


def draw(question: tuple[Of, tuple[Path, ...]]) -> StoredCurve | None:
    """Compute a curve; None if its method is not installed unchanged. question: also the plugin files."""
    import torch

    from bench.measures.single_layer import curve
    from bench.registry import load

    of, plugins = question
    entry = load(plugins).methods.get(of.method)
    if entry is None or entry.digest != of.digest:
        return None
    x = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64)
    h, problem = curve(entry.item, x, of.params)
    rounded = [None if value is None else round(value, DIGITS) for value in h]
    drawn = stored_curve(of, problem, [round(value, DIGITS) for value in x.tolist()] if h else [], rounded)
    said = {"formula": entry.item.formula, "latex": entry.item.latex, "link": entry.item.link}
    return drawn.model_copy(update={name: printable(text) for name, text in said.items()})


def stored_curve(of: Of, problem: str, x: list[float], h: list[float | None]) -> StoredCurve:
    """The curve of a method, or the reason why there is none."""
    said = printable(problem)
    return StoredCurve(method=of.method, params=dict(of.params), digest=of.digest, x=x, h=h, problem=said)


def keep(results: Path, suite: str, of: Of, drawn: StoredCurve) -> None:
    """Store a curve. Raises OSError if that fails."""
    text = drawn.model_dump_json(by_alias=True) + "\n"
    write_atomic(_folder(results, suite) / f"{of.id}.json", text.encode())


def _folder(results: Path, suite: str) -> Path:
    return results / "derivatives" / suite
