"""Where training runs, in which arithmetic, and how it repeats itself bit for bit."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from millscale.core.errors import UsageError
from millscale.train.config import DeviceName, Precision


def choose_device(wanted: DeviceName) -> torch.device:
    """The device called "auto" (a GPU if there is one), "cpu" or "cuda".

    Raises:
        UsageError: a GPU was asked for and there is none.
    """
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise UsageError("device: expected a CUDA GPU, found none. Use --set device=cpu.")
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")


def choose_dtype(wanted: Precision, device: torch.device, *, dense: bool) -> torch.dtype:
    """The type in which layers compute while training.

    Measured on a processor with AVX-512 bfloat16 at 128 pixels, a training step of a ResNet takes 0.6 times
    as long in bfloat16 as in float32, one of a MobileNet 1.7 times as long: depthwise convolutions have no
    fast kernel. The choice follows from machine and network alone, so that the same machine repeats it.

    Args:
        wanted: the option.
        device: where training runs.
        dense: the network has no depthwise convolutions.
    """
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if dense and _processor_has_bfloat16() else torch.float32


def _processor_has_bfloat16() -> bool:
    """False as well where this torch cannot tell."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Within it, equal seeds give equal bits; random state and settings are put back at the end.

    On a GPU, an operation that has no repeatable form warns instead of stopping the training, and float32 is float32,
    not TF32: what is judged there must be found again by the exported graph on a processor.
    """
    cuda = device.type == "cuda"
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    filling: Any = torch.utils.deterministic  # a module with a property, which mypy does not see
    filled = filling.fill_uninitialized_memory
    rounded = torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(mode=True, warn_only=cuda)
    torch.backends.cudnn.allow_tf32 = False
    # Nothing here reads memory that it has not written; filling all of it first takes a sixth of a detector's step.
    filling.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
            yield
    finally:
        torch.use_deterministic_algorithms(mode=before[0], warn_only=before[1])
        filling.fill_uninitialized_memory = filled
        torch.backends.cudnn.allow_tf32 = rounded
