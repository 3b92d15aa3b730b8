import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from millscale.report.thumbnails import data_address, read_thumbnails, shrink


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((100, 400), (50, 200)), ((400, 100, 3), (200, 50, 3)), ((30, 40), (30, 40)), ((4, 4000), (1, 200))],
)
def test_longer_side_is_brought_to_the_limit_and_never_enlarged(shape, expected):
    assert shrink(np.zeros(shape, np.uint8), 200).shape == expected


def test_missing_and_damaged_files_are_none(tmp_path):
    damaged, whole = tmp_path / "damaged.png", tmp_path / "whole.png"
    damaged.write_bytes(b"no image")
    Image.new("L", (5, 4), 77).save(whole)
    thumbnails = read_thumbnails([damaged, whole, tmp_path / "missing.png", whole])
    assert thumbnails[damaged] is None
    assert thumbnails[tmp_path / "missing.png"] is None
    assert np.array_equal(thumbnails[whole], np.full((4, 5), 77))


def test_data_address_holds_the_picture():
    address = data_address(np.full((8, 6, 3), 90, np.uint8))
    kind, _, payload = address.partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(BytesIO(base64.b64decode(payload))) as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((6, 8), (90, 90, 90))
