"""The GPUs of this machine: what a record says of one, and how a process sees no other."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
"""Where Linux tells the version of NVIDIA's driver; a container may lack either."""


@dataclass(frozen=True)
class Gpu:
    """One that can be used. index: among those that this process sees; free: bytes; about: for records."""

    index: int
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


def see_only(gpu: Gpu) -> None:
    """Let this process see no other GPU. It is read when CUDA starts, which nothing may have done here."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = named.split(",")[gpu.index].strip() if named else str(gpu.index)
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
