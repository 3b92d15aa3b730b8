"""One detector of a bundle on one image: preprocessing, network, test-time views, decoding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Boxes, Image
from millscale.imaging.preprocess import Geometry, Preprocess
from millscale.imaging.tiling import framed, windows_of
from millscale.runtime.card import Detection, Fusion, Part
from millscale.runtime.detect import decode, shifted
from millscale.runtime.fusion import IOU, fuse, rescaled
from millscale.runtime.network import Network, open_network
from millscale.runtime.views import boxes_of_view, view_of
from millscale.runtime.windows import united

TOP_SCORES = 10
"""How many raw scores of the golden image a card keeps."""

Raw = tuple[NDArray[np.float32], NDArray[np.float32], Geometry]


class Locator:
    """A detector ready to run; safe to share between threads.

    Args:
        network: ``images (n, h, w, 3)`` uint8 → ``boxes (n, A, 4)``, left, top, right, bottom in pixels of the tensor,
            and ``scores (n, A, C)`` in [0, 1].
        preprocess: brings an image to the network's input.
        detection: how its raw boxes become its answer; of eight views, four where images are resized to no square.
        classes: C indices, what ``class_id`` of its boxes holds for each score.
        tile: pixels of the original along the side of the windows that an image is cut into; None takes images whole.

    Attributes:
        views: dihedral views of each image, or of each window, that it looks at.
        tile: as given.

    Raises:
        ModelError: the network has other inputs or outputs.
    """

    def __init__(
        self,
        network: Network,
        preprocess: Preprocess,
        detection: Detection,
        classes: Sequence[int],
        tile: int | None = None,
    ) -> None:
        if network.inputs != ["images"] or not {"boxes", "scores"} <= set(network.outputs):
            raise ModelError(
                f"{network.name}: expected input images and outputs boxes and scores, found {network.inputs} and "
                f"{network.outputs}. Train the bundle anew."
            )
        self._network, self._preprocess, self._detection, self.tile = network, preprocess, detection, tile
        self._classes = np.array(classes, np.int64)
        # A transposed view would be squeezed the other way.
        squeezed = preprocess.policy == "resize" and preprocess.size is not None and len(set(preprocess.size)) > 1
        self.views = min(detection.views, 4) if squeezed else detection.views

    def locate(self, image: Image) -> Boxes:
        """The boxes of an image ``(H, W, 3)`` or ``(H, W)``, of its views fused and its windows united.

        Raises:
            ModelError: the network's answer is not finite, or of other classes.
        """
        size = (image.shape[0], image.shape[1])
        if self.tile is None:
            found = self._look(image)
        else:
            windows = windows_of(size, self.tile)
            parts = [self._look(framed(image, window, self.tile)) for window in windows]
            found = united(parts, windows, self._detection)
        placed = shifted(found, self._detection.shift, size)
        return Boxes(placed.xyxy, self._classes[placed.class_id], placed.score)

    def top_scores(self, image: Image) -> NDArray[np.float32]:
        """The highest raw scores, falling: what a card remembers of its golden image.

        Raw, because two boxes that are equally strong may change places from machine to machine.
        """
        _, scores, _ = self._raw(image)
        return np.clip(np.sort(scores, axis=None)[::-1][:TOP_SCORES], 0.0, 1.0)

    def _look(self, image: Image) -> Boxes:
        found = [self._locate_in(image, view) for view in range(self.views)]
        return found[0] if len(found) == 1 else _views_fused(found, self._detection)

    def _locate_in(self, image: Image, view: int) -> Boxes:
        seen = view_of(image, view)
        boxes, scores, geometry = self._raw(seen)
        found = decode(boxes, scores, self._detection, geometry, (seen.shape[0], seen.shape[1]))
        if view == 0:
            return found
        return Boxes(boxes_of_view(found.xyxy, view, (image.shape[0], image.shape[1])), found.class_id, found.score)

    def _raw(self, image: Image) -> Raw:
        tensor, geometry = self._preprocess.apply(image)
        boxes, scores = self._network.run({"images": tensor[None]}, ["boxes", "scores"])
        if boxes.shape[:1] != (1,) or scores.ndim != 3 or scores.shape[::2] != (1, len(self._classes)):
            raise ModelError(
                f"{self._network.name}: expected boxes (1, A, 4) and scores (1, A, {len(self._classes)}), found "
                f"{boxes.shape} and {scores.shape}. Train the bundle anew."
            )
        return boxes[0], scores[0], geometry


def _views_fused(found: Sequence[Boxes], detection: Detection) -> Boxes:
    """What several views found, as one answer."""
    return fuse(found, iou=detection.agree or IOU, least_score=detection.least_score, most=detection.most)


def fused(found: Sequence[Boxes], fusion: Fusion) -> Boxes:
    """What several detectors found in an image, as one answer."""
    if fusion.scales:
        found = [rescaled(boxes, scale) for boxes, scale in zip(found, fusion.scales, strict=True)]
    return fuse(found, fusion.weights, iou=fusion.iou, least_score=fusion.least_score, most=fusion.most)


def golden_scores(graph: bytes, part: Part, picture: Image, classes: int) -> list[float]:
    """What the card's ``golden.scores`` must hold for a detector.

    Args:
        graph: its network.
        part: its preprocessing and detection.
        picture: the golden image.
        classes: C.

    Raises:
        ModelError: the network cannot be run, or is no detector of so many classes.
    """
    locator = locator_of(part, open_network(graph, part.file), range(classes))
    return [float(score) for score in locator.top_scores(picture)]


def locator_of(part: Part, network: Network, classes: Sequence[int]) -> Locator:
    """The detector that a part of a card describes, whose boxes are of ``classes``."""
    preprocess = Preprocess.from_json(part.preprocess or {})
    return Locator(network, preprocess, part.detection or Detection(), classes, part.tile)
