"""What mkdocs calls while it builds the site: adds the pages that are not in docs/, and mends links.

The gallery needs the methods themselves, and so torch: it draws the gradient that autograd delivers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import site_diagram
import site_gallery
import site_links
import site_remote
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from bench import registry

GALLERY = "gallery/index.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the gallery below its entry in the navigation."""
    listed = site_gallery.navigation(_shipped())
    config.nav = [_with_gallery(entry, listed) for entry in config.nav or []]
    return config


def _with_gallery(entry: Any, listed: list[dict[str, object]]) -> Any:
    if isinstance(entry, dict):
        return {
            title: [below, *listed]
            if below == GALLERY
            else [_with_gallery(each, listed) for each in below]
            if isinstance(below, list)
            else below
            for title, below in entry.items()
        }
    return entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {
        page: (site_links.ROOT / file).read_text(encoding="utf-8") for file, page in site_links.PAGES.items()
    }
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    made |= site_gallery.pages(_shipped(), site_links.ROOT / "results" / "leaderboards")
    made |= {page: _api(page) for page in _named(config.nav) if page.startswith("api/")}
    linked = {file for page, text in (written | made).items() for file in site_links.linked(text, page)} | {
        f"methods/{entry.file.name}" for entry in _shipped().methods.values()
    }
    made |= {site_links.place(file): site_links.code_page(file) for file in sorted(linked)}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend what is written for GitHub."""
    uri = page.file.src_uri
    if uri.startswith(("gallery/", "api/", "code/")):
        return markdown
    mended = site_links.rewritten(markdown, uri, config.repo_url or "")
    return site_links.bars_in_code(site_diagram.drawn(mended))


def on_post_build(config: MkDocsConfig) -> None:
    """Raises PluginError if a page would load anything from the network."""
    found = [*site_remote.in_site(Path(config.site_dir))]
    if found:
        raise PluginError("the site would load from the network:\n" + "\n".join(found[:20]))


def _shipped() -> registry.Registry:
    """The methods of this project, without those of other packages that happen to be installed."""
    found = registry.load()
    return registry.Registry(
        methods={name: entry for name, entry in found.methods.items() if entry.shipped},
    )


def _named(nav: Any) -> Iterator[str]:
    """The pages that a navigation names."""
    if isinstance(nav, str):
        yield nav
    for below in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named(below)


def _api(page: str) -> str:
    module = page.removeprefix("api/").removesuffix(".md")
    return f"# {module}\n\n::: {module}\n"
