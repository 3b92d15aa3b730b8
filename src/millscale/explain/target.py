"""What is explained, and how much of it is left in another answer of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.boxes import iou_matrix
from millscale.core.types import Boxes, Prediction

Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class Target:
    """A located defect, or the class of a whole image.

    Attributes:
        class_id: index into the bundle's class names.
        label: that name.
        score: of the box, or the probability of the class, in [0, 1].
        xyxy: of the box, half-open pixels of the original image; None for the class of the image.
    """

    class_id: int
    label: str
    score: float
    xyxy: Place | None = None

    def remains(self, prediction: Prediction) -> float:
        """How much of the target another prediction still holds, in [0, 1].

        Of a class its probability; of a box the highest IoU · score of a box of its class (Petsiuk et al. 2021,
        "Black-box Explanation of Object Detectors via Saliency Maps", equation 3).
        """
        if self.xyxy is None:
            return float(prediction.probs[self.class_id]) if prediction.probs is not None else 0.0
        return _similarity(self.xyxy, self.class_id, prediction.boxes) if prediction.boxes is not None else 0.0


def _similarity(xyxy: Place, class_id: int, boxes: Boxes) -> float:
    alike = boxes.class_id == class_id
    if boxes.score is None or not alike.any():
        return 0.0
    overlaps = iou_matrix([xyxy], boxes.xyxy[alike])[0]
    return float((overlaps * boxes.score[alike]).max())


def box_targets(boxes: Boxes, classes: Sequence[str]) -> tuple[Target, ...]:
    """One target a box, in their order."""
    scores = np.ones(len(boxes)) if boxes.score is None else boxes.score
    return tuple(
        Target(int(label), classes[label], float(score), (left, top, right, bottom))
        for label, score, (left, top, right, bottom) in zip(boxes.class_id, scores, boxes.xyxy.tolist(), strict=True)
    )


def class_target(probs: NDArray[np.floating], classes: Sequence[str]) -> Target:
    """The most probable class."""
    best = int(probs.argmax())
    return Target(best, classes[best], float(probs[best]))
