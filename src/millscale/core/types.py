"""The values that pass between layers. All are frozen; none changes the arrays it is given."""

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8."""

Outcome = Literal["pass", "reject", "review"]


def _frozen(array: object, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """A read-only copy of ``array`` as ``dtype``, reshaped to ``shape``."""
    result = np.array(array, dtype=dtype).reshape(shape)
    result.setflags(write=False)
    return result


@dataclass(frozen=True, eq=False)
class Boxes:
    """Axis-aligned boxes in half-open pixels of the ORIGINAL image.

    Attributes:
        xyxy: ``(N, 4)`` float32, left, top, right, bottom; right and bottom are exclusive.
        score: ``(N,)`` float32 in [0, 1]; 1 for annotations.
        class_id: ``(N,)`` int64, index into the manifest's or the bundle's class names.
        difficult: ``(N,)`` bool, annotations that evaluation should ignore.
        area: ``(N,)`` float32, pixels of the original that belong to the region that each box is drawn around; None
            where only the box is known.
    """

    xyxy: NDArray[np.float32]
    class_id: NDArray[np.int64]
    score: NDArray[np.float32] | None = None
    difficult: NDArray[np.bool_] | None = None
    area: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        xyxy = _frozen(self.xyxy, np.float32, (-1, 4))
        n = len(xyxy)
        score = np.ones(n) if self.score is None else self.score
        difficult = np.zeros(n) if self.difficult is None else self.difficult
        for name, value in (
            ("xyxy", xyxy),
            ("class_id", _frozen(self.class_id, np.int64, (-1,))),
            ("score", _frozen(score, np.float32, (-1,))),
            ("difficult", _frozen(difficult, np.bool_, (-1,))),
            *([] if self.area is None else [("area", _frozen(self.area, np.float32, (-1,)))]),
        ):
            if len(value) != n:
                raise ValueError(f"Boxes.{name}: expected {n} entries like xyxy, got {len(value)}.")
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True)
class Novelty:
    """How unlike the training images an image is.

    Attributes:
        ratio: its distance from them over the limit; more than 1 is unknown.
        nearest: index of the nearest class.
    """

    ratio: float
    nearest: int

    @property
    def unknown(self) -> bool:
        """Whether the classifier's answer means nothing here."""
        return not self.ratio <= 1.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one image, before any decision.

    Attributes:
        score: in [0, 1], always "how defective or unknown", never flipped.
        probs: ``(C,)`` float32 over the bundle's class names, summing to 1; None without a classifier.
        boxes: located defects, in pixels of the original image; None without a detector.
        anomaly_map: ``(H, W)`` float32 in [0, 1], original image size; None without an anomaly scorer.
        fault: why the image is no proper photograph, whatever the rest says of it; None where it is one.
        blank: the fault is that it shows nothing, whatever the camera.
        novelty: how unlike the classifier's training images it is; None without a guard.
    """

    score: float
    probs: NDArray[np.float32] | None = None
    boxes: Boxes | None = None
    anomaly_map: NDArray[np.float32] | None = None
    fault: str | None = None
    blank: bool = False
    novelty: Novelty | None = None


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set, with the way to mend it."""

    code: str
    path: str
    message: str
    fix: str
    blocking: bool = field(default=False)
    """True where the image or the annotation cannot be used and was left out."""
    image: str | None = None
    """Id of the image that is concerned, where ``path`` names another file."""

    @property
    def told(self) -> str:
        """Where and what, without the full stop: file and image, each once."""
        image = self.image if self.image and PurePath(self.image).stem != PurePath(self.path).stem else ""
        where = [each for each in (self.path, image) if each and each not in self.message]
        return ": ".join([*where, self.message.rstrip(".")])
