"""Annotations that cannot be used stop a run, unless it is told to go on without their images."""

from collections.abc import Sequence
from dataclasses import replace

from millscale.core.errors import DataError
from millscale.core.types import Problem
from millscale.data.manifest import Manifest

_CODES = frozenset({"unreadable_annotation", "no_image", "unknown_class", "box_inverted", "box_empty", "box_outside"})
_NAMED = 3


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
    sound = manifest.select(name for name in manifest.ids if name not in affected)
    return replace(sound, problems=(*sound.problems, _skipped(manifest, bad, skipped)))


def _refusal(manifest: Manifest, bad: Sequence[Problem]) -> str:
    shown = "; ".join(_told(problem) for problem in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return (
        f"{manifest.source}: expected annotations that can all be used, found {len(bad)} that cannot: {shown}{more}. "
        "Correct them, or go on without their images with --skip-bad."
    )


def _told(problem: Problem) -> str:
    where = "" if problem.message.startswith(problem.path) else f"{problem.path}: "
    return f"{where}{problem.message.rstrip('.')}"


def _skipped(manifest: Manifest, bad: Sequence[Problem], skipped: Sequence[str]) -> Problem:
    named = f": {', '.join(skipped)}" if skipped else ""
    message = f"{len(bad)} annotations cannot be used; {len(skipped)} of {len(manifest)} images left out{named}"
    return Problem("skipped", manifest.source, message, "Correct the annotations.")
