"""OpenVINO on the CPU: often quicker than ONNX Runtime on Intel's; ``pip install "millscale[openvino]"``."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError


class Network:
    """A loaded network; safe to call from several threads.

    Args:
        model: the ONNX file's bytes.
        name: how error messages call it.
        threads: cores for one call; results can differ in the last bit between thread counts.

    Raises:
        ModelError: OpenVINO is not installed, or cannot load the network.
    """

    def __init__(self, model: bytes, name: str, threads: int) -> None:
        openvino = _openvino()
        cores = max(os.cpu_count() or 1, threads)
        settings = {
            # Else it computes in bfloat16 where the processor can: quicker, and not what was evaluated.
            "INFERENCE_PRECISION_HINT": "f32",
            "EXECUTION_MODE_HINT": "ACCURACY",
            # So many calls side by side as there are groups of `threads` cores.
            "NUM_STREAMS": str(max(1, cores // threads)),
            "INFERENCE_NUM_THREADS": str(cores),
            # Pinned, the streams of two processes would share one core and leave the other idle.
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            core = openvino.Core()
            read = core.read_model(model)
            # Named before it is compiled: afterwards a tensor also bears names from inside the graph.
            self.inputs = [entry.any_name for entry in read.inputs]
            self.outputs = [entry.any_name for entry in read.outputs]
            self._compiled = core.compile_model(read, "CPU", settings)
        except Exception as error:
            raise ModelError(f"{name}: OpenVINO cannot load this network: {error}") from error
        self.name = name
        # A request holds the buffers of one call: each thread has its own.
        self._requests = threading.local()

    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[np.float32]]:
        """The named outputs, or all, for these inputs.

        Raises:
            ModelError: the network does not take these inputs.
        """
        try:
            answer = self._request().infer(dict(feeds))
            return [np.array(answer[name]) for name in outputs or self.outputs]
        except Exception as error:
            shapes = {name: feed.shape for name, feed in feeds.items()}
            raise ModelError(f"{self.name}: OpenVINO fails on inputs of {shapes}: {error}") from error

    def _request(self) -> Any:
        if not hasattr(self._requests, "mine"):
            self._requests.mine = self._compiled.create_infer_request()
        return self._requests.mine


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise ModelError(
            "Backend 'openvino': expected the package openvino, found none. Run "
            '`pip install "millscale[openvino]"`, or use the backend onnxruntime.'
        ) from error
    return openvino
