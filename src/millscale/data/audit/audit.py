"""The audit's result: what is wrong with a data set, and which images must stay together."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from millscale.core.types import Problem
from millscale.data.audit.groups import members
from millscale.data.audit.overlap import Overlap

VERSION = 2
"""Of what the audit finds: raised with every change of it, so that remembered audits are made anew."""
LARGEST_GROUPS = 10


@dataclass(frozen=True)
class NearDuplicate:
    """The same picture twice, not pixel by pixel: resaved, resized, brightened, turned or mirrored.

    Attributes:
        a, b: image ids.
        similarity: correlation of the two, brought to the same size and view, in [-1, 1].
        view: how b must be turned to look like a: "same", "rotated 90", "mirrored" …
    """

    a: str
    b: str
    similarity: float
    view: str


@dataclass(frozen=True)
class SuspectLabel:
    """An image whose label is probably wrong, and why.

    Attributes:
        image: its id.
        label: the label it has.
        suggestion: the label that the evidence points to.
        reason: one sentence for a person.
        other: the image that contradicts the label, or None where a model does.
    """

    image: str
    label: str
    suggestion: str
    reason: str
    other: str | None = None


@dataclass(frozen=True, eq=False)
class Audit:
    """What ``check`` found.

    Attributes:
        images: images in the manifest, readable or not.
        classes: images of each class, the empty ones too.
        unreadable: ids that could not be decoded.
        exact_duplicates: pairs with the same decoded pixels; the first of a set stands in each of its pairs.
        overlaps: pairs cut from one photograph, exact duplicates included; exact, or blurred by compression.
        second_exposures: pairs that show the same surface in two photographs, the light differing. They
            leak as overlaps do, and belong to one group.
        near_duplicates: the same picture in another guise.
        groups: id → group for EVERY image; a group shares pixels directly or through others.
        suspect_labels: images whose label another image, or a model, contradicts.
        problems: those of the manifest, then those found here.
    """

    images: int
    classes: Mapping[str, int]
    unreadable: tuple[str, ...]
    exact_duplicates: tuple[tuple[str, str], ...]
    overlaps: tuple[Overlap, ...]
    second_exposures: tuple[Overlap, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    groups: Mapping[str, str]
    suspect_labels: tuple[SuspectLabel, ...]
    problems: tuple[Problem, ...]

    def with_suspects(self, more: Iterable[SuspectLabel]) -> "Audit":
        """The same audit with further suspect labels, for instance those a model found."""
        return replace(self, suspect_labels=(*self.suspect_labels, *more))

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``: the keys of ``data check --json``."""
        named = members(self.groups)
        return {
            "images": self.images,
            "classes": dict(self.classes),
            "unreadable": [*self.unreadable, *(p.path for p in self.problems if p.code == "unreadable")],
            "exact_duplicates": [list(pair) for pair in self.exact_duplicates],
            "overlaps": [[o.a, o.b, round(o.fraction, 6)] for o in self.overlaps],
            "overlap_offsets": [[o.dx, o.dy, o.exact] for o in self.overlaps],
            "second_exposures": [[o.a, o.b, round(o.fraction, 6)] for o in self.second_exposures],
            "groups": len(named),
            "group_of": dict(self.groups),
            "largest_groups": [
                {"group": name, "images": len(ids)}
                for name, ids in list(named.items())[:LARGEST_GROUPS]
                if len(ids) > 1
            ],
            "near_duplicates": [[n.a, n.b, round(n.similarity, 4), n.view] for n in self.near_duplicates],
            "suspect_labels": [asdict(suspect) for suspect in self.suspect_labels],
            "problems": [asdict(problem) for problem in self.problems],
        }
