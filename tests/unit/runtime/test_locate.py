"""The grid detector: 4×4 cells, each scored by its mean red, green and blue."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from millscale.core.errors import ModelError
from millscale.core.types import Boxes
from millscale.imaging.decode import decode_image
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.bundle import open_bundle
from millscale.runtime.card import Detection, Part
from millscale.runtime.locate import TOP_SCORES, Locator, _views_fused, golden_scores, locator_of
from millscale.runtime.network import open_network


@pytest.fixture
def locator(grid, bundles):
    """``locator(bundle, graph, classes, tile, **detection)``: of a bundle's detector, or of another graph."""

    def make(bundle="detector", graph=None, classes=3, tile=None, **detection):
        part = Part.model_validate(grid.card()["parts"][0])
        assert part.detection is not None
        part = part.model_copy(update={"detection": part.detection.model_copy(update=detection), "tile": tile})
        data = graph or open_bundle(getattr(bundles, bundle)).members[part.file]
        return locator_of(part, open_network(data, part.file), range(classes))

    return make


def told(boxes):
    return [
        (int(label), round(float(score), 4), xyxy)
        for label, score, xyxy in zip(boxes.class_id, boxes.score, boxes.xyxy.tolist(), strict=True)
    ]


def test_boxes_are_those_worked_out_by_hand(grid, locator):
    image = decode_image(grid.picture({(3, 1): (0, 102, 51), (0, 2): (255, 0, 0)}))
    expected = [(0, 1.0, [0, 20, 10, 30]), (1, 0.4, [30, 10, 40, 20]), (2, 0.2, [30, 10, 40, 20])]
    assert told(locator().locate(image)) == expected


@pytest.mark.parametrize(("size", "box"), [((20, 80), [60, 5, 80, 10]), ((120, 40), [30, 30, 40, 60])])
def test_boxes_lie_on_the_image_and_not_on_what_the_network_saw(locator, size, box):
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 4 : height // 2, 3 * width // 4 :, 0] = 255
    label, score, xyxy = told(locator().locate(image))[0]
    assert (label, xyxy) == (0, box)
    assert score > 0.8  # scaling softens the edges


def test_grey_counts_as_all_three_colours(locator):
    image = np.zeros((40, 40), np.uint8)
    image[:10, :10] = 102
    assert told(locator().locate(image)) == [(label, 0.4, [0, 0, 10, 10]) for label in range(3)]


@pytest.mark.parametrize("views", [1, 2, 4, 8])
def test_a_model_without_sides_finds_the_same_in_every_view(grid, locator, views):
    image = decode_image(grid.picture({(3, 1): (0, 102, 0), (0, 2): (255, 0, 0), (1, 2): (204, 0, 0)}))
    expected = [(0, 1.0, [0, 20, 10, 30]), (0, 0.8, [10, 20, 20, 30]), (1, 0.4, [30, 10, 40, 20])]
    assert told(locator(views=views).locate(image)) == expected


@pytest.mark.parametrize(
    ("views", "found"),
    [
        (1, [(0, 1.0, [0, 0, 10, 10])]),
        (2, [(0, 0.5, [0, 0, 10, 10]), (0, 0.5, [0, 30, 10, 40])]),
        (4, [(0, 0.25, [x, y, x + 10, y + 10]) for x, y in ((0, 0), (0, 30), (30, 30), (30, 0))]),
        (8, [(0, 0.25, [x, y, x + 10, y + 10]) for x, y in ((0, 0), (0, 30), (30, 30), (30, 0))]),
    ],
)
def test_what_only_some_views_show_counts_by_their_share(grid, locator, views, found):
    """The one-eyed model sees the top left corner: upside down the bottom left, and so on."""
    image = decode_image(grid.picture({(x, y): (255, 0, 0) for x in (0, 3) for y in (0, 3)}))
    assert sorted(told(locator("one_eyed", views=views).locate(image))) == sorted(found)


@pytest.mark.parametrize("views", [1, 8])
@pytest.mark.parametrize("size", [(40, 130), (100, 100), (30, 70)])
def test_in_windows_cells_are_found_at_their_place_and_size(locator, size, views):
    """Windows of 40 pixels begin every 30 here, at multiples of 10, so that cells are whole wherever they are seen."""
    image = np.zeros((*size, 3), np.uint8)
    image[10:20, 30:40, 0], image[20:30, 60:70, 1] = 255, 204
    expected = [(0, 1.0, [30, 10, 40, 20]), (1, 0.8, [60, 20, 70, 30])]
    assert told(locator(tile=40, views=views).locate(image)) == expected


class Blind:
    """A network that counts how often it looks, and finds nothing."""

    name, inputs, outputs = "blind", ["images"], ["boxes", "scores"]

    def __init__(self):
        self.looks = 0

    def run(self, feeds, _outputs):
        self.looks += 1
        return [np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 1), np.float32)]


@pytest.mark.parametrize(("size", "looks"), [((64, 64), 8), ((32, 64), 4)])
def test_where_images_are_resized_to_no_square_they_are_not_transposed(size, looks):
    network = Blind()
    locator = Locator(network, Preprocess("resize", size), Detection(views=8), [0])
    assert len(locator.locate(np.zeros((20, 40), np.uint8))) == 0
    assert network.looks == locator.views == looks


def test_a_single_pixel_is_looked_at_too(locator):
    image = np.full((1, 1, 3), 255, np.uint8)
    assert (locator(tile=64).locate(image).xyxy == [0, 0, 1, 1]).all()


def test_without_windows_a_large_image_shows_less(locator):
    image = np.zeros((40, 400, 3), np.uint8)
    image[10:20, 30:40, 0] = 255
    assert told(locator(tile=40).locate(image)) == [(0, 1.0, [30, 10, 40, 20])]
    assert told(locator().locate(image))[0][1] < 0.2


@pytest.mark.parametrize(("agree", "count"), [(None, 1), (0.59, 1), (0.61, 2)])
def test_what_views_found_is_one_box_where_it_overlaps_by_more_than_the_card_says(agree, count):
    one, other = Boxes([[0, 0, 10, 10]], [0], [0.8]), Boxes([[0, 0, 10, 6]], [0], [0.4])  # IoU .6
    assert len(_views_fused([one, other], Detection(agree=agree, views=2))) == count


@pytest.mark.parametrize(("bundle", "least"), [("detector", 0.8), ("one_eyed", 0.2)])
def test_views_go_back_to_an_image_that_is_no_square(locator, bundle, least):
    image = np.zeros((20, 80, 3), np.uint8)
    image[15:, 60:, 0] = 255
    label, score, xyxy = told(locator(bundle, views=8).locate(image))[0]
    assert (label, xyxy) == (0, [60, 15, 80, 20])
    assert score > least  # scaling softens the edges; the one-eyed model sees it in two views of eight


@pytest.mark.parametrize("views", [1, 4])
def test_no_more_and_no_weaker_boxes_come_than_the_card_allows(grid, locator, views):
    cells = {(x, y): (51 * (x + 1), 0, 0) for x in range(4) for y in range(4)}
    image = decode_image(grid.picture(cells))
    assert [score for _, score, _ in told(locator(views=views, most=4).locate(image))] == [0.8] * 4
    assert len(locator(views=views, least_score=0.5).locate(image)) == 8


@pytest.mark.parametrize("views", [2, 4])
def test_that_holds_for_all_views_together(grid, locator, views):
    image = decode_image(grid.picture({(x, y): (255, 0, 0) for x in (0, 3) for y in (0, 3)}))
    assert len(locator("one_eyed", views=views, most=1).locate(image)) == 1
    assert len(locator("one_eyed", views=views, least_score=0.6).locate(image)) == 0


def test_a_card_remembers_the_highest_raw_scores(grid, locator):
    cells = {(x, y): (10 * (4 * y + x), 0, 0) for x in range(4) for y in range(4)}
    found = locator().top_scores(decode_image(grid.picture(cells)))
    np.testing.assert_allclose(found, np.arange(150, 50, -10) / 255, atol=1e-6)
    assert len(found) == TOP_SCORES


def test_golden_scores_are_those_of_the_card(grid):
    part = Part.model_validate(grid.card()["parts"][0])
    picture = decode_image(grid.members["golden.png"])
    expected = grid.card()["golden"]["scores"][part.file]
    assert golden_scores(grid.graph, part, picture, 3) == pytest.approx(expected)


def spoiled(graph, **tensors):
    """The graph with other weights."""
    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name in tensors:
            tensor.CopyFrom(numpy_helper.from_array(tensors[tensor.name], tensor.name))
    return model.SerializeToString()


@pytest.mark.parametrize("unit", [np.nan, np.inf, 1.0, -1.0])
def test_scores_that_are_none_are_refused(grid, locator, unit):
    """Not a number, not finite, above 1, below 0: a box of such a score would else be lost, and its defect pass."""
    image = decode_image(grid.picture({(0, 0): (255, 0, 0)}))
    with pytest.raises(ModelError, match=r"expected finite boxes and scores in \[0, 1\]"):
        locator(graph=spoiled(grid.graph, unit=np.float32(unit))).locate(image)


def test_boxes_that_are_none_are_refused(grid, locator):
    corners = np.full((16, 4), np.nan, np.float32)
    with pytest.raises(ModelError, match="expected finite boxes"):
        locator(graph=spoiled(grid.graph, corners=corners)).locate(np.zeros((40, 40), np.uint8))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_network_of_other_classes_is_refused(locator, classes):
    message = rf"detector\.onnx: expected boxes \(1, A, 4\) and scores \(1, A, {classes}\), found .*\(1, 16, 3\)"
    with pytest.raises(ModelError, match=message):
        locator(classes=classes).locate(np.zeros((40, 40), np.uint8))


def test_a_network_that_does_not_locate_is_refused(bundles, locator):
    with pytest.raises(ModelError, match=r"outputs boxes and scores, found \['images'\] and \['probs'\]"):
        locator(graph=bundles.graphs["classifier.onnx"])


def test_a_part_of_another_input_size_is_refused(grid):
    part = Part.model_validate(grid.card()["parts"][0])
    part = part.model_copy(update={"preprocess": {**part.preprocess, "size": [30, 40]}})
    with pytest.raises(ModelError, match=r"ONNX Runtime fails on inputs of \{'images': \(1, 30, 40, 3\)\}"):
        golden_scores(grid.graph, part, np.zeros((9, 9), np.uint8), 3)


@pytest.mark.parametrize("views", [1, 8])
def test_the_annotators_shift_is_taken_off_once_whatever_the_views(grid, locator, views):
    image = decode_image(grid.picture({(1, 2): (204, 0, 0)}))
    assert told(locator(views=views, shift=(2.0, -1.0)).locate(image)) == [(0, 0.8, [8, 21, 18, 31])]
