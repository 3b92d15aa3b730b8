"""Anomaly figures against scikit-learn, scipy and the slow, obvious definition."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats
from sklearn import metrics as sk

from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.false_alarms import beta_quantile, upper_bound


def table_of(scores, defective, kinds=None, groups=None, pixels=None):
    ids = tuple(f"{row}.png" for row in range(len(scores)))
    return AnomalyTable(
        ids=ids,
        paths=tuple(map(Path, ids)),
        kinds=kinds or (None,) * len(ids),
        defective=np.asarray(defective, bool),
        scores=np.asarray(scores, np.float64),
        masks=(None,) * len(ids),
        groups=groups,
        pixels=pixels,
    )


CASES = [(0, 300, 0.5, 3), (1, 40, 0.1, 1), (2, 25, 0.9, 0), (3, 800, 0.3, 1), (4, 9, 0.5, 2)]


@pytest.mark.parametrize(("seed", "images", "share", "decimals"), CASES)
def test_image_figures_agree_with_scikit_learn_and_with_all_pairs(seed, images, share, decimals):
    rng = np.random.default_rng(seed)
    bad = rng.permutation(np.arange(images) < max(1, share * images))
    scores = np.round(rng.gamma(2, size=images) + bad, decimals)  # rounded, so that many are equal
    kinds = tuple("ab"[i] if b else None for b, i in zip(bad, rng.integers(0, 2, images), strict=True))
    ours = table_of(scores, bad, kinds).evaluate(threshold=2.0, resamples=5)
    assert ours.auroc == pytest.approx(sk.roc_auc_score(bad, scores))
    assert ours.average_precision == pytest.approx(sk.average_precision_score(bad, scores))
    assert ours.fpr95 == pytest.approx(slow_rate_at_recall(scores, bad, 0.95))
    for kind, value in ours.auroc_by_kind.items():
        assert value == pytest.approx(all_pairs(scores[np.array(kinds) == kind], scores[~bad]))
    assert ours.auroc == pytest.approx(all_pairs(scores[bad], scores[~bad]))
    assert ours.escape_rate == pytest.approx((scores[bad] < 2).mean())
    assert ours.overkill_rate == pytest.approx((scores[~bad] >= 2).mean())


def all_pairs(above, below):
    return np.mean([(a > b) + 0.5 * (a == b) for a in above for b in below])


def slow_rate_at_recall(scores, bad, recall):
    for threshold in sorted(set(scores), reverse=True):
        if round((scores[bad] >= threshold).mean(), 9) >= recall:
            return (scores[~bad] >= threshold).mean()
    return None


@pytest.mark.parametrize("seed", range(3))
def test_intervals_agree_with_resampling_the_images_themselves(seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 60, 240)
    bad = rng.random(240) < 0.4
    scores = rng.gamma(3, size=240) + 1.2 * bad + rng.gamma(1, size=60)[group]
    ours = table_of(scores, bad, groups=tuple(map(str, group))).evaluate(threshold=4.0, seed=seed)
    members = [np.flatnonzero(group == one) for one in np.unique(group)]
    drawn = []
    for _ in range(1000):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        drawn.append((sk.roc_auc_score(bad[rows], scores[rows]), (scores[rows][bad[rows]] < 4).mean()))
    for key, values in zip(("auroc", "escape_rate"), np.transpose(drawn), strict=True):
        np.testing.assert_allclose(ours.intervals[key], np.quantile(values, [0.025, 0.975]), atol=0.02)


def maps(seed, images=6, scale=1.0, sharpness=2.0):
    """Smooth maps of many sizes with blots; some have no defect, one nothing but."""
    rng = np.random.default_rng(seed)
    for number in range(images):
        height, width = rng.integers(12, 60, 2)
        noise = ndimage.gaussian_filter(rng.normal(size=(height, width)), 1.5)
        mask = ndimage.gaussian_filter(rng.normal(size=(height, width)), 3) > (9 if number == 0 else 0.12)
        yield scale * np.exp(3 * noise + sharpness * mask).astype(np.float32), mask


def slow_aupro(pairs, limit):
    """PRO and the false-alarm rate at each score that occurs, region by region, as the paper defines them."""
    good = np.sort(np.concatenate([scores[~mask] for scores, mask in pairs]))
    regions = []
    for scores, mask in pairs:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [np.sort(scores[labels == label]) for label in range(1, count + 1)]
    thresholds = np.unique(np.concatenate([scores.ravel() for scores, _ in pairs]))[::-1]
    share = [1 - np.searchsorted(part, thresholds) / len(part) for part in (good, *regions)]
    x, y = np.append(0, share[0]), np.append(0, np.mean(share[1:], axis=0))
    at = np.interp(limit, x, y) if not (x == limit).any() else y[x == limit].max()
    kept = x <= limit
    return np.trapezoid(np.append(y[kept], at), np.append(x[kept], limit)) / limit


@pytest.mark.parametrize(("seed", "scale"), [(0, 1.0), (1, 1e-6), (2, 3e7), (3, 40.0)])
def test_pixel_figures_agree_with_the_exact_ones(seed, scale):
    pairs, counts = list(maps(seed, scale=scale)), PixelCounts()
    for scores, mask in pairs:
        counts.add(scores, mask)
    ours = counts.evaluate(resamples=50)
    truth = np.concatenate([mask.ravel() for _, mask in pairs])
    exact = sk.roc_auc_score(truth, np.concatenate([scores.ravel() for scores, _ in pairs]))
    assert ours.values["pixel_auroc"] == pytest.approx(exact, abs=1e-4)
    assert ours.values["aupro"] == pytest.approx(slow_aupro(pairs, 0.3), abs=5e-4)
    assert ours.values["aupro_05"] == pytest.approx(slow_aupro(pairs, 0.05), abs=1e-3)
    for key, (low, high) in ours.intervals.items():
        assert low <= ours.values[key] <= high


def test_intervals_of_pixels_agree_with_resampling_the_maps():
    pairs, counts = list(maps(5, images=24, sharpness=1.0)), PixelCounts()
    for number, (scores, mask) in enumerate(pairs):
        counts.add(scores, mask, group=str(number // 2))
    ours = counts.evaluate()
    rng, drawn = np.random.default_rng(0), []
    for _ in range(150):
        rows = np.concatenate([[2 * i, 2 * i + 1] for i in rng.integers(0, 12, 12)])
        drawn.append(slow_aupro([pairs[row] for row in rows], 0.3))
    np.testing.assert_allclose(ours.intervals["aupro"], np.quantile(drawn, [0.025, 0.975]), atol=0.03)


@pytest.mark.parametrize(("a", "b"), [(1, 99), (3.5, 20), (100, 1), (11, 990), (1, 1), (0.2, 40), (2000, 3), (9, 9e4)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantiles_of_beta_are_scipys(a, b, share):
    assert beta_quantile(share, a, b) == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("alarms", "groups"), [(0, 10), (3, 50), (49, 50), (50, 50), (1.5, 300)])
def test_the_bound_is_clopper_and_pearsons(alarms, groups):
    expected = 1.0 if alarms == groups else stats.beta.ppf(0.95, alarms + 1, groups - alarms)
    assert upper_bound(alarms, groups) == pytest.approx(expected)
