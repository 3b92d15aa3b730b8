"""Tensors and plain facts in one safetensors file, either whole or absent. No pickle is read or written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from millscale.core.errors import ModelError
from millscale.core.files import whole

_FACTS = "facts"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write ``tensors`` and ``facts`` (JSON values), replacing what was there in one step.

    The tensors may share memory and have any strides; each is written whole.
    """
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts))
    # One entry: of several, the order in the file is another each time.
    with whole(path) as partial:
        save_file(copies, partial, metadata={_FACTS: json.dumps([text, digest(copies, text)])})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``save_checkpoint`` wrote.

    Raises:
        ModelError: not such a file, or one whose bytes are no longer those that were written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text, written = json.loads(file.metadata()[_FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if digest(tensors, text) != written:
                raise ValueError("other bytes than were written")
            return tensors, json.loads(text)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: expected a training checkpoint, found {type(error).__name__} ({error}). Remove the "
            "file; the training then starts anew."
        ) from error


def digest(tensors: Mapping[str, Tensor], facts: str = "") -> str:
    """sha256, hexadecimal, of tensors in whatever order and memory, and of facts as written."""
    found = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
