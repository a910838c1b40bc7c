"""GPUs are asked in a process of their own, and one that is broken does not hide the others."""

import pytest
import torch

from bench.errors import BenchError
from bench.runner.engines import asking
from bench.runner.gpus import Gpu


def test_a_gpu_that_is_broken_or_full_is_named_and_the_others_are_told(monkeypatch):
    def mem_get_info(index):
        if index == 1:
            raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")
        return 10 * (index + 1), 100

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    monkeypatch.setattr(asking, "about", lambda index: {"name": f"gpu {index}"})
    assert asking.look() == (
        [Gpu("4", 10.0, {"name": "gpu 0"}), Gpu("6", 30.0, {"name": "gpu 2"})],
        ["GPU 1 cannot be used (CUDA error: out of memory)"],
    )


def test_those_that_cannot_be_used_are_warned_of(monkeypatch, capsys):
    there = Gpu("0", 1.0, {})
    monkeypatch.setattr(asking, "_asked", lambda: ([there], ["GPU 1 cannot be used (gone)"]))
    assert asking.usable_gpus() == [there]
    assert capsys.readouterr().err == "warning: GPU 1 cannot be used (gone); it is left out\n"


def test_where_none_can_be_used_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(asking, "_asked", lambda: ([], ["GPU 0 cannot be used (gone)"]))
    with pytest.raises(BenchError, match=r"^no GPU can be used: GPU 0 cannot be used \(gone\): see what"):
        asking.usable_gpus()


def test_a_process_answers(monkeypatch):
    # It sees none on any machine.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = torch.cuda.is_initialized()
    with pytest.raises(BenchError, match=r"^no GPU can be used: torch finds none: "):
        asking.usable_gpus()
    assert torch.cuda.is_initialized() == before


def test_a_process_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(asking, "LIMIT", 0.0)
    with pytest.raises(BenchError, match=r"^the GPUs did not answer for 0 s: see what `nvidia-smi` says"):
        asking.usable_gpus()


def test_a_process_that_dies_of_it_takes_nothing_with_it(monkeypatch):
    # Something that ends at once and sends nothing.
    monkeypatch.setattr(asking, "_answer", print)
    with pytest.raises(BenchError, match=r"^asking the GPUs .*, the process ended with exit code 0: "):
        asking.usable_gpus()
