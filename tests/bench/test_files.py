"""Atomic writing: the old file or the new one, and nothing left behind."""

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.files import ABANDONED, remove_abandoned, write_atomic


def test_it_makes_folders_and_replaces_what_is_there(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["c.txt"]


def test_files_are_as_readable_as_the_users_others(tmp_path):
    write_atomic(tmp_path / "atomic", b"")
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("atomic", "plain")}
    assert len(modes) == 1


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace"), (Path, "chmod")])
def test_on_an_error_the_old_file_stays_and_nothing_is_left(tmp_path, monkeypatch, owner, step):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(owner, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_same_on_an_interruption(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


WRITES = """
import os, sys, time
from pathlib import Path
from bench.files import write_atomic
os.fsync = lambda _: (print("half", flush=True), time.sleep(600))
write_atomic(Path(sys.argv[1]), b"new")
"""


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITES, tmp_path / "file"], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"half\n"
    (half,) = tmp_path.iterdir()
    remove_abandoned([half])
    assert half.exists(), "it is being written"
    writer.kill()
    writer.wait()
    writer.stdout.close()
    remove_abandoned([half, tmp_path / "gone"])
    assert not half.exists()


def test_of_other_machines_what_is_old_is_removed(tmp_path):
    young, old, odd = (
        tmp_path / f".a.csv.{owner}.x.tmp" for owner in ("00000000-0-1-1", "00000000-0-2-2", "csv")
    )
    for half in (young, old, odd):
        half.touch()
    os.utime(old, (0, time.time() - ABANDONED - 60))
    remove_abandoned([young, old, odd])
    assert [*tmp_path.iterdir()] == [young]
