"""GPUs are asked in a process of their own, and one that is broken does not hide the others."""

import sys
from functools import partial

import pytest
import torch

from bench.errors import BenchError
from bench.runner.engines import gpu_query
from bench.runner.gpus import Gpu


def test_a_gpu_that_is_broken_or_full_is_named_and_the_others_are_told(monkeypatch):
    def mem_get_info(index):
        if index == 1:
            raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")
        return 10 * (index + 1), 100

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    monkeypatch.setattr(gpu_query, "about", lambda index: {"name": f"gpu {index}"})
    assert gpu_query.look() == (
        [Gpu("4", 10.0, {"name": "gpu 0"}), Gpu("6", 30.0, {"name": "gpu 2"})],
        ["GPU 1 cannot be used (CUDA error: out of memory)"],
    )


def test_those_that_cannot_be_used_are_warned_of(monkeypatch, capsys):
    there = Gpu("0", 1.0, {})
    monkeypatch.setattr(gpu_query, "_asked", lambda: ([there], ["GPU 1 cannot be used (gone)"]))
    assert gpu_query.usable_gpus() == [there]
    assert capsys.readouterr().err == "warning: GPU 1 cannot be used (gone); it is left out\n"


def test_where_none_can_be_used_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(gpu_query, "_asked", lambda: ([], ["GPU 0 cannot be used (gone)"]))
    with pytest.raises(BenchError, match=r"^no GPU can be used: GPU 0 cannot be used \(gone\): see what"):
        gpu_query.usable_gpus()


def test_a_process_answers(monkeypatch):
    # It sees none on any machine.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = torch.cuda.is_initialized()
    with pytest.raises(BenchError, match=r"^no GPU can be used: torch finds none: "):
        gpu_query.usable_gpus()
    assert torch.cuda.is_initialized() == before


def test_a_process_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(gpu_query, "LIMIT", 0.0)
    # The question comes as its globals.
    monkeypatch.setattr(gpu_query, "look", partial(exec, "import time; time.sleep(600)"))
    expected = r"^asking the GPUs for their memory, took longer than 0 s: see what `nvidia-smi` says"
    with pytest.raises(BenchError, match=expected):
        gpu_query.usable_gpus()


def test_a_process_that_dies_of_it_takes_nothing_with_it(monkeypatch):
    monkeypatch.setattr(gpu_query, "look", sys.exit)
    with pytest.raises(BenchError, match=r"^asking the GPUs .*, the process ended with exit code 0: "):
        gpu_query.usable_gpus()
