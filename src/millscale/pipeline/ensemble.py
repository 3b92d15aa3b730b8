"""Several bundles as one: detectors whose boxes are fused, or a classifier with a detector beside it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from millscale.core.errors import UsageError
from millscale.runtime.bundle import Bundle, open_bundle
from millscale.runtime.card import Fusion, Part, Views
from millscale.runtime.fusion import AGREE
from millscale.runtime.join import join


def ensemble(
    paths: Sequence[Path], name: str, *, weights: Sequence[float] | None = None, views: Views | None = None
) -> Bundle:
    """Join bundles of the same classes.

    The boxes of several detectors are fused; a box of the whole counts from the weighted mean of their thresholds.

    Args:
        paths: of two bundles or more; at most one of them classifies.
        name: of the new bundle.
        weights: of each detector; None weighs all alike.
        views: dihedral views that each detector looks at; None leaves their cards as they are.

    Raises:
        UsageError: too few bundles, other classes, or another number of weights than detectors.
        ModelError: a bundle that cannot be opened, or two classifiers.
    """
    if len(paths) < 2:
        raise UsageError(f"Expected two bundles or more to join, found {len(paths)}. Name them one after the other.")
    bundles = [_seeing(open_bundle(path), views) for path in paths]
    detectors = [part for bundle in bundles for part in bundle.card.detectors]
    shares = list(weights) if weights is not None else [1.0] * len(detectors)
    if len(shares) != len(detectors) or not all(0 < share < math.inf for share in shares):
        raise UsageError(
            f"weights: expected a number above 0 for each of {len(detectors)} detectors, found {shares}. "
            "Give them in the order of the bundles."
        )
    described = {
        "name": name,
        "protocol": "not measured as a whole: run `millscale evaluate` on images that no member was trained on",
        "metrics": {},
        "provenance": {"members": [_facts(bundle) for bundle in bundles]},
        "licence_notes": " ".join(dict.fromkeys(bundle.card.licence_notes for bundle in bundles)),
    }
    return join(bundles, described, _fusion(detectors, shares) if len(detectors) > 1 else None)


def _seeing(bundle: Bundle, views: Views | None) -> Bundle:
    """The bundle with another number of views for its detectors."""
    if views is None:
        return bundle
    parts = tuple(part.with_detection(views=views) for part in bundle.card.parts)
    return replace(bundle, card=bundle.card.model_copy(update={"parts": parts}))


def _fusion(detectors: Sequence[Part], weights: Sequence[float]) -> Fusion:
    own = [part.detection.thresholds for part in detectors if part.detection is not None]
    total = sum(weights)
    thresholds = {
        name: sum(weight * given[name] for weight, given in zip(weights, own, strict=True)) / total for name in own[0]
    }
    return Fusion(weights=tuple(weights), iou=AGREE, thresholds=thresholds)


def _facts(bundle: Bundle) -> dict[str, object]:
    card = bundle.card
    return {
        "name": card.name,
        "protocol": card.protocol,
        "dataset": card.dataset,
        "provenance": card.provenance,
        "map50": card.metrics.get("map50"),
        "accuracy": card.metrics.get("accuracy"),
    }
