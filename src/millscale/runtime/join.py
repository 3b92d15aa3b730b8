"""Several bundles as one: a classifier with a detector beside it, or several detectors whose boxes are fused.

What is joined is a bundle like any other: `inspect`, `evaluate` and the station need not know.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from millscale.core.errors import UsageError
from millscale.core.version import __version__
from millscale.imaging.decode import decode_image
from millscale.runtime.arrays import npy
from millscale.runtime.bundle import SEEN, Bundle, make_bundle
from millscale.runtime.card import MOST_DETECTORS, Fusion, Part
from millscale.runtime.locate import golden_scores

Source = tuple[Bundle, Part]


def join(bundles: Sequence[Bundle], described: Mapping[str, Any], fusion: Fusion | None = None) -> Bundle:
    """One bundle with the parts of several.

    It takes classes, costs and the golden image from the bundle that classifies, or from the first, and knows the
    training images of all, if each knows its own.

    Args:
        bundles: at most one of them classifies; all detectors locate the same classes, which a classifier knows too.
        described: fields of the card that say what the whole is and how good: name, protocol, metrics, dataset,
            provenance, licence_notes. What is left out is as in the bundle that classifies, or the first.
        fusion: how boxes are fused; needed exactly where there are several detectors.

    Raises:
        UsageError: no bundle, two classifiers, too many detectors, classes that do not go together, or an anomaly
            scorer.
    """
    lead = lead_of(bundles)
    sources = [(bundle, part) for bundle in bundles for part in bundle.card.parts]
    names = _names(sources)
    parts = [
        part.model_copy(update={"file": name, "classes": _own(bundle, part, lead)})
        for (bundle, part), name in zip(sources, names, strict=True)
    ]
    members = {name: bundle.members[part.file] for (bundle, part), name in zip(sources, names, strict=True)}
    golden = lead.card.golden
    picture = decode_image(lead.members[golden.file])
    scores = {
        name: golden_scores(members[name], part, picture, len(part.classes or lead.card.classes))
        for name, part in zip(names, parts, strict=True)
        if part.task == "detect"
    }
    card = {
        **lead.card.model_dump(exclude={"sha256"}),
        "millscale_version": __version__,
        **described,
        "parts": [part.model_dump() for part in parts],
        "fusion": fusion.model_dump() if fusion else None,
        "golden": {**golden.model_dump(), "scores": scores},
    }
    arrays = lead.card.openset.files if lead.card.openset else ()
    members |= {name: lead.members[name] for name in (golden.file, *arrays)}
    return make_bundle(card, members | _seen(bundles))


def lead_of(bundles: Sequence[Bundle]) -> Bundle:
    """The bundle that says what the whole of several is about: the one that classifies, or the first.

    Raises:
        UsageError: they do not go together.
    """
    if any(bundle.card.scorer for bundle in bundles):
        raise UsageError(
            "Join: expected classifiers and detectors, found an anomaly scorer, which decides alone. Leave it out."
        )
    if not bundles:
        raise UsageError("Join: expected bundles, found none. Name some.")
    classifying = [bundle for bundle in bundles if bundle.card.classifier]
    detectors = sum(len(bundle.card.detectors) for bundle in bundles)
    if len(classifying) > 1 or detectors > MOST_DETECTORS:
        names = ", ".join(bundle.card.name for bundle in classifying)
        raise UsageError(
            f"Join: expected one classifier at most and {MOST_DETECTORS} detectors, found {len(classifying)} "
            f"({names or 'none'}) and {detectors}. Leave some out."
        )
    lead = (classifying or bundles)[0]
    located = {frozenset(bundle.card.located) for bundle in bundles if bundle.card.detectors}
    if len(located) > 1 or not set().union(*located) <= set(lead.card.classes):
        told = ((bundle.card.name, bundle.card.located or bundle.card.classes) for bundle in bundles)
        found = "; ".join(f"{name}: {', '.join(classes)}" for name, classes in told)
        raise UsageError(
            f"Join: expected detectors of the same classes, which a classifier beside them knows too, found {found}. "
            "Train them on the same classes."
        )
    return lead


def _own(bundle: Bundle, part: Part, lead: Bundle) -> tuple[str, ...] | None:
    """The classes of a detector, where they are not the card's."""
    own = bundle.card.told_by(part)
    return None if part.detection is None or own == lead.card.classes else own


def _names(sources: Sequence[Source]) -> list[str]:
    """A file for each part: the only one of its task is called by it, several are numbered."""
    tasks = [part.task for _, part in sources]
    stems = {"classify": "classifier", "detect": "detector"}
    return [
        f"{stems[task]}{f'_{tasks[: place + 1].count(task)}' if tasks.count(task) > 1 else ''}.onnx"
        for place, task in enumerate(tasks)
    ]


def _seen(bundles: Sequence[Bundle]) -> dict[str, bytes]:
    """The hashes of all training images, where every bundle keeps its own: a part of them would look like all."""
    seen = np.unique(np.concatenate([bundle.seen for bundle in bundles]))
    return {SEEN: npy(seen)} if all(SEEN in bundle.members for bundle in bundles) else {}
