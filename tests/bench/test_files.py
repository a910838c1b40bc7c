"""Atomic writing: the old file or the new one, and nothing left behind."""

import errno
import os
import stat
from pathlib import Path

import pytest

from bench.files import write_atomic


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
