import numpy as np
import pytest

from millscale.core.errors import ModelError
from millscale.core.types import Boxes
from millscale.imaging.preprocess import Geometry
from millscale.runtime.card import Detection
from millscale.runtime.detect import decode, shifted, suppress

SAME, SIZE = Geometry(), (100, 100)
SQUARE = [10, 10, 30, 30]
NEAR = [10, 10, 30, 27]  # IoU with the square .85
HALF = [10, 10, 30, 20]  # .5
FAR = [60, 60, 80, 80]


def decoded(boxes, scores, geometry=SAME, size=SIZE, **detection):
    found = decode(np.array(boxes, np.float32), np.array(scores, np.float32), Detection(**detection), geometry, size)
    return [(int(c), round(float(s), 4), box) for c, s, box in zip(found.class_id, found.score, found.xyxy.tolist())]  # noqa: B905


@pytest.mark.parametrize(
    ("boxes", "scores", "expected"),
    [
        ([SQUARE, FAR], [[0.3, 0], [0, 0.8]], [(1, 0.8, FAR), (0, 0.3, SQUARE)]),
        # the weaker of two that overlap goes, unless it is of another class
        ([SQUARE, NEAR], [[0.3, 0], [0.8, 0]], [(0, 0.8, NEAR)]),
        ([SQUARE, NEAR], [[0.3, 0], [0, 0.8]], [(1, 0.8, NEAR), (0, 0.3, SQUARE)]),
        # .5 is not more than .6
        ([SQUARE, HALF], [[0.3, 0], [0.8, 0]], [(0, 0.8, HALF), (0, 0.3, SQUARE)]),
        # one anchor, two classes
        ([SQUARE], [[0.3, 0.4]], [(1, 0.4, SQUARE), (0, 0.3, SQUARE)]),
        # below .001 is nothing, .001 is something
        ([SQUARE, FAR], [[0.0009, 0], [0.001, 0]], [(0, 0.001, FAR)]),
        # equally strong: the earlier anchor, then the earlier class
        ([FAR, SQUARE], [[0, 0.5], [0.5, 0.5]], [(1, 0.5, FAR), (0, 0.5, SQUARE), (1, 0.5, SQUARE)]),
        ([SQUARE, NEAR], [[0.5, 0], [0.5, 0]], [(0, 0.5, SQUARE)]),
        (np.zeros((0, 4)), np.zeros((0, 2)), []),
        # inverted or empty
        ([[30, 30, 10, 10], [30, 10, 30, 20]], [[0.9, 0], [0.9, 0]], []),
        # arithmetic may exceed 1 by a little
        ([SQUARE], [[1.0001, -0.0001]], [(0, 1.0, SQUARE)]),
    ],
)
def test_boxes_are_thresholded_and_suppressed_class_by_class(boxes, scores, expected):
    assert decoded(boxes, scores) == expected


def test_what_a_suppressed_box_would_have_suppressed_stays():
    # a – b – c, each over .6 with the next, a and c under it
    chain = [[0, 0, 20, 20], [4, 0, 24, 20], [8, 0, 28, 20]]
    assert [score for _, score, _ in decoded(chain, [[0.9], [0.8], [0.7]])] == [0.9, 0.7]


def test_a_box_moves_to_the_mean_of_those_that_agree_with_it():
    # IoU with the first: 1, .85 and .7; another class and another place have no say
    boxes = [SQUARE, NEAR, [10, 10, 30, 24], [10, 10, 30, 26], FAR]
    scores = [[0.8, 0], [0.4, 0], [0.2, 0], [0, 0.9], [0.3, 0]]
    weights = np.array([0.8 * 0.4, 0.4 * 0.25, 0.2 * 0.1])
    bottom = weights @ [30, 27, 24] / weights.sum()
    (other, first, far) = decoded(boxes, scores, agree=0.6)
    assert other == (1, 0.9, [10, 10, 30, 26])
    assert first[:2] == (0, 0.8)
    assert first[2] == pytest.approx([10, 10, 30, bottom])
    assert far == (0, 0.3, FAR)


def test_of_several_views_the_strongest_stays_for_fusion_to_average():
    assert decoded([SQUARE, NEAR], [[0.8], [0.4]], agree=0.6, views=2) == [(0, 0.8, SQUARE)]


@pytest.mark.parametrize("bottom", [24.999, 25.0, 25.001])
def test_what_lies_on_the_limit_of_agreement_hardly_counts(bottom):
    ((_, _, box),) = decoded([SQUARE, [10, 10, 30, bottom]], [[0.8], [0.8]], agree=0.75)
    assert box == pytest.approx([10, 10, 30, 30], abs=0.01)


def test_a_box_that_scores_nothing_keeps_its_place():
    assert decoded([SQUARE], [[0.0]], agree=0.65, least_score=0.0) == [(0, 0.0, SQUARE)]


@pytest.mark.parametrize(("iou", "kept"), [(0.5, 2), (0.499, 1)])
def test_an_overlap_on_the_threshold_is_kept(iou, kept):
    assert len(decoded([SQUARE, HALF], [[0.9], [0.8]], iou=iou)) == kept


def test_boxes_come_back_to_the_original_and_are_cut_at_its_edges():
    # 50 × 25 in the middle of 100 × 100: twice as large, 25 rows down
    geometry, size = Geometry(2.0, 2.0, 0.0, 25.0), (25, 50)
    found = decoded([[20, 35, 60, 65], [90, 20, 130, 85], [10, 0, 30, 20]], [[0.9], [0.8], [0.7]], geometry, size)
    # the third lies in the border alone
    assert found == [(0, 0.9, [10, 5, 30, 20]), (0, 0.8, [45, 0, 50, 25])]


def test_boxes_that_differ_outside_the_image_only_are_one():
    assert decoded([[50, 50, 120, 120], [50, 50, 400, 400]], [[0.8], [0.9]]) == [(0, 0.9, [50, 50, 100, 100])]


def test_only_so_many_are_kept():
    boxes = [[10 * i, 0, 10 * i + 10, 10] for i in range(10)]
    scores = [[0.1 + 0.05 * i] for i in range(10)]
    assert [box[0] for _, _, box in decoded(boxes, scores, most=3)] == [90, 80, 70]


def test_ties_for_the_last_place_go_to_the_first():
    # 60 × 60 cells are more than compete; all but one score the same
    boxes = [[x, y, x + 1, y + 1] for y in range(60) for x in range(60)]
    scores = np.full((3600, 1), 0.5)
    scores[3599] = 0.6
    found = decoded(boxes, scores, most=1000)
    assert [box for _, _, box in found] == [boxes[3599], *boxes[:999]]


@pytest.mark.parametrize("block", [1, 99, 100, 101, 250])
def test_suppression_does_not_know_where_its_blocks_end(block):
    # pairs: each box once, and then once more, `block` places later
    first = np.array([[20 * (i % 50), 20 * (i // 50), 20 * (i % 50) + 10, 20 * (i // 50) + 10] for i in range(block)])
    twice = np.concatenate([first, first]).astype(np.float32)
    assert suppress(twice, np.zeros(2 * block, np.int64), 0.6, 1000).tolist() == list(range(block))


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        ([[0, 0, np.nan, 1]], [[0.5]], "expected finite boxes and scores in"),
        ([[0, 0, np.inf, 1]], [[0.5]], "expected finite boxes and scores in"),
        ([[0, 0, 1, 1]], [[np.nan]], "expected finite boxes and scores in"),
        ([[0, 0, 1, 1], [0, 0, 1, 1]], [[0.5], [np.nan]], "expected finite boxes and scores in"),
        ([[0, 0, 1, 1]], [[1.5]], "expected finite boxes and scores in"),
        ([[0, 0, 1, 1]], [[-3.0]], "expected finite boxes and scores in"),
        ([[0, 0, 1, 1]], [[0.5], [0.5]], r"expected boxes \(A, 4\) and scores \(A, C\), found \(1, 4\) and \(2, 1\)"),
        ([[0, 0, 1]], [[0.5]], r"expected boxes \(A, 4\)"),
        ([[0, 0, 1, 1]], [0.5], r"expected boxes \(A, 4\)"),
    ],
)
def test_an_answer_that_is_none_is_refused(boxes, scores, message):
    with pytest.raises(ModelError, match=message):
        decoded(boxes, scores)


def test_the_answer_of_the_network_is_not_changed():
    boxes, scores = np.array([SQUARE, [90, 90, 200, 200]], np.float32), np.array([[1.0005], [0.3]], np.float32)
    before = boxes.copy(), scores.copy()
    decode(boxes, scores, Detection(), SAME, SIZE)
    assert (boxes == before[0]).all()
    assert (scores == before[1]).all()


@pytest.mark.parametrize(
    ("box", "shift", "expected"),
    [
        ([10, 20, 30, 30], (2.0, -1.0), [[8, 21, 28, 31]]),
        ([1, 0, 30, 30], (2.0, 0.5), [[0, 0, 28, 29.5]]),  # cut at the edge of the image
        ([38, 0, 40, 10], (-3.0, 0.0), []),  # nothing of it is left
        ([38, 0, 50, 10], (0.0, 0.0), [[38, 0, 50, 10]]),
    ],
)
def test_boxes_are_put_back_to_where_annotators_draw_them(box, shift, expected):
    found = shifted(Boxes([box], [1], [0.5]), shift, (40, 40))
    assert found.xyxy.tolist() == expected
    assert found.class_id.tolist() == [1] * len(expected)
    assert found.score.tolist() == [0.5] * len(expected)
