"""ONNX Runtime on the CPU: the backend that every installation has."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from millscale.core.errors import ModelError


class Network:
    """A loaded network; safe to call from several threads.

    Args:
        model: the ONNX file's bytes.
        name: how error messages call it.
        threads: cores for one call; results can differ in the last bit between thread counts.
    """

    def __init__(self, model: bytes, name: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Else it guesses, and runs a file in its own format, whose operators nobody has checked.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Idle worker threads that spin would steal the second core from decoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"{name}: ONNX Runtime cannot load this network: {error}") from error
        self.name = name
        self.inputs = [entry.name for entry in self._session.get_inputs()]
        self.outputs = [entry.name for entry in self._session.get_outputs()]

    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[np.float32]]:
        """The named outputs, or all, for these inputs.

        Raises:
            ModelError: the network does not take these inputs.
        """
        try:
            result: list[NDArray[np.float32]] = self._session.run(list(outputs) if outputs else None, dict(feeds))
        except Exception as error:
            shapes = {name: feed.shape for name, feed in feeds.items()}
            raise ModelError(f"{self.name}: ONNX Runtime fails on inputs of {shapes}: {error}") from error
        return result
