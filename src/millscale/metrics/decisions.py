"""What the factory feels: defects that pass, good parts that are rejected, parts a person must look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from millscale.core.errors import DataError
from millscale.core.types import Outcome


@dataclass(frozen=True)
class DecisionRates:
    """Rates of one operating point; None where the truth has no image to measure it on.

    Attributes:
        escape_rate: share of defective images that passed. None without a defective image, or where the
            task has no "good" class: a station that only names defects lets nothing pass.
        overkill_rate: share of good images that were rejected. None without a good image.
        review_rate: share of all images sent to a person.
    """

    escape_rate: float | None
    overkill_rate: float | None
    review_rate: float

    def to_json(self) -> dict[str, float | None]:
        """The three rates under their names."""
        return {
            "escape_rate": self.escape_rate,
            "overkill_rate": self.overkill_rate,
            "review_rate": self.review_rate,
        }


def decision_rates(outcomes: Sequence[Outcome], defective: ArrayLike | None) -> DecisionRates:
    """The rates of these verdicts.

    Args:
        outcomes: ``(N,)`` "pass", "reject" or "review".
        defective: ``(N,)`` bool, the truth; None where the task has no "good" class.

    Raises:
        DataError: no verdict, or another number of truths than of verdicts.
    """
    verdict = np.asarray(outcomes)
    if not len(verdict):
        raise DataError("Expected at least one verdict, found none; inspect some images first.")
    review = float((verdict == "review").mean())
    if defective is None:
        return DecisionRates(None, None, review)
    bad = np.asarray(defective, dtype=bool)
    if bad.shape != verdict.shape:
        raise DataError(f"Expected one truth per verdict ({len(verdict)}), found {bad.shape}; pass one for each.")
    return DecisionRates(_share(verdict[bad] == "pass"), _share(verdict[~bad] == "reject"), review)


def _share(flags: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float | None:
    return float(flags.mean()) if len(flags) else None
