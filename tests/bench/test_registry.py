"""Plugins: found, named with their error when broken, and told apart."""

import ast
import importlib.metadata
import subprocess
import sys
from inspect import getmembers, isfunction
from pathlib import Path
from types import ModuleType

import pytest

import bench
from bench import registry
from bench.errors import BenchError

PACKAGE = Path(bench.__file__).parent
FUNCTION = """
@method("bump", paper="none", width=Param(1.0))
def bump(x, width):
    "h(x) = 1."
    return x * 0 + width
"""
CLASS = """
@method("bump-class", paper="none")
class Bump(Surrogate):
    "h(x) = 1."
    shape = staticmethod(lambda x: x * 0 + 1)
"""
DATASET = """
from bench.data import dataset
@dataset("blobs", shape=(1, 2, 2), classes=2, licence="none", source="none")
def blobs(request): ...
"""
BACKBONE = """
from bench.model.backbone import backbone
@backbone("line")
def line(layers, shape, classes, width):
    "A line."
"""


def test_shipped_plugins_are_found_and_all_import():
    found = registry.load()
    assert {"mpd-agl", "rectangle", "snntorch/atan", "norse/superspike", "ann-relu"} <= found.methods.keys()
    assert {"digits", "digits-events", "cifar10"} <= found.datasets.keys()
    assert {"mlp", "convnet"} <= found.backbones.keys()
    assert found.broken == []
    assert not any(entry.given for entry in found.methods.values())
    assert all(entry.shipped for entry in found.methods.values())


def test_one_file_may_declare_functions_classes_datasets_and_backbones(write_plugin):
    file = write_plugin(FUNCTION + CLASS + DATASET + BACKBONE)
    found = registry.load((file,))
    for entry in (
        found.method("bump"),
        found.method("bump-class"),
        found.dataset("blobs"),
        found.backbone("line"),
    ):
        assert entry.file == file
        assert entry.given
        assert len(entry.digest) == 16
        assert not entry.shipped


def test_a_folder_of_plugins_leaves_out_files_with_an_underscore(write_plugin):
    folder = write_plugin(FUNCTION, "folder/a.py").parent
    write_plugin("raise AssertionError('must not be imported')", "folder/_helper.py")
    found = registry.load((folder,))
    assert "bump" in found.methods
    assert found.broken == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def broken(:", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys; sys.exit('enough')", "SystemExit: enough"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_a_broken_plugin_is_named_with_its_error_and_stops_nothing_else(write_plugin, text, error):
    broken = write_plugin(text, "broken.py")
    good = write_plugin(FUNCTION, "good.py")
    found = registry.load((broken, good))
    assert "bump" in found.methods
    assert [b.source for b in found.broken] == [str(broken)]
    assert found.broken[0].error.startswith(error)
    assert "\n" not in found.broken[0].error
    with pytest.raises(BenchError, match=r"not imported: .*broken\.py"):
        found.method("of-the-broken-file")


def test_two_methods_of_one_name_are_an_error_that_names_both_files(write_plugin):
    first, second = write_plugin(FUNCTION, "one.py"), write_plugin(FUNCTION, "two.py")
    with pytest.raises(BenchError, match="two methods are named 'bump'") as caught:
        registry.load((first, second))
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_a_name_that_is_shipped_cannot_be_taken(write_plugin):
    with pytest.raises(BenchError, match=r"named 'rectangle'.*rectangle\.py.*plugin\.py"):
        registry.load((write_plugin(FUNCTION.replace('"bump"', '"rectangle"')),))


def test_the_same_file_given_twice_is_one_plugin(write_plugin, monkeypatch):
    file = write_plugin(FUNCTION)
    monkeypatch.chdir(file.parent)
    assert "bump" in registry.load((file, file.parent, Path(file.name))).methods


def test_an_edited_file_is_imported_anew_and_an_unchanged_one_is_not(write_plugin):
    file = write_plugin(FUNCTION)
    before = registry.load((file,))
    assert registry.load((file,)) is before
    write_plugin(FUNCTION.replace("1.0", "2.25"))
    after = registry.load((file,))
    assert after.method("bump").item.params["width"].default == 2.25
    assert after.method("bump").digest != before.method("bump").digest


def test_a_shipped_file_may_be_given(monkeypatch):
    monkeypatch.chdir(PACKAGE.parent)
    assert registry.load((Path("methods/mpd_agl.py"),)).method("mpd-agl").given


def test_an_imported_declaration_is_not_declared_twice(write_plugin, monkeypatch, tmp_path):
    write_plugin(FUNCTION, "bump_module.py")
    monkeypatch.syspath_prepend(tmp_path)
    file = write_plugin("from bump_module import bump" + CLASS, "importer.py")
    found = registry.load((file,))
    assert "bump" not in found.methods
    assert "bump-class" in found.methods


def test_a_subclass_does_not_inherit_its_parents_declaration(write_plugin):
    file = write_plugin(CLASS + "class Child(Bump): ...\nOther = Bump\n")
    assert "bump-class" in registry.load((file,)).methods


def test_a_missing_plugin_path_is_an_error(tmp_path):
    with pytest.raises(BenchError, match=r"nowhere\.py does not exist"):
        registry.load((tmp_path / "nowhere.py",))


def test_what_a_plugin_prints_at_import_is_kept_off_stdout(write_plugin, capsys):
    registry.load((write_plugin("print('hello')"),))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "name"), [("method", "rectangel"), ("dataset", "digit"), ("backbone", "mpl")]
)
def test_an_unknown_name_suggests_the_closest(kind, name):
    with pytest.raises(BenchError, match=f"unknown {kind} '{name}': did you mean"):
        getattr(registry.load(), kind)(name)


def test_an_unknown_name_like_no_other_says_where_to_look():
    with pytest.raises(
        BenchError, match=r"unknown method 'qqq': `spikegrad list methods` shows all .* --plugin"
    ):
        registry.load().method("qqq")


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.part"])
def test_a_method_that_requires_a_missing_package_says_so_when_it_is_used(write_plugin, package):
    text = FUNCTION.replace('paper="none"', f'paper="none", requires=["{package}"]')
    found = registry.load((write_plugin(text),))
    with pytest.raises(BenchError, match=f"method bump needs the package {package}"):
        found.method("bump")


@pytest.fixture
def entry_points(monkeypatch, tmp_path):
    """Install the module `fake_package`, with entry points given as (group suffix, value)."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fake_package", raising=False)

    def install(*points):
        every = [importlib.metadata.EntryPoint("x", v, f"spikegrad_bench.{g}") for g, v in points]
        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda group: [p for p in every if p.group == group]
        )
        registry._load.cache_clear()

    yield install
    sys.modules.pop("fake_package", None)
    registry._load.cache_clear()


def test_entry_points_of_installed_packages(write_plugin, entry_points):
    file = write_plugin(FUNCTION + CLASS + DATASET + BACKBONE, "fake_package.py")
    entry_points(
        ("methods", "fake_package:bump"),
        ("datasets", "fake_package:blobs"),
        ("backbones", "fake_package:line"),
    )
    found = registry.load()
    assert found.method("bump").file == file
    assert not found.method("bump").given
    assert found.dataset("blobs")
    assert found.backbone("line")
    assert "bump-class" not in found.methods


def test_an_entry_point_may_name_a_module_and_more_than_one_group_may(write_plugin, entry_points):
    write_plugin(FUNCTION + CLASS + DATASET, "fake_package.py")
    entry_points(("methods", "fake_package"), ("datasets", "fake_package"), ("methods", "fake_package:bump"))
    found = registry.load()
    assert {"bump", "bump-class"} <= found.methods.keys()
    assert "blobs" in found.datasets


@pytest.mark.parametrize("value", ["no_such_module", "fake_package:nothing", "fake_package:number"])
def test_a_broken_entry_point_is_named_and_stops_nothing_else(write_plugin, entry_points, value):
    write_plugin(FUNCTION + "number = 5", "fake_package.py")
    entry_points(("methods", value), ("methods", "fake_package:bump"))
    found = registry.load()
    assert "bump" in found.methods
    assert [b.source for b in found.broken] == [f"entry point x = {value}"]


def test_the_harness_imports_nothing_from_the_plugin_folders():
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "." * node.level]
            else:
                continue
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"methods", "datasets"}, f"{file}: {names}"


def test_what_needs_no_torch_imports_none():
    modules = (
        "bench, bench.cli.app, bench.tables.results, bench.tables.diff, bench.suite, bench.records.store"
    )
    code = f"import sys, {modules}, bench.runner.environment; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout == "False\n", done.stderr


def test_help_imports_neither_torch_nor_pandas():
    code = "import atexit, sys\n"
    code += "atexit.register(lambda: print({'torch', 'pandas'} & set(sys.modules)))\n"
    code += "sys.argv = ['spikegrad', '--help']\nfrom bench.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.stdout.endswith("set()\n"), done.stdout + done.stderr


def test_a_plugin_module_is_forgotten_when_its_import_fails(write_plugin):
    registry.load((write_plugin("raise ValueError", "half.py"),))
    assert not [name for name in sys.modules if name.startswith("spikegrad_plugin_half")]
    assert all(isinstance(m, ModuleType) for n, m in sys.modules.items() if n.startswith("spikegrad_plugin"))


def test_a_plugin_that_declares_nothing_is_named(write_plugin):
    empty = write_plugin("def bump(x):\n    return x", "empty.py")
    (broken,) = registry.load((empty,)).broken
    assert (broken.source, "declares nothing" in broken.error) == (str(empty), True)


def assert_modules_are_known_by_name(methods):
    """The compiler looks a function's module up by its name, and must find the function's own globals."""
    for entry in methods:
        target = entry.item.target
        functions = [target] if isfunction(target) else [f for _, f in getmembers(target, isfunction)]
        assert functions, entry.item.name
        for function in functions:
            assert vars(sys.modules[function.__module__]) is function.__globals__, entry.item.name


def test_the_modules_of_methods_are_known_by_name(write_plugin):
    shipped = registry.load()
    file = write_plugin(FUNCTION + CLASS)
    first = registry.load((file,))
    write_plugin(FUNCTION.replace("1.0", "2.25") + CLASS)
    second = registry.load((file,))
    assert first.methods["bump"].item is not second.methods["bump"].item
    # What was loaded first is still in use.
    for found in (shipped, first, second):
        assert_modules_are_known_by_name(found.methods.values())
