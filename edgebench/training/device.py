"""Where training runs, in which precision that hardware computes, in which order of memory."""

from __future__ import annotations

import torch
from torch import nn

from edgebench.errors import EdgebenchError
from edgebench.training.recipe import Precision

ONEDNN_BLOCK = 16  # channels that oneDNN works on at once: 8 with AVX2, 16 with AVX-512


def choose_device(asked: str = "auto") -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        EdgebenchError: ``cuda`` is asked for and there is none.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked == "cuda" and not torch.cuda.is_available():
        raise EdgebenchError("--device cuda: PyTorch sees no CUDA device here; use cpu or auto")
    return torch.device(asked)


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether the hardware multiplies in bfloat16, rather than emulating it.

    On a CPU that needs AVX512-BF16 or AMX (x86-64) or the BF16 extension (64-bit Arm): without
    them PyTorch converts back and forth and is slower than in float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_precision(asked: Precision, device: torch.device) -> str:
    """Return ``float32`` or ``bfloat16``; ``auto`` asks the hardware."""
    if asked != "auto":
        return asked
    return "bfloat16" if computes_bfloat16(device) else "float32"


def memory_format(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return channels-last, the faster order, but where a CPU would train wrongly in it.

    oneDNN's gradient of a strided 1x1 convolution writes past its workspace where the images are
    channels-last and have fewer channels than a block: wrong weights or a crash (oneDNN 3.x, issue
    6035 of uxlfoundation/oneDNN, open in November 2026). With the channels first it is right.
    """
    wrong = device.type == "cpu" and any(
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < ONEDNN_BLOCK
        for layer in model.modules()
    )
    return torch.contiguous_format if wrong else torch.channels_last
