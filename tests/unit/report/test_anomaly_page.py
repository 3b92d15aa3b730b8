"""What the page of an anomaly detector says, and the figures beside it."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from millscale.metrics.anomaly import AnomalyTable
from millscale.metrics.anomaly_pixels import PixelCounts
from millscale.report.anomaly import anomaly_contents
from millscale.report.anomaly_selection import MOST, choose_cases, pictured
from millscale.report.figures.cases import draw_cases
from millscale.report.figures.scores import draw_scores
from millscale.report.figures.style import RIGHT, WRONG
from millscale.report.html import write_report
from millscale.report.report import AnomalyReport, Protocol
from millscale.report.score_rows import score_rows

NB = "\u00a0"
HOSTILE = ("<b>$\\frac{1}$</b>", "氧化铁皮", "new\nline", "x" * 200)
ROWS = [(1, None), (2, None), (3, None), (6, None), (4, "pit"), (8, "pit"), (10, "crack"), (3, "crack"), (20, "crack")]


@pytest.fixture
def table_of(tmp_path):
    """``table_of(rows, **changes)``: rows of (score, kind of defect, "?" where unnamed, None where good)."""

    def make(rows=ROWS, **changes):
        paths = tuple(tmp_path / f"{row}.png" for row in range(len(rows)))
        for path in paths:
            Image.new("L", (60, 40), 120).save(path)
        parts = {
            "ids": tuple(path.name for path in paths),
            "paths": paths,
            "kinds": tuple(None if kind == "?" else kind or "good" for _, kind in rows),
            "defective": np.array([kind is not None for _, kind in rows]),
            "scores": np.array([score for score, _ in rows], np.float64),
            "masks": (None,) * len(rows),
        }
        return AnomalyTable(**{**parts, **changes})

    return make


def report_of(table, threshold=5.0, **fields):
    return AnomalyReport(table, table.evaluate(threshold=threshold, resamples=20), Protocol("by hand"), **fields)


def values_of(table, threshold=5.0):
    return anomaly_contents(report_of(table, threshold))[0]


def test_the_answer_is_auroc_and_what_comes_next(table_of):
    pixels = PixelCounts()
    pixels.add(np.array([[1, 2]], np.float32), np.array([[False, True]]))
    values = values_of(table_of(groups=("a", "a", *[None] * 7), pixels=pixels))
    assert [(one["name"], one["value"]) for one in values["answers"]] == [
        ("AUROC", f"87.5{NB}%"),
        ("AUPRO", f"100{NB}%"),
    ]
    assert values["basis"] == "5 defective and 4 good images, 8 independent groups"
    assert values["limit"] == ".3"
    assert {fact["name"]: fact["value"] for fact in values["facts"]} == {
        "defective images that pass": f"40.0{NB}%",
        "good images rejected": f"25.0{NB}%",
        "average precision": f"{100 * np.mean([1, 1, 1, 4 / 5, 5 / 7]):.1f}{NB}%",
        f"rejected of the good where 95{NB}% of the defective are": f"50.0{NB}%",
        "pixel AUROC": f"100{NB}%",
        "AUPRO to a rate of .05": f"100{NB}%",
    }


@pytest.mark.parametrize(
    ("rows", "answers", "figures"),
    [
        (ROWS[:4], ["good images rejected"], {"scores", "false-alarms"}),
        (ROWS[4:], ["defective images that pass"], {"scores", "found", "escapes"}),
        ([(1, None), (2, "?")], ["AUROC", "defective images that pass"], {
            "scores", "roc", "found", "escapes", "false-alarms"
        }),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_left_out(table_of, tmp_path, rows, answers, figures):
    report = report_of(table_of(rows))
    values, drawn = anomaly_contents(report)
    assert [one["name"] for one in values["answers"]] == answers
    assert values["limit"] == ""
    assert set(drawn) == figures
    assert write_report(tmp_path / "report.html", report)[0].exists()


def test_kinds_have_their_auroc_and_what_of_them_passes(table_of):
    crack, pit = values_of(table_of())["classes"]
    assert (crack["name"], crack["images"], crack["passing"], crack["auroc"]) == ("crack", 3, 1, f"87.5{NB}%")
    assert (pit["name"], pit["images"], pit["passing"], pit["auroc"]) == ("pit", 2, 1, f"87.5{NB}%")
    assert 0 <= crack["left"] <= crack["dot"] <= crack["left"] + crack["width"] <= 100.1


def test_curves_run_from_no_rejection_to_nothing_but_and_the_dot_lies_on_the_one_of_all(table_of):
    values = values_of(table_of())
    assert [curve["name"] for curve in values["curves"]] == ["crack", "pit", "all defects"]
    for curve in values["curves"]:
        points = [tuple(map(float, point.split(","))) for point in curve["points"].split()]
        assert (points[0], points[-1]) == ((0, 100), (100, 0))
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert (values["point"]["x"], values["point"]["y"]) == (25, 40)
    assert f"{values['point']['x']:.1f},{values['point']['y']:.1f}" in values["curves"][-1]["points"].split()


def test_each_kind_has_a_histogram_and_the_threshold_parts_them_all(table_of):
    shown = score_rows(table_of([*ROWS, (7, "?")]), 5.0)
    assert [(row.name, row.images, row.rejected) for row in shown.rows] == [
        ("good", 4, 1),
        ("crack", 3, 2),
        ("pit", 2, 1),
        ("unnamed", 1, 1),
    ]
    assert np.isclose(shown.edges, 0.5).any()
    for row in shown.rows:
        assert row.counts[shown.edges[:-1] >= 0.5 - 1e-9].sum() == row.rejected
    assert (0.5, "1×") in shown.ticks


@pytest.mark.parametrize(
    ("low", "high", "threshold"), [(0, 1e9, 1), (9.99, 10.01, 10), (1, 1, 1), (5, 9, 1e-3), (1, 2, 1e6), (3, 4, 3.5)]
)
def test_the_axis_holds_all_scores_and_the_threshold_with_ticks_that_tell_it(table_of, low, high, threshold):
    shown = score_rows(table_of([(low, None), (high, "pit")]), threshold)
    assert sum(row.images for row in shown.rows) == 2
    places = [place for place, _ in shown.ticks]
    assert len(places) >= 4
    assert shown.edges[0] <= min(places) < max(places) <= shown.edges[-1]
    assert len({text for _, text in shown.ticks}) == len(places)
    assert places == sorted(places)


def test_histograms_on_the_page_are_those_of_the_figure(table_of):
    table = table_of()
    shown, values = score_rows(table, 5.0), values_of(table)
    for axes, row, drawn in zip(draw_scores(shown).axes, shown.rows, values["scores"], strict=True):
        heights = [bar.get_height() for bar in axes.patches if bar.get_height()]
        assert [bar["height"] / 16 * row.counts.max() for bar in drawn["bars"]] == pytest.approx(heights)
        assert {row.name, drawn["told"]} <= {text.get_text() for text in axes.texts}
        assert to_hex(axes.patches[0].get_facecolor()) == drawn["color"]
    assert values["scores"][0]["told"] == "1 of 4 rejected"
    assert values["scores"][1]["told"] == "1 of 3 pass"


def test_the_worst_errors_come_first_and_kinds_take_turns(table_of):
    shown = choose_cases(table_of([*ROWS, (3.5, "pit"), (7, None)]), 5.0, {})
    assert [case.row for case in shown.escapes] == [7, 9, 4]  # a crack of 3, a pit of 3.5, one of 4
    assert [case.row for case in shown.alarms] == [10, 3]
    assert (shown.escape_images, shown.alarm_images) == (3, 2)
    assert all(case.overlay is None for case in shown.sample)
    assert {case.row for case in shown.sample} <= {4, 5, 6, 7, 8, 9}


def test_without_errors_those_nearest_to_one_are_shown(table_of):
    table = table_of([(1, None), (2, None), (8, "pit"), (7, "pit")])
    shown = choose_cases(table, 5.0, {})
    assert [case.row for case in shown.escapes] == [3, 2]
    assert [case.row for case in shown.alarms] == [1, 0]
    values, figures = anomaly_contents(report_of(table))
    assert (values["escape_images"], values["alarm_images"]) == (0, 0)
    assert figures["escapes"].axes[0].texts[0].get_text().startswith("None of 2 defective images passes")


def test_maps_are_wanted_of_few_images_and_of_all_that_are_shown(table_of):
    table = table_of([(i % 17, "abc"[i % 3] if i % 2 else None) for i in range(200)])
    ids = pictured(table, 8.0)
    shown = choose_cases(table, 8.0, dict.fromkeys(ids, np.ones((4, 6), np.float32)))
    cases = [*shown.sample, *shown.escapes, *shown.alarms]
    assert len(ids) == len(set(ids)) <= 3 * MOST
    assert {table.ids[case.row] for case in cases} == set(ids)
    assert all(case.overlay is not None for case in cases)


def test_a_gallery_frames_right_and_wrong_and_says_why(table_of):
    table = table_of()
    shown = choose_cases(table, 5.0, {"3.png": np.ones((4, 6), np.float32)})
    axes = draw_cases(table, shown.alarms, "Alarms").axes[0]
    assert len(axes.images) == 2  # the image and its map
    texts = {text.get_text(): to_hex(text.get_color()) for text in axes.texts}
    assert texts["rejected, 1.2 × the threshold"] == WRONG
    assert {"Alarms", "good", "3.png"} <= set(texts)
    texts = {text.get_text(): to_hex(text.get_color()) for text in draw_cases(table, shown.sample, "").axes[0].texts}
    assert texts["rejected, 4 × the threshold"] == RIGHT
    assert texts["passes, 0.6 × the threshold"] == WRONG


def test_the_page_shows_hostile_names_as_text_and_its_figures_stand_beside_it(table_of, tmp_path):
    table = table_of([(1, None), (2, None), *[(9 - i, name) for i, name in enumerate(HOSTILE)]])
    table.paths[2].unlink()
    report = report_of(table, title="<i>", maps={"3.png": np.ones((4, 6), np.float32)})
    written = write_report(tmp_path / "out" / "report.html", report)
    page = written[0].read_text(encoding="utf-8")
    assert "<b>$" not in page
    assert "&lt;b&gt;$\\frac{1}$" in page
    assert "&lt;i&gt;" in page
    assert [text in page for text in ("氧化铁皮", "new line", "image not available")] == [True] * 3
    names = ["scores", "roc", "per-class", "found", "escapes", "false-alarms"]
    assert [path.name for path in written[1:]] == [f"report-{name}.png" for name in names]
    for path in written[1:]:
        with Image.open(path) as picture:
            assert picture.size[0] > 300
