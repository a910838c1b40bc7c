"""Links in Markdown files, which are written for GitHub, as the site needs them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files outside docs/ that are pages of the site, and the names that they have there."""
LANGUAGES = {".py": "python", ".toml": "toml", ".cff": "yaml"}
FENCED = re.compile(r"(^```.*?^```[^\S\n]*$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<sign>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<to>[^()\s]+)\)")


def source(page: str) -> str:
    """The file in the repository that a page of the site is made from."""
    return {there: file for file, there in PAGES.items()}.get(page, f"docs/{page}")


def place(file: str) -> str:
    """Where a file of the repository is on the site; files that are no pages have a page with their text."""
    return PAGES.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else f"code/{file}.md")


def rewritten(text: str, page: str, repository: str = "") -> str:
    """The Markdown of a page with its links as the site needs them.

    page: its name on the site. repository: the address of the repository on the web, which links to files
    outside docs/ then lead to; without one they lead to the page with their text, and a link to a folder is
    left as its text. Links to what does not exist stay as they are, for mkdocs to refuse.
    """

    def as_needed(link: re.Match[str]) -> str:
        file, anchor = _target(link["to"], page)
        if file is None or not (ROOT / file).exists():
            return link[0]
        if repository and place(file).startswith("code/"):
            return f"{link['sign']}[{link['text']}]({repository.rstrip('/')}/blob/HEAD/{file}{anchor})"
        if (ROOT / file).is_dir():
            return link["text"]
        there = posixpath.relpath(place(file), posixpath.dirname(page) or ".")
        return f"{link['sign']}[{link['text']}]({there}{anchor})"

    parts = FENCED.split(text)
    return "".join(part if i % 2 else LINK.sub(as_needed, part) for i, part in enumerate(parts))


def linked(text: str, page: str) -> Iterator[str]:
    """The files of the repository that a page links to and that are no pages themselves."""
    for part in FENCED.split(text)[::2]:
        for link in LINK.finditer(part):
            file, _ = _target(link["to"], page)
            if file is not None and place(file).startswith("code/") and (ROOT / file).is_file():
                yield file


def _target(to: str, page: str) -> tuple[str | None, str]:
    """The file that a link names, from the top of the repository, and the anchor; None for another kind."""
    path, hash_sign, anchor = to.partition("#")
    if not path or re.match(r"[a-z]+:|/", path):
        return None, ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source(page)), path)), hash_sign + anchor


def code_page(file: str) -> str:
    """The page with the text of a file of the repository."""
    text = (ROOT / file).read_text(encoding="utf-8").rstrip("\n")
    longest = max([2, *map(len, re.findall(r"`+", text))])
    fence = "`" * (longest + 1)
    language = LANGUAGES.get(Path(file).suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {file}\n\n{fence}{language}\n{text}\n{fence}\n"


def bars_in_code(text: str) -> str:
    r"""The Markdown with `\|` as `|` in code in tables: GitHub needs the sign, Python-Markdown prints it."""
    return re.sub(
        r"^\|.*$",
        lambda row: re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row[0]),
        text,
        flags=re.MULTILINE,
    )
