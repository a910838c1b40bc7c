"""A suite on a Ray cluster of two nodes, both on this machine."""

import os
import signal

import pytest
from processes import until
from tiny_toml import tiny_toml

from bench.records.claims import living
from bench.records.store import Store

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs ray: tox run -e ray")

PLUGIN = """
import time
from bench.surrogate import Surrogate, method
from bench import shapes

@method("slow", paper="none")
class Slow(Surrogate):
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    def on_epoch(self, progress):
        time.sleep(0.5)
"""
GIB = 2**30


@pytest.fixture
def nodes():
    """The cluster, and a node of it that can be lost."""
    # The head has room for no task.
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0})
    options = {"num_cpus": 1, "num_gpus": 0, "memory": 6 * GIB, "object_store_memory": 10**8}
    lost, _ = made.add_node(**options), made.add_node(**options)
    made.wait_for_nodes()
    yield made, lost
    made.shutdown()


@pytest.fixture
def command(tmp_path):
    (tmp_path / "tiny.toml").write_text(tiny_toml(["slow", "rectangle"], [0, 1, 2, 3], epochs=6))
    (tmp_path / "slow.py").write_text(PLUGIN)
    return ("run", "tiny.toml", "--plugin", "slow.py", "--engine", "ray")


def test_a_suite_survives_the_loss_of_a_node(nodes, command, start, spikegrad, tmp_path):
    cluster, lost = nodes
    run = start(*command, "--hours", "0.12", cwd=tmp_path, RAY_ADDRESS=cluster.address)
    store = Store(tmp_path / "results/local", "tiny")
    until(lambda: store.records() or run.poll() is not None)
    cluster.remove_node(lost, allow_graceful=False)
    out, err = run.communicate(timeout=400)
    assert run.returncode == 0, err
    assert "cells: 8 ok" in out and "Ray job: " in err

    here = spikegrad(*command[:4], "--results", "here", cwd=tmp_path)
    assert here.returncode == 0
    tables = [tmp_path / folder / "leaderboards/tiny/accuracy.csv" for folder in ("results/local", "here")]
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_ctrl_c_cancels_the_tasks(nodes, command, start, tmp_path):
    cluster, _ = nodes
    run = start(*command, cwd=tmp_path, RAY_ADDRESS=cluster.address)
    store = Store(tmp_path / "results/local", "tiny")
    until(lambda: store.records())
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 130 and "Traceback" not in err, err
    assert {record["status"] for record in store.records()} == {"ok", "interrupted"}
    assert not living(store.runs), "no task goes on"


def test_what_no_machine_has_is_a_sentence(nodes, command, start, tmp_path):
    cluster, _ = nodes
    run = start(*command, "--jobs", "8", cwd=tmp_path, RAY_ADDRESS=cluster.address)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2 and "no machine of the Ray cluster has what a task needs: 8 CPUs" in err


def test_without_a_cluster_it_says_how_to_start_one(command, start, tmp_path):
    run = start(*command, cwd=tmp_path, RAY_TMPDIR=str(tmp_path))
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2 and "--engine ray finds no Ray cluster" in err
    assert "ray start --head" in err and "Traceback" not in err
