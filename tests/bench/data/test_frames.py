"""Frames on disk: made once, whole or not at all, and made anew where what they come from has changed."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from no_locks import NO_LOCKS

from bench.data import frames as module
from bench.data.frames import Part, cache_folder, frames
from bench.data.loading import Request
from bench.errors import BenchError
from bench.paths import data_root

SHAPE = (2, 3)
VALUES = {"train": np.arange(30).reshape(5, 2, 3), "test": np.arange(12).reshape(2, 2, 3) + 100}


@pytest.fixture
def root(tmp_path):
    """A data root with one source file."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "source.bin").write_bytes(b"some events")
    return folder


@pytest.fixture
def make(root, tmp_path):
    """make(values=..., settings=..., dtype=..., read=...) -> (the frames, how often samples were made)."""

    def call(values=VALUES, settings=None, dtype="uint8", read=None, shape=SHAPE, sources=None):
        reads = []

        def parts():
            def one(array):
                def sample(i):
                    reads.append(i)
                    if read is not None:
                        read(i)
                    return array[i]

                return sample

            return {
                name: Part(len(array), one(array), range(len(array)), {"speaker": np.arange(len(array)) % 2})
                for name, array in values.items()
            }

        kept = frames(
            Request(root, timesteps=2, cache=tmp_path / "cache"),
            "some-set",
            settings or {},
            [root / "source.bin"] if sources is None else sources,
            shape,
            dtype,
            parts,
        )
        return kept, len(reads)

    return call


def folders(tmp_path: Path) -> list[str]:
    """What is in the dataset's folder of the cache, but for locks."""
    found = (tmp_path / "cache" / "some-set").glob("*")
    return sorted(path.name for path in found if path.suffix != ".lock")


# --- making and finding ---


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_gives_what_was_made(make, dtype):
    kept, reads = make(dtype=dtype)
    assert reads == 7
    for name, values in VALUES.items():
        x = kept[name].x
        assert x.dtype == getattr(torch, dtype) and x.shape == values.shape and len(x) == len(values)
        np.testing.assert_array_equal(x[torch.arange(len(x))], values)
        assert kept[name].y.dtype == torch.int64 and kept[name].y.tolist() == list(range(len(values)))
        np.testing.assert_array_equal(kept[name].extra["speaker"], np.arange(len(values)) % 2)
        assert x.nbytes == values.astype(dtype).nbytes and x.intact()


def test_files_are_those_of_numpy(make):
    kept, _ = make()
    np.testing.assert_array_equal(np.load(kept["train"].x.file), VALUES["train"])
    assert np.load(kept["train"].x.file).dtype == np.uint8


def test_second_time_makes_nothing(make, tmp_path):
    first, _ = make()
    second, reads = make()
    assert reads == 0 and len(folders(tmp_path)) == 1
    assert second["train"].x.checksum == first["train"].x.checksum


def test_rows_of_rows(make):
    x = make()[0]["train"].x
    some = x.take(torch.tensor([4, 0, 2])).take(torch.tensor([2, 0]))
    assert some.shape == (2, 2, 3)
    np.testing.assert_array_equal(some[torch.tensor([0, 1])], VALUES["train"][[2, 4]])
    np.testing.assert_array_equal(some[torch.tensor([1])], VALUES["train"][[4]])


def test_checksum_follows_rows_and_values(make):
    x = make()[0]["train"].x
    forth, back = x.take(torch.tensor([0, 1])), x.take(torch.tensor([1, 0]))
    others = make(values={"train": VALUES["train"] + 1}, settings={"more": 1})[0]["train"].x
    assert len({x.checksum, forth.checksum, back.checksum, others.checksum}) == 4
    assert x.take(torch.tensor([0, 1])).checksum == forth.checksum


def test_what_is_read_is_a_copy(make):
    x = make()[0]["train"].x
    x[torch.tensor([1])].fill_(0)
    np.testing.assert_array_equal(x[torch.tensor([1])], VALUES["train"][[1]])
    assert x.intact()


# --- what they are made from ---


def test_a_changed_source_makes_them_anew(make, root):
    make()
    (root / "source.bin").write_bytes(b"other event")  # as many bytes
    assert make()[1] == 7


def test_a_touched_source_does_not(make, root):
    make()
    os.utime(root / "source.bin", ns=(1, 1))
    assert make()[1] == 0


def test_a_renamed_or_further_source_makes_them_anew(make, root):
    make()
    shutil.copy(root / "source.bin", root / "other.bin")
    assert make(sources=[root / "other.bin"])[1] == 7
    assert make(sources=[root / "source.bin", root / "other.bin"])[1] == 7


def test_a_moved_data_root_does_not(make, root, tmp_path):
    make()
    moved = root.rename(tmp_path / "moved")
    request = Request(moved, timesteps=2, cache=tmp_path / "cache")

    def never():
        raise AssertionError

    # The code that makes frames is this file too.
    kept = frames(request, "some-set", {}, [moved / "source.bin"], SHAPE, "uint8", never)
    assert len(kept["train"].x) == 5


def test_settings_shape_and_dtype_make_them_anew(make):
    make()
    assert make(settings={"timesteps": 4})[1] == 7
    assert make(settings={"timesteps": 5})[1] == 7
    assert make(dtype="int16")[1] == 7
    assert make(values={"train": VALUES["train"].reshape(5, 6)}, shape=(6,))[1] == 5


def test_changed_code_makes_them_anew(root, tmp_path):
    made = []
    for text in ("1", "1", "1  # another way"):
        file = tmp_path / "loader.py"
        file.write_text(f"from bench.data.frames import Part\nimport numpy as np\nvalue = {text}\n" + LOADER)
        spec = importlib.util.spec_from_file_location("loader", file)
        loader = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loader)
        request = Request(root, timesteps=1, cache=tmp_path / "cache")
        frames(request, "s", {}, [root / "source.bin"], (1,), "uint8", loader.parts)
        made.append(len(loader.calls))
    assert made == [1, 0, 1]


LOADER = """
calls = []

def parts():
    calls.append(1)
    return {"train": Part(1, lambda i: np.zeros(1), [0])}
"""


def test_checksums_of_sources_are_remembered(make, root, monkeypatch):
    read = []
    digest = module.hashlib.file_digest

    def watched(file, kind):
        read.extend([file.name] * (file.name == str(root / "source.bin")))
        return digest(file, kind)

    monkeypatch.setattr(module.hashlib, "file_digest", watched)
    make()
    make(settings={"timesteps": 4})
    assert read == [str(root / "source.bin")]
    os.utime(root / "source.bin", ns=(1, 1))
    make()
    assert len(read) == 2


def test_a_missing_source_is_named(make, root):
    with pytest.raises(BenchError, match=r"gone\.bin cannot be read \(No such file"):
        make(sources=[root / "source.bin", root / "gone.bin"])


# --- whole or not at all ---


def cut_short(folder: Path) -> None:
    os.truncate(folder / "train.npy", 100)


def one_missing(folder: Path) -> None:
    (folder / "test.npy").unlink()


def labels_missing(folder: Path) -> None:
    (folder / "train.labels.npy").unlink()


def half_a_meta(folder: Path) -> None:
    text = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(text[: len(text) // 2])


def no_meta(folder: Path) -> None:
    (folder / "meta.json").unlink()


def change(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def another_label(folder: Path) -> None:
    change(folder / "train.labels.npy", -8)


def another_header(folder: Path) -> None:
    change(folder / "train.npy", 3)


def another_pixel(folder: Path) -> None:
    change(folder / "train.npy", -1)


def a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def another_type(folder: Path) -> None:
    content = (folder / "train.npy").read_bytes()
    assert b"'|u1'" in content
    (folder / "train.npy").write_bytes(content.replace(b"'|u1'", b"'|i1'", 1))


DAMAGES = [
    cut_short,
    one_missing,
    labels_missing,
    half_a_meta,
    no_meta,
    another_label,
    another_header,
    another_type,
    another_pixel,
    a_file_in_its_place,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_frames_are_made_anew(make, damage, tmp_path):
    before = make()[0]["train"].x
    damage(before.file.parent)
    module._mapped.cache_clear()  # as in another process
    after, reads = make()
    assert reads == 7 and len(folders(tmp_path)) == 1
    x = after["train"].x
    assert x.checksum == before.checksum and x.intact()
    np.testing.assert_array_equal(x[torch.arange(5)], VALUES["train"])
    assert make()[1] == 0


def test_changed_bytes_are_found_on_request(make):
    x = make()[0]["train"].x
    with x.file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    assert not x.intact()


def stop(i: int) -> None:
    if i == 3:
        raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing(make, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(read=stop)
    assert folders(tmp_path) == []
    assert make()[1] == 7


def test_an_error_of_the_reader_comes_through(make, tmp_path):
    def refuse(i):
        raise BenchError("file 3, event 4: no")

    with pytest.raises(BenchError, match=r"^file 3, event 4: no$"):
        make(read=refuse)
    assert folders(tmp_path) == []


def test_a_disk_without_room_is_seen_before(make, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=module.SPARE + 41)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BenchError, match=r"take 0 MB .* has 67 MB free; let SPIKEGRAD_CACHE"):
        make()
    assert folders(tmp_path) == []
    usage = usage._replace(free=module.SPARE + 42)
    assert make()[1] == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["test.npy", "train.npy"])
def test_a_disk_that_fills_up_leaves_nothing(make, tmp_path, monkeypatch, name):
    plain = Path.open
    with monkeypatch.context() as full:

        def opened(path, *mode, **more):
            return plain(Path("/dev/full") if path.name == name else path, *mode, **more)

        full.setattr(Path, "open", opened)
        with pytest.raises(BenchError, match=r"No space left on device.*SPIKEGRAD_CACHE") as caught:
            make()
    assert str(tmp_path / "cache") in str(caught.value) and "\n" not in str(caught.value)
    assert folders(tmp_path) == []
    assert make()[1] == 7


def test_leftovers_of_a_killed_process_are_swept_away(make, tmp_path):
    kept, _ = make()
    folder = kept["train"].x.file.parent
    left = folder.with_name(f".{folder.name}.abc")
    folder.rename(left)
    assert make()[1] == 7
    assert folders(tmp_path) == [folder.name]


RACE = """
import sys, time
from pathlib import Path
import numpy as np
import torch
from bench.data import Request
from bench.data.frames import Part, frames
root, start = Path(sys.argv[1]), Path(sys.argv[2])

def read(i):
    time.sleep(0.01)
    return np.full((2, 3), i)

def parts():
    print("made")
    return {"train": Part(20, read, range(20))}

print("ready", flush=True)
sys.stdin.readline()
request = Request(root, 2, cache=root / "cache")
x = frames(request, "s", {}, [root / "source.bin"], (2, 3), "uint8", parts)["train"].x
print(x[torch.arange(20)].sum().item(), x.checksum)
"""


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "locks that fail"])
def test_two_processes_at_once_make_them_once_or_each_for_itself(root, tmp_path, locks):
    script = tmp_path / "race.py"
    script.write_text(RACE if locks else NO_LOCKS + RACE)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, str(script), str(root), str(tmp_path)]
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(subprocess.Popen(command, env=environment, **pipes)) for _ in range(2)]
        for process in both:
            assert process.stdout.readline() == "ready\n"
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    lines = [out.split("\n") for out, _ in outputs]
    # One of them made the frames; without locks perhaps both.
    assert sorted(len(line) for line in lines) == [2, 3] or not locks
    assert lines[0][-2] == lines[1][-2] and lines[0][-2].startswith(f"{6 * sum(range(20))} ")
    assert len([path for path in (root / "cache" / "s").iterdir() if path.is_dir()]) == 1


# --- values ---


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint8", 256), ("uint8", -1), ("uint8", 0.5), ("int16", 32_768), ("int16", -40_000)]
)
def test_values_that_do_not_fit_are_refused(make, tmp_path, dtype, value):
    values = VALUES["train"].astype(np.float64)
    values[3, 1, 2] = value
    with pytest.raises(
        BenchError, match=rf"some-set, train split, sample 3: .*do not fit {dtype}.*time steps"
    ):
        make(values={"train": values}, dtype=dtype)
    assert folders(tmp_path) == []


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 255), ("int16", 32_767), ("int16", -32_768)])
def test_extreme_values_that_fit(make, dtype, value):
    values = VALUES["train"].copy()
    values[3, 1, 2] = value
    assert make(values={"train": values}, dtype=dtype)[0]["train"].x[torch.tensor([3])].flatten()[5] == value


def test_another_shape_is_refused(make):
    with pytest.raises(BenchError, match=r"train split, sample 0: .*shape \(2, 3\), expected \(3, 2\)"):
        make(shape=(3, 2))


# --- where ---


def test_where_frames_are_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("SPIKEGRAD_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder(tmp_path) == tmp_path / "spikegrad-frames"
    assert cache_folder(tmp_path / "nowhere") == tmp_path / "home/.cache/spikegrad/spikegrad-frames"
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    assert cache_folder(tmp_path) == tmp_path / "home/.cache/spikegrad/spikegrad-frames"
    monkeypatch.setenv("SPIKEGRAD_CACHE", str(tmp_path / "given"))
    assert cache_folder(tmp_path) == tmp_path / "given"


def test_the_default_data_root_keeps_its_frames_in_one_place_from_the_start(tmp_path, monkeypatch):
    monkeypatch.delenv("SPIKEGRAD_CACHE", raising=False)
    monkeypatch.delenv("SPIKEGRAD_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = cache_folder(data_root(None))
    before.mkdir(parents=True)
    assert cache_folder(data_root(None)) == before


def test_a_cache_that_cannot_be_written_is_one_sentence(make, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BenchError, match=r"cannot keep its frames in .*SPIKEGRAD_CACHE") as caught:
        make()
    assert "\n" not in str(caught.value)
