"""What the labels and the groups together reveal: contradicted labels, classes that cannot be split."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from millscale.core.types import Problem
from millscale.data.audit.audit import SuspectLabel
from millscale.data.audit.overlap import Overlap
from millscale.data.manifest import Manifest

TO_LEARN_FROM = frozenset({"single_image_class", "single_group_class"})
"""Codes of problems that matter only to who learns from the images, not to who judges by them."""


def contradicted_labels(manifest: Manifest, overlaps: Iterable[Overlap]) -> tuple[SuspectLabel, ...]:
    """Both images of each pair that shares pixels under two labels; an image once, by its largest overlap."""
    label = {record.id: record.label for record in manifest.records}
    worst: dict[str, tuple[float, SuspectLabel]] = {}
    for overlap in overlaps:
        for image, other in ((overlap.a, overlap.b), (overlap.b, overlap.a)):
            own, theirs = label[image], label[other]
            if own is None or theirs is None or own == theirs:
                continue
            if image not in worst or worst[image][0] < overlap.fraction:
                reason = f"shares {overlap.fraction:.0%} of its pixels with '{other}', labelled '{theirs}'"
                worst[image] = overlap.fraction, SuspectLabel(image, own, theirs, reason, other)
    return tuple(worst[name][1] for name in sorted(worst))


def class_problems(manifest: Manifest, groups: Mapping[str, str], unreadable: Sequence[str]) -> list[Problem]:
    """A problem for each class that is empty, or that no split can keep on both sides.

    What reading the folder has told already is not told again.
    """
    told = {(problem.code, problem.path) for problem in manifest.problems}
    lost = set(unreadable)
    held: dict[str, list[str]] = defaultdict(list)
    for record in manifest.records:
        for name in manifest.shown(record) if record.id not in lost else ():
            held[name].append(groups[record.id])
    found = (_class_problem(name, held[name]) for name in manifest.classes)
    return [problem for problem in found if problem and (problem.code, problem.path) not in told]


def _class_problem(name: str, groups: Sequence[str]) -> Problem | None:
    if not groups:
        return Problem(
            "empty_class", name, f"class '{name}' has no readable image",
            "add images to it, or remove the class; a model cannot learn it",
        )  # fmt: skip
    if len(groups) == 1:
        return Problem(
            "single_image_class", name, f"class '{name}' has one image: it cannot be learnt and tested",
            "add images of other pieces of metal, at least one for each fold",
        )  # fmt: skip
    if len(set(groups)) == 1:
        return Problem(
            "single_group_class", name,
            f"all {len(groups)} images of class '{name}' share pixels: any split of them leaks",
            "add images of other pieces of metal, at least one for each fold",
        )  # fmt: skip
    return None
