from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from millscale.report.figures.confusion import draw_confusion
from millscale.report.figures.gallery import draw_gallery
from millscale.report.figures.grid import draw_grid, grid_columns
from millscale.report.figures.per_class import Series, draw_per_class
from millscale.report.figures.reliability import draw_reliability
from millscale.report.figures.style import RIGHT, WRONG, png

HOSTILE = (
    "氧化铁皮",
    "$\\frac{1}$",
    "a_b^c",
    "oxide scale of temperature system",
    "new\nline",
    "صدأ",
    "",
    "x" * 200,
)


def texts(figure, axes=0):
    return [text.get_text() for text in figure.axes[axes].texts]


def colors(figure):
    return {text.get_text(): to_hex(text.get_color()) for text in figure.axes[0].texts}


def test_grid_titles_say_prediction_and_true_category_in_green_and_red(build):
    figure = draw_grid(build(images=3, errors=1))
    assert colors(figure) == {
        "Inclusion (Crazing)": WRONG,
        "Inclusion (Inclusion)": RIGHT,
        "Scratches (Scratches)": RIGHT,
    }


@pytest.mark.parametrize(("classes", "across"), [(1, 6), (2, 6), (4, 4), (6, 6), (8, 8), (9, 6), (12, 6)])
def test_grid_has_a_column_for_each_class_where_that_is_readable(classes, across):
    assert grid_columns(classes) == across


def test_grid_shows_each_chosen_image_once(build):
    figure = draw_grid(build(images=80))
    assert len(figure.axes[0].images) == 24


def test_long_titles_take_two_lines_and_are_cut_in_the_middle(build):
    names = ("oxide scale of plate system", "Patches")
    assert set(texts(draw_grid(build(images=2, errors=0, names=names)))) == {
        "oxide scal…te system\n(oxide scal…te system)",
        "Patches (Patches)",
    }


def test_a_missing_image_leaves_a_note(build):
    table = build(images=3)
    table.paths[1].unlink()
    assert texts(draw_grid(table)).count("image not\navailable") == 1


def test_confusion_shows_every_count_but_zero(build):
    metrics = build(images=12, errors=2).evaluate(resamples=10)
    figure = draw_confusion(metrics.classes, metrics.confusion, "2 of 12 images confused")
    assert sorted(texts(figure)) == ["1", "1", "3", "3", "4"]
    assert figure.axes[0].get_title() == "2 of 12 images confused"


def test_reliability_draws_the_used_bins(build):
    metrics = build(images=12, errors=3).evaluate(resamples=10)
    upper, lower = draw_reliability(metrics).axes
    np.testing.assert_allclose(upper.collections[-1].get_offsets(), [[0.9, 0.75]])
    assert sum(bar.get_height() for bar in lower.patches) == 12


def test_per_class_draws_no_mark_for_a_class_without_images(build):
    table = build(images=12, errors=0, names=("a", "b"))
    table = replace(table, classes=("a", "b", "c"), probs=np.hstack([table.probs, np.zeros((12, 1))]))
    recall, _precision = per_class(table.evaluate(resamples=10)).axes[0].collections
    assert np.isfinite(np.ma.filled(recall.get_offsets(), np.nan)).all(1).tolist() == [True, True, False]


def per_class(metrics):
    series = [Series(key, key, getattr(metrics.per_class, key)) for key in ("recall", "precision")]
    return draw_per_class(metrics.classes, series, metrics.intervals)


def test_numbers_that_are_all_undefined_leave_an_empty_axis():
    undefined = {"ap50/a": (np.nan, np.nan)}
    figure = draw_per_class(("a",), [Series("ap50", "AP50", np.array([np.nan]))], undefined)
    assert not figure.axes[0].lines
    assert figure.axes[0].get_xlim()[1] > 1


@pytest.mark.parametrize(
    ("errors", "heading"),
    [
        (0, "No error in 30 images. The closest calls, all right:"),
        (1, "1 error in 30 images"),
        (30, "30 errors in 30 images, the 12 most confident; 18 more are not shown"),
    ],
)
def test_gallery_says_how_many_errors_there_are(build, errors, heading):
    assert texts(draw_gallery(build(images=30, errors=errors)))[0] == heading


def test_gallery_shows_an_error_with_its_probabilities_and_neighbours(build):
    words = texts(draw_gallery(build(images=9, errors=1)))
    assert {"Inclusion", "(Crazing)", "90.0%", "image 0.png", "similarity 0.75"} <= set(words)
    assert words.count("similarity 0.75") == 2


def test_gallery_always_shows_the_true_class_among_the_bars(build):
    table = build(images=1, errors=0, names=("a", "b", "c", "d"))
    wrong = replace(table, probs=np.array([[0.01, 0.5, 0.29, 0.2]]))
    words = texts(draw_gallery(wrong))
    assert "1.0%" in words
    assert "20.0%" not in words


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_figure_draws_any_name_without_a_warning(build, count):
    table = build(images=count * 2, errors=1 if count > 1 else 0, names=HOSTILE[:count])
    metrics = table.evaluate(resamples=10)
    drawn = [draw(table) for draw in (draw_grid, draw_gallery)]
    drawn += [draw_confusion(metrics.classes, metrics.confusion, "all"), draw_reliability(metrics), per_class(metrics)]
    for figure in drawn:
        with Image.open(BytesIO(png(figure))) as picture:
            assert picture.size[0] > 300
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 2


def test_the_same_table_gives_the_same_bytes(build):
    table = build()
    assert png(draw_grid(table)) == png(draw_grid(table))
