"""The docstrings of this project as Markdown: `name: what it is` at the start of a line becomes a list."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

FIELD = re.compile(r"(\*{0,2}\w+(?:, \w+)*): (\S.*)")


def as_markdown(text: str) -> str:
    """The text of a docstring with its fields as a list. Lines indented below a field belong to it.

    A field starts a paragraph after the first, or follows another field: a sentence that is wrapped before a
    word with a colon is none.
    """
    lines = list[str]()
    in_list = in_code = False
    for line in text.split("\n"):
        in_code ^= line.startswith("```")
        starts = in_list or (bool(lines) and not lines[-1])
        field = FIELD.fullmatch(line) if starts and not in_code else None
        if field:
            line = f"- **{', '.join(f'`{name}`' for name in field[1].split(', '))}**: {field[2]}"
        elif in_list and line and not line.startswith(" ") and lines[-1]:
            lines.append("")
        in_list = bool(field) or (in_list and line.startswith(" "))
        lines.append(line)
    return "\n".join(lines)


class Fields(Extension):
    """Tells griffe, which reads the modules without importing them."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
