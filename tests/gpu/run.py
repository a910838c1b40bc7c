"""Everything that needs a GPU, in one command: what must be right is checked, then speed is measured.

    tox run -e gpu
    tox run -e gpu -- --no-measuring

Without tox, on a machine that may have no network: with torch, pytest and whatever else the project and its
tests need either installed or in folders that PYTHONPATH names (peers' libraries too; those that are missing
are left out),

    PYTHONPATH=FOLDER python tests/gpu/run.py

in the checkout or in an archive of it. Checks are the tests marked `needs_gpu`; what is measured are the
sizes for a GPU in tests/perf. Ends with 0 where all checks pass, whether or not budgets are met, with 1 where
one fails, and with 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ("tests/perf/test_gpu_speed.py",)
MINUTES = 8.0
FOR_CHECKS = 0.6
"""The most of the time that checks may take where there is something to be measured."""
CLOSING = 15.0
"""Seconds for what comes after the last figure."""
NO_GPU = "no GPU here: torch finds none that it can use; this command is for a machine with one"
OUT_OF_TIME = 124


class Part(NamedTuple):
    """What was done, how it ended, and how long it took. code: the exit code; None where it was left out."""

    name: str
    code: int | None
    seconds: float

    def __str__(self) -> str:
        ended = {None: "left out", 0: "all well", OUT_OF_TIME: "stopped, out of time"}.get(
            self.code, "something failed: see above"
        )
        return f"{self.name:10}  {ended:28}  {self.seconds:4.0f} s"


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, one after the other; the exit code."""
    parser = argparse.ArgumentParser(prog="tests/gpu/run.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--no-measuring", action="store_true", help="check only")
    parser.add_argument("--no-checks", action="store_true", help="measure only")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="that it may take (default: %(default)g)"
    )
    parser.add_argument(
        "--performance",
        default="results/performance",
        help="where to keep what was measured, one file a machine (default: %(default)s)",
    )
    asked = parser.parse_args(arguments)
    if not has_gpu():
        print(NO_GPU, file=sys.stderr)
        return 2
    ends = time.monotonic() + 60 * asked.minutes
    done: list[Part] = []
    if not asked.no_checks:
        share = 1.0 if asked.no_measuring else FOR_CHECKS
        done.append(run("checks", checks(), 60 * asked.minutes * share - CLOSING))
    if not asked.no_measuring:
        left, began = ends - time.monotonic(), time.time()
        done.append(run("measuring", measuring(asked.performance, left - CLOSING), left))
        show(ROOT / asked.performance, began)
    print("\n" + "\n".join(map(str, done)))
    return int(any(part.code for part in done))


def has_gpu() -> bool:
    """Whether torch finds one that it can use."""
    import torch

    return torch.cuda.is_available()


def checks() -> list[str]:
    """What to give pytest: of all files those that have something for a GPU."""
    mark = "needs_" + "gpu"
    files = [file for file in sorted(ROOT.glob("tests/**/test_*.py")) if mark in file.read_text("utf-8")]
    return [*(str(file.relative_to(ROOT)) for file in files), "-m", mark, "-q", "--durations=5"]


def measuring(folder: str, seconds: float) -> list[str]:
    """What to give pytest; it begins nothing that would not be done within these seconds."""
    to = ["--device", "cuda", "--performance", folder, "--stop-after", f"{seconds:.0f}"]
    return [*MEASURED, "--benchmark-enable", "-q", "-rs", *to]


def run(name: str, arguments: list[str], seconds: float) -> Part:
    """pytest in a process group of its own, which is ended after these seconds."""
    print(f"\n{name}: pytest {' '.join(arguments)}", flush=True)
    began = time.monotonic()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        code = process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        code = OUT_OF_TIME
    finally:
        # What it started ends with it.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Part(name, code, time.monotonic() - began)


def show(folder: Path, since: float) -> None:
    """Print what was measured since then, fastest first: a step's milliseconds, and its memory."""
    import pandas as pd

    files = [file for file in folder.glob("*.csv") if file.stat().st_mtime >= since]
    for table in map(pd.read_csv, files):
        now = table[(table["measured"] == table["measured"].max()) & table["budget"].isna()]
        kinds = now["what"].str.extract(r"^(training step|peak training memory), (.+)$")
        rows = now.assign(kind=kinds[0], case=kinds[1]).dropna(subset=["kind"])
        for case, part in rows.groupby("case", sort=False):
            wide = part.pivot(index="subject", columns="kind", values="value")
            wide = wide.reindex(columns=["training step", "peak training memory"])
            wide.columns = ["ms", "peak MB"]
            wide["ms"] *= 1e3
            print(f"\n{case}\n{wide.sort_values('ms').to_string(float_format='%.1f', index_names=False)}")


if __name__ == "__main__":
    sys.exit(main())
