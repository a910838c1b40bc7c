"""Finds methods, datasets and backbones by name.

Searched in this order: the folders methods/ and datasets/ of the checkout (or their location in the wheel)
and bench/model/backbones/; files and folders given by --plugin; entry points of installed packages. Files are
loaded by path, never by package name: a top-level package `datasets` would collide with a well-known library.

An import of a plugin leaves the process as it was: what it sets globally is put back. Third-party plugins
are imported in a process of their own first (`bench.runner.vetting`), and are refused here if that ends it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import random
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from bench.data.loading import Dataset
from bench.errors import BenchError, warn
from bench.model.backbone import Backbone
from bench.paths import plugin_folder
from bench.records import code_identity, protocol
from bench.records.code_identity import Code
from bench.surrogate import Method

Declared = TypeVar("Declared", Method, Dataset, Backbone)

ENTRY_POINT_GROUPS = ("spikegrad_bench.methods", "spikegrad_bench.datasets", "spikegrad_bench.backbones")


@dataclass(frozen=True)
class Entry(Generic[Declared]):
    """A declared item, and the file that contains it.

    code: that file, and the neighbouring files that it imports.
    names: the top-level names in that file that refer to the item.
    given: whether it came from --plugin.
    shipped: whether it is part of this project.
    """

    item: Declared
    file: Path
    code: Code | None = None
    names: tuple[str, ...] = ()
    given: bool = False
    shipped: bool = False

    @cached_property
    def identity(self) -> str:
        """The identity of its code, see `bench.records.code_identity`; "" if it is not in a file."""
        return self.code.identity(self.names) if self.code else ""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the libraries that a method requires, by name."""
        return protocol.releases(self.item.requires) if isinstance(self.item, Method) else {}

    @property
    def digest(self) -> str:
        """What its results depend on: its code, and the libraries that it calls."""
        return " ".join([self.identity, *(f"{name} {v}" for name, v in self.versions.items())])


@dataclass(frozen=True)
class Broken:
    """A plugin that failed to import, with the reason in one line; given: it came from --plugin."""

    source: str
    error: str
    given: bool = False


@dataclass
class Registry:
    """Everything found, by name, and the plugins that failed to import."""

    methods: dict[str, Entry[Method]] = field(default_factory=dict)
    datasets: dict[str, Entry[Dataset]] = field(default_factory=dict)
    backbones: dict[str, Entry[Backbone]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    # A plan looks up a method once per cell, and searching for its packages is slow.
    _usable: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def method(self, name: str) -> Entry[Method]:
        """The method `name`. Raises BenchError if it is unknown, or a required package is not installed."""
        entry = _lookup("method", self.methods, name, self.broken)
        if name not in self._usable:
            missing = missing_packages(entry.item)
            if missing:
                raise BenchError(
                    f"method {name} needs the package {missing[0]}, which is not installed: "
                    f"pip install {missing[0]}"
                )
            self._usable.add(name)
        return entry

    def dataset(self, name: str) -> Entry[Dataset]:
        """The dataset `name`. Raises BenchError if it is unknown."""
        return _lookup("dataset", self.datasets, name, self.broken)

    def backbone(self, name: str) -> Entry[Backbone]:
        """The backbone `name`. Raises BenchError if it is unknown."""
        return _lookup("backbone", self.backbones, name, self.broken)


def missing_packages(method: Method) -> list[str]:
    """The packages that the method requires and that are not installed."""
    return [name for name in method.requires if not _installed(name)]


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # for a submodule whose parent is missing
        return False


Origin = tuple[str, str]
"""A third-party plugin: its file and the digest of its code, or an entry point and its value."""
_refused: dict[Origin, str] = {}


def refuse(origins: Mapping[Origin, str]) -> None:
    """From now on, do not import these in this process: they are broken, for the given reason."""
    if origins.keys() - _refused.keys():
        _load.cache_clear()
    _refused.update(origins)


def refused() -> dict[Origin, str]:
    """What `refuse` was told."""
    return dict(_refused)


def foreign(plugins: Iterable[Path] = ()) -> list[Origin]:
    """The plugins that `load` would import and that are not part of this project."""
    codes = (code_identity.read(file) for file in _files(plugins) if file not in {*_shipped()})
    return [*((str(code.file), code.digest) for code in codes), *((_named(p), p.value) for p in _points())]


def try_import(origin: Origin) -> None:
    """Import one third-party plugin; errors are for `load` to report."""
    source, value = origin
    with redirect_stdout(sys.stderr), suppress(Exception, SystemExit):
        for point in (point for point in _points() if (_named(point), point.value) == origin):
            point.load()
            return
        _import(Path(source), value)


def load(plugins: tuple[Path, ...] = ()) -> Registry:
    """The registry, with these plugin files and folders in addition to the standard places.

    Files that have changed since the last call are imported again. Raises BenchError if a plugin path does
    not exist, or two items have the same name.
    """
    shipped = _shipped()
    given = _files(plugins)
    files = dict.fromkeys([*shipped, *given])
    return _load(tuple((code_identity.read(file), file in given, file in shipped) for file in files))


def _shipped() -> list[Path]:
    backbones = Path(__file__).parent / "model" / "backbones"
    return _files([plugin_folder("methods"), plugin_folder("datasets"), backbones])


def _points() -> list[importlib.metadata.EntryPoint]:
    return [p for group in ENTRY_POINT_GROUPS for p in importlib.metadata.entry_points(group=group)]


def _named(point: importlib.metadata.EntryPoint) -> str:
    return f"entry point {point.name} = {point.value}"


@cache
def _load(files: tuple[tuple[Code, bool, bool], ...]) -> Registry:
    registry = Registry()
    # Stdout is for results: redirect what plugins print during import to stderr.
    with redirect_stdout(sys.stderr):
        for code, given, shipped in files:
            _add_file(registry, code, given, shipped)
        for point in _points():
            _add_entry_point(registry, point)
    return registry


def _lookup(kind: str, table: dict[str, Entry[Any]], name: str, broken: list[Broken]) -> Entry[Any]:
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name.lower(), table, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"`spikegrad list {kind}s` shows all {len(table)}"
    hint += "" if close else "; for one of your own, give its file with --plugin (in Python, plugins=[FILE])"
    lost = f" (not imported: {', '.join(b.source for b in broken)})" if broken else ""
    raise BenchError(f"unknown {kind} {name!r}: {hint}{lost}")


def _files(places: Iterable[Path]) -> list[Path]:
    """Absolute paths without duplicates, also if a file is given in two ways."""
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            files += sorted(p.resolve() for p in place.glob("*.py") if not p.name.startswith("_"))
        elif place.is_file():
            files.append(place.resolve())
        else:
            raise BenchError(f"plugin {place} does not exist: give a Python file or a folder of them")
    return files


def _add_file(registry: Registry, code: Code, given: bool, shipped: bool) -> None:
    if why := _refused.get((str(code.file), code.digest)):
        registry.broken.append(Broken(str(code.file), why, given))
        return
    try:
        with _process_kept(str(code.file)):
            module = _import(code.file, code.digest)
    except (Exception, SystemExit) as error:
        registry.broken.append(Broken(str(code.file), _in_one_line(error), given))
        return
    found = _declarations(module)
    if given and not found:
        registry.broken.append(
            Broken(str(code.file), "it declares nothing: decorate a function or class with @method", given)
        )
    _add(registry, found, code, given, shipped)


def _add_entry_point(registry: Registry, point: importlib.metadata.EntryPoint) -> None:
    if why := _refused.get((_named(point), point.value)):
        registry.broken.append(Broken(_named(point), why))
        return
    try:
        with _process_kept(_named(point)):
            loaded = point.load()
        code = code_identity.read(Path(inspect.getfile(loaded)))
    except (Exception, SystemExit) as error:
        registry.broken.append(Broken(_named(point), _in_one_line(error)))
        return
    if isinstance(loaded, ModuleType):
        found = _declarations(loaded)
    else:
        around = vars(sys.modules.get(loaded.__module__, loaded))
        names = tuple(name for name, there in around.items() if there is loaded)
        found = [(item, names) for item in vars(loaded).get("declared", ())]
    _add(registry, found, code, given=False, shipped=False)


def _other(device: torch.device) -> torch.device | None:
    return None if device.type == "cpu" else device


@contextmanager
def _process_kept(source: str) -> Iterator[None]:
    """Put back what an import changes for the whole process, with a warning if it changes numbers.

    Otherwise every other method would train under settings that its record does not name.
    """
    folder, variables = os.open(".", os.O_RDONLY), dict(os.environ)
    drawn = torch.get_rng_state(), random.getstate(), np.random.get_state()
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(folder)
        os.close(folder)
        if os.environ != variables:
            os.environ.clear()
            os.environ.update(variables)
        torch.set_rng_state(drawn[0])
        random.setstate(drawn[1])
        np.random.set_state(drawn[2])
        changed = [name for name, (read, _) in SETTINGS.items() if read() != before[name]]
        for name in changed:
            SETTINGS[name][1](before[name])
        if changed:
            warn(f"plugin {source} changes torch's {' and '.join(changed)} when imported: put back")


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    # None, since torch functions take longer with a device set, even the usual one.
    "default device": (lambda: _other(torch.get_default_device()), torch.set_default_device),
    "grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly mode": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "threads": (torch.get_num_threads, torch.set_num_threads),
}
"""How to read and set what decides the numbers of every training in this process."""


@cache
def _import(file: Path, digest: str) -> ModuleType:
    """The module of a plugin file in its current state; each content is imported once, with a unique name.

    torch's compiler looks up a function's module by name. So no other module can have that name: neither
    another file with the same name nor the same file after a change, while the first is still in use.
    """
    known = hashlib.sha256(f"{file.resolve()} {digest}".encode()).hexdigest()[:8]
    name = f"spikegrad_plugin_{file.stem}_{known}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BenchError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _declarations(module: ModuleType) -> list[tuple[Any, tuple[str, ...]]]:
    """What a module declares, each with the module's names for the declaring object."""
    names: dict[int, list[str]] = {}
    declaring: dict[int, Any] = {}
    for name, there in vars(module).items():
        # Imported objects are declared in the module that defines them, not here.
        if getattr(there, "__module__", None) == module.__name__ and hasattr(there, "__dict__"):
            names.setdefault(id(there), []).append(name)
            declaring[id(there)] = there
    return [
        (item, tuple(names[key]))
        for key, there in declaring.items()
        for item in vars(there).get("declared", ())
    ]


def _add(
    registry: Registry,
    found: Sequence[tuple[Any, tuple[str, ...]]],
    code: Code,
    given: bool,
    shipped: bool,
) -> None:
    tables: dict[type, tuple[str, dict[str, Entry[Any]]]] = {
        Method: ("method", registry.methods),
        Dataset: ("dataset", registry.datasets),
        Backbone: ("backbone", registry.backbones),
    }
    for item, names in found:
        kind, table = tables[type(item)]
        known = table.get(item.name)
        if known is not None and known.item is item:
            # Several entry points can lead to one module.
            continue
        if known is not None:
            raise BenchError(
                f"two {kind}s are named {item.name!r}: one in {known.file}, one in {code.file}; rename one"
            )
        table[item.name] = Entry(item, code.file, code, names, given, shipped)


def _in_one_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    # A syntax error already includes its location.
    place = "" if isinstance(error, SyntaxError | BenchError) else where
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
