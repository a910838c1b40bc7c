"""A suite on a real Slurm: one controller and two nodes, all on this machine."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from processes import until

from bench.records.store import Store

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
SlurmctldPort={ports[0]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SlurmdTimeout=10
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=8000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=8000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

SUITE = """
name = "tiny"
methods = ["rectangle", "arctan", "mpd-agl"]
datasets = [{ name = "digits" }]
backbones = [{ name = "convnet", width = 0.125 }]
timesteps = [4]
seeds = [0, 1, 2, 3]
times = false
[recipe]
epochs = 8
batch_size = 32
learning_rate = 0.01
[profile]
device = "cpu"
"""


def conf():
    return {"SLURM_CONF": os.environ["SLURM_CONF"]}


def answers(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def free_ports():
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def munge():
    """munged, which signs the messages of Slurm's programs; one that runs already is used."""
    if answers("munge", "--no-input").returncode == 0:
        yield
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    daemon = subprocess.Popen(["runuser", "-u", "munge", "--", "munged", "--foreground"])
    until(lambda: answers("munge", "--no-input").returncode == 0)
    yield
    daemon.terminate()
    daemon.wait()


@pytest.fixture
def nodes(tmp_path, free_ports, munge, monkeypatch):
    """The processes of the two nodes, by name."""
    folder = tmp_path / "cluster"
    for name in ("state", "spool-one", "spool-two"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=socket.gethostname(), folder=folder, ports=free_ports))
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    # Its own session, so that losing a node can take its steps with it.
    options = {"start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    controller = subprocess.Popen(["slurmctld", "-D"], **options)
    until(lambda: answers("sinfo").returncode == 0)
    started = {name: subprocess.Popen(["slurmd", "-D", "-N", name], **options) for name in ("one", "two")}
    until(lambda: answers("sinfo", "--noheader", "--format", "%D %T").stdout.split() == ["2", "idle"])
    yield started
    answers("scancel", "--user", "root")
    until(lambda: not answers("squeue", "--noheader").stdout)
    for process in (*started.values(), controller):
        process.kill()
        process.wait()


def lose(nodes, name):
    """End a node as a power cut would: its daemon and everything that it has started."""
    nodes[name].kill()
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if f"SLURMD_NODENAME={name}\0".encode() in environment:
            os.kill(int(entry.name), signal.SIGKILL)


def test_a_suite_survives_the_loss_of_a_node(nodes, start, spikegrad, tmp_path):
    (tmp_path / "tiny.toml").write_text(SUITE)
    # So little time that the estimate makes it two tasks or more.
    run = start("run", "tiny.toml", "--engine", "slurm", "--hours", "0.12", cwd=tmp_path, **conf())
    store = Store(tmp_path / "results/local", "tiny")
    until(lambda: len(store.records()) >= 2 or run.poll() is not None, 180)
    running = answers("squeue", "--noheader", "--states", "RUNNING", "--format", "%N").stdout.split()
    lose(nodes, running[-1])
    out, err = run.communicate(timeout=600)
    assert run.returncode == 0, err
    assert "cells: 12 ok" in out

    here = spikegrad("run", "tiny.toml", "--results", "here", cwd=tmp_path)
    assert here.returncode == 0
    tables = [tmp_path / folder / "leaderboards/tiny/accuracy.csv" for folder in ("results/local", "here")]
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_ctrl_c_cancels_the_jobs(nodes, start, tmp_path):
    (tmp_path / "tiny.toml").write_text(SUITE)
    run = start("run", "tiny.toml", "--engine", "slurm", cwd=tmp_path, **conf())
    until(lambda: answers("squeue", "--noheader", "--states", "RUNNING").stdout, 120)
    time.sleep(5)
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    until(lambda: not answers("squeue", "--noheader").stdout)


def test_the_warning_before_the_end_of_its_time_stops_a_task_cleanly(nodes, spikegrad, tmp_path):
    (tmp_path / "tiny.toml").write_text(SUITE.replace("epochs = 8", "epochs = 500"))
    printed = spikegrad("plan", "tiny.toml", "--sbatch", cwd=tmp_path).stdout
    script = tmp_path / "job.sh"
    script.write_text(printed.replace("--signal=B:INT@120", "--signal=B:INT@60"))
    submitted = answers("sbatch", "--parsable", "--chdir", str(tmp_path), "--time", "00:02:00", str(script))
    assert submitted.returncode == 0, submitted.stderr
    until(lambda: answers("squeue", "--noheader", "--states", "RUNNING").stdout)
    until(lambda: not answers("squeue", "--noheader").stdout, 180)
    records = Store(tmp_path / "results/local", "tiny").records()
    assert [record["status"] for record in records] == ["interrupted"] * len(records) != []
