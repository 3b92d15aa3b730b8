"""Annotations that cannot be used stop a run, unless it is told to go on without their images."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.manifest import Manifest

_CODES = frozenset({"unreadable_annotation", "no_image", "unknown_class", "box_inverted", "box_empty", "box_outside"})
_NAMED = 3
SKIPPED = "skipped"
"""The code of the problem that names the images that were left out."""


def ways_to_boxes(manifest: Manifest) -> str:
    """What someone does whose data set has no boxes, a sentence: annotate it, or make boxes of its masks."""
    masks = any(record.mask for record in manifest.records)
    beside = "; its masks become boxes with `millscale data convert DIR OUT --to voc --format masks`" if masks else ""
    return f"Add annotations (Pascal VOC, COCO or YOLO){beside}."


def require_boxes(manifest: Manifest, otherwise: str = "") -> None:
    """Refuse a data set of which nobody has drawn boxes; ``otherwise`` is what else may be done with it.

    Raises:
        DataError: no image is annotated.
    """
    if all(record.boxes is None for record in manifest.records):
        raise DataError(
            f"{manifest.source}: expected a data set with boxes, found none in {len(manifest)} images. "
            f"{ways_to_boxes(manifest)}{otherwise}"
        )


def annotation_problems(manifest: Manifest) -> tuple[Problem, ...]:
    """The problems of annotations that could not be used, in the manifest's order."""
    return tuple(problem for problem in manifest.problems if problem.blocking and problem.code in _CODES)


def require_sound(manifest: Manifest, *, skip_bad: bool) -> Manifest:
    """The data set, if every annotation in it can be used; with ``skip_bad`` its images whose annotations can.

    An image with an annotation that cannot be used is left out whole: the rest of its boxes would make the missing
    one look like background. Annotations of missing images concern no image and leave none out.

    Returns:
        The manifest itself; or one without the affected images, with the problem "skipped" that counts and names them.

    Raises:
        DataError: annotations that cannot be used, and ``skip_bad`` is false.
    """
    bad = annotation_problems(manifest)
    if not bad:
        return manifest
    if not skip_bad:
        raise DataError(_refusal(manifest, bad))
    affected = {problem.image for problem in bad}
    skipped = [name for name in manifest.ids if name in affected]
    return _without(manifest, affected, _skipped(manifest, bad, skipped))


def require_classes(manifest: Manifest, classes: Sequence[str], *, skip_bad: bool) -> Manifest:
    """The data set, if all its boxes are of these classes; with ``skip_bad`` its images whose boxes are.

    A class that is named and never drawn is no matter.

    Returns:
        As `require_sound`.

    Raises:
        DataError: an image has a box of another class, and ``skip_bad`` is false.
    """
    known = set(classes)
    drawn = ((r, {manifest.classes[i] for i in r.boxes.class_id} - known) for r in manifest.records if r.boxes)
    strange = {record.id: sorted(names) for record, names in drawn if names}
    if not strange:
        return manifest
    names = ", ".join(sorted(set().union(*strange.values())))
    if not skip_bad:
        raise DataError(
            f"{manifest.source}: expected boxes of the bundle's classes ({', '.join(classes)}), found {names} in "
            f"{_named(strange)}. Rename them, train a bundle on these images, or go on without them with --skip-bad."
        )
    message = f"boxes of other classes ({names}); {len(strange)} of {len(manifest)} images left out: "
    problem = Problem(SKIPPED, manifest.source, message + ", ".join(strange), "Rename them, or train on them.")
    return _without(manifest, strange, problem)


def _without(manifest: Manifest, left_out: Container[str | None], problem: Problem) -> Manifest:
    """The other images, with the problem that tells what was left out."""
    kept = manifest.select(name for name in manifest.ids if name not in left_out)
    return replace(kept, problems=(*kept.problems, problem))


def _named(strange: Mapping[str, Sequence[str]]) -> str:
    more = f" and {len(strange) - _NAMED} more images" if len(strange) > _NAMED else ""
    return ", ".join(list(strange)[:_NAMED]) + more


def _refusal(manifest: Manifest, bad: Sequence[Problem]) -> str:
    shown = "; ".join(problem.told for problem in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return (
        f"{manifest.source}: expected annotations that can all be used, found {len(bad)} that cannot: {shown}{more}. "
        "Correct them, or go on without their images with --skip-bad."
    )


def _skipped(manifest: Manifest, bad: Sequence[Problem], skipped: Sequence[str]) -> Problem:
    named = f": {', '.join(skipped)}" if skipped else ""
    message = f"{len(bad)} annotations cannot be used; {len(skipped)} of {len(manifest)} images left out{named}"
    return Problem(SKIPPED, manifest.source, message, "Correct the annotations.")
