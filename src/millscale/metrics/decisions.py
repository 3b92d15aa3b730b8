"""What the factory feels: defects that pass, good parts that are rejected, parts a person must look at."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millscale.core.errors import DataError
from millscale.core.types import Outcome
from millscale.metrics.bootstrap import group_index, group_sums, proportion_interval, resampled_sums
from millscale.metrics.classification import Ints, ratio

Interval = tuple[float, float]


@dataclass(frozen=True)
class DecisionRates:
    """Rates of one operating point; None where the truth has no image to measure it on.

    Attributes:
        escape_rate: share of defective images that passed. None without a defective image, or where the
            task has no "good" class: a station that only names defects lets nothing pass.
        overkill_rate: share of good images that were rejected. None without a good image.
        review_rate: share of all images sent to a person.
        intervals: 95 % of each rate that is defined, over groups.
    """

    escape_rate: float | None
    overkill_rate: float | None
    review_rate: float
    intervals: Mapping[str, Interval] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, float | None]:
        """The three rates under their names."""
        return {
            "escape_rate": self.escape_rate,
            "overkill_rate": self.overkill_rate,
            "review_rate": self.review_rate,
        }


def decision_rates(
    outcomes: Sequence[Outcome], defective: ArrayLike | None, groups: Sequence[Hashable] | None = None, *, seed: int = 0
) -> DecisionRates:
    """The rates of these verdicts.

    Args:
        outcomes: ``(N,)`` "pass", "reject" or "review".
        defective: ``(N,)`` bool, the truth; None where the task has no "good" class.
        groups: ``(N,)`` what must not be split (None for an image that stands alone), or None where all do.
        seed: of the bootstrap.

    Raises:
        DataError: no verdict, or another number of truths than of verdicts.
    """
    verdict = np.asarray(outcomes)
    if not len(verdict):
        raise DataError("Expected at least one verdict, found none; inspect some images first.")
    group, judged = group_index(groups, len(verdict)), {"review_rate": np.ones(len(verdict), np.bool_)}
    if defective is not None:
        bad = np.asarray(defective, dtype=bool)
        if bad.shape != verdict.shape:
            raise DataError(f"Expected one truth per verdict ({len(verdict)}), found {bad.shape}; pass one for each.")
        judged |= {"escape_rate": bad, "overkill_rate": ~bad}
    events = {"review_rate": "review", "escape_rate": "pass", "overkill_rate": "reject"}
    found = {name: share(verdict[rows] == events[name], group[rows], seed=seed) for name, rows in judged.items()}
    shares = {name: found[name][0] if name in found else None for name in ("escape_rate", "overkill_rate")}
    intervals = {name: ends for name, (value, ends) in found.items() if value is not None}
    return DecisionRates(**shares, review_rate=found["review_rate"][0] or 0.0, intervals=intervals)


def share(
    events: NDArray[np.bool_], group: Ints, *, seed: int = 0, resamples: int = 1000
) -> tuple[float | None, Interval]:
    """The share of images ``(N,)`` in which something happened, with its 95 % interval over their ``(N,)`` groups.

    None, with an interval of NaN, without any image.
    """
    if not len(events):
        return None, (float("nan"), float("nan"))
    present = np.unique(group, return_inverse=True)[1]
    sums = group_sums(np.stack([events, np.ones(len(events))], axis=1), present)
    drawn = resampled_sums(sums, seed=seed, resamples=resamples)
    value = float(events.mean())
    return value, proportion_interval(ratio(drawn[:, 0], drawn[:, 1]), value, events, present)
