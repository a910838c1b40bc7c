"""What a record says of a GPU, and how a process sees no other."""

import json
import os
from types import SimpleNamespace

import pytest
import torch

from bench.runner import gpus
from bench.runner.gpus import Gpu


@pytest.fixture
def driver_files(tmp_path, monkeypatch):
    files = (tmp_path / "version", tmp_path / "long")
    monkeypatch.setattr(gpus, "DRIVER", files)
    return files


def test_what_is_said_of_a_gpu_is_of_the_one_asked_for(driver_files, monkeypatch):
    driver_files[0].write_text("580.65.06\n")
    there = [
        SimpleNamespace(name="NVIDIA A", total_memory=8 * 2**30),
        SimpleNamespace(name="NVIDIA B", total_memory=80 * 2**30),
    ]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: there[index])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: [(8, 6), (9, 0)][index])
    found = gpus.about(1)
    assert found == {
        "name": "NVIDIA B",
        "memory_mb": 80 * 1024,
        "capability": "9.0",
        "driver": "580.65.06",
        "index": 1,
    }
    assert json.loads(json.dumps(found)) == found
    assert gpus.about()["name"] == "NVIDIA A"


def test_the_driver_is_what_linux_says_or_unknown(driver_files):
    assert gpus.driver() is None
    driver_files[1].write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release\nGCC version: 12.3\n"
    )
    assert gpus.driver() == "580.95.05"
    driver_files[0].write_text("535.104\n")
    assert gpus.driver() == "535.104"


@pytest.mark.parametrize(
    ("before", "index", "after"),
    [
        (None, 1, "1"),
        ("", 1, "1"),
        ("2,3", 1, "3"),
        ("GPU-4f, GPU-77", 1, "GPU-77"),
        ("5", 0, "5"),
    ],
)
def test_which_of_those_that_are_visible(before, index, after, monkeypatch):
    # Set first: what was not there is then taken away again afterwards.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before or "")
    if before is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    assert gpus.visible(index) == after


def test_a_process_sees_one_only(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    gpus.see_only(Gpu("3", 0.0, {}))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
