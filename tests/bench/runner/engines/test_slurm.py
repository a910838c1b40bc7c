"""The engine for Slurm, with commands that stand for Slurm's: they start each task as a process.

`tox run -e slurm` tries it with a real Slurm.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tiny_toml import tiny_toml

from bench.records.store import Store

COMMANDS = {
    "sbatch": """
        import subprocess, sys
        from pathlib import Path
        here = Path(__file__).parent
        script = sys.stdin.read()
        assert sys.argv[1:] == ["--parsable"] and script.startswith("#!/bin/bash\\n")
        number = 1 + len([*here.glob("job-*")])
        (here / f"job-{number}").write_text(script)
        if (here / "lose").exists() and number == 1:
            script = "#!/bin/bash\\nexit 0\\n" if "nothing" in (here / "lose").read_text() else script
        log = open(here / f"log-{number}", "w")
        task = subprocess.Popen(["bash", "-c", script], stdout=log, stderr=log, start_new_session=True)
        (here / f"pid-{number}").write_text(str(task.pid))
        print(f"{number};some-cluster")
    """,
    "squeue": """
        import os, sys
        from pathlib import Path
        here = Path(__file__).parent
        job = sys.argv[sys.argv.index("--jobs") + 1]
        if (here / "away").exists():
            (here / "away").unlink()
            sys.exit("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
        stat = Path("/proc") / (here / f"pid-{job}").read_text() / "stat"
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            sys.exit("slurm_load_jobs error: Invalid job id specified")
        print("RUNNING None\\nPENDING Resources\\nPENDING Resources")
    """,
    "scancel": """
        import os, signal, sys
        from pathlib import Path
        here = Path(__file__).parent
        (here / "cancelled").write_text(sys.argv[1])
        os.killpg(int((here / f"pid-{sys.argv[1]}").read_text()), signal.SIGKILL)
    """,
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its squeue looks into /proc")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder of commands that come first in the path; what they leave is there too."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name, body in COMMANDS.items():
        lines = "\n".join(line.removeprefix("        ") for line in body.splitlines())
        (folder / name).write_text(f"#!{sys.executable}\n{lines}\n")
        (folder / name).chmod(0o755)
    (tmp_path / "tiny.toml").write_text(tiny_toml(["rectangle", "arctan"], [0, 1], epochs=2))
    return folder


@pytest.fixture
def path(cluster):
    return f"{cluster}{os.pathsep}{os.environ['PATH']}"


COMMAND = ("run", "tiny.toml", "--engine", "slurm")


def ended(process):
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def test_jobs_train_what_a_run_here_would_train(cluster, path, start, spikegrad, tmp_path):
    (cluster / "away").touch()
    code, out, err = ended(start(*COMMAND, cwd=tmp_path, PATH=path))
    assert code == 0 and "cells: 4 ok" in out
    assert "[4/4]" in err and " h left" not in err
    assert "Slurm job 1: submitted" in err
    assert "Slurm job 1: the scheduler does not answer" in err
    assert "Slurm job 1: 1 running, 2 pending (Resources)" in err
    assert len([*cluster.glob("job-*")]) == 1
    here = spikegrad("run", "tiny.toml", "--results", "here", cwd=tmp_path)
    assert here.returncode == 0
    tables = [tmp_path / folder / "leaderboards/tiny/accuracy.csv" for folder in ("results/local", "here")]
    assert tables[0].read_bytes() == tables[1].read_bytes()
    code, out, _ = ended(start(*COMMAND, cwd=tmp_path, PATH=path))
    assert code == 0 and len([*cluster.glob("job-*")]) == 1, "nothing was left to submit"


def test_what_a_lost_job_left_is_submitted_again(cluster, path, start, tmp_path):
    run = start(*COMMAND, cwd=tmp_path, PATH=path)
    store = Store(tmp_path / "results/local", "tiny")
    while not store.records():
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(int((cluster / "pid-1").read_text()), signal.SIGKILL)
    code, out, _ = ended(run)
    assert code == 0 and "cells: 4 ok" in out
    second = (cluster / "job-2").read_text()
    assert "4 trainings when this" not in second, "only what was left"


def test_a_job_that_trains_nothing_is_not_submitted_for_ever(cluster, path, start, tmp_path):
    (cluster / "lose").write_text("nothing")
    code, _, err = ended(start(*COMMAND, cwd=tmp_path, PATH=path))
    assert code == 1
    assert "the Slurm job 1 ended without finishing any training: see spikegrad-1_*.log" in err


def test_ctrl_c_cancels_the_job(cluster, path, start, tmp_path):
    run = start(*COMMAND, cwd=tmp_path, PATH=path)
    while not (cluster / "pid-1").exists():
        assert run.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(run.pid, signal.SIGINT)
    code, _, err = ended(run)
    assert code == 130 and "stopped; finished runs are kept" in err
    assert (cluster / "cancelled").read_text() == "1"


def test_without_slurm_it_says_what_it_needs(cluster, start, tmp_path):
    code, _, err = ended(start(*COMMAND, cwd=tmp_path, PATH=str(tmp_path)))
    assert code == 2 and "--engine slurm needs Slurm's commands" in err


def test_what_sbatch_says_is_passed_on(cluster, path, start, tmp_path):
    (cluster / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    code, _, err = ended(start(*COMMAND, cwd=tmp_path, PATH=path))
    assert code == 2 and "sbatch rejected the job: sbatch: error: invalid partition" in err


def test_jobs_are_followed_to_the_end(spikegrad, cluster, tmp_path):
    done = spikegrad(*COMMAND, "--no-wait", cwd=tmp_path)
    assert done.returncode == 2 and "--no-wait with --engine slurm" in done.stderr


def test_times_are_for_another_machine(spikegrad, cluster, tmp_path):
    done = spikegrad(*COMMAND, "--times", cwd=tmp_path)
    assert done.returncode == 2 and "--times with --engine slurm" in done.stderr


def test_the_printed_script_runs_as_it_is(cluster, spikegrad, tmp_path):
    odd = tmp_path / "a folder with 'quotes' and $signs"
    odd.mkdir()
    shutil.copy(tmp_path / "tiny.toml", odd)
    printed = spikegrad("plan", "tiny.toml", "--sbatch", "--hours", "1", "--seeds", "1", cwd=odd)
    assert printed.returncode == 0, printed.stderr
    assert "#SBATCH --time=01:00:00\n" in printed.stdout and "#SBATCH --array=1-1\n" in printed.stdout
    script = odd / "job.sh"
    script.write_text(printed.stdout)

    done = subprocess.run(["bash", script], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [record["cell"]["seed"] for record in Store(odd / "results/local", "tiny").records()] == [1, 1]
    left = spikegrad("plan", "tiny.toml", "--sbatch", "--seeds", "1", cwd=odd)
    assert left.returncode == 2 and "nothing of tiny is left to run" in left.stderr
