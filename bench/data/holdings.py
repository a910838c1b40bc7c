"""Which files of each dataset are present, and downloading missing ones.

A download goes into a temporary folder inside the data root. Missing files are moved into place when the
download is complete: an interrupted library would leave partial files that it later takes for complete.
"""

from __future__ import annotations

import os
import re
import shutil
import string
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.data.loading import Dataset, Request, Value
from bench.errors import BenchError, listed
from bench.files import abandoned, owner_mark

THERE, PARTLY, MISSING, NOTHING, PATH = "there", "partly there", "missing", "needs nothing", "needs a path"
NAMED = 8
"""The maximum number of files that a sentence names."""
STAGING = ".spikegrad-download-"


@dataclass(frozen=True)
class Holding:
    """The files of one dataset under a data root, with these parameters (all of them)."""

    dataset: Dataset
    root: Path
    params: Mapping[str, Value]

    @property
    def unset(self) -> list[str]:
        """Parameters that name files and have no value."""
        return [name for name in self._named if self.params[name] == ""]

    @property
    def paths(self) -> list[str]:
        """The declared files and folders, relative to the data root; none if a parameter is unset."""
        return [] if self.unset else [file.format_map(dict(self.params)) for file in self.dataset.files]

    @property
    def absent(self) -> bool:
        """Whether a declared file or folder does not exist; unlike `missing`, does not look into folders."""
        return bool(self.unset) or not all((self.root / name).exists() for name in self.paths)

    @cached_property
    def files(self) -> dict[str, int | None]:
        """The size in bytes of each declared file or folder, by its path in the data root; None if missing.

        A folder without files is missing. Raises BenchError if a path cannot be read.
        """
        return {name: self._bytes(name) for name in self.paths}

    @property
    def missing(self) -> list[str]:
        """Declared files that do not exist."""
        return [name for name, size in self.files.items() if size is None]

    @property
    def bytes(self) -> int:
        """The size on disk of all present files."""
        return sum(size or 0 for size in self.files.values())

    @property
    def state(self) -> str:
        """One of the five words above."""
        if self.unset:
            return PATH
        if not self.files:
            return NOTHING
        if not self.missing:
            return THERE
        return MISSING if len(self.missing) == len(self.files) else PARTLY

    @property
    def complete(self) -> bool:
        """Whether the dataset can be loaded."""
        return self.state in (THERE, NOTHING)

    def require(self) -> None:
        """Raises BenchError, with what to put where, if the dataset cannot be loaded."""
        if not self.complete:
            raise BenchError(f"dataset {self.dataset.name}: {self.lack()}; {self.remedy()}")

    def lack(self) -> str:
        """What is missing, as part of a sentence."""
        if self.unset:
            return f"it reads your own files and {' and '.join(self.unset)} is not set"
        if self._named:
            return f"{self.root / self.missing[0]} is not there or is empty"
        count = f"{len(self.missing)} of {len(self.files)}" if len(self.files) > 1 else "a file"
        return f"{count} missing from the data root {self.root} ({listed(self.missing, NAMED)})"

    def remedy(self) -> str:
        """What to do about it, as part of a sentence."""
        if self.unset:
            return f"give --set {self.unset[0]}=FOLDER ({self.dataset.get or 'see its file'})"
        if self._named:
            return f"{self._named[0]} is taken from the data root {self.root}, if it is not absolute"
        return f"to put them there yourself: {self.dataset.get}" if self.dataset.get else "put them there"

    def request(self, timesteps: int) -> Request:
        """The request for its loader."""
        return Request(self.root, timesteps, self.params)

    @property
    def _named(self) -> list[str]:
        """Parameters used in the names of files."""
        fields = [field for file in self.dataset.files for _, field, _, _ in string.Formatter().parse(file)]
        named = list(dict.fromkeys(field for field in fields if field is not None))
        if unknown := [name for name in named if name not in self.params]:
            raise BenchError(
                f"dataset {self.dataset.name}: its files name {{{unknown[0]}}}, which is no parameter of it"
            )
        return named

    def _bytes(self, name: str) -> int | None:
        path = self.root / name
        try:
            if not path.is_dir():
                return path.stat().st_size
            # A broken link has a size of its own; reporting it is up to the loader.
            sizes = [
                os.stat(file, follow_symlinks=os.path.exists(file)).st_size
                for folder, _, all_ in os.walk(path)
                for file in (os.path.join(folder, name) for name in all_)
            ]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or problem
            raise BenchError(f"dataset {self.dataset.name}: cannot look at {path} ({why})") from None
        return sum(sizes) if sizes else None


def holding(dataset: Dataset, root: Path, given: Mapping[str, Value] | None = None) -> Holding:
    """The files of a dataset. Raises BenchError for parameters that it does not have."""
    return Holding(dataset, root, dataset.settle(given or {}))


def fetch(found: Holding) -> Holding:
    """Download missing files with the dataset's own `download`; present files stay as they are.

    Raises BenchError if that fails, with instructions for doing it by hand; then nothing has changed.
    """
    name, download = found.dataset.name, found.dataset.download
    if download is None or found.unset:
        found.require()
        return found
    made = not found.root.exists()
    try:
        found.root.mkdir(parents=True, exist_ok=True)
        _sweep(found.root)
        staging = Path(tempfile.mkdtemp(dir=found.root, prefix=f"{STAGING}{owner_mark()}."))
    except OSError as problem:
        raise BenchError(
            f"dataset {name}: cannot write to the data root {found.root} ({problem.strerror or problem}); "
            "let --data-root or SPIKEGRAD_DATA name a folder that can be written"
        ) from None
    try:
        fresh = staging / "data"
        fresh.mkdir()
        _download(found, download, fresh)
        _check_whole(found, fresh)
        _merge(fresh, found.root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made and not any(found.root.iterdir()):
            found.root.rmdir()
    return Holding(found.dataset, found.root, found.params)


def parse(dataset: Dataset, settings: list[str]) -> dict[str, Value]:
    """The parameters in strings such as "pool=4", each converted to the type of its default.

    Raises BenchError if a string is malformed or sets a parameter twice; `Dataset.settle` checks the rest.
    """
    values: dict[str, Value] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BenchError(f"--set {text!r} sets nothing: write name=value, as in --set pool=4")
        if name in values:
            raise BenchError(f"--set gives {name} twice: {values[name]!r} and {value!r}")
        setting = dataset.params.get(name)
        values[name] = value
        if setting is not None and not isinstance(setting.default, str):
            try:
                values[name] = type(setting.default)(value)
            except ValueError:
                kind = "a whole number" if isinstance(setting.default, int) else "a number"
                raise BenchError(f"dataset {dataset.name}: {name} must be {kind}, got {value!r}") from None
    return values


def needs_package(error: BaseException | None) -> str | None:
    """What to install, as a clause, if an error is caused by a missing package."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    # The name on the package index can differ from the module's; only installed packages tell.
    return f"the Python package {error.name} is not installed: pip install {(error.name or '').split('.')[0]}"


def _download(found: Holding, download: Callable[[Path], None], into: Path) -> None:
    try:
        # Libraries print progress to stdout.
        with redirect_stdout(sys.stderr):
            download(into)
    except Exception as problem:
        package = needs_package(problem) or needs_package(problem.__cause__)
        # If a package is missing, the loader's own message is enough.
        if package and isinstance(problem, BenchError):
            raise
        raise _failed(found, package or _reason(problem)) from problem


def _check_whole(found: Holding, fresh: Path) -> None:
    lacking = set(Holding(found.dataset, fresh, found.params).missing) & set(found.missing)
    if lacking:
        raise _failed(found, f"it brought no {min(lacking)}")


def _failed(found: Holding, why: str) -> BenchError:
    return BenchError(
        f"dataset {found.dataset.name}: {found.lack()}, and the download failed ({why}); {found.remedy()}"
    )


def _reason(problem: Exception) -> str:
    text = re.sub(r"<urlopen error (.*?)>", r"\1", " ".join(str(problem).split()))
    text = re.sub(r"\[Errno -?\d+\] ", "", text)
    kind = "" if isinstance(problem, OSError | RuntimeError | BenchError) and text else type(problem).__name__
    return ": ".join(part for part in (kind, text) if part)


def _merge(fresh: Path, place: Path) -> None:
    """Move everything into place, whole folders at once; existing files stay."""
    for source in sorted(fresh.iterdir()):
        target = place / source.name
        if not os.path.lexists(target):
            source.rename(target)
        elif source.is_dir() and target.is_dir():
            _merge(source, target)


def _sweep(root: Path) -> None:
    """Remove the remains of killed downloads."""
    for left in root.glob(f"{STAGING}*"):
        with suppress(OSError):
            if abandoned(left, left.name.removeprefix(STAGING).partition(".")[0]):
                shutil.rmtree(left, ignore_errors=True)
