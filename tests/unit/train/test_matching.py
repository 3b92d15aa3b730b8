"""Default boxes, offsets from them, and which of them answers for what: worked out by hand."""

import math

import pytest

torch = pytest.importorskip("torch")

from millscale.train.detection import PADDING, Targets  # noqa: E402
from millscale.train.detectors._anchors import LEVELS, PER_PLACE, anchor_boxes  # noqa: E402
from millscale.train.detectors._matching import BACKGROUND, IGNORED, Rule, match, some_of  # noqa: E402
from millscale.train.detectors._offsets import COARSE, FINE, moved, offsets  # noqa: E402
from millscale.train.detectors._single_shot import SingleShot, _hardest  # noqa: E402
from millscale.train.detectors.faster_rcnn import pooled  # noqa: E402

SIZE = (100, 200)
RULE = Rule(defect=0.5, background=0.3, each_box=False)


def targets(boxes, classes, weights) -> Targets:
    return Targets(torch.tensor([boxes]), torch.tensor([classes]), torch.tensor([weights]))


def test_a_candidate_answers_for_the_box_that_it_overlaps_most_with_its_class_and_weight():
    candidates = torch.tensor([[[0.0, 0, 10, 10], [50, 0, 60, 10], [0, 0, 10, 25], [0, 0, 10, 40]]])
    found = match(candidates, targets([[0.0, 0, 10, 10], [50, 0, 60, 12]], [2, 0], [0.5, 1.0]), RULE, SIZE)
    # IoU 1 with the first, 10/12 with the second; then .4, between the limits, and .25, below both.
    assert found.labels.tolist() == [[3, 1, IGNORED, BACKGROUND]]
    assert found.boxes[0, :2].tolist() == [[0, 0, 10, 10], [50, 0, 60, 12]]
    assert found.weights.tolist() == [[0.5, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize(("each_box", "label"), [(True, 2), (False, BACKGROUND)])
def test_a_box_that_no_candidate_fits_gets_its_best_one_where_the_rule_says_so(each_box, label):
    candidates = torch.tensor([[[0.0, 0, 10, 40], [80, 80, 90, 90]]])
    given = targets([[0.0, 0, 10, 10]], [1], [1.0])
    found = match(candidates, given, RULE._replace(each_box=each_box), SIZE)
    assert found.labels.tolist() == [[label, BACKGROUND]]


def test_what_lies_in_a_region_to_ignore_is_no_background_and_padding_is_nothing():
    candidates = torch.tensor([[[0.0, 0, 20, 20], [0, 0, 50, 50], [-20, 0, 20, 20], [0, 0, 20, 39]]])
    region = [[0.0, 0, 20, 20]]
    # Of the third, half lies beyond the image; of the second and fourth less, and more, than half within the region.
    found = match(candidates, targets(region, [0], [0.0]), RULE, SIZE)
    assert found.labels.tolist() == [[IGNORED, BACKGROUND, IGNORED, IGNORED]]
    assert (match(candidates, targets(region, [PADDING], [0.0]), RULE, SIZE).labels == BACKGROUND).all()


@pytest.mark.parametrize("scale", [COARSE, FINE])
def test_offsets_are_shifts_in_sides_and_logarithms_of_growth_and_lead_back(scale):
    base, box = torch.tensor([[20.0, 10, 40, 50]]), torch.tensor([[35.0, 20, 45, 100]])
    by = offsets(box, base, scale)
    expected = [10 / 20 * scale[0], 30 / 40 * scale[0], math.log(0.5) * scale[1], math.log(2) * scale[1]]
    torch.testing.assert_close(by, torch.tensor([expected]))
    torch.testing.assert_close(moved(base, by, SIZE, scale), box)


def test_moved_boxes_end_with_the_image():
    far = moved(torch.tensor([[150.0, 50, 190, 90]]), torch.tensor([[1.0, 1.0, 1.0, 1.0]]), SIZE, COARSE)
    assert far.tolist() == [[pytest.approx(210 - 20 * math.e), pytest.approx(110 - 20 * math.e), 200, 100]]


def test_default_boxes_stand_at_their_cells_row_by_row_with_the_area_of_their_level():
    maps = [torch.zeros(1, 1, max(1, 4 >> level), max(1, 8 >> level)) for level in range(LEVELS)]
    boxes = anchor_boxes(maps, SIZE)
    assert len(boxes) == sum(m.shape[2] * m.shape[3] for m in maps) * PER_PLACE
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    assert centres[[0, PER_PLACE, 8 * PER_PLACE]].tolist() == [[12.5, 12.5], [37.5, 12.5], [12.5, 37.5]]
    areas = sides[:PER_PLACE].prod(1)
    smallest = 0.1**2 * SIZE[0] * SIZE[1]
    torch.testing.assert_close(areas, torch.tensor([smallest] * 7 + [2 * smallest] * 7))
    torch.testing.assert_close(sides[0, 1] / sides[0, 0], torch.tensor(1 / 8))
    assert (sides <= torch.tensor([200.0, 100.0])).all()


def test_of_many_as_many_are_drawn_as_wanted_and_none_that_is_not_marked():
    mask = torch.tensor([[True] * 6 + [False] * 4, [False] * 9 + [True]])
    torch.manual_seed(0)
    drawn = [some_of(mask, 3) for _ in range(20)]
    assert {tuple(one.sum(1).tolist()) for one in drawn} == {(3, 1)}
    assert not any((one & ~mask).any() for one in drawn)
    assert len({tuple(one[0].tolist()) for one in drawn}) > 1


def test_what_lies_in_boxes_comes_in_their_order_whichever_map_it_is_from():
    pyramid = [torch.rand(2, 3, 256 // s, 256 // s, generator=torch.Generator().manual_seed(s)) for s in (8, 16, 32)]
    boxes = torch.tensor([[0.0, 0, 250, 250], [4, 4, 20, 20], [0, 0, 120, 120], [8, 8, 40, 24], [0, 0, 256, 200]])
    image = torch.tensor([1, 0, 0, 1, 0])
    together = pooled(pyramid, boxes, image)
    for k in range(len(boxes)):
        torch.testing.assert_close(pooled(pyramid, boxes[k : k + 1], image[k : k + 1])[0], together[k])


class Given(SingleShot):
    """Answers what it was given, of one default box or several."""

    def __init__(self, logits, by, anchors):
        super().__init__(torch.nn.Identity(), torch.nn.Identity())
        self._given = logits, by, anchors

    def _predict(self, images):
        return self._given


def test_the_loss_of_ssd_is_that_of_classes_and_of_offsets_over_the_matches():
    anchors = torch.tensor([[0.0, 0, 20, 20], [100, 50, 120, 70]])
    logits, by = torch.tensor([[[0.0, 2.0, 1.0], [1.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 3.0, 0.0, 0.0], [9.0] * 4]])
    model = Given(logits, by, anchors)
    given = targets([[0.0, 0, 20, 20]], [1], [0.5])
    wrong = -logits.log_softmax(-1)
    # The offset of 3 costs 2.5 (smooth L1), times the box's weight; the background box counts whole.
    expected = (0.5 * (wrong[0, 0, 2] + 2.5) + wrong[0, 1, 0]) / 1.0
    torch.testing.assert_close(model.loss(torch.zeros(1, 3, *SIZE), given), expected)


def test_of_the_background_the_three_worst_for_each_defect_count():
    wrong = torch.arange(40.0)[None]
    labels = torch.full((1, 40), BACKGROUND)
    labels[0, :4], labels[0, 39] = 1, IGNORED
    found = match(torch.zeros(1, 40, 4), targets([[0.0] * 4], [PADDING], [0.0]), RULE, SIZE)._replace(labels=labels)
    assert torch.nonzero(_hardest(wrong, found)[0])[:, 0].tolist() == list(range(27, 39))
