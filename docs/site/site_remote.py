"""Finds what a built page would load from the network: the site must work without one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "input": ("src",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
"""Attributes that a browser loads without being asked."""
ONLY_NAMED = frozenset(("canonical", "next", "prev", "alternate", "license", "author"))
"""Relations of `link` that load nothing."""
REMOTE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
IN_CSS = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.in_style = tag == "style"
        names = LOADING.get(tag, ())
        if tag == "link" and not ONLY_NAMED & {*values.get("rel", "").lower().split()}:
            names = ("href",)
        for name in names:
            for each in values.get(name, "").split(",") if name == "srcset" else [values.get(name, "")]:
                if REMOTE.match(each):
                    self.found.append(f"<{tag} {name}={each.strip()}>")
        self.found += IN_CSS.findall(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.found += IN_CSS.findall(data)


def in_page(html: str) -> list[str]:
    """What a page would load from the network."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.found


def in_site(folder: Path) -> Iterator[str]:
    """What the pages and style sheets of a built site would load from the network, each with its file."""
    for file in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        text = file.read_text(encoding="utf-8")
        for found in in_page(text) if file.suffix == ".html" else IN_CSS.findall(text):
            yield f"{file.relative_to(folder)}: {found}"
