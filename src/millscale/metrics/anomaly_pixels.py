"""Scores of pixels counted image by image, so that no map is kept: pixel AUROC and AUPRO.

The bit pattern of a float32 that is not negative rises with its value. Its upper 18 bits are the bin: 512 bins for each
doubling of the score, whatever the scale of the scores, so that no bin is wider than 0.2 % of its scores.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.data.masks import regions_of_mask
from millscale.metrics.anomaly_rates import area_under_curve
from millscale.metrics.bootstrap import (
    RARE,
    group_index,
    group_sums,
    percentile_interval,
    resampled_sums,
    wilson_interval,
)
from millscale.metrics.classification import Floats, Ints

LIMIT, STRICT_LIMIT = 0.3, 0.05
"""Largest false-alarm rate of pixels that AUPRO looks at: the usual one, and one nearer to what a line accepts."""
_SHIFT = 14
_BINS = 0x7F800000 >> _SHIFT
_MERGED = 512
"""Bins of the intervals: what a resample moves is far more than what merging does."""
_ROWS = 1 << 22


@dataclass(frozen=True)
class PixelMetrics:
    """Figures of pixels, each a number and its 95 % interval over groups, NaN where undefined.

    Attributes:
        values: ``pixel_auroc``, ``aupro`` (up to a false-alarm rate of .3) and ``aupro_05`` (up to .05).
        intervals: by the same keys.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class PixelCounts:
    """How many pixels have which score: good ones, defective ones, and the share of each defective region.

    Add every image whose pixels are judged: the good ones with an empty mask, of the defective ones those that have a
    mask. A few kilobytes an image are kept for the intervals.
    """

    def __init__(self) -> None:
        self.images = 0
        self.regions = 0
        self._totals = np.zeros((3, _BINS))
        self._groups: list[Hashable] = []
        self._rows: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []

    def add(self, scores: NDArray[np.floating], mask: NDArray[np.bool_], group: Hashable = None) -> None:
        """Count one image.

        Args:
            scores: ``(H, W)`` float32 anomaly map, 0 or more, higher is worse.
            mask: ``(H, W)`` bool, True where a defect is; what touches at a corner is one region.
            group: what the image must not be split from; None where it stands alone.

        Raises:
            DataError: shapes that differ, or a score that is negative or no number.
        """
        if scores.ndim != 2 or scores.shape != mask.shape or not scores.size:
            raise DataError(
                f"Expected an anomaly map and a mask of one height and width, found {scores.shape} and {mask.shape}; "
                "scale the map to the size of the image."
            )
        truth = np.asarray(mask, np.bool_)
        counts = np.zeros((3, _BINS))
        step = max(1, _ROWS // scores.shape[1])  # an image of 100 MPix would need gigabytes at once
        inside = [np.zeros(0, np.int64)]
        for top in range(0, len(scores), step):
            bins, defective = _bins(scores[top : top + step]), truth[top : top + step]
            counts[0] += np.bincount(bins[~defective], minlength=_BINS)
            inside.append(bins[defective])
        self._count_regions(counts, np.concatenate(inside), regions_of_mask(truth))
        self._keep(counts, group)

    def _count_regions(self, counts: Floats, bins: Ints, region: Ints) -> None:
        area = np.bincount(region)
        counts[1] = np.bincount(bins, minlength=_BINS)
        counts[2] = np.bincount(bins, weights=1 / area[region], minlength=_BINS)
        self.regions += len(area)

    def _keep(self, counts: Floats, group: Hashable) -> None:
        used = np.flatnonzero(counts.any(0))
        self._totals += counts
        self._rows.append((used.astype(np.int32), counts[:, used].astype(np.float32)))
        self._groups.append(group)
        self.images += 1

    def evaluate(self, *, seed: int = 0, resamples: int = 1000) -> PixelMetrics:
        """The figures over all pixels counted so far.

        An image weighs as many pixels as it has, and each region the same whatever its area.

        Args:
            seed: of the bootstrap over groups.
            resamples: number of draws.
        """
        used = np.flatnonzero(self._totals.any(0))
        values = _figures(self._totals[:, used][:, ::-1])
        if np.isnan(values["aupro"]):
            return PixelMetrics({key: float(value) for key, value in values.items()}, dict.fromkeys(values, _UNKNOWN))
        sums, defective = self._by_group(_merged(self._totals))
        drawn = _figures(resampled_sums(sums, seed=seed, resamples=resamples).reshape(resamples, 3, _MERGED))
        intervals = {}
        for key, value in values.items():
            low, high = percentile_interval(drawn[key], float(value))
            if defective < RARE:
                # So few groups with a defect hardly differ by chance: as if each were all found or all missed.
                wide = wilson_interval(float(value), defective)
                low, high = min(low, wide[0]), max(high, wide[1])
            intervals[key] = (low, high)
        return PixelMetrics({key: float(value) for key, value in values.items()}, intervals)

    def _by_group(self, merged: Ints) -> tuple[Floats, int]:
        """Sums ``(G, 3 M)`` over groups in merged bins, and how many groups have a defective region."""
        columns = np.zeros((len(self._rows), 3, _MERGED))
        for row, (bins, counts) in enumerate(self._rows):
            for kind in range(3):
                columns[row, kind] = np.bincount(merged[bins], weights=counts[kind], minlength=_MERGED)
        sums = group_sums(columns.reshape(len(columns), -1), group_index(self._groups, len(columns)))
        return sums, int((sums.reshape(-1, 3, _MERGED)[:, 1].sum(-1) > 0).sum())


_UNKNOWN = (float("nan"), float("nan"))


def _bins(scores: NDArray[np.floating]) -> Ints:
    if not ((scores >= 0) & (scores < np.inf)).all():
        wrong = scores[~((scores >= 0) & (scores < np.inf))]
        raise DataError(
            f"Expected anomaly scores of 0 or more, found {len(wrong)} others, such as {wrong[0]}; "
            "check the anomaly model on this image."
        )
    # Adding 0 turns -0, whose bits are those of the largest number, into 0.
    single = np.ascontiguousarray(scores, np.float32) + np.float32(0)
    bins: Ints = (single.view(np.uint32) >> _SHIFT).astype(np.int64)
    return bins


def _merged(totals: Floats) -> Ints:
    """``(B,)`` which of fewer bins each one goes to, the highest scores first, by equal shares of all three counts."""
    share = (totals / totals.sum(-1, keepdims=True)).sum(0)[::-1].cumsum() / 3
    index = np.clip(np.ceil(share * _MERGED).astype(np.int64) - 1, 0, _MERGED - 1)
    return np.asarray(index[::-1], np.int64)


def _figures(counts: Floats) -> dict[str, Floats]:
    """Figures of counts ``(…, 3, U)``: good, defective, regions; the highest scores first."""
    good, defective, regions = (counts[..., kind, :] for kind in range(3))
    return {
        "pixel_auroc": area_under_curve(defective, good),
        "aupro": area_under_curve(regions, good, LIMIT),
        "aupro_05": area_under_curve(regions, good, STRICT_LIMIT),
    }
