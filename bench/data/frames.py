"""Samples created once from files and cached on disk: binned events, decoded images.

    <cache>/<dataset>/<key>/meta.json, train.npy, train.labels.npy, ...

The key is a hash of everything that the frames depend on: the contents of the source files, the settings, and
the code that reads them. A folder gets its name by one rename when it is complete, so no process sees a
partial one. A lock lets one process create frames while others wait for them. Samples are memory-mapped:
processes on one machine share them, and only the parts in use are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.files import abandoned, owner_mark, umask, write_atomic
from bench.paths import PACKAGE

if TYPE_CHECKING:
    from bench.data.loading import Request

FORMAT = 2
DTYPES = {"uint8": torch.uint8, "int16": torch.int16, "float32": torch.float32}
MADE_WITH = ("data/events", "data/frames", "data/spike_hdf5", "randomness")
"""Modules of the harness that determine the frames, in addition to the dataset's own."""
TOLD = 10**9
"""Size in bytes from which it is announced beforehand."""
SPARE = 64 * 2**20
"""Bytes that must stay free on the disk."""

Item = TypeVar("Item")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """One split to create. read(i): the frames of sample i; labels: one per sample.

    extra: further arrays with one entry per sample, stored with the frames.
    """

    count: int
    read: Callable[[int], Array]
    labels: Sequence[int] | Array
    extra: Mapping[str, Array] = field(default_factory=dict)


class Stored:
    """Samples in a file, [N, ...], read on access.

    checksum: covers all bytes of the file, and which of its rows these are.
    """

    def __init__(self, file: Path, digest: str, rows: Tensor | None = None) -> None:
        self.file = file
        self.digest = digest
        self._rows = rows
        mapped = _mapped(file)
        self.dtype = mapped.dtype
        self.shape = torch.Size([len(mapped) if rows is None else len(rows), *mapped.shape[1:]])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """A copy of the given rows."""
        return _mapped(self.file)[rows if self._rows is None else self._rows[rows]]

    def take(self, rows: Tensor) -> Stored:
        """The given rows, still on disk."""
        return Stored(self.file, self.digest, rows if self._rows is None else self._rows[rows])

    @property
    def nbytes(self) -> int:
        """The size of all rows in memory."""
        return self.shape.numel() * self.dtype.itemsize

    @property
    def checksum(self) -> str:
        """A hash that identifies these samples."""
        rows = b"" if self._rows is None else self._rows.numpy().tobytes()
        return hashlib.sha256(self.digest.encode() + rows).hexdigest()

    def intact(self) -> bool:
        """Whether the file still has the bytes that were written; reads all of it."""
        return _digest(self.file) == self.digest


@dataclass(frozen=True)
class Kept:
    """One split as stored: x [N, ...], labels y [N] (int64), and the extra arrays."""

    x: Stored
    y: Tensor
    extra: dict[str, Array]


def frames(
    request: Request,
    name: str,
    settings: Mapping[str, Any],
    sources: Sequence[Path],
    shape: Sequence[int],
    dtype: str,
    parts: Callable[[], Mapping[str, Part]],
) -> dict[str, Kept]:
    """The frames of a dataset, from the cache or created now and cached.

    settings: everything that they depend on in addition to the source files.
    shape: that of one sample, time included.
    parts: called only if the frames must be created.

    Raises BenchError if a sample does not fit shape or dtype, or the cache cannot be written. Exceptions from
    `parts` and `Part.read` are not caught.
    """
    root = cache_folder(request.root) if request.cache is None else request.cache
    try:
        key = _key(name, settings, _contents(root, request.root, sources), [*shape, dtype], parts)
        folder = root / name / key
        found = _open(folder)
        if found is None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _in_turn(folder.with_suffix(".lock")):
                # Another process may have created them while this one waited.
                found = _open(folder, told=True)
                if found is None:
                    _make(folder, name, settings, tuple(shape), dtype, parts())
                    found = _open(folder)
    except OSError as problem:
        why = problem.strerror or problem
        raise BenchError(
            f"dataset {name}: cannot keep its frames in {root} ({why}); let SPIKEGRAD_CACHE name a folder "
            "that can be written"
        ) from problem
    assert found is not None
    return found


def cache_folder(root: Path) -> Path:
    """SPIKEGRAD_CACHE, otherwise spikegrad-frames in the data root, otherwise in the user's cache.

    The last applies if the data root is not writable, for example if it is shared.
    """
    given = os.environ.get("SPIKEGRAD_CACHE")
    if given:
        return Path(given)
    beside = root / "spikegrad-frames"
    if os.access(beside if beside.is_dir() else root, os.W_OK):
        return beside
    # This is also in the default data root, which need not exist yet.
    return Path.home() / ".cache" / "spikegrad" / "spikegrad-frames"


def track(items: Sequence[Item], what: str) -> Iterator[Item]:
    """Iterate over items, with a progress bar on a terminal and one line elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        if items:
            print(f"{what}: {len(items)} to go", file=sys.stderr, flush=True)
        yield from items
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=len(items))
        for item in items:
            yield item
            bar.advance(task)


@cache
def _mapped(file: Path) -> Tensor:
    # Mode "c" is copy-on-write; torch requires writable memory.
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def _key(
    name: str, settings: Mapping[str, Any], contents: str, form: list[Any], parts: Callable[..., Any]
) -> str:
    # Frames depend on the code that creates them.
    used = [PACKAGE / f"{each}.py" for each in MADE_WITH]
    code = [_digest(file) for file in (Path(inspect.getfile(parts)), *used)]
    text = json.dumps([FORMAT, name, dict(settings), contents, form, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _contents(cache_root: Path, root: Path, sources: Sequence[Path]) -> str:
    """A digest of the files' names and contents, cached as long as size and time do not change."""
    with _reading():
        facts = [(str(file), (s := file.stat()).st_size, s.st_mtime_ns) for file in sources]
    memo = cache_root / "sources" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = memo.read_text()
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    digest = hashlib.sha256()
    for file in track(sources, "reading checksums"):
        name = os.path.relpath(file, root)
        with _reading():
            digest.update(f"{name}\0{_digest(file)}\n".encode())
    write_atomic(memo, digest.hexdigest().encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Names an unreadable source file in the error, to distinguish it from cache errors."""
    try:
        yield
    except OSError as problem:
        raise BenchError(
            f"{problem.filename} cannot be read ({problem.strerror}); fetch it again"
        ) from problem


@contextlib.contextmanager
def _in_turn(lock: Path) -> Iterator[None]:
    """Wait for a process that makes the same; where locks do not work, as on some NFS, both make it."""
    held = filelock.FileLock(lock)
    with contextlib.suppress(OSError):
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _open(folder: Path, *, told: bool = False) -> dict[str, Kept] | None:
    """The frames in a folder; None if there are none, or they have changed since they were written.

    Labels and extra arrays are read and compared completely; the frames themselves only if their file's size
    or time has changed. told: do not report damage again.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text())
        for name, digest in meta["digests"].items():
            same = name in meta["seen"] and _seen(folder / name) == meta["seen"][name]
            if not same and _digest(folder / name) != digest:
                raise ValueError(f"{name} is not as it was written")
        found = {}
        for name in meta["extra"]:
            x = Stored(folder / f"{name}.npy", meta["digests"][f"{name}.npy"])
            if [list(x.shape[1:]), str(x.dtype)] != meta["form"]:
                raise ValueError("frames have another shape or type")
            extra = {e: np.load(folder / f"{name}.{e}.npy") for e in meta["extra"][name]}
            labels = torch.from_numpy(np.load(folder / f"{name}.labels.npy"))
            found[name] = Kept(x, labels, extra)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        if not told:
            print(f"{folder} is damaged ({problem}); its frames are regenerated", file=sys.stderr, flush=True)
        return None
    return found


def _seen(file: Path) -> list[int]:
    facts = file.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _make(
    folder: Path,
    name: str,
    settings: Mapping[str, Any],
    shape: tuple[int, ...],
    dtype: str,
    parts: Mapping[str, Part],
) -> None:
    _check_room(folder.parent, name, shape, dtype, sum(part.count for part in parts.values()))
    for left in folder.parent.glob(f".{folder.name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if abandoned(left, left.name.removeprefix(f".{folder.name}.").partition(".")[0]):
                shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.{owner_mark()}."))
    try:
        digests = {}
        for each, part in parts.items():
            where = f"dataset {name}, {each} split"
            digests[f"{each}.npy"] = _write_frames(fresh / f"{each}.npy", where, part, shape, dtype)
            np.save(fresh / f"{each}.labels.npy", np.asarray(part.labels, dtype=np.int64))
            for key, values in part.extra.items():
                np.save(fresh / f"{each}.{key}.npy", values, allow_pickle=False)
        meta = {
            "dataset": name,
            "settings": dict(settings),
            "form": [list(shape), str(DTYPES[dtype])],
            "extra": {each: list(part.extra) for each, part in parts.items()},
            "digests": {f.name: digests.get(f.name) or _digest(f) for f in sorted(fresh.iterdir())},
            "seen": {name: _seen(fresh / name) for name in digests},
        }
        (fresh / "meta.json").write_text(json.dumps(meta, indent=1))
        # mkdtemp creates private folders.
        fresh.chmod(0o777 & ~umask())
        _settle(fresh, folder)
        # Damaged files of the same names may still be mapped.
        _mapped.cache_clear()
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _write_frames(file: Path, where: str, part: Part, shape: tuple[int, ...], dtype: str) -> str:
    """Write the frames one by one, with plain writes.

    On a full disk, writing to a memory-mapped file kills the process.
    """
    digest = hashlib.sha256()
    with file.open("wb") as out:

        def write(content: bytes) -> None:
            out.write(content)
            digest.update(content)

        write(_header((part.count, *shape), np.dtype(dtype)))
        for i in track(range(part.count), f"{where}: making frames"):
            sample = part.read(i)
            if sample.shape != shape:
                raise BenchError(
                    f"{where}, sample {i}: its frames have shape {sample.shape}, expected {shape}"
                )
            kept = sample.astype(dtype)
            if dtype != "float32" and not np.array_equal(kept, sample):
                raise BenchError(
                    f"{where}, sample {i}: values from {sample.min()} to {sample.max()} do not fit {dtype}; "
                    "use more time steps, or pool less"
                )
            write(kept.tobytes())
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()


def _check_room(folder: Path, name: str, shape: tuple[int, ...], dtype: str, count: int) -> None:
    needed = count * int(np.prod(shape)) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise BenchError(
            f"dataset {name}: its frames take {needed / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB "
            "free; let SPIKEGRAD_CACHE name a folder with more room"
        )
    if needed >= TOLD:
        print(f"dataset {name}: its frames take {needed / 1e6:,.0f} MB in {folder}", file=sys.stderr)


def _settle(fresh: Path, folder: Path) -> None:
    """Rename the finished folder; if another process without the lock was faster, keep its frames."""
    if folder.is_dir() and _open(folder, told=True) is None:
        shutil.rmtree(folder)
    elif folder.is_file():
        folder.unlink()
    try:
        fresh.rename(folder)
    except OSError:
        if _open(folder, told=True) is None:
            raise
        shutil.rmtree(fresh)
