"""Bundles made of others: detectors whose boxes are fused, a classifier and a detector, one that sees several views."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.data.manifest import Manifest
from millscale.imaging.tiling import check_tile
from millscale.learn.patches import in_parallel
from millscale.learn.recipe import Progress
from millscale.metrics.detection import DetectionMetrics
from millscale.metrics.detections import DetectionTable
from millscale.pipeline.evaluate import evaluate
from millscale.pipeline.summary import silent
from millscale.pipeline.tasks.detect import measured, on_card
from millscale.runtime.bundle import SEEN, Bundle, make_bundle, open_bundle
from millscale.runtime.card import Fusion, Part, Views
from millscale.runtime.fusion import AGREE, common_scales
from millscale.runtime.inspector import Inspector
from millscale.runtime.join import join, lead_of


def ensemble(
    paths: Sequence[Path],
    name: str,
    *,
    weights: Sequence[float] | None = None,
    views: Views | None = None,
    tile: int | None = None,
    images: Manifest | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Join bundles, or give one other views, windows or thresholds.

    The boxes of several detectors are fused. What several detectors or views find scores less than what one does, so
    the thresholds from which boxes count are to be chosen anew, on annotated images; without, a box counts from the
    weighted mean of the detectors' own. On such images the scores of several detectors are brought to one scale, too.

    Args:
        paths: of the bundles; at most one of them classifies.
        name: of the new bundle.
        weights: of each detector; None weighs all alike.
        views: dihedral views that each detector looks at; None leaves their cards as they are.
        tile: pixels of the original along the side of the windows that each detector looks at, 0 for whole images; None
            as ``views``.
        images: annotated ones that no member learned from; scales of scores and thresholds are chosen on them, the
            latter as after a training, but for classes that they do not show.
        skip_bad: leave out those whose annotations cannot be used, instead of stopping.
        progress: called with (what, done, total).

    Raises:
        UsageError: too few bundles, one of them twice, other classes, another number of weights than detectors,
            ``views``, ``tile`` or ``images`` without a detector, a tile that does not suit one, an ensemble beside a
            detector, two classifiers, or ``images`` with a member that keeps nothing of what it learned from.
        DataError: ``images`` without boxes, of other classes, or such as a member learned from.
        ModelError: a bundle that cannot be opened.
    """
    changed = (views, tile, images) != (None, None, None)
    if len(paths) < (1 if changed else 2):
        raise UsageError(
            f"Expected two bundles or more to join, or one with --views, --tile or --data, found {len(paths)}. "
            "Name them one after the other."
        )
    bundles = [_seeing(open_bundle(path), views, tile) for path in paths]
    lead_of(bundles)  # refuses what does not go together, of which no thresholds can be made
    if any(one.card == other.card for one, other in combinations(bundles, 2)):
        raise UsageError("Expected bundles that differ, found one twice. Name each once; --weights weighs them.")
    detectors = [part for bundle in bundles for part in bundle.card.detectors]
    if not detectors and changed:
        raise UsageError("views, tile, data: expected a detector, found none. Leave them out.")
    silent_ones = [bundle.card.name for bundle in bundles if SEEN not in bundle.members]
    if images is not None and silent_ones:
        raise UsageError(
            f"data: expected bundles that keep what they learned from, found none of it in {', '.join(silent_ones)}. "
            "Train it anew, or leave --data out."
        )
    fusion = _fusion_of(bundles, detectors, weights)
    described = {
        "name": name,
        "protocol": "not measured as a whole: run `millscale evaluate` on images that no member was trained on",
        "metrics": {},
        "provenance": {"members": [_facts(bundle) for bundle in bundles]},
        "licence_notes": " ".join(dict.fromkeys(bundle.card.licence_notes for bundle in bundles)),
    }
    made = join(bundles, described, fusion)
    if images is None:
        return made
    return _with_thresholds(_on_one_scale(made, images, progress), images, progress, skip_bad=skip_bad)


def _on_one_scale(bundle: Bundle, images: Manifest, progress: Progress) -> Bundle:
    """The bundle, if of several detectors, with scales on which they score the images alike."""
    if bundle.card.fusion is None:
        return bundle
    inspector = Inspector(bundle, tasks=("detect",))
    paths = [record.path for record in images.records if record.boxes is not None]

    def scores(row: int) -> Sequence[NDArray[np.float32]]:
        try:
            return inspector.scores(paths[row])
        except DataError:  # `evaluate` will tell, or leave it out
            return ()

    found = [one for one in in_parallel(scores, len(paths), "scores", progress) if one]
    if not found:  # `evaluate` will tell that, too
        return bundle
    card = bundle.card.model_dump(exclude={"sha256"})
    card["fusion"]["scales"] = common_scales([np.concatenate(each) for each in zip(*found, strict=True)])
    return make_bundle(card, bundle.members)


def _with_thresholds(bundle: Bundle, images: Manifest, progress: Progress, *, skip_bad: bool) -> Bundle:
    """The bundle with thresholds and metrics of images that it has not learned from."""
    found = evaluate(bundle, images, task="detect", skip_bad=skip_bad, progress=progress)
    assert isinstance(found.table, DetectionTable)  # noqa: S101 - what the task gives
    if found.trained_on:
        raise DataError(
            f"{images.source}: expected images that no member has learned from, found {found.trained_on} of "
            f"{len(found.table)} that one has: their scores are too good to choose by. Give others with --data."
        )
    assert isinstance(found.metrics, DetectionMetrics)  # noqa: S101
    shown = dict(zip(found.metrics.classes, found.metrics.truths, strict=True))
    if not any(shown.values()):
        raise DataError(
            f"{images.source}: expected images with drawn boxes, found none among {len(found.table)} annotated images: "
            "nothing to choose thresholds by. Give others with --data."
        )
    kept = {name: old for name, old in bundle.card.thresholds.items() if not shown[name]}
    metrics = measured(found.table, seed=0, kept=kept)
    chosen = dict(zip(metrics.classes, metrics.thresholds.tolist(), strict=True))
    card = bundle.card.model_dump(exclude={"sha256"})
    if bundle.card.fusion:
        card["fusion"]["thresholds"] = chosen
    else:
        card["parts"] = [part.with_detection(thresholds=chosen).model_dump() for part in bundle.card.parts]
    card["metrics"] = on_card(metrics)
    card["protocol"] = (
        f"{len(found.table)} images of {Path(images.source).name}, none of which, byte for byte, a member has learned "
        "from, each judged at thresholds that images of other groups chose"
        + (", the detectors' scores brought to one scale on these images" if bundle.card.fusion else "")
        + (f"; none of them shows {', '.join(kept)}, whose thresholds are as before" if kept else "")
    )
    return make_bundle(card, bundle.members)


def _seeing(bundle: Bundle, views: Views | None, tile: int | None) -> Bundle:
    """The bundle with another number of views, or other windows, for its detectors."""
    parts = bundle.card.parts
    if views is not None:
        parts = tuple(part.with_detection(views=views) for part in parts)
    if tile is not None:
        parts = tuple(_in_windows(part, tile) if part.detection else part for part in parts)
    return replace(bundle, card=bundle.card.model_copy(update={"parts": parts}))


def _in_windows(part: Part, tile: int) -> Part:
    size = (part.preprocess or {}).get("size") or (0, 0)
    check_tile(tile, max(size))
    if tile and size[0] != size[1]:
        raise UsageError(
            f"tile: expected detectors of square images, found one of {size[1]} x {size[0]}. Train one with "
            "--set tile=N."
        )
    return part.model_copy(update={"tile": tile or None})


def _fusion_of(bundles: Sequence[Bundle], detectors: Sequence[Part], weights: Sequence[float] | None) -> Fusion | None:
    """How the boxes of the detectors are fused, if there are several: as in the ensemble among them, or anew."""
    locating = [bundle for bundle in bundles if bundle.card.detectors]
    ensembles = [bundle.card.name for bundle in locating if bundle.card.fusion]
    if ensembles and len(locating) > 1:
        raise UsageError(
            f"Expected single detectors to fuse, found fused ones in {', '.join(ensembles)}, whose weights and scales "
            "would be lost. Name the bundles that it was made of instead."
        )
    if len(detectors) < 2:
        if weights is not None:
            raise UsageError(f"weights: expected detectors to weigh, found {len(detectors)}. Leave them out.")
        return None
    known = locating[0].card.fusion
    usual = known.weights if known else [1.0] * len(detectors)
    shares = tuple(usual if weights is None else weights)
    if len(shares) != len(detectors) or not all(0 < share < math.inf for share in shares):
        raise UsageError(
            f"weights: expected a number above 0 for each of {len(detectors)} detectors, found {list(shares)}. "
            "Give them in the order of the bundles."
        )
    return known.model_copy(update={"weights": shares}) if known else _fusion(detectors, shares)


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
