"""What a result depends on besides its configuration: versions, device, code."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from edgebench.training.device import resolve_precision

PACKAGES = ("torch", "onnx", "onnxruntime", "optuna", "mlflow", "numpy")


def environment(device: torch.device) -> dict[str, str]:
    """Return versions, device, threads, precision and the commit of edgebench, as tags."""
    return {
        "edgebench.version": _version("edgebench"),
        "edgebench.git_commit": git_commit() or "unknown",
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "device": device.type,
        "device.name": device_name(device),
        "device.threads": str(torch.get_num_threads()),
        "device.precision": resolve_precision("auto", device),
    }


def _version(package: str) -> str:
    """Return a package's version; a node of a cluster need not have what only searches."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def device_name(device: torch.device) -> str:
    """Return the name of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(torch.cpu.get_capabilities().get("cpu_name", platform.processor() or "cpu"))


def git_commit() -> str | None:
    """Return the commit that edgebench runs from (``+`` where files are changed), or None."""
    folder = Path(__file__).parent
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")  # not somebody else's repository
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None  # an installed wheel, or no git
    return commit[:12] + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's git
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()
