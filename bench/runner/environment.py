"""The machine and the versions that a number was measured with. Does not import torch at module level."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.paths import CHECKOUT
from bench.runner.gpus import Gpu, about
from bench.suite import Profile

PACKAGES = (
    "spikegrad-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "norse",
    "snntorch",
)


def describe(profile: Profile, requires: Sequence[str] = (), gpu: Gpu | None = None) -> dict[str, Any]:
    """The environment as stored in a record, ready for JSON. Needs torch.

    requires: packages that the method needs in addition to the usual ones. gpu: the GPU in use; None for the
    first that this process sees, which starts CUDA here.
    """
    import torch

    # A plan can be for a GPU that is not on this machine.
    here = profile.device == "cuda" and (gpu is not None or torch.cuda.is_available())
    used = (gpu.about if gpu else about()) if here else None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions((*PACKAGES, *requires)),
        "torch_build": {
            "version": torch.__version__,
            "cuda": torch.version.cuda,
            # The rest are compiler flags and paths.
            "config": " ".join(torch.__config__.show().partition("- Build settings")[0].split()),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "gpu": used,
        "device": profile.device,
        "threads": profile.threads,
        "git": git(),
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Installed versions of the packages that can change a number; None if not installed."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@cache
def cpu_model() -> str:
    """The processor's name, with the family and model numbers that tell generations apart."""
    if sys.platform != "linux":
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if not line.strip():
            break
        fields[key.strip()] = value.strip()
    name = fields.get("model name") or platform.machine()
    numbers = [f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields]
    return f"{name} ({', '.join(numbers)})" if numbers else name


@cache
def git() -> dict[str, Any] | None:
    """Commit of the checkout that this code runs from, and whether the code differs from the commit.

    Results do not make it dirty, since every run writes them. None outside a checkout.
    """
    if CHECKOUT is None or not (CHECKOUT / ".git").exists():
        return None
    return _state(CHECKOUT, [".", ":!results", ":!README.md", ":!docs"])


def repository(folder: Path, files: Sequence[str]) -> dict[str, Any] | None:
    """Commit of the git repository that contains a folder, and whether these files differ from the commit.

    None if there is no repository, or if it does not track the first of the files.
    """
    try:
        if not _ask_git(folder, "ls-files", "--", files[0]):
            return None
    except (OSError, subprocess.CalledProcessError):
        return None
    return _state(folder, files)


def _state(folder: Path, paths: Sequence[str]) -> dict[str, Any] | None:
    try:
        return {
            "commit": _ask_git(folder, "rev-parse", "HEAD"),
            "dirty": bool(_ask_git(folder, "status", "--porcelain", "--", *paths)),
        }
    except (OSError, subprocess.CalledProcessError):
        return None


def _ask_git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    ).stdout.strip()
