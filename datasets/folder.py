"""A user's own data: a folder of pictures, arrays in .npz, or spike recordings in SHD's HDF5 layout."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from bench.data import spike_hdf5
from bench.data.frames import Kept, Part, frames, track
from bench.data.loading import Request, Setting, Split, Splits, dataset, with_ids
from bench.errors import BenchError

Array = npt.NDArray[Any]
Read = TypeVar("Read")
SPLITS = ("train", "val", "test")
VAL_FRACTION = 0.2
CHANNELS = {"L": 1, "RGB": 3}
DTYPES = ("uint8", "int16", "float32")
PATH = Setting("", help="the folder, from the data root on")
UNITS = Setting(700, low=1, high=65536, help="input units of HDF5 files")
PICTURES = {
    "path": PATH,
    "side": Setting(0, low=0, high=4096, help="resize pictures to so many pixels a side; 0: as they are"),
}
EVENTS = {"path": PATH, "units": UNITS, **spike_hdf5.PARAMS}


class Source(NamedTuple):
    """A folder's contents before they are read.

    files: all that they are made from. shape: of one sample, time included. parts: see
    `bench.data.frames.frames`.
    """

    files: list[Path]
    shape: tuple[int, ...]
    dtype: str
    parts: Callable[[], Mapping[str, Part]]


def verify_folder(request: Request) -> list[str]:
    """What is in a folder of static samples; raises BenchError at the first fault."""
    return _read_all(_still(request, _still_files(request)))


def verify_folder_events(request: Request) -> list[str]:
    """What is in a folder of events; raises BenchError at the first fault."""
    files = _event_files(request)
    if files["train"].suffix == ".h5":
        return spike_hdf5.verify("folder-events", files, int(request.params["units"]), None)
    return _read_all(_moving(request, files))


@dataset(
    "folder",
    shape=None,
    classes=None,
    licence="the user's",
    source="the user's own files",
    val_fraction=VAL_FRACTION,
    params=PICTURES,
    files=("{path}",),
    get="your own: train/<class>/ and test/<class>/ with pictures, or train.npz and test.npz",
    verify=verify_folder,
)
def folder(request: Request) -> Splits:
    """Pictures, uint8 [N, C, H, W], or arrays [N, C, H, W] or [N, units] of uint8, int16 or float32.

    Either `path` holds train/<class>/ and test/<class>/ (and val/<class>/, if wanted) with pictures,
    read through torchvision's ImageFolder: greyscale (C = 1) or RGB (C = 3), all alike, and all of
    one size unless `side` resizes them (bilinear, proportions not kept). Classes are the names of
    train's folders, sorted. Or it holds train.npz and test.npz (and val.npz) with the samples x [N, ...]
    and the labels y [N]. ids count the samples of train, val and test, in this order.
    """
    files = _still_files(request)
    settings = {"side": request.params["side"]}
    source = _still(request, _untested(files))
    kept = _frames(request, "folder", settings, source)
    return _splits(kept, source.shape, lambda: _tested(request, "folder", settings, _still(request, files)))


@dataset(
    "folder-events",
    shape=None,
    classes=None,
    licence="the user's",
    source="the user's own files",
    events=True,
    val_fraction=VAL_FRACTION,
    params=EVENTS,
    files=("{path}",),
    get="your own: train.npz and test.npz, or train.h5 and test.h5 in SHD's layout",
    verify=verify_folder_events,
)
def folder_events(request: Request) -> Splits:
    """Frames [N, T, C, H, W] or [N, T, units], or recordings binned to [N, T, units / pool].

    Either `path` holds train.npz and test.npz (and val.npz) with the frames x [N, T, ...], uint8, int16
    or float32, and the labels y [N]. Or it holds train.h5 and test.h5 (and val.h5), which may also be
    named shd_train.h5 and shd_test.h5, in the layout of `bench.data.spike_hdf5`. Without val.h5 the last
    of the training speakers are held out for validation (`bench.data.spike_hdf5.held_out`), where the
    file names several. ids count the samples of train, val and test, in this order.
    """
    files = _event_files(request)
    if files["train"].suffix == ".npz":
        source = _moving(request, _untested(files))
        kept = _frames(request, "folder-events", {}, source)
        return _splits(
            kept,
            source.shape[1:],
            lambda: _tested(request, "folder-events", {}, _moving(request, files)),
        )
    units = int(request.params["units"])
    kept = spike_hdf5.load(request, "folder-events", _untested(files), units, None)

    def test() -> Kept:
        alone = {"test": files["test"]}
        kept.update(spike_hdf5.load(request, "folder-events", alone, units, splits.classes))
        return kept["test"]

    splits = _splits(kept, tuple(kept["train"].x.shape[2:]), test)
    said = ""
    speakers = kept["train"].extra.get("speaker")
    if splits.val is None and speakers is not None and len(np.unique(speakers)) > 1:
        train = splits.train
        chosen, names = spike_hdf5.held_out(speakers, train.y.numpy(), VAL_FRACTION, "folder-events")
        said = f"validation: training speakers {', '.join(map(str, names))}"
        splits = replace(
            splits,
            train=train.take((~chosen).nonzero().flatten()),
            val=train.take(chosen.nonzero().flatten()),
        )

    def note() -> str:
        late = spike_hdf5.late_note(kept, float(request.params["duration"]))
        return "; ".join(filter(None, [said, late]))

    return replace(splits, note=note)


def _splits(kept: Mapping[str, Kept], shape: tuple[int, ...], test: Callable[[], Kept]) -> Splits:
    train = with_ids(kept["train"].x, kept["train"].y, start=0)
    val = with_ids(kept["val"].x, kept["val"].y, start=len(train)) if "val" in kept else None
    start = len(train) + (0 if val is None else len(val))

    def tested() -> Split:
        found = test()
        return with_ids(found.x, found.y, start)

    return Splits(train, tested, val, shape, classes=int(train.y.max()) + 1)


def _frames(request: Request, name: str, settings: Mapping[str, Any], source: Source) -> dict[str, Kept]:
    return frames(request, name, settings, source.files, source.shape, source.dtype, source.parts)


def _tested(request: Request, name: str, settings: Mapping[str, Any], whole: Source) -> Kept:
    """The test frames alone; that the test samples are like those of train is checked in the whole source."""
    alone = whole._replace(parts=lambda: {"test": whole.parts()["test"]})
    return _frames(request, name, settings, alone)["test"]


def _untested(files: Mapping[str, Path]) -> dict[str, Path]:
    return {each: file for each, file in files.items() if each != "test"}


# --- finding the files ---


def _where(request: Request, name: str) -> Path:
    path = str(request.params["path"])
    if not path:
        raise BenchError(
            f'dataset {name}: it needs to know where the data lies; give params = {{ path = "my-data" }}, '
            "from the data root on or absolute"
        )
    found = request.root / path
    if not found.is_dir():
        raise BenchError(
            f"dataset {name}: {found} is no folder; correct path, or let --data-root or SPIKEGRAD_DATA name "
            "the folder that holds it"
        )
    return found


def _choose(name: str, where: Path, forms: Mapping[str, dict[str, Path]]) -> tuple[str, dict[str, Path]]:
    """The one form whose training part is there; its val only if that is there too."""
    there = [form for form, paths in forms.items() if paths["train"].exists()]
    if len(there) != 1:
        tried = " or ".join(paths["train"].name for paths in forms.values())
        found = "none is there" if not there else f"it has {len(there)} of them; keep one"
        raise BenchError(f"dataset {name}: looked for {tried} in {where}: {found}")
    paths = forms[there[0]]
    if not paths["test"].exists():
        raise BenchError(
            f"dataset {name}: {paths['train']} is there and {paths['test']} is not; it needs both"
        )
    return there[0], {each: path for each, path in paths.items() if each != "val" or path.exists()}


def _named(where: Path, name: str) -> dict[str, Path]:
    return {each: where / name.format(each) for each in SPLITS}


def _event_files(request: Request) -> dict[str, Path]:
    where = _where(request, "folder-events")
    forms = {name: _named(where, name) for name in ("{}.npz", "{}.h5", "shd_{}.h5")}
    chosen, files = _choose("folder-events", where, forms)
    if chosen == "{}.npz":
        _check_unused(request, "folder-events", files["train"], EVENTS)
    return files


def _check_unused(request: Request, name: str, file: Path, declared: Mapping[str, Setting]) -> None:
    for key, setting in declared.items():
        if key != "path" and request.params[key] != setting.default:
            raise BenchError(
                f"dataset {name}: {key} = {request.params[key]} has no meaning for {file}; leave it out"
            )


def _still_files(request: Request) -> dict[str, Path]:
    where = _where(request, "folder")
    forms = {"pictures": _named(where, "{}"), "arrays": _named(where, "{}.npz")}
    chosen, paths = _choose("folder", where, forms)
    if chosen == "arrays":
        _check_unused(request, "folder", paths["train"], PICTURES)
    return paths


def _still(request: Request, paths: Mapping[str, Path]) -> Source:
    if paths["train"].suffix != ".npz":
        return _pictures(paths, int(request.params["side"]))
    return _arrays(paths, (2, 4), "[N, C, H, W] or [N, units]; frames over time are for folder-events")


def _moving(request: Request, files: Mapping[str, Path]) -> Source:
    source = _arrays(files, (3, 5), "[N, T, C, H, W] or [N, T, units]; single pictures are for folder")
    if source.shape[0] != request.timesteps:
        raise BenchError(
            f"dataset folder-events: {files['train']} has frames of {source.shape[0]} time steps and "
            f"{request.timesteps} are asked for; set timesteps = [{source.shape[0]}]"
        )
    return source


def _read_all(source: Source) -> list[str]:
    facts = []
    for each, part in source.parts().items():
        for i in track(range(part.count), f"reading {each}"):
            part.read(i)
        facts.append(f"{each}: {part.count:,} samples of {len(np.unique(part.labels))} classes")
    return [*facts, f"shape {source.shape}, {source.dtype}"]


# --- pictures ---


def _pictures(folders: Mapping[str, Path], side: int) -> Source:
    files = [file for folder in folders.values() for file in _below(folder)]
    trained = [f for f in files if f.is_relative_to(folders["train"])]
    if not trained:
        raise BenchError(f"dataset folder: {folders['train']} has no pictures; put them into train/<class>/")

    def parts() -> dict[str, Part]:
        listed = {each: _listed(folder) for each, folder in folders.items()}
        classes = list(listed["train"])
        made = {}
        for each, found in listed.items():
            unknown = next((c for c in found if c not in classes), None)
            if unknown is not None:
                raise BenchError(
                    f"dataset folder: {folders[each] / unknown} is a class, but not one of {folders['train']}"
                )
            pictures = [(file, classes.index(c)) for c, members in found.items() for file in members]
            names = [file for file, _ in pictures]
            made[each] = Part(len(names), partial(_picture, names, shape, side), [y for _, y in pictures])
        return made

    first = _decoded(next((f for f in trained if _is_picture(f)), trained[0]), side)
    shape = first.shape
    return Source(files, shape, "uint8", parts)


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []
    for each, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(each)
        for name in folders:
            inner = Path(each) / name
            # A link to a folder that it lies in is a walk without end.
            if f"{here}{os.sep}".startswith(f"{os.path.realpath(inner)}{os.sep}"):
                raise BenchError(f"dataset folder: {inner} is a link to a folder that it lies in; remove it")
        found += [Path(each) / name for name in names]
    for file in found:
        if not file.exists():
            raise BenchError(f"dataset folder: {file} is a link to nothing; remove it")
    return sorted(found)


def _is_picture(file: Path) -> bool:
    from PIL import Image

    return file.suffix.lower() in Image.registered_extensions()


def _listed(folder: Path) -> dict[str, list[Path]]:
    """Each class's pictures, both in the order of their names."""
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS

    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise BenchError(f"dataset folder: {folder}: {str(error).splitlines()[0]}") from error
    listed: dict[str, list[Path]] = {c: [] for c in found.classes}
    for file, y in found.samples:
        listed[found.classes[y]].append(Path(file))
    taken = {file for members in listed.values() for file in members}
    for file in _below(folder):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file not in taken and not hidden and _is_picture(file):
            raise BenchError(
                f"dataset folder: {file} is no picture that can be used: they lie in a folder for each class "
                f"and end in {' '.join(sorted(IMG_EXTENSIONS))}; convert it, or move it away"
            )
    return listed


def _picture(files: list[Path], shape: tuple[int, ...], side: int, i: int) -> Array:
    picture = _decoded(files[i], side)
    if picture.shape != shape:
        raise BenchError(
            f"{files[i]}: it is {_form(picture.shape)} and the first of train {_form(shape)}; pictures must "
            "be alike (side resizes them all)"
        )
    return picture


def _form(shape: tuple[int, ...]) -> str:
    return f"{shape[2]} x {shape[1]} {'RGB' if shape[0] == CHANNELS['RGB'] else 'greyscale'}"


def _decoded(file: Path, side: int) -> Array:
    """The picture, uint8 [C, H, W]."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            if picture.mode not in CHANNELS:
                raise BenchError(
                    f"{file}: its mode is {picture.mode}; save it as 8-bit greyscale (L) or colour (RGB)"
                )
            sized = picture.resize((side, side), Image.Resampling.BILINEAR) if side else picture
            pixels = np.asarray(sized, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise BenchError(
            f"{file} cannot be read as a picture ({str(error).splitlines()[0]}); replace it"
        ) from error
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


# --- arrays ---


def _arrays(files: Mapping[str, Path], dimensions: tuple[int, int], wanted: str) -> Source:
    forms = {}
    for each, file in files.items():
        shape, dtype = _header(file, "x")
        if len(shape) not in dimensions or 0 in shape:
            if len(shape) in dimensions:
                raise BenchError(f"{file}: x has shape {list(shape)}: it is empty; save samples in it")
            raise BenchError(f"{file}: x has shape {list(shape)}; it must be {wanted}")
        if dtype not in map(np.dtype, DTYPES):
            raise BenchError(
                f"{file}: x is {dtype}; save it as float32, or counts and pixels as uint8 or int16 "
                "(x.astype(...))"
            )
        forms[each] = shape[1:], dtype
        if forms[each] != forms["train"]:
            raise BenchError(
                f"{file}: its samples are {dtype} {list(shape[1:])} and those of {files['train'].name} "
                f"{forms['train'][1]} {list(forms['train'][0])}; they must be alike"
            )

    def parts() -> dict[str, Part]:
        made, known = {}, None
        for each, file in files.items():
            x, y = _member(file, "x"), _member(file, "y")
            if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
                raise BenchError(
                    f"{file}: y is {y.dtype} of shape {list(y.shape)}; it must hold one whole number for "
                    f"each of the {len(x):,} samples of x"
                )
            known = spike_hdf5.check_labels(file, y.astype(np.int64), known)
            made[each] = Part(len(x), partial(_sample, file, x), y)
        return made

    shape, dtype = forms["train"]
    return Source(list(files.values()), shape, dtype.name, parts)


def _sample(file: Path, x: Array, i: int) -> Array:
    if not np.isfinite(x[i]).all():
        raise BenchError(f"{file}, record {i}: x has values that are not finite; take them out")
    return np.asarray(x[i])


def _header(file: Path, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype, without reading the array."""

    def read(archive: zipfile.ZipFile) -> tuple[tuple[int, ...], np.dtype[Any]]:
        with archive.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            old = version == (1, 0)
            shape, _, dtype = (
                np.lib.format.read_array_header_1_0(member)
                if old
                else np.lib.format.read_array_header_2_0(member)
            )
            return shape, dtype

    return _opened(file, key, read)


def _member(file: Path, key: str) -> Array:
    def read(archive: zipfile.ZipFile) -> Array:
        with archive.open(f"{key}.npy") as member:
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False))

    return _opened(file, key, read)


def _opened(file: Path, key: str, read: Callable[[zipfile.ZipFile], Read]) -> Read:
    try:
        with zipfile.ZipFile(file) as archive:
            if f"{key}.npy" not in archive.namelist():
                has = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
                raise BenchError(
                    f"{file}: it has no array {key} but {has}; numpy.savez(file, x=..., y=...) makes one"
                )
            return read(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchError(
            f"{file}: {key} cannot be read ({str(error).splitlines()[0]}); write it again with "
            "numpy.savez(file, x=..., y=...), without objects"
        ) from error
