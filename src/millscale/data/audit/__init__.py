"""The overlap audit: which images of a data set show the same piece of surface."""

from millscale.data.audit.audit import Audit, NearDuplicate, SuspectLabel
from millscale.data.audit.check import check
from millscale.data.audit.overlap import Overlap

__all__ = ["Audit", "NearDuplicate", "Overlap", "SuspectLabel", "check"]
