"""GPUs of this machine: their description in records, and how to restrict a process to one of them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "CUDA_VISIBLE_DEVICES"
DRIVER = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
"""Where Linux reports the version of NVIDIA's driver; a container can lack either file."""


@dataclass(frozen=True)
class Gpu:
    """A usable GPU. free: bytes. about: its description in records.

    visible: the value of CUDA_VISIBLE_DEVICES with which a process sees only this GPU.
    """

    visible: str
    free: float
    about: dict[str, Any]


def about(index: int = 0) -> dict[str, Any]:
    """The description in records of a GPU that this process sees, ready for JSON. Starts CUDA."""
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
    """The version of the driver; None if unknown. torch knows only which CUDA version the driver supports."""
    for file in DRIVER:
        with suppress(OSError):
            if found := re.search(r"\d+\.\d+(\.\d+)*", file.read_text(errors="replace")):
                return found[0]
    return None


def visible(index: int) -> str:
    """The value of CUDA_VISIBLE_DEVICES that leaves only this one of the GPUs that this process sees."""
    named = os.environ.get(VARIABLE)
    return named.split(",")[index].strip() if named else str(index)


def see_only(gpu: Gpu) -> None:
    """Restrict this process to one GPU. CUDA reads the variable at its start, so it must not have started."""
    os.environ[VARIABLE] = gpu.visible
