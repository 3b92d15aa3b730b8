"""Heat maps of boxes (D-RISE) and of a class (RISE), of any bundle, through its answers alone.

Sources: Petsiuk, Das, Saenko, "RISE", BMVC 2018; Petsiuk et al., "Black-box Explanation of Object Detectors via
Saliency Maps", CVPR 2021.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Boxes, Image
from millscale.explain.answers import Asking
from millscale.explain.config import ExplainConfig, Progress
from millscale.explain.explanation import Explanation
from millscale.explain.faithfulness import areas, changed_images, judged
from millscale.explain.fill import filled, seen_through
from millscale.explain.masks import random_masks
from millscale.explain.saliency import enlarged, heat_maps
from millscale.explain.target import Target, box_targets, class_target
from millscale.imaging.preprocess import as_rgb
from millscale.runtime.inspector import Inspector

DEFAULT = ExplainConfig()


def explain_boxes(
    inspector: Inspector,
    image: Image,
    boxes: Boxes,
    config: ExplainConfig = DEFAULT,
    progress: Progress | None = None,
) -> tuple[Explanation, ...]:
    """Why the model found these boxes; one explanation each, all out of the same inspections.

    Args:
        inspector: of a bundle that locates; opened with ``tasks=("detect",)`` it answers sooner.
        image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8.
        boxes: what `Inspector.inspect` found in it, or some of them.
        config: how much work.
        progress: told how far it is.

    Raises:
        UsageError: the bundle does not locate.
        DataError: no box.
        ModelError: a network's answer is not finite.
    """
    if not inspector.locates:
        raise UsageError(
            f"Bundle '{inspector.card.name}': expected a detector, found only a classifier. "
            "Explain its class, or use a bundle that locates."
        )
    if not len(boxes):
        raise DataError("Expected a box to explain, found none in the image. Explain its class, or another image.")
    return _explained(inspector, image, box_targets(boxes, inspector.card.classes), config, progress)


def explain_class(
    inspector: Inspector, image: Image, config: ExplainConfig = DEFAULT, progress: Progress | None = None
) -> Explanation:
    """Why the model gives the image its most probable class.

    Args:
        inspector: of a bundle that classifies; opened with ``tasks=("classify",)`` it answers sooner.
        image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8.
        config: how much work.
        progress: told how far it is.

    Raises:
        UsageError: the bundle does not classify.
        ModelError: a network's answer is not finite.
    """
    probs = inspector.inspect(image).probs
    if probs is None:
        raise UsageError(
            f"Bundle '{inspector.card.name}': expected a classifier, found only a detector. Explain its boxes."
        )
    return _explained(inspector, image, (class_target(probs, inspector.card.classes),), config, progress)[0]


def _explained(
    inspector: Inspector, image: Image, targets: Sequence[Target], config: ExplainConfig, progress: Progress | None
) -> tuple[Explanation, ...]:
    rgb = as_rgb(image)
    hidden = filled(rgb, config.fill)
    rounds = len(targets) + config.random
    total = config.masks + 2 + 2 * (config.steps - 1) * rounds
    size = rgb.shape[0], rgb.shape[1]
    asking = Asking(inspector, targets, total, progress)
    heat, random = _maps(asking, rgb, hidden, len(targets), config)
    whole, nothing = asking.remains([rgb, hidden])
    changed = (changed_images(rgb, hidden, enlarged(one, size), config.steps) for one in (*heat, *random))
    curves = [asking.remains(images) for images in changed]
    found = [_areas_of(curves, whole, nothing, place) for place in range(len(targets))]
    return tuple(
        Explanation(target, enlarged(heat[place], size), judged(rows[place], rows[len(targets) :]))
        for place, (target, rows) in enumerate(zip(targets, found, strict=True))
    )


def _maps(
    asking: Asking, rgb: Image, hidden: Image, targets: int, config: ExplainConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``(T, h, w)`` of the targets and ``(R, h, w)`` without meaning, as `heat_maps` gives them.

    A random map comes from the same masks, with noise for an answer: it is exactly as smooth as a real one. Against
    single random pixels, which destroy any texture at once, a comparison of deletion would mean nothing.
    """
    size = rgb.shape[0], rgb.shape[1]
    rng = np.random.default_rng(config.seed)
    masks = random_masks(size, config.masks, config.cells, rng)
    remains = asking.remains(seen_through(rgb, hidden, mask) for mask in masks)
    noise = rng.random((len(masks), config.random))
    heat = heat_maps(masks, np.hstack([remains, noise]), size)
    return heat[:targets], heat[targets:]


def _areas_of(
    curves: Sequence[NDArray[np.float64]], whole: NDArray[np.float64], nothing: NDArray[np.float64], place: int
) -> list[tuple[float, float]]:
    """Areas of every map's curves, for the target at ``place``."""
    return [areas(curve[:, place], float(whole[place]), float(nothing[place])) for curve in curves]
