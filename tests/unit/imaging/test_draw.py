import numpy as np

from millscale.core.types import Boxes
from millscale.imaging.draw import SIDE, draw_boxes
from millscale.imaging.mosaic import PALETTE

BOX = Boxes([[10, 20, 30, 50]], [1], [0.75])


def test_a_small_image_is_enlarged_by_a_whole_factor_and_its_box_with_it():
    drawn = draw_boxes(np.zeros((60, 100), np.uint8), BOX, ("a", "b"))
    factor = -(-SIDE // 100)
    assert drawn.size == (100 * factor, 60 * factor)
    pixels = np.asarray(drawn)
    coloured = np.argwhere((pixels == PALETTE[1]).all(2))
    assert coloured[:, 0].max() == 50 * factor - 1
    assert coloured[:, 1].min() == 10 * factor


def test_a_class_name_of_several_lines_is_written_on_one():
    image = np.zeros((60, 100), np.uint8)
    one, several = (draw_boxes(image, BOX, ("a", name)) for name in ("two words", "two\nwords"))
    assert one.tobytes() == several.tobytes()
