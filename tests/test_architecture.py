"""Imports among the packages go one way, and what reads results needs no torch: docs/architecture.md."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).resolve().parents[1]
ORDER = """
bench.errors bench.files bench.paths bench.randomness bench.shapes
bench.suite
bench.variants
bench.surrogate bench.primitives
bench.data
bench.model
bench.records
bench.registry
bench.loop
bench.measures
bench.runner
bench.show
bench.tables
bench.report
bench.check
bench.api
bench.cli
"""
"""From the ground up: a package may import from the lines above its own."""
LEVELS = {name: level for level, line in enumerate(ORDER.strip().splitlines()) for name in line.split()}
WITHOUT_TORCH = ("bench.records", "bench.tables", "bench.show", "bench.report", "bench.api", "bench.cli.app")


def modules():
    for file in sorted((ROOT / "bench").rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, file


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bench":
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "bench")


def unit(name):
    """The package or top-level module that a dotted name belongs to."""
    return ".".join(name.split(".")[:2])


def test_every_module_has_its_place():
    units = {unit(name) for name, _ in modules()} - {"bench", "bench.__main__"}
    assert units == LEVELS.keys()
    top = [*(ROOT / "bench").glob("*.py")]
    assert len(top) <= 14, [file.name for file in top]
    packages = {file.parent for file in (ROOT / "bench").glob("*/*.py")}
    assert len(packages) <= 10, packages


def test_no_module_hides_a_function_of_bench():
    """Importing a submodule sets its name in the package: `bench.run` would be a module from then on."""
    assert not {f"bench.{name}" for name in bench.__all__} & {name for name, _ in modules()}


@pytest.mark.parametrize("package", sorted(LEVELS))
def test_imports_go_one_way(package):
    wrong = [
        f"{name} imports {target}"
        for name, file in modules()
        if unit(name) == package
        for target in imported(file)
        if unit(target) != package and LEVELS.get(unit(target), -1) >= LEVELS[package]
    ]
    assert wrong == []


def test_what_reads_results_needs_no_torch():
    names = [name for name, _ in modules() if name.startswith(WITHOUT_TORCH)]
    assert len(names) > 50
    code = f"import importlib, sys\nfor name in {names!r}:\n    importlib.import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, name"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_shows_the_packages_as_they_are():
    script = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    assert script["section"]() in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), (
        "python docs/architecture.py"
    )


def test_the_page_names_what_there_is():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    known = {name for name, _ in modules()}
    for name in set(re.findall(r"`(bench(?:\.[a-z_]+)+)`", text)):
        assert name in known or name.rpartition(".")[0] in known, name
    for file in set(re.findall(r"`(bench/[a-z_/]+\.py)`", text)):
        assert (ROOT / file).is_file(), file
