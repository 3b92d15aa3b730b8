"""Small things that training and evaluation both show."""

import numpy as np

from millscale.core.types import Image
from millscale.data.audit.audit import Audit
from millscale.data.audit.mosaic import draw_groups
from millscale.data.manifest import Manifest
from millscale.report.report import AuditSummary


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def audit_summary(audit: Audit) -> AuditSummary:
    """The audit in counts."""
    sizes: dict[str, int] = {}
    lost = set(audit.unreadable)
    for name, group in audit.groups.items():
        if name not in lost:
            sizes[group] = sizes.get(group, 0) + 1
    duplicates = {frozenset(pair) for pair in audit.exact_duplicates}
    overlaps = [o for o in audit.overlaps if frozenset((o.a, o.b)) not in duplicates]
    return AuditSummary(
        images=audit.images - len(audit.unreadable),
        groups=len(sizes),
        largest_group=max(sizes.values(), default=None),
        exact_duplicates=len(duplicates),
        overlaps=len(overlaps),
        overlapping_images=len({name for o in overlaps for name in (o.a, o.b)}),
        near_duplicates=len(audit.near_duplicates),
        suspect_labels=len(audit.suspect_labels),
        problems=audit.problems,
    )


def mosaic_of(images: Manifest, audit: Audit) -> Image | None:
    """The largest groups of overlapping images at their true places, or None where none overlap."""
    if not audit.overlaps:
        return None
    return np.asarray(draw_groups(images, audit).convert("RGB"))
