"""Dataset files are loaded by path, as the registry does: the folder is not a package."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "datasets"


@cache
def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tested_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def plugin() -> Callable[[str], ModuleType]:
    """plugin("cifar"): the module datasets/cifar.py."""
    return _load
