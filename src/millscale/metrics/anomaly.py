"""What an anomaly report is made from, one row per image, and every number of it with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.metrics.anomaly_pixels import LIMIT, PixelCounts
from millscale.metrics.anomaly_rates import Ranking, average_precision, curve, ranked, rate_at_recall, shares_below
from millscale.metrics.bootstrap import (
    RARE,
    group_draws,
    group_index,
    percentile_interval,
    proportion_interval,
    wilson_interval,
)
from millscale.metrics.classification import Floats, Ints, ratio

Interval = tuple[float, float]
Flags = NDArray[np.bool_]
_WEIGHTS = 2_000_000


@dataclass(frozen=True, eq=False)
class AnomalyMetrics:
    """Every number of one anomaly detector on one set of images; None where there is nothing to measure it on.

    Attributes:
        threshold: an image is rejected whose raw score reaches it.
        images, defective: how many images, and how many of them show a defect.
        groups: how many independent groups they form.
        auroc: chance that a defective image scores above a good one.
        average_precision: mean precision over recall; it depends on the share of defective images.
        fpr95: share of the good images rejected where 95 % of the defective ones are.
        escape_rate: share of the defective images that pass at the threshold.
        overkill_rate: share of the good images that are rejected at the threshold.
        auroc_by_kind: AUROC of the defective images of each kind against all good images.
        kinds: number of defective images of each kind.
        pixel_auroc: the same of pixels. It is near 1 wherever defects are small.
        aupro: mean share found of each defective region, over false-alarm rates of pixels up to ``aupro_limit``.
        aupro_05: the same up to a false-alarm rate of .05.
        intervals: 95 % intervals over groups by the names above and ``auroc/<kind>``; none of what is None.
        seed, resamples: of the bootstrap.
    """

    threshold: float
    images: int
    defective: int
    groups: int
    auroc: float | None
    average_precision: float | None
    fpr95: float | None
    escape_rate: float | None
    overkill_rate: float | None
    auroc_by_kind: dict[str, float | None]
    kinds: dict[str, int]
    pixel_auroc: float | None
    aupro: float | None
    aupro_05: float | None
    intervals: dict[str, Interval]
    seed: int
    resamples: int
    aupro_limit: float = LIMIT

    def to_json(self) -> dict[str, object]:
        """A document of plain numbers, lists and dicts; what is undefined is None."""
        return {
            "images": self.images,
            "defective": self.defective,
            "groups": self.groups,
            "threshold": self.threshold,
            "auroc": self.auroc,
            "average_precision": self.average_precision,
            "fpr95": self.fpr95,
            "pixel_auroc": self.pixel_auroc,
            "aupro": self.aupro,
            "aupro_limit": self.aupro_limit,
            "aupro_05": self.aupro_05,
            "escape_rate": self.escape_rate,
            "overkill_rate": self.overkill_rate,
            "auroc_by_kind": dict(self.auroc_by_kind),
            "kinds": dict(self.kinds),
            "intervals": {key: list(ends) for key, ends in self.intervals.items()},
            "interval_method": {
                "name": "percentile bootstrap over groups, widened to Wilson by groups where errors are rare",
                "level": 0.95,
                "resamples": self.resamples,
                "seed": self.seed,
            },
        }


@dataclass(frozen=True, eq=False)
class AnomalyTable:
    """Raw scores of one anomaly detector, one row per image, none of which it was fitted on.

    Attributes:
        ids: N image ids, unique.
        paths: N image files.
        kinds: N labels, such as the kind of the defect; None where unknown. Those of good images say nothing.
        defective: ``(N,)`` bool, the truth.
        scores: ``(N,)`` float64 raw scores, 0 or more, higher is worse. Scores of several models, such as those of
            folds, belong in one table only on one scale: divide each by its model's threshold.
        masks: N files of pixel masks; None for a good image and where there is no mask.
        groups: N group names (None for an image that stands alone), or None where groups are unknown.
        fold: ``(N,)`` int, the fold that held the image out, or None.
        pixels: the counted pixels of those images whose pixels are judged, or None.
        maps: ``(h, w)`` map of raw scores by image id, of any resolution, for pictures; images may have none.

    Raises:
        DataError: no image, a part of another length, an id that stands twice, a score that is negative or no number.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    kinds: tuple[str | None, ...]
    defective: Flags
    scores: Floats
    masks: tuple[Path | None, ...]
    groups: tuple[str | None, ...] | None = None
    fold: NDArray[np.integer] | None = None
    pixels: PixelCounts | None = None
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts: dict[str, Sequence[object] | NDArray[np.generic] | None] = {
            name: getattr(self, name) for name in ("paths", "kinds", "defective", "scores", "masks", "groups", "fold")
        }
        wrong = {name: len(part) for name, part in parts.items() if part is not None and len(part) != len(self.ids)}
        if wrong or not self.ids:
            raise DataError(
                f"Expected one row for each of at least one image, found {len(self.ids)} ids and "
                f"{wrong or 'nothing else'}; pass the rows of one run."
            )
        if len(set(self.ids)) != len(self.ids):
            raise DataError(f"Expected {len(self.ids)} unique ids, found {len(set(self.ids))}; keep one row per image.")
        bad = ~((self.scores >= 0) & (self.scores < np.inf))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"Expected raw scores of 0 or more, found {int(bad.sum())} others, the first {self.scores[row]} for "
                f"{self.ids[row]}; leave images out that could not be scored."
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The kinds of the defective images, by name."""
        return tuple(sorted({kind for kind, bad in zip(self.kinds, self.defective, strict=True) if bad and kind}))

    def of_kind(self, kind: str) -> Flags:
        """``(N,)`` which images are defective and of this kind."""
        return np.array([name == kind for name in self.kinds], np.bool_) & np.asarray(self.defective, np.bool_)

    def roc(self, kind: str | None = None) -> tuple[Floats, Floats]:
        """Rates of overkill and of what is found, ``(U + 1,)`` each, over all thresholds, from the highest down.

        Args:
            kind: of the defects that are to be found; None for all. NaN without any, or without a good image.
        """
        ranking, bad = ranked(np.asarray(self.scores, np.float64)), np.asarray(self.defective, np.float64)
        return curve(
            ranking.sums(bad if kind is None else self.of_kind(kind).astype(np.float64)), ranking.sums(1 - bad)
        )

    def evaluate(self, *, threshold: float, seed: int = 0, resamples: int = 1000) -> AnomalyMetrics:
        """Every number of the table.

        Args:
            threshold: raw score from which on an image is rejected. It must come from other images than these, see
                :mod:`millscale.metrics.false_alarms`, or from the bundle's card.
            seed: of the bootstrap over groups.
            resamples: number of draws.
        """
        return evaluate_anomaly(self, threshold=threshold, seed=seed, resamples=resamples)


def evaluate_anomaly(table: AnomalyTable, *, threshold: float, seed: int = 0, resamples: int = 1000) -> AnomalyMetrics:
    """See :meth:`AnomalyTable.evaluate`."""
    truth = _Truth.of(table, threshold)
    point = {key: float(value[0]) for key, value in _figures(np.ones((1, len(table))), truth).items()}
    drawn = _resampled(truth, seed=seed, resamples=resamples)
    intervals = {key: _interval(key, point[key], drawn[key], truth) for key in point}
    if table.pixels is not None:
        pixels = table.pixels.evaluate(seed=seed, resamples=resamples)
        point.update(pixels.values)
        intervals.update(pixels.intervals)
    figures = {key: value if np.isfinite(value) else None for key, value in point.items()}
    return AnomalyMetrics(
        threshold=threshold,
        images=len(table),
        defective=int(truth.bad.sum()),
        groups=int(truth.group.max()) + 1,
        auroc=figures["auroc"],
        average_precision=figures["average_precision"],
        fpr95=figures["fpr95"],
        escape_rate=figures["escape_rate"],
        overkill_rate=figures["overkill_rate"],
        auroc_by_kind={kind: figures[f"auroc/{kind}"] for kind in table.classes},
        kinds={kind: int(table.of_kind(kind).sum()) for kind in table.classes},
        pixel_auroc=figures.get("pixel_auroc"),
        aupro=figures.get("aupro"),
        aupro_05=figures.get("aupro_05"),
        intervals={key: ends for key, ends in intervals.items() if figures[key] is not None},
        seed=seed,
        resamples=resamples,
    )


@dataclass(frozen=True, eq=False)
class _Truth:
    """What the figures of images follow from: which are defective and rejected, and how the scores rank."""

    names: tuple[str, ...]
    members: Flags
    """``(N, 1 + K)``: defective at all, and of each kind."""
    scores: Floats
    rejected: Flags
    ranking: Ranking
    group: Ints

    @classmethod
    def of(cls, table: AnomalyTable, threshold: float) -> "_Truth":
        members = [np.asarray(table.defective, np.bool_), *map(table.of_kind, table.classes)]
        return cls(
            names=("auroc", *(f"auroc/{kind}" for kind in table.classes)),
            members=np.stack(members, axis=1),
            scores=np.asarray(table.scores, np.float64),
            rejected=np.asarray(table.scores) >= threshold,
            ranking=ranked(np.asarray(table.scores, np.float64)),
            group=group_index(table.groups, len(table)),
        )

    @property
    def bad(self) -> Flags:
        return self.members[:, 0]

    def groups(self, images: Flags) -> int:
        """How many groups the images ``(N,)`` come from."""
        return len(np.unique(self.group[images]))


def _figures(weights: Floats, truth: _Truth) -> dict[str, Floats]:
    """Every figure of images for each row of ``weights`` ``(R, N)``: ``(R,)`` by name."""
    bad, rejected, ranking = truth.bad, truth.rejected, truth.ranking
    good_weight, bad_weight = weights * ~bad, weights * bad
    alarms, hits = ranking.sums(good_weight), ranking.sums(bad_weight)
    above = ratio((weights * shares_below(alarms)[:, ranking.place]) @ truth.members, weights @ truth.members)
    return {
        **dict(zip(truth.names, above.T, strict=True)),
        "average_precision": np.where(alarms.sum(-1) > 0, average_precision(hits, alarms), np.nan),
        "fpr95": rate_at_recall(hits, alarms),
        "escape_rate": ratio(bad_weight @ ~rejected, bad_weight.sum(-1)),
        "overkill_rate": ratio(good_weight @ rejected, good_weight.sum(-1)),
    }


def _resampled(truth: _Truth, *, seed: int, resamples: int) -> dict[str, Floats]:
    groups = int(truth.group.max()) + 1
    block = max(1, _WEIGHTS // len(truth.group)) * groups
    draws = group_draws(groups, seed=seed, resamples=resamples, block=block)
    parts = [_figures(weights[:, truth.group], truth) for weights in draws]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _interval(key: str, estimate: float, values: Floats, truth: _Truth) -> Interval:
    """The interval of one figure, widened where the groups that could err are few or hardly any did.

    A rank statistic has a variance of at most A (1 - A) / min(defective, good) whatever the distributions (van Dantzig
    1951; Birnbaum and Klose 1957), which is that of a proportion of so many observations: Wilson's interval, then.
    """
    if not np.isfinite(estimate):
        return (float("nan"), float("nan"))
    bad, rejected = truth.bad, truth.rejected
    if key in ("escape_rate", "overkill_rate"):
        judged = bad if key == "escape_rate" else ~bad
        return proportion_interval(values, estimate, rejected[judged], truth.group[judged])
    member = truth.members[:, truth.names.index(key)] if key in truth.names else bad
    count = min(truth.groups(member), truth.groups(~bad))
    low, high = percentile_interval(values, estimate)
    overtaken = member & (truth.scores <= truth.scores[~bad].max())
    overtaking = ~bad & (truth.scores >= truth.scores[member].min())
    if min(count, truth.groups(overtaken), truth.groups(overtaking)) >= RARE:
        return (low, high)
    wide = wilson_interval(estimate, count)
    return (min(low, wide[0]), max(high, wide[1]))
