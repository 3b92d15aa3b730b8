"""What the page of a detector says, and the figures beside it."""

import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from millscale.report.detection import detection_contents
from millscale.report.detection_page import detection_values
from millscale.report.detection_selection import choose_shots
from millscale.report.drawn_boxes import class_color
from millscale.report.figures.curves import draw_curves
from millscale.report.figures.shots import draw_shots
from millscale.report.figures.style import png
from millscale.report.html import write_report
from millscale.report.report import DetectionReport, Protocol

A, B, C = (10, 10, 30, 30), (60, 60, 80, 80), (40, 0, 60, 20)
NB = "\u00a0"
HOSTILE = ("<b>$\\frac{1}$</b>", "氧化铁皮", "new\nline", "x" * 200)


@pytest.fixture
def table(located):
    """Four images: two scratches of which one is found, a pit found twice, an alarm for a pit, a clean one."""
    return located(
        [[(0, *A)], [(0, *A)], [(1, *B)], []],
        [[(0, *A, 0.9)], [(0, *A, 0.2)], [(1, *B, 0.8), (1, *B, 0.6)], [(1, *C, 0.7), (0, *C, 0.1)]],
        classes=("scratch", "pit", "rust"),
        groups=("one", "one", "two", None),
    )


@pytest.fixture
def metrics(table):
    return table.evaluate(thresholds={"scratch": 0.5, "pit": 0.5, "rust": 0.5}, resamples=50)


def values_of(table, metrics, sample=2, most=6):
    shown = choose_shots(table, metrics.limits, sample=sample, most=most)
    return detection_values(DetectionReport(table, metrics, Protocol("by hand", leak=0.0)), shown)


def test_the_answer_is_the_mean_with_what_it_was_measured_on(table, metrics):
    answer = values_of(table, metrics)["answer"]
    assert (answer["boxes"], answer["images"], answer["groups"]) == (3, 4, "3 independent groups")
    assert answer["map50"] == f"100{NB}%"  # every box is found before an alarm of its class, if below its threshold
    assert re.fullmatch(rf"[\d.]+{NB}% – 100{NB}%", answer["map50_interval"])


def test_facts_are_those_of_whole_images(table, metrics):
    facts = {fact["name"]: fact["value"] for fact in values_of(table, metrics)["facts"]}
    assert facts["defective images with nothing found"] == f"33.3{NB}%"
    assert facts["clean images with a find"] == f"100{NB}%"
    assert facts["image recall"] == f"75.0{NB}%"  # of scratch 50 %, of pit 100 %


def test_without_clean_images_there_is_no_rate_of_them(located):
    table = located([[(0, *A)]], [[(0, *A, 0.9)]])
    metrics = table.evaluate(thresholds={"scratch": 0.5, "pit": 0.5}, resamples=10)
    values = values_of(table, metrics)
    assert "clean images with a find" not in {fact["name"] for fact in values["facts"]}
    assert values["answer"]["groups"] == "1 images taken as independent"


def test_a_class_without_a_box_to_find_stands_there_without_numbers(table, metrics):
    scratch, pit, rust = values_of(table, metrics)["classes"]
    assert [(row["name"], row["truths"], row["ap50"]) for row in (scratch, pit, rust)] == [
        ("scratch", 2, f"100{NB}%"),
        ("pit", 1, f"100{NB}%"),
        ("rust", 0, "–"),
    ]
    assert rust["range"] == "no box"
    assert "left" not in rust
    assert 0 <= scratch["left"] <= scratch["dot"] == 100
    assert [row["color"] for row in (scratch, pit, rust)] == [class_color(i) for i in range(3)]


def test_rates_are_those_at_the_threshold(table, metrics):
    scratch, pit, rust = values_of(table, metrics)["rates"]
    told = [[cell["value"] for cell in row["cells"]] for row in (scratch, pit, rust)]
    # precision and recall of boxes, recall and false alarms of images, recall, precision and IoU of the area
    whole, half, none = f"100{NB}%", f"50.0{NB}%", f"0{NB}%"
    assert told[0] == [whole, half, half, none, half, whole, half]
    assert told[1] == [f"33.3{NB}%", whole, whole, f"33.3{NB}%", whole, half, half]
    assert told[2] == ["–", "–", "–", none, "–", "–", "–"]
    assert [row["threshold"] for row in (scratch, pit, rust)] == ["0.50"] * 3


def test_curves_end_where_recall_does_and_have_their_threshold_marked(located):
    table = located([[(0, *A)], [(0, *A)]], [[(0, *A, 0.9)], [(0, *C, 0.6), (1, *C, 0.6)]])
    metrics = table.evaluate(thresholds={"scratch": 0.5, "pit": 0.5}, resamples=10)
    (curve,) = values_of(table, metrics)["curves"]  # no pit is to be found
    points = [tuple(map(float, point.split(","))) for point in curve["points"].split()]
    assert points == [(recall, 0) for recall in range(51)]
    assert (curve["x"], curve["y"]) == (50, 50)
    assert curve["tip"] == f"scratch at its threshold: precision 50.0{NB}%, recall 50.0{NB}%"


def test_the_confusion_counts_misses_and_alarms_as_background(table, metrics):
    rows = {row["name"]: [cell["count"] for cell in row["cells"]] for row in values_of(table, metrics)["confusion"]}
    assert rows == {
        "scratch": [1, 0, 0, 1], "pit": [0, 1, 0, 0], "rust": [0, 0, 0, 0], "background": [0, 2, 0, 0]
    }  # fmt: skip


def test_pictures_tell_their_boxes(table, metrics):
    table.paths[1].unlink()
    values = values_of(table, metrics)
    assert [group["name"] for group in values["sample"]] == ["scratch", "pit"]
    (miss,) = values["misses"]
    assert (miss["id"], miss["src"], miss["name"]) == ("1.png", None, "scratch")
    assert [(box.kind, box.tip) for box in miss["boxes"]] == [("missed", "missed: scratch")]
    sure, second = values["alarms"]
    assert [shot["caption"] for shot in (sure, second)] == [
        "0.70: no such defect drawn there",
        "0.60: that defect was found already",
    ]
    assert sure["src"].startswith("data:image/jpeg;base64,")
    assert [box.kind for box in second["boxes"]] == ["found", "alarm", "true"]
    assert (values["missed_images"], values["alarm_images"]) == (1, 2)


def test_the_page_shows_hostile_names_as_text_and_its_figures_stand_beside_it(located, tmp_path):
    table = located([[(i, *A)] for i in range(4)], [[(i, *B, 0.9)] for i in range(4)], classes=HOSTILE)
    metrics = table.evaluate(thresholds=dict.fromkeys(HOSTILE, 0.5), resamples=10)
    table.paths[0].unlink()
    written = write_report(tmp_path / "out" / "report.html", DetectionReport(table, metrics, Protocol("by hand")))
    page = written[0].read_text(encoding="utf-8")
    assert "<b>$" not in page
    assert "&lt;b&gt;$\\frac{1}$" in page
    assert [text in page for text in ("氧化铁皮", "new line", "image not available")] == [True] * 3
    names = {"found", "per-class", "curves", "confusion", "misses", "false-alarms"}
    assert {path.name for path in written[1:]} == {f"report-{name}.png" for name in names}
    for path in written[1:]:
        with Image.open(path) as picture:
            assert picture.size[0] > 300


def test_what_is_not_there_is_said_above_its_gallery(located):
    table = located([[(0, *A)]], [[(0, *A, 0.9)]])
    metrics = table.evaluate(thresholds={"scratch": 0.5, "pit": 0.5}, resamples=10)
    _, figures = detection_contents(DetectionReport(table, metrics, Protocol("by hand")))
    headings = {name: figure.axes[0].texts[0].get_text() for name, figure in figures.items() if figure.axes[0].texts}
    assert headings["misses"] == "No box is missed"
    assert headings["false-alarms"] == "No false alarm"
    assert figures["confusion"].axes[0].get_title() == "Boxes: 0 confused, 0 missed, 0 false alarms"


def test_the_figure_draws_a_curve_for_each_class_with_a_box_to_find(table, metrics):
    axes = draw_curves(metrics).axes[0]
    assert [line.get_label() for line in axes.lines] == ["scratch  100.0%", "pit  100.0%"]
    assert [to_hex(line.get_color()) for line in axes.lines] == [class_color(0), class_color(1)]
    assert axes.lines[0].get_xdata().max() == 1
    np.testing.assert_allclose([dot.get_offsets()[0] for dot in axes.collections], [[0.5, 1], [1, 1 / 3]])
    assert axes.get_title() == "Precision and recall at IoU .5, mAP50 100.0%"


def test_without_a_box_to_find_the_figure_says_undefined(located):
    table = located([[(0, *A, 1)]], [[(0, *B, 0.9)]], classes=("scratch",))
    axes = draw_curves(table.evaluate(thresholds={"scratch": 0.5}, resamples=10)).axes[0]
    assert axes.get_title() == "Precision and recall at IoU .5, mAP50 undefined"
    assert (len(axes.lines), axes.get_legend()) == (0, None)


def test_any_class_name_is_drawn_as_it_stands(located):
    table = located([[(i, *A)] for i in range(4)], [[(i, *A, 0.9)] for i in range(4)], classes=HOSTILE)
    metrics = table.evaluate(thresholds=dict.fromkeys(HOSTILE, 0.5), resamples=10)
    shown = choose_shots(table, metrics.limits, sample=1, most=1)
    curves = draw_curves(metrics)
    labels = [text.get_text() for text in curves.axes[0].get_legend().get_texts()]
    assert labels[0] == "<b>$\\frac{1}$</b>  100.0%"
    assert labels[3] == "x" * 11 + "…" + "x" * 10 + "  100.0%"
    for figure in (curves, draw_shots(shown, shown.sample, "$\\frac{1}$")):
        with Image.open(BytesIO(png(figure))) as picture:
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 2


def test_a_gallery_draws_each_box_where_it_lies(located):
    table = located([[(0, *A)]], [[(0, *B, 0.9)]], size=(100, 200))
    shown = choose_shots(table, np.array([0.5, 0.5]), sample=1, most=1)
    axes = draw_shots(shown, shown.misses, "Misses").axes[0]
    (image,) = axes.images
    left, right, bottom, top = image.get_extent()
    lines = [p for p in axes.patches if not p.get_fill() and to_hex(p.get_edgecolor()) in ("#ff3b30", class_color(0))]
    found = [[*p.get_xy(), p.get_x() + p.get_width(), p.get_y() + p.get_height()] for p in lines]
    assert right - left == pytest.approx(2 * (bottom - top))
    scale = (right - left) / 200
    corner = np.array([left, top, left, top])
    np.testing.assert_allclose(found, [corner + scale * np.array(box) for box in (B, A)])
    assert [p.get_linestyle() in ("-", "solid") for p in lines] == [True, False]  # the missed one is dashed


def test_a_gallery_has_four_a_row_with_scores_captions_and_names(located):
    table = located([[]] * 6, [[(0, *A, 0.9)]] * 6)
    shown = choose_shots(table, np.array([0.5, 0.5]), sample=1, most=6)
    axes = draw_shots(shown, shown.alarms, "Six alarms").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == "Six alarms"
    assert texts.count(".90") == texts.count("0.90: no such defect drawn there") == len(axes.images) == 6
    assert [f"{i}.png" in texts for i in range(6)] == [True] * 6
    corners = sorted({(round(image.get_extent()[0]), round(image.get_extent()[3])) for image in axes.images})
    assert len({x for x, _ in corners}) == 4
    assert len({y for _, y in corners}) == 2


def test_a_gallery_notes_an_image_that_is_gone(located):
    table = located([[]], [[(0, *A, 0.9)]])
    table.paths[0].unlink()
    shown = choose_shots(table, np.array([0.5, 0.5]), sample=1, most=6)
    texts = [text.get_text() for text in draw_shots(shown, shown.alarms, "x").axes[0].texts]
    assert {"image not\navailable", ".90", "0.png"} <= set(texts)
