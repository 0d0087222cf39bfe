"""What a run was made with: versions and devices."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from lrexplore.training.processes import Processes


def environment(processes: Processes) -> dict[str, str | int]:
    """Versions, device, number of processes and threads, and the command, as plain values."""
    kind = processes.device.type
    device = torch.cuda.get_device_name(processes.device) if kind == "cuda" else platform.processor() or "CPU"
    return {
        "lrexplore": _version("lrexplore"), "torch": torch.__version__, "torchvision": _version("torchvision"),
        "cuda": torch.version.cuda or "", "python": platform.python_version(), "system": platform.platform(),
        "device_name": device, "num_processes": processes.count, "num_threads": torch.get_num_threads(),
        "num_cpus": os.cpu_count() or 0, "command": " ".join(sys.argv),
    }  # fmt: skip


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
