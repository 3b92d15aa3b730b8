"""The picture of boxes that disagree: which pairs, where, and the boxes on them. Each pair has its own grey."""

import numpy as np
import PIL.Image
import pytest

from millscale.data.audit.disagreements import draw_disagreements
from millscale.data.audit.overlap import Overlap
from millscale.imaging.mosaic import CAPTION, MARGIN, PALETTE, TITLE

TOP, SECOND = MARGIN + TITLE, 400 + 8
"""Where the first row of views begins, and how far right the second view of a pair lies."""


def colour(picture: PIL.Image.Image, x: float, y: float) -> tuple[int, int, int]:
    return tuple(np.asarray(picture)[TOP + round(y), MARGIN + round(x)].tolist())


def test_both_views_show_the_same_pixels_each_with_its_own_boxes(annotated) -> None:
    meet = Overlap("a", "b", 0.4, 60, -50, exact=True)
    drawn = {"a": [(0, 70, 10, 90, 40), (1, 96, 0, 100, 50)], "b": [(1, 10, 70, 30, 90)]}
    picture = draw_disagreements(*annotated(drawn, [meet], level={"a": 90, "b": 90}))
    assert picture is not None
    # 40×50 shared pixels, enlarged eightfold: a's crack lies at (10, 10, 30, 40) of them, b's pit at (10, 20, 30, 40).
    assert picture.size == (MARGIN + 2 * (2 * 400 + 8 + MARGIN), MARGIN + TITLE + 400 + CAPTION + MARGIN)
    assert colour(picture, 80, 200) == colour(picture, 239, 200) == PALETTE[0]
    assert colour(picture, 160, 319) == PALETTE[0]
    assert colour(picture, SECOND + 80, 240) == colour(picture, SECOND + 239, 240) == PALETTE[1]
    assert colour(picture, SECOND + 80, 120) == (90, 90, 90)
    # The rim at a's right border is left out, and its label with it.
    assert colour(picture, 288, 200) == colour(picture, 319, 200) == (90, 90, 90)


def test_a_label_does_not_hide_its_own_small_box(annotated) -> None:
    meet = Overlap("a", "b", 1.0, 0, 0, exact=True)
    picture = draw_disagreements(*annotated({"a": [(0, 10, 0, 20, 8)], "b": [(0, 60, 60, 90, 90)]}, [meet]))
    assert picture is not None
    assert colour(picture, 40, 10) == colour(picture, 79, 10) == PALETTE[0]


def shown(annotated, pairs, count: int = 6) -> list[int]:
    """The greys of the pairs that are drawn, row by row; ``pairs`` are (boxes of a, boxes of b, shared fraction)."""
    images, level, overlaps = {}, {}, []
    for k, (a, b, fraction) in enumerate(pairs):
        names = f"a{k}", f"b{k}"
        images |= dict(zip(names, (a, b), strict=True))
        level |= dict.fromkeys(names, 20 * (k + 2))
        overlaps.append(Overlap(*names, fraction, 0, 0, exact=True))
    picture = draw_disagreements(*annotated(images, overlaps, level=level), count=count)
    if picture is None:
        return []
    step_x, step_y = 2 * 400 + 8 + MARGIN, 400 + CAPTION + MARGIN
    rows = (picture.height - MARGIN - TITLE) // step_y
    cells = [colour(picture, x * step_x + 2, y * step_y + 395) for y in range(rows) for x in range(2)]
    return [cell[0] for cell in cells if cell != colour(picture, -5, 0)]


CRACK, CRACK_HALF, CRACK_FAR = (0, 10, 10, 50, 50), (0, 10, 10, 50, 30), (0, 60, 60, 90, 90)
PIT, PIT_MOST = (1, 10, 10, 50, 50), (1, 10, 10, 50, 40)


@pytest.mark.parametrize(
    ("pairs", "greys"),
    [
        pytest.param(
            [([CRACK], [CRACK], 1), ([CRACK], [CRACK_FAR], 1), ([CRACK], [CRACK_HALF], 1)], [60, 80, 40],
            id="the least agreement first"),
        pytest.param(
            [([CRACK], [CRACK_FAR], 1), ([CRACK], [CRACK_HALF], 1), ([PIT], [PIT_MOST], 1), ([PIT], [PIT], 1)],
            [40, 80, 60, 100],
            id="classes take turns"),
        pytest.param(
            [([CRACK, PIT], [CRACK_FAR, PIT], 1), ([PIT], [PIT], 1)], [40, 60],
            id="no pair twice"),
        pytest.param(
            [([CRACK], [], 1), ([CRACK], [CRACK], 1), ([CRACK], [CRACK_HALF], 1)], [80, 60, 40],
            id="what one left out comes last"),
        pytest.param(
            [([CRACK], [CRACK_FAR], 0.3), ([CRACK], [CRACK_FAR], 0.8)], [60, 40],
            id="of equal ones that with more to see"),
        pytest.param(
            [([(0, 10, 10, 50, 50, 1)], [(0, 60, 60, 90, 90, 1)], 1), ([], [], 1)], [],
            id="nothing that counts"),
        pytest.param([], [], id="no overlap"),
    ],
)  # fmt: skip
def test_which_pairs_are_drawn(annotated, pairs, greys) -> None:
    assert shown(annotated, pairs) == greys


def test_no_more_pairs_than_asked_for(annotated) -> None:
    pairs = [([CRACK], [CRACK_HALF], 1), ([PIT], [PIT], 1), ([CRACK], [CRACK_FAR], 1)]
    assert shown(annotated, pairs, count=2) == [80, 60]
    assert shown(annotated, pairs, count=1) == [80]
