"""What every backend gives: one file in `runtime/backends` is one registered name, with a class ``Network``."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from millscale.core import plugins

BACKENDS = "millscale.runtime.backends"
DEFAULT_BACKEND = "onnxruntime"


class Network(Protocol):
    """A loaded network; safe to call from several threads. It computes in float32, whatever the machine offers.

    Attributes:
        name: how error messages call it.
        inputs: names of its inputs.
        outputs: names of its outputs.
    """

    name: str
    inputs: list[str]
    outputs: list[str]

    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[np.float32]]:
        """The named outputs, or all, for these inputs.

        Raises:
            ModelError: the network does not take these inputs.
        """
        ...


def open_network(model: bytes, name: str, *, backend: str = DEFAULT_BACKEND, threads: int = 1) -> Network:
    """Load a network.

    Args:
        model: the ONNX file's bytes, audited.
        name: how error messages call it.
        backend: a registered name.
        threads: cores for one call; results can differ in the last bit between thread counts.

    Raises:
        UsageError: no such backend.
        ModelError: the backend is not installed, or cannot load the network.
    """
    network: Network = plugins.load(BACKENDS, backend).Network(model, name, threads)
    return network
