"""Boxes for images that nobody annotated: what a teacher finds, firm where its views agree, else a region to ignore.

A box that the views of an image disagree on is neither learned as a defect nor as background (Sohn et al. 2020,
STAC, for the scheme; Chen et al., CVPR 2022, label matching, for the limits).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from millscale.core.types import Boxes

Floats = NDArray[np.float64]


def firm_limits(found: Sequence[Boxes], annotated: Sequence[Boxes], classes: int, share: float, least: float) -> Floats:
    """The score ``(C,)`` from which a found box of each class is taken for true.

    So many of a class are taken as annotators would have drawn, were these images like the annotated ones, times
    ``share``: a class that the teacher is timid about is not passed over, one that it is bold about not overdrawn.

    Args:
        found: of each image without annotation, scored in [0, 1].
        annotated: of each annotated image; difficult ones do not count.
        classes: C.
        share: of the boxes expected, above 0.
        least: no limit is lower.
    """
    drawn = np.zeros(classes)
    for boxes in annotated:
        drawn += np.bincount(boxes.class_id[~np.asarray(boxes.difficult)], minlength=classes)
    wanted = np.maximum(1, np.rint(share * drawn / max(1, len(annotated)) * len(found))).astype(int)
    scores = np.concatenate([np.zeros(0), *(np.asarray(boxes.score) for boxes in found)])
    names = np.concatenate([np.zeros(0, np.int64), *(boxes.class_id for boxes in found)])
    limits = np.full(classes, least)
    for name, count in enumerate(wanted):
        falling = np.sort(scores[names == name])[::-1]
        if len(falling) >= count:
            limits[name] = max(least, falling[count - 1])
    return limits


def pseudo_boxes(found: Boxes, limits: Floats, ignored: float) -> Boxes:
    """The found boxes as annotations: difficult below the limit of their class, dropped below ``ignored`` times it."""
    score, limit = np.asarray(found.score, np.float64), limits[found.class_id]
    kept = score >= ignored * limit
    return Boxes(found.xyxy[kept], found.class_id[kept], score[kept].astype(np.float32), (score < limit)[kept])


def teaches(boxes: Boxes) -> bool:
    """An image with firm boxes, or without any: one with doubtful boxes alone would teach background alone."""
    return not len(boxes) or not np.asarray(boxes.difficult).all()
