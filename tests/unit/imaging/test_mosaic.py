import tracemalloc

import numpy as np

from millscale.imaging.mosaic import BACKGROUND, Tile, draw_mosaic


def tile(x: int, y: int, value: int, side: int = 8) -> Tile:
    return Tile(x, y, side, side, lambda: np.full((side, side), value, np.uint8))


def test_crops_stand_at_their_places() -> None:
    picture = np.asarray(draw_mosaic([tile(100, 50, 200, 40), tile(180, 90, 90, 40)], (240, 160)))
    assert picture.shape == (128, 192, 3)  # 120 x 80, drawn 1.6 times as large
    assert (picture[32, 32] == 200).all()
    assert (picture[96, 160] == 90).all()
    assert (picture[96, 32] == BACKGROUND).all()


def test_a_long_chain_of_frames_takes_little_memory() -> None:
    tracemalloc.start()
    picture = draw_mosaic([tile(0, 0, 200), tile(250_000, 4088, 90)], (440, 440))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert picture.size == (440, 7)
