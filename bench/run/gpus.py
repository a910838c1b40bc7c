"""The GPUs of this machine: what a record says of one, and how a process sees no other."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "CUDA_VISIBLE_DEVICES"
DRIVER = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
"""Where Linux tells the version of NVIDIA's driver; a container may lack either."""


@dataclass(frozen=True)
class Gpu:
    """One that can be used. free: bytes. about: what records say of it.

    visible: what CUDA_VISIBLE_DEVICES is in a process that sees no other.
    """

    visible: str
    free: float
    about: dict[str, Any]


def about(index: int = 0) -> dict[str, Any]:
    """What a record says of one of the GPUs that this process sees; JSON-ready. Starts CUDA."""
    import torch

    properties = torch.cuda.get_device_properties(index)
    major, minor = torch.cuda.get_device_capability(index)
    return {
        "name": properties.name,
        "memory_mb": properties.total_memory // 2**20,
        "capability": f"{major}.{minor}",
        "driver": driver(),
        "index": index,
    }


def driver() -> str | None:
    """The version of the driver; None where nothing tells. torch knows only which CUDA it is good for."""
    for file in DRIVER:
        with suppress(OSError):
            if found := re.search(r"\d+\.\d+(\.\d+)*", file.read_text(errors="replace")):
                return found[0]
    return None


def visible(index: int) -> str:
    """What CUDA_VISIBLE_DEVICES must be so that of the GPUs that this process sees only this one is seen."""
    named = os.environ.get(VARIABLE)
    return named.split(",")[index].strip() if named else str(index)


def see_only(gpu: Gpu) -> None:
    """Let this process see no other GPU. It is read when CUDA starts, which nothing may have done here."""
    os.environ[VARIABLE] = gpu.visible
