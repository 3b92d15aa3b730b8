import json
from pathlib import Path

import numpy as np
import pytest

from millscale.core.errors import DataError
from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.metrics.bootstrap import wilson_interval


def table(rows, **changes):
    """Rows of (score, kind of defect or None where good)."""
    ids = tuple(f"{row}.png" for row in range(len(rows)))
    parts = {
        "ids": ids,
        "paths": tuple(map(Path, ids)),
        "kinds": tuple(kind or "good" for _, kind in rows),
        "defective": np.array([kind is not None for _, kind in rows], bool),
        "scores": np.array([score for score, _ in rows], np.float64),
        "masks": (None,) * len(ids),
    }
    return AnomalyTable(**{**parts, **changes})


GOOD = [(0.1, None), (0.2, None), (0.3, None), (0.4, None)]


def test_figures_of_literal_scores():
    metrics = table([*GOOD, (0.35, "pit"), (0.5, "pit"), (0.4, "crack")]).evaluate(threshold=0.4, resamples=20)
    assert metrics.auroc == pytest.approx((3 + 4 + 3.5) / 12)
    assert metrics.auroc_by_kind == {"crack": pytest.approx(3.5 / 4), "pit": pytest.approx(7 / 8)}
    assert metrics.kinds == {"crack": 1, "pit": 2}
    assert metrics.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert metrics.fpr95 == 0.25  # down to .35
    assert metrics.escape_rate == pytest.approx(1 / 3)  # a score at the threshold is rejected
    assert metrics.overkill_rate == 0.25
    assert (metrics.images, metrics.defective, metrics.groups) == (7, 3, 7)
    assert metrics.pixel_auroc is metrics.aupro is None


@pytest.mark.parametrize(
    ("rows", "defined"),
    [
        (GOOD, {"overkill_rate"}),
        ([(0.5, "pit"), (0.1, "pit")], {"escape_rate"}),
        ([*GOOD, (0.5, "pit")], {"auroc", "average_precision", "fpr95", "escape_rate", "overkill_rate", "auroc/pit"}),
    ],
)
def test_what_has_nothing_to_be_measured_on_is_none_and_has_no_interval(rows, defined):
    metrics = table(rows).evaluate(threshold=0.25, resamples=20)
    document = metrics.to_json()
    assert set(metrics.intervals) == defined
    for key in ("auroc", "average_precision", "fpr95", "escape_rate", "overkill_rate"):
        assert (document[key] is not None) == (key in defined)
    assert document["pixel_auroc"] is document["aupro"] is None
    json.dumps(document, allow_nan=False)


def test_the_document_has_the_keys_that_other_programs_rely_on():
    pixels = PixelCounts()
    pixels.add(np.array([[0.1, 0.9]], np.float32), np.array([[False, True]]))
    document = table([*GOOD, (0.5, "pit")], pixels=pixels).evaluate(threshold=0.25, resamples=20).to_json()
    assert {
        "auroc", "average_precision", "fpr95", "pixel_auroc", "aupro", "aupro_limit", "escape_rate", "overkill_rate",
        "auroc_by_kind", "intervals", "images", "defective",
    } <= set(document)  # fmt: skip
    assert document["aupro_limit"] == 0.3
    assert (document["pixel_auroc"], document["aupro"]) == (1, 1)
    assert len(document["intervals"]["aupro"]) == 2


def test_a_perfect_ranking_of_few_groups_is_not_certain():
    rows = [(0.1, None)] * 50 + [(0.9, "pit")] * 6
    groups = (*map(str, range(50)), "a", "a", "a", "b", "b", "b")
    intervals = table(rows, groups=groups).evaluate(threshold=0.5, resamples=50).intervals
    assert intervals["auroc"] == intervals["auroc/pit"] == pytest.approx(wilson_interval(1.0, 2))
    assert intervals["escape_rate"] == pytest.approx(wilson_interval(0.0, 2))
    assert intervals["overkill_rate"] == pytest.approx(wilson_interval(0.0, 50))
    assert intervals["fpr95"] == pytest.approx(wilson_interval(0.0, 2))


def test_images_of_one_group_make_the_interval_wider_than_as_many_groups():
    rng = np.random.default_rng(0)
    of_group = rng.normal(size=80)
    rows = [(5 + of_group[i // 5] + 0.1 * rng.normal(), None if i < 200 else "pit") for i in range(400)]
    groups = tuple(str(i // 5) for i in range(400))
    widths = [
        np.ptp(table(rows, groups=one).evaluate(threshold=5, resamples=300).intervals["auroc"])
        for one in (groups, None)
    ]
    assert widths[0] > 1.7 * widths[1]


def test_the_seed_decides_the_draws():
    one = table([*GOOD, *[(0.05 * i, "pit") for i in range(40)]])
    first, again, other = (one.evaluate(threshold=0.3, seed=seed, resamples=50).intervals for seed in (0, 0, 1))
    assert first == again != other


def test_classes_are_the_kinds_of_what_is_defective():
    one = table([(0.1, None), (0.2, "pit"), (0.3, "crack")], kinds=("fine", "pit", None))
    assert one.classes == ("pit",)
    assert one.of_kind("fine").sum() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"paths": ()}, r"\{'paths': 0\}"),
        ({"groups": ("a",)}, r"\{'groups': 1\}"),
        ({"ids": ("0.png",) * 4}, "4 unique ids, found 1"),
        ({"scores": np.array([0.1, np.nan, 0.2, -1])}, "found 2 others, the first nan for 1.png"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changes, words):
    with pytest.raises(DataError, match=words):
        table(GOOD, **changes)


def test_an_empty_table_is_refused():
    with pytest.raises(DataError, match="at least one image"):
        table([])


def counted(*pairs, **groups):
    counts = PixelCounts()
    for scores, mask in pairs:
        counts.add(np.array(scores, np.float32), np.array(mask, bool), **groups)
    return counts


def test_each_region_weighs_the_same_whatever_its_area():
    # a region of three pixels is found before any good pixel, a region of one pixel after all
    scores, mask = [[9, 9, 9, 1, 1, 1, 0]], [[1, 1, 1, 0, 0, 0, 1]]
    values = counted((scores, mask)).evaluate(resamples=10).values
    assert values["aupro"] == pytest.approx(0.5)
    assert values["pixel_auroc"] == pytest.approx(0.75)


def test_the_area_ends_at_the_limit():
    # one good pixel of ten above the region: nothing found below a rate of .1, everything above
    scores, mask = [[9, 5, *[1] * 9]], [[0, 1, *[0] * 9]]
    values = counted((scores, mask)).evaluate(resamples=10).values
    assert values["aupro"] == pytest.approx((0.3 - 0.1) / 0.3)
    assert values["aupro_05"] == 0


@pytest.mark.parametrize("mask", [[[0, 0]], [[1, 1]]])
def test_without_a_defect_or_without_a_good_pixel_pixel_figures_are_undefined(mask):
    metrics = counted(([[1, 2]], mask)).evaluate(resamples=10)
    assert np.isnan(list(metrics.values.values())).all()
    assert np.isnan(list(metrics.intervals.values())).all()
    document = table([*GOOD, (1, "pit")], pixels=counted(([[1, 2]], mask))).evaluate(threshold=1, resamples=5).to_json()
    assert document["aupro"] is None


def test_no_counted_image_is_undefined():
    assert np.isnan(list(PixelCounts().evaluate(resamples=10).values.values())).all()


def test_images_and_regions_are_counted():
    counts = counted(([[1, 2, 3]], [[1, 0, 1]]), ([[1.0]], [[0]]))
    assert (counts.images, counts.regions) == (2, 2)


def test_minus_zero_is_zero():
    values = counted(([[-0.0, 0.0, 1.0]], [[1, 0, 0]])).evaluate(resamples=5).values
    assert values["pixel_auroc"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("scores", "mask", "words"),
    [
        ([[1, 2]], [[1]], r"\(1, 2\) and \(1, 1\)"),
        ([1, 2], [1, 0], "height and width"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "height and width"),
        ([[1, np.nan]], [[0, 0]], "found 1 others, such as nan"),
        ([[1, -2]], [[0, 1]], "such as -2"),
        ([[1, np.inf]], [[0, 1]], "such as inf"),
    ],
)
def test_a_map_that_cannot_be_counted_is_refused(scores, mask, words):
    with pytest.raises(DataError, match=words):
        counted((scores, mask))


def test_a_large_map_counts_as_its_parts_do(monkeypatch):
    rng = np.random.default_rng(0)
    pair = rng.gamma(2, size=(40, 30)), rng.random((40, 30)) < 0.2
    whole = counted(pair).evaluate(resamples=10)
    monkeypatch.setattr("millscale.metrics.anomaly_pixels._ROWS", 70)
    assert counted(pair).evaluate(resamples=10) == whole
