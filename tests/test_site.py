"""The site of the documentation, without mkdocs: its navigation, formulas, links, pictures and pages."""

import re
import sys
import types
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from bench import registry, surrogate
from bench.measures.single_layer import Properties

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "docs" / "site"))
site_diagram, site_gallery, site_links, site_remote = (
    import_module(f"site_{name}") for name in ("diagram", "gallery", "links", "remote")
)

SETTINGS = (ROOT / "mkdocs.yml").read_text()
NAVIGATION = re.findall(r"^ +- .*: (\S+\.md)$", SETTINGS, re.M)
GUIDES = [*(ROOT / name for name in site_links.PAGES), *sorted((ROOT / "docs").glob("*.md"))]
LEADERBOARDS = ROOT / "results" / "leaderboards"


# --- the settings ---


def test_every_guide_is_in_the_navigation():
    for guide in GUIDES:
        assert site_links.place(guide.relative_to(ROOT).as_posix()) in NAVIGATION, (
            f"{guide}: add it to mkdocs.yml"
        )


def test_what_the_navigation_names_is_there():
    for page in NAVIGATION:
        module = page.removeprefix("api/").removesuffix(".md").replace(".", "/")
        if page.startswith("api/"):
            assert (ROOT / f"{module}.py").is_file() or (ROOT / module / "__init__.py").is_file(), page
        elif page != "gallery/index.md":
            assert (ROOT / site_links.source(page)).is_file(), page


def test_every_kind_of_dead_link_is_an_error():
    validation = SETTINGS.split("\nvalidation:\n")[1]
    kinds = dict(re.findall(r"^    (\w+): (\w+)$", validation, re.M))
    assert {"anchors", "not_found", "unrecognized_links", "absolute_links", "omitted_files"} == {*kinds}
    assert {*kinds.values()} == {"warn"}
    assert "mkdocs build --strict" in (ROOT / "tox.ini").read_text()


# --- formulas ---


def shipped():
    return [entry.item for entry in registry.load().methods.values() if entry.shipped]


@pytest.mark.parametrize("method", shipped(), ids=lambda method: method.name)
def test_every_formula_becomes_mathml(method):
    pytest.importorskip("latex2mathml", reason="it sets the formulas of the documentation")
    assert method.latex
    for display in ("block", "inline"):
        made = ET.fromstring(site_gallery.formula(method, display))
        assert made.tag.endswith("math")
        text = "".join(made.itertext())
        # A command that is unknown is taken over as it is.
        assert "\\" not in text
        assert text.startswith(("h(x)=", "y="))


def test_a_method_without_a_formula_has_its_text():
    @surrogate.method("bare", paper="unpublished")
    def bare(x):
        """h(x) = 1 where x < 2."""

    assert site_gallery.formula(bare.declared[0]) == "<code>h(x) = 1 where x &lt; 2.</code>"
    bare.__doc__ = None
    assert site_gallery.formula(bare.declared[0]) == ""


# --- links ---


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_link_works_on_github(guide):
    for part in site_links.FENCED.split(guide.read_text())[::2]:
        for link in site_links.LINK.finditer(part):
            path = link["to"].partition("#")[0]
            if path and not re.match("https?:", path):
                assert (guide.parent / path).exists(), link[0]


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "[a](docs/data.md)", "[a](data.md)"),
        ("index.md", "[a](docs/tables.md#records)", "[a](tables.md#records)"),
        ("index.md", "![a](docs/speed.svg)", "![a](speed.svg)"),
        ("index.md", "[`a`](methods/arctan.py)", "[`a`](code/methods/arctan.py.md)"),
        ("index.md", "[bench/suites](bench/suites)", "bench/suites"),
        ("index.md", "[a](https://doi.org/1)", "[a](https://doi.org/1)"),
        ("index.md", "[a](#known)", "[a](#known)"),
        ("index.md", "[a](docs/lost.md)", "[a](docs/lost.md)"),
        ("data.md", "[a](../CONTRIBUTING.md#x)", "[a](contributing.md#x)"),
        ("data.md", "[a](suites.md)", "[a](suites.md)"),
        ("speed.md", "[a](../bench/suite.py)", "[a](code/bench/suite.py.md)"),
        ("data.md", "```\n[a](../README.md)\n```", "```\n[a](../README.md)\n```"),
    ],
)
def test_links_lead_to_pages_of_the_site(page, link, expected):
    assert site_links.rewritten(link, page) == expected


def test_links_lead_to_the_repository_where_its_address_is_known():
    text = "[a](../methods/arctan.py) [b](../bench/suites) [c](suites.md)"
    assert site_links.rewritten(text, "data.md", "https://example.org/r/") == (
        "[a](https://example.org/r/blob/HEAD/methods/arctan.py) "
        "[b](https://example.org/r/blob/HEAD/bench/suites) [c](suites.md)"
    )


def test_files_that_are_linked_to_get_pages_with_their_text():
    text = (
        "[a](../methods/arctan.py) [b](../bench/suites) [c](suites.md) [d](../README.md) [e](https://a/b.py)"
    )
    assert [*site_links.linked(text, "data.md")] == ["methods/arctan.py"]
    page = site_links.code_page("methods/arctan.py")
    assert f"```python\n{(ROOT / 'methods/arctan.py').read_text()}```\n" in page
    # It holds three backticks itself.
    assert "\n````text\n" in site_links.code_page("CONTRIBUTING.md")


def test_bars_in_code_of_tables_are_not_escaped():
    text = "| `|x\\|` | a\\|b |\n`c\\|d`"
    assert site_links.bars_in_code(text) == "| `|x|` | a\\|b |\n`c\\|d`"


# --- diagrams ---


def test_the_diagram_of_the_architecture_is_drawn():
    text = (ROOT / "docs" / "architecture.md").read_text()
    (chart,) = site_diagram.BLOCK.findall(text)
    made = site_diagram.drawn(text)
    assert "```mermaid" not in made
    (drawing,) = re.findall(r"<svg .*</svg>", made)
    found = ET.fromstring(drawing)
    arrows = site_diagram.edges(chart)
    assert len(found.findall("path")) == len(arrows) == chart.count("-->")
    boxes = found.findall("rect")
    assert {text.text for text in found.findall("text")} == {name for arrow in arrows for name in arrow}
    corners = [tuple(float(box.get(key)) for key in ("x", "y", "width", "height")) for box in boxes]
    for i, (x, y, wide, high) in enumerate(corners):
        for other_x, other_y, *_ in corners[:i]:
            assert y != other_y or abs(x - other_x) >= min(wide, 30), "two boxes lie on each other"
        assert high == site_diagram.HEIGHT


def test_an_arrow_across_rows_goes_around_the_boxes_between():
    drawing = ET.fromstring(site_diagram.svg([("a", "b"), ("b", "c"), ("a", "c")]))
    paths = [path.get("d") for path in drawing.findall("path")]
    assert [path.count("L") for path in paths] == [1, 1, 3]


@pytest.mark.parametrize(
    "chart", ["flowchart LR\na --> b", "flowchart TD\na --- b", "flowchart TD\na --> b\nb --> a"]
)
def test_another_diagram_is_refused(chart):
    with pytest.raises(ValueError, match="a mermaid diagram"):
        site_diagram.drawn(f"```mermaid\n{chart}\n```")


# --- what a page loads ---


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://unpkg.com/mermaid"></script>',
        '<script src="//a.b/c.js"></script>',
        '<link rel="stylesheet" href="https://fonts.googleapis.com/css">',
        '<link rel="preconnect" href="http://fonts.gstatic.com">',
        '<img src="https://img.shields.io/x.svg">',
        '<img srcset="a.png 1x, https://a.b/c.png 2x">',
        '<svg><image href="https://a.b/c.png"/></svg>',
        "<style>@import 'https://a.b/c.css';</style>",
        '<p style="background: url(https://a.b/c.png)">',
    ],
)
def test_what_comes_from_the_network_is_found(html):
    assert len(site_remote.in_page(f"<p>a</p>{html}")) == 1


def test_links_and_files_beside_the_page_are_fine(tmp_path):
    html = (
        '<a href="https://doi.org/1">a</a><link rel="canonical" href="https://a.b"><img src="a.png">'
        '<script src="../a.js"></script><math xmlns="http://www.w3.org/1998/Math/MathML"></math>'
        "<p>url(https://a.b)</p>"
    )
    assert site_remote.in_page(html) == []
    (tmp_path / "a.html").write_text(html)
    (tmp_path / "a.css").write_text("p { background: url(b.png); }")
    assert [*site_remote.in_site(tmp_path)] == []
    (tmp_path / "a.css").write_text("@font-face { src: url('https://a.b/c.woff2'); }")
    assert [*site_remote.in_site(tmp_path)] == ["a.css: https://a.b/c.woff2"]


# --- the gallery ---


def drawn(method):
    return [-1.0, 0.0, 1.0], [None, 1.0, 0.5], "", Properties(height=1.0)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """The pages of all methods, and of one of somebody else that states no formula."""
    file = tmp_path_factory.mktemp("theirs") / "theirs.py"
    file.write_text(
        "from bench.surrogate import Param, method\n\n\n"
        "@method('theirs', paper='A *paper* | of theirs', width=Param(1.0, search=(0.5, 2.0)))\n"
        "def theirs(x, width):\n    return x * 0 + width\n"
    )
    pytest.importorskip("latex2mathml", reason="it sets the formulas of the documentation")
    found = registry.load((file,))
    return found, site_gallery.pages(found, LEADERBOARDS, draw=drawn)


def test_every_method_has_a_page_that_the_index_and_the_navigation_name(gallery):
    found, pages = gallery
    index, navigation = pages["gallery/index.md"], str(site_gallery.navigation(found))
    for name, entry in found.methods.items():
        page = site_gallery.page_of(entry.item)
        heading = f"## {name}\n" if "/" in name else f"# {name}\n"
        assert heading in pages[page]
        assert f"[{name}]({page.removeprefix('gallery/')}" in index
        assert f"'{page}'" in navigation


def test_a_page_says_what_a_method_declares(gallery):
    page = gallery[1]["gallery/fast-sigmoid-paper.md"]
    assert (
        "[Zenke & Ganguli, SuperSpike, Neural Computation 2018](https://doi.org/10.1162/neco_a_01086)" in page
    )
    assert "[methods/fast_sigmoid.py](../code/methods/fast_sigmoid.py.md)" in page
    assert "`official-code`: checked against the authors' code" in page
    assert "| `height` | 20 | not tuned |  | with 1/v_th |" in page
    assert '<svg class="curve"' in page and "<math " in page
    ours = gallery[1]["gallery/fast-sigmoid.md"]
    assert "| `width` | 1 | 0.25 to 4 | logarithmic | with v_th |" in ours
    assert "| [snntorch/fast_sigmoid](snntorch.md#snntorchfast_sigmoid) | fast-sigmoid: width =" in ours
    assert "| [fast-sigmoid](fast-sigmoid.md) | width = " in gallery[1]["gallery/snntorch.md"]


def test_a_plugin_without_formula_and_docstring_has_a_page(gallery):
    page = gallery[1]["gallery/theirs.md"]
    assert "A \\*paper\\* &#124; of theirs" in page
    assert "`theirs.py`" in page
    assert "No suite in `results/leaderboards` has it." in page


@pytest.mark.parametrize("name", ["rectangle", "mpd-agl", "ann-relu"])
def test_a_page_has_all_results_of_its_method(gallery, name):
    tables = {file.parent.name: pd.read_csv(file) for file in sorted(LEADERBOARDS.glob("*/accuracy.csv"))}
    for suite, table in tables.items():
        rows = re.findall(rf"^\| {suite} \| .*$", gallery[1][f"gallery/{name}.md"], re.M)
        expected = table[table["method"] == name]
        assert len(rows) == len(expected), suite
        for mean in expected["test_accuracy_mean"].dropna():
            assert any(f"{mean:.2f}" in row for row in rows)


def test_every_value_of_a_declaration_is_explained():
    assert {*site_gallery.KINDS} == {*site_gallery.HEADINGS} == {*get_args(surrogate.Kind)}
    assert {*site_gallery.CHANGES} == {*get_args(surrogate.Changes)}
    assert {*site_gallery.FIDELITIES} == {*get_args(surrogate.Fidelity)}


def test_a_curve_has_gaps_where_it_has_no_value():
    drawing = ET.fromstring(site_gallery.curve([-1, 0, 1, 2], [0.5, None, 1.0, -1.0]))
    (line,) = (path.get("d") for path in drawing.findall("path") if path.get("class") == "line")
    assert (line.count("M"), line.count("L")) == (2, 1)
    assert "NaN" not in site_gallery.curve([-1, 1], [0.0, 0.0], small=True)


# --- what mkdocs calls ---


@pytest.fixture
def hooks(monkeypatch):
    """The hooks; mkdocs, which the tests' environment lacks, is only the base of an error here."""
    names = {"config.defaults": "MkDocsConfig", "exceptions": "PluginError"}
    names |= {"structure.files": "File Files", "structure.pages": "Page"}
    for module in ("mkdocs", "mkdocs.config", "mkdocs.structure"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    for module, held in names.items():
        made = types.SimpleNamespace(**{name: type(name, (Exception,), {}) for name in held.split()})
        monkeypatch.setitem(sys.modules, f"mkdocs.{module}", made)
    monkeypatch.delitem(sys.modules, "hooks", raising=False)
    import hooks

    monkeypatch.delitem(sys.modules, "hooks")
    return hooks


def test_the_gallery_is_put_into_the_navigation(hooks):
    config = types.SimpleNamespace(nav=[{"Start": "index.md"}, {"Methods": [{"Gallery": hooks.GALLERY}]}])
    made = hooks.on_config(config)
    assert made.nav[0] == {"Start": "index.md"}
    pages = [*hooks._named(made.nav)]
    assert pages[:2] == ["index.md", hooks.GALLERY]
    assert {"gallery/mpd-agl.md", "gallery/norse.md"} < {*pages}


def test_pages_written_for_github_are_mended(hooks):
    def mended(text, uri):
        page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri=uri))
        return hooks.on_page_markdown(text, page, types.SimpleNamespace(repo_url=None), None)

    assert mended("[a](docs/data.md)", "index.md") == "[a](data.md)"
    assert mended("[a](../methods.md)", "gallery/index.md") == "[a](../methods.md)"
    assert mended("```mermaid\nflowchart TD\na --> b\n```", "data.md").startswith("<svg")
    assert hooks._api("api/bench.shapes.md") == "# bench.shapes\n\n::: bench.shapes\n"


def test_a_site_that_loads_from_the_network_is_refused(hooks, tmp_path):
    (tmp_path / "index.html").write_text('<script src="https://a.b/c.js"></script>')
    with pytest.raises(hooks.PluginError, match=r"index\.html: <script src=https://a\.b/c\.js>"):
        hooks.on_post_build(types.SimpleNamespace(site_dir=str(tmp_path)))


def test_fields_of_a_docstring_become_a_list(monkeypatch):
    monkeypatch.setitem(sys.modules, "griffe", types.SimpleNamespace(Extension=object, Object=object))
    import site_docstrings

    monkeypatch.delitem(sys.modules, "site_docstrings")
    text = "tau: one.\n\na, b: two,\n    and more.\n*c: three\n\nThe\nend: it.\n\n"
    text += "```\n\nd: code\n```\n\ne: five\nSix."
    assert site_docstrings.as_markdown(text) == (
        "tau: one.\n\n- **`a`, `b`**: two,\n    and more.\n- **`*c`**: three\n\nThe\nend: it.\n\n"
        "```\n\nd: code\n```\n\n- **`e`**: five\n\nSix."
    )
