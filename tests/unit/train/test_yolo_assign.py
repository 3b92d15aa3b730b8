import torch

from millscale.train.detection import PADDING, Targets
from millscale.train.detectors._assign import assign
from millscale.train.detectors._iou import complete_iou, iou_pairs

POINTS = torch.tensor([[4.0, 4.0], [12.0, 4.0], [4.0, 12.0], [12.0, 12.0]])


def targets(boxes: list[list[float]], classes: list[int], weights: list[float]) -> Targets:
    return Targets(torch.tensor([boxes]), torch.tensor([classes]), torch.tensor([weights]))


def predicted(*boxes: list[float]) -> torch.Tensor:
    return torch.tensor([boxes])


def test_iou_of_known_boxes():
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    b = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    torch.testing.assert_close(iou_pairs(a, b), torch.tensor([1.0, 1 / 3, 0.0]), atol=1e-6, rtol=0)


def test_complete_iou_of_equal_shapes_is_iou_less_the_distance_of_the_centres():
    a, b = torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])
    torch.testing.assert_close(complete_iou(a, b), torch.tensor(1 / 3 - 1 / 13), atol=1e-5, rtol=0)


def test_complete_iou_of_another_shape_follows_the_paper():
    a, b = torch.tensor([0.0, 0, 4, 2]), torch.tensor([0.0, 0, 2, 2])
    v = 4 / torch.pi**2 * (torch.atan(torch.tensor(1.0)) - torch.atan(torch.tensor(2.0))) ** 2
    alpha = v / (1 - 0.5 + v)
    torch.testing.assert_close(complete_iou(a, b), 0.5 - 1 / 20 - alpha * v, atol=1e-5, rtol=0)


def test_points_inside_a_box_answer_for_it_and_the_best_gives_its_overlap():
    box = [0.0, 0, 16, 8]
    boxes = predicted([0.0, 0, 16, 8], [0.0, 0, 8, 8], [0.0, 0, 16, 8], [0.0, 0, 16, 8])
    found = assign(POINTS, boxes, torch.full((1, 4, 2), 0.5), targets([box], [1], [1.0]))
    assert found.positive.tolist() == [[True, True, False, False]]
    torch.testing.assert_close(found.quality[0, 0], torch.tensor(1.0))
    assert 0 < found.quality[0, 1] < 0.1  # its overlap is a half, to the sixth power


def test_a_point_in_two_boxes_answers_for_the_one_it_covers_better():
    small, large = [0.0, 0, 8, 8], [0.0, 0, 16, 16]
    boxes = predicted(small, large, large, large)
    found = assign(POINTS, boxes, torch.full((1, 4, 1), 0.5), targets([large, small], [0, 0], [1.0, 1.0]))
    assert found.box[0].tolist() == [1, 0, 0, 0]


def test_padding_is_no_box_and_an_ignored_region_neither_box_nor_background():
    whole = [0.0, 0, 16, 16]
    boxes, scores = predicted(*[whole] * 4), torch.full((1, 4, 1), 0.5)
    padding = assign(POINTS, boxes, scores, targets([whole], [PADDING], [0.0]))
    ignored = assign(POINTS, boxes, scores, targets([whole], [0], [0.0]))
    assert not padding.positive.any()
    assert not padding.ignored.any()
    assert not ignored.positive.any()
    assert ignored.ignored.all()


def test_a_box_takes_at_most_ten_points():
    points = torch.stack([torch.arange(40.0) + 0.5, torch.full((40,), 5.0)], 1)
    box = [0.0, 0, 40, 10]
    found = assign(points, predicted(*[box] * 40), torch.full((1, 40, 1), 0.5), targets([box], [0], [1.0]))
    assert int(found.positive.sum()) == 10


def test_alignment_is_of_the_score_for_the_box_s_own_class_and_of_the_overlap():
    box = [0.0, 0, 16, 8]
    scores = torch.tensor([[[0.9, 0.04], [0.04, 0.64], [0.0, 0.0], [0.0, 0.0]]])
    found = assign(POINTS, predicted(*[box] * 4), scores, targets([box], [1], [1.0]))
    torch.testing.assert_close(found.quality[0], torch.tensor([0.25, 1.0, 0.0, 0.0]))  # √(.04 / .64)


def test_no_point_is_to_score_more_than_the_best_overlap():
    half = predicted(*[[0.0, 0, 8, 8]] * 4)
    found = assign(POINTS, half, torch.full((1, 4, 1), 0.5), targets([[0.0, 0, 16, 8]], [0], [1.0]))
    torch.testing.assert_close(found.quality[0], torch.tensor([0.5, 0.5, 0.0, 0.0]))


def test_a_point_that_answers_for_a_box_within_a_region_to_ignore_is_not_ignored():
    box, region = [0.0, 0, 8, 8], [0.0, 0, 16, 16]
    found = assign(
        POINTS, predicted(*[box] * 4), torch.full((1, 4, 1), 0.5), targets([box, region], [0, 0], [1.0, 0.0])
    )
    assert found.positive[0].tolist() == [True, False, False, False]
    assert found.ignored[0].tolist() == [False, True, True, True]
