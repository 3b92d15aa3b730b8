"""Tensors and plain facts in one safetensors file, either whole or absent. No pickle is read or written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from millscale.core.errors import ModelError

_FACTS = "facts"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write ``tensors`` and ``facts`` (JSON values), replacing what was there in one step.

    The tensors may share memory and have any strides; each is written whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    save_file(copies, partial, metadata={_FACTS: json.dumps(dict(facts))})
    partial.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``save_checkpoint`` wrote.

    Raises:
        ModelError: not such a file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()[_FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: expected a training checkpoint, found {type(error).__name__} ({error}). Remove the "
            "file; the training then starts anew."
        ) from error
