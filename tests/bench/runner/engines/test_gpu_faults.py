"""Faults of a GPU, emulated on the CPU: each costs the training it struck, and no other."""

import sys

import pytest
import torch

from bench.errors import Stopped
from bench.runner.engines import local
from bench.runner.gpus import Gpu

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers find each other by files")

EMULATED = """
    import multiprocessing, os, sys
    from pathlib import Path

    broken = False

    def train(cell, found, data, notify, checkpoints):
        "What a training on a GPU leaves, without one: after a fatal error every call fails in this process."
        global broken
        import numpy as np
        from bench.records.predictions import of_numbers
        from bench.runner.train import Diverged, Outcome

        gpu, seed = os.environ.get("CUDA_VISIBLE_DEVICES") or "none", cell.seed
        with (Path(__file__).parent / "trained").open("a") as file:
            print(seed, gpu, os.getpid(), file=file)
        if broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if {bad}:
            broken = True
            {how}
        names = ("test_accuracy", "test_accuracy_last", "val_accuracy")
        return Outcome(dict.fromkeys(names, 50.0), [], [], {{}}, of_numbers(np.arange(2), np.zeros(2), 2))

    # Workers only: the process that plans stays as it is.
    if multiprocessing.parent_process() is not None:
        import bench.runner.train
        bench.runner.train.train = train

    @method("emulated", paper="none")
    class Emulated(Surrogate):
        shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
"""
ILLEGAL = 'raise RuntimeError("CUDA error: an illegal memory access was encountered")'
ECC = 'raise RuntimeError("CUDA error: uncorrectable ECC error encountered")'
OF_MACHINE = "the GPU or its driver failed, not the method: "
GPUS = (
    Gpu("0", 80e9, {"name": "NVIDIA A", "memory_mb": 81_920}),
    Gpu("1", 80e9, {"name": "NVIDIA B", "memory_mb": 81_920}),
)


class Heard:
    """A listener that keeps the records."""

    def __init__(self):
        self.records = []

    def started(self, planned):
        pass

    def epoch(self, planned, epoch, val_accuracy):
        pass

    def ended(self, planned, record):
        self.records.append(record)

    def by_seed(self, what):
        return {record["cell"]["seed"]: record[what] for record in self.records}


@pytest.fixture
def emulate(tiny, make_plan, write_plugin, monkeypatch, tmp_path):
    """emulate(bad, how, ...) -> what was heard, and [(seed, GPU, process)] as they trained.

    bad: whether a fatal error strikes, of `seed` and `gpu`, in Python; how: the statement that raises it.
    """
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def run(bad, how, *, seeds=3, gpus=GPUS[:1], device="cuda", timeout=60, heard=None):
        monkeypatch.setattr(local, "usable_gpus", lambda: list(gpus))
        suite = tiny(
            methods=["emulated"], seeds=list(range(seeds)), profile={"device": device, "compile": "off"}
        )
        made = make_plan(suite, plugins=[write_plugin(EMULATED.format(bad=bad, how=how))])
        heard = heard or Heard()
        try:
            local.run(made, jobs=1, timeout=timeout, listener=heard)
        finally:
            lines = (tmp_path / "trained").read_text().splitlines()
        return heard, [tuple(line.split()) for line in lines]

    return run


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        (ILLEGAL, "failed", "RuntimeError: CUDA error: an illegal memory access was encountered"),
        (ECC, "interrupted", f"{OF_MACHINE}RuntimeError: CUDA error: uncorrectable ECC error encountered"),
        (
            'raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")',
            "oom",
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`",
        ),
        ('raise ValueError("of its own")', "failed", "ValueError: of its own"),
        (
            'os.write(2, b"terminate called after throwing\\\\nwhat(): std::bad_alloc\\\\n"); os.abort()',
            "oom",
            "the process ended with SIGABRT: memory ran out",
        ),
        ("os.abort()", "failed", "the process ended with SIGABRT"),
    ],
    ids=["illegal access", "ECC", "memory", "of its own", "memory in C++", "abort"],
)
def test_a_fatal_error_costs_one_seed_and_the_next_begins_in_a_new_process(emulate, how, status, error):
    heard, trained = emulate("seed == 0", how)
    assert heard.by_seed("status") == {0: status, 1: "ok", 2: "ok"}
    assert heard.by_seed("error") == {0: error, 1: None, 2: None}
    first, second, third = (process for _, _, process in trained)
    assert first != second == third


def test_a_training_that_diverged_leaves_its_process_in_use(emulate):
    heard, trained = emulate("seed == 0", 'broken = False; raise Diverged("the loss became nan")')
    assert heard.by_seed("status") == {0: "diverged", 1: "ok", 2: "ok"}
    assert len({process for _, _, process in trained}) == 1


def test_on_the_cpu_one_process_serves_all_seeds_whatever_goes_wrong(emulate):
    heard, trained = emulate("seed == 0", 'broken = False; raise ValueError("of its own")', device="cpu")
    assert heard.by_seed("status") == {0: "failed", 1: "ok", 2: "ok"}
    assert len({process for _, _, process in trained}) == 1
    assert {record["environment"]["gpu"] for record in heard.records} == {None}


def test_a_broken_gpu_gets_no_more_and_the_other_trains_the_rest(emulate):
    heard, trained = emulate("gpu == '0'", ECC, seeds=6, gpus=GPUS)
    assert heard.by_seed("status") == dict.fromkeys(range(3), "interrupted") | dict.fromkeys(
        range(3, 6), "ok"
    )
    assert [gpu for _, gpu, _ in trained] == ["0"] * 3 + ["1"] * 3


def test_the_run_stops_where_the_last_gpu_is_broken_and_says_so(emulate):
    heard = Heard()
    with pytest.raises(
        Stopped,
        match=r"^the last GPU was given up after 3 .* `nvidia-smi` .* rerun the same command to resume$",
    ):
        emulate("True", ECC, seeds=6, heard=heard)
    assert heard.by_seed("status") == dict.fromkeys(range(3), "interrupted")


def test_a_gpu_on_which_trainings_end_well_between_faults_is_not_given_up(emulate):
    heard, _ = emulate("seed not in (2, 5)", ECC, seeds=7)
    assert [seed for seed, status in heard.by_seed("status").items() if status == "ok"] == [2, 5]
    assert len(heard.records) == 7


def test_what_a_method_fails_by_closes_no_gpu(emulate):
    heard, _ = emulate("True", ILLEGAL, seeds=4)
    assert heard.by_seed("status") == dict.fromkeys(range(4), "failed")


def test_records_name_the_gpu_of_their_worker_also_those_that_the_engine_writes(emulate):
    heard, trained = emulate(
        "seed == 1",
        "import time; time.sleep(60)",
        gpus=[Gpu("1", 80e9, {"name": "NVIDIA B", "memory_mb": 81_920})],
        timeout=10,
    )
    assert heard.by_seed("status") == {0: "ok", 1: "timeout", 2: "ok"}
    assert [record["environment"]["gpu"] for record in heard.records] == [GPUS[1].about] * 3
    assert {gpu for _, gpu, _ in trained} == {"1"}
