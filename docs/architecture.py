"""Writes the picture and the table of docs/architecture.md from the code: `python docs/architecture.py`.

Everything between the two markers is replaced.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- packages: begin -->", "<!-- packages: end -->"
TOP = "bench"
"""Stands for the modules at the top of bench/, but for those that are parts of the picture."""
APART = ("api", "loop", "registry")


def modules() -> dict[str, Path]:
    """The modules of bench/ by dotted name; a package by its own."""
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted((ROOT / "bench").rglob("*.py"))
    }


def imported(file: Path) -> set[str]:
    """What a module imports of bench, wherever in the file, as dotted names."""
    found = set[str]()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bench":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "bench"}
    return found


def part(name: str) -> str:
    """The package of a dotted name, or one of the modules at the top that are apart, or the rest there."""
    second = name.split(".")[1] if "." in name else ""
    known = second in APART or (ROOT / "bench" / second).is_dir()
    return second if second and known else TOP


def edges() -> dict[str, set[str]]:
    """Which part imports which."""
    found: dict[str, set[str]] = {}
    for name, file in modules().items():
        if name not in ("bench", "bench.__main__"):
            found.setdefault(part(name), set()).update(map(part, imported(file)))
    return {one: others - {one} for one, others in found.items()}


def direct(of: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The edges that no longer way stands for, sorted."""

    def reached(start: str) -> set[str]:
        found, waiting = set[str](), [*of[start]]
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                waiting += of[here]
        return found

    return sorted(
        (one, other)
        for one, others in of.items()
        for other in others
        if not any(other in reached(between) for between in others - {other})
    )


def section() -> str:
    """What stands between the markers."""
    arrows = [f"    {one} --> {other}" for one, other in direct(edges())]
    lines = [BEGIN, "", "```mermaid", "flowchart TD", *arrows, "```", ""]
    lines += ["| package | what is in it | modules |", "|---|---|---|"]
    for name, file in modules().items():
        if file.name == "__init__.py" and name != "bench":
            first = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
            own = sorted(each.stem for each in file.parent.glob("*.py") if each != file)
            names = ", ".join(f"`{each}`" for each in own)
            lines.append(f"| `{name}` | {' '.join(first.split())} | {names} |")
    return "\n".join([*lines, "", END])


def main() -> None:
    """Replace what stands between the markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    PAGE.write_text(before + section() + after, encoding="utf-8")


if __name__ == "__main__":
    main()
