"""Run a bundle on images: prediction first, then the decision."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, ModelError
from millscale.core.types import Image, Prediction
from millscale.imaging.decode import decode_image, read_image
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.backends.onnxruntime import Network
from millscale.runtime.bundle import Bundle, open_bundle
from millscale.runtime.card import Costs
from millscale.runtime.decide import Verdict, decide_class

PACKAGED_BUNDLE = "neu.millscale"


@dataclass(frozen=True)
class Inspection:
    """What came of one file: a prediction with its verdict, or the error that prevented them."""

    path: Path
    prediction: Prediction | None
    verdict: Verdict | None
    milliseconds: float
    error: DataError | None = None


class Inspector:
    """A bundle ready to inspect; safe to share between threads.

    Every image runs alone and on one core, so an answer never depends on the others in a folder nor on the
    machine's number of cores.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.card = bundle.card
        self._preprocess = Preprocess.from_json(bundle.card.preprocess)
        part = bundle.card.parts[0]
        self._network = Network(bundle.members[part.file], part.file, threads=1)
        self._good = tuple(name in bundle.card.good_classes for name in bundle.card.classes)
        if "probs" not in self._network.outputs or self._network.inputs != ["images"]:
            raise ModelError(
                f"{part.file}: expected input images and output probs, found {self._network.inputs} and "
                f"{self._network.outputs}. Train the bundle anew."
            )

    @classmethod
    def open(cls, path: Path | str | None = None) -> "Inspector":
        """Open a bundle, verify it, and run its golden image.

        Args:
            path: the file; None opens the packaged NEU bundle.

        Raises:
            ModelError: not a bundle, damaged, refused, or it answers the golden image wrongly.
        """
        source = Path(path) if path is not None else packaged_bundle()
        bundle = open_bundle(source)
        inspector = cls(bundle)
        inspector._check_golden(bundle, str(source))
        return inspector

    def inspect(self, image: Image | bytes | Path | str) -> Prediction:
        """Predict one image.

        Args:
            image: a file's path, a file's bytes, or ``(H, W, 3)`` RGB / ``(H, W)`` grey uint8 pixels.

        Raises:
            DataError: the image cannot be decoded.
            ModelError: the network gives no finite probability for each class.
        """
        tensor, _ = self._preprocess.apply(_pixels(image))
        answer = self._network.run({"images": tensor[None]}, ["probs"])[0]
        # A comparison with NaN is false, so that a NaN would make the cheapest verdict "pass".
        if answer.shape != (1, len(self._good)) or not np.isfinite(answer).all():
            raise ModelError(
                f"{self._network.name}: expected {len(self._good)} finite probabilities, found {answer}. "
                "Train the bundle anew."
            )
        probs: NDArray[np.float32] = answer[0]
        score = float(probs[[not good for good in self._good]].sum())
        return Prediction(score=min(max(score, 0.0), 1.0), probs=probs)

    def decide(self, prediction: Prediction, costs: Costs | None = None) -> Verdict:
        """The verdict on a prediction, at the bundle's operating point or at other costs."""
        if prediction.probs is None:
            raise ModelError("Expected a prediction with class probabilities, found none in it.")
        card = self.card
        return decide_class(prediction.probs, card.classes, card.good_classes, costs or card.costs)

    def inspect_files(
        self, paths: Iterable[Path], *, costs: Costs | None = None, workers: int | None = None
    ) -> Iterator[Inspection]:
        """Inspect files in parallel; results come in the order of ``paths``, one for each.

        Args:
            paths: may be endless; only a few are read ahead.
            costs: another operating point than the bundle's.
            workers: threads; by default one a core.
        """
        count = workers or os.cpu_count() or 1
        source = iter(paths)
        with ThreadPoolExecutor(max_workers=count) as pool:
            waiting: list[Future[Inspection]] = [
                pool.submit(self._inspect_file, path, costs) for path in islice(source, 4 * count)
            ]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(self._inspect_file, path, costs) for path in islice(source, 1)]

    def _inspect_file(self, path: Path, costs: Costs | None) -> Inspection:
        start = time.perf_counter()
        try:
            prediction = self.inspect(path)
        except DataError as error:
            return Inspection(path, None, None, _since(start), error)
        return Inspection(path, prediction, self.decide(prediction, costs), _since(start))

    def _check_golden(self, bundle: Bundle, source: str) -> None:
        golden = bundle.card.golden
        try:
            found = self.inspect(bundle.members[golden.file]).probs
        except (DataError, ModelError) as error:
            raise ModelError(f"{source}: its golden image cannot be inspected: {error}") from error
        expected = np.array(golden.probs)
        if found is None or np.abs(found - expected).max() > golden.tolerance:
            raise ModelError(
                f"{source}: on its golden image this machine gives {found}, the card says {expected}. "
                "Upgrade onnxruntime, or train the bundle anew on this machine."
            )


def packaged_bundle() -> Path:
    """The NEU bundle that ships inside the package."""
    return Path(str(files("millscale.runtime"))) / "bundles" / PACKAGED_BUNDLE


def _pixels(image: Image | bytes | Path | str) -> Image:
    if isinstance(image, bytes):
        return decode_image(image)
    return image if isinstance(image, np.ndarray) else read_image(image)


def _since(start: float) -> float:
    return 1000.0 * (time.perf_counter() - start)
