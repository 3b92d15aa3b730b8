"""Many changed copies of one image through the deployed model."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Image
from millscale.explain.config import Progress
from millscale.explain.target import Target
from millscale.runtime.inspector import Inspector

_AHEAD, _MOST_BYTES = 8, 2**28
"""Images that wait for a core, for each of them, and bytes from which no more than one for each of them waits."""


class Asking:
    """Asks the model what remains of the targets, telling how far it is.

    Args:
        inspector: the deployed model; it is only called, so that any bundle can be explained.
        targets: T of them.
        total: images that will be asked about.
        progress: told after each batch.
    """

    def __init__(
        self, inspector: Inspector, targets: Sequence[Target], total: int, progress: Progress | None = None
    ) -> None:
        self._inspector, self._targets, self._total, self._progress = inspector, targets, total, progress
        self._done = 0

    def remains(self, images: Iterable[Image]) -> NDArray[np.float64]:
        """``(n, T)``: of every image, what remains of each target in [0, 1].

        Raises:
            ModelError: a network's answer is not finite.
        """
        cores = os.cpu_count() or 1
        rows: list[tuple[float, ...]] = []
        with ThreadPoolExecutor(max_workers=cores) as pool:
            for batch in _batches(images, cores):
                rows += pool.map(self._one, batch)
                self._tell(len(batch))
        return np.array(rows, np.float64).reshape(-1, len(self._targets))

    def _one(self, image: Image) -> tuple[float, ...]:
        prediction = self._inspector.inspect(image)
        return tuple(target.remains(prediction) for target in self._targets)

    def _tell(self, more: int) -> None:
        self._done += more
        if self._progress is not None:
            self._progress("explain", self._done, self._total)


def _batches(images: Iterable[Image], cores: int) -> Iterator[list[Image]]:
    batch: list[Image] = []
    for image in images:
        batch.append(image)
        if len(batch) >= (cores if len(batch) * image.nbytes >= _MOST_BYTES else _AHEAD * cores):
            yield batch
            batch = []
    if batch:
        yield batch
