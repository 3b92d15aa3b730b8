"""Whatever the bytes, the decoder returns a picture or raises its own error, without a warning."""

from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.core.errors import DataError
from millscale.imaging.decode import decode_image

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def encoded(form: str, **options: object) -> bytes:
    file = BytesIO()
    PIL.Image.fromarray(PICTURE).save(file, form, **options)
    return file.getvalue()


FILES = {
    "bmp": encoded("BMP"),
    "png": encoded("PNG"),
    "jpeg": encoded("JPEG"),
    "progressive": encoded("JPEG", progressive=True),
    "tiff": encoded("TIFF"),
    "lzw": encoded("TIFF", compression="tiff_lzw"),
    "webp": encoded("WEBP"),
}


def decoded(data: bytes) -> np.ndarray | None:
    try:
        return decode_image(data, max_pixels=100_000)
    except DataError:
        return None


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_shortened_file_gives_another_picture(name: str, data: st.DataObject) -> None:
    whole = FILES[name]
    length = data.draw(st.integers(0, len(whole) - 1))
    picture = decoded(whole[:length])
    assert picture is None or np.array_equal(picture, decoded(whole))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_changed_bytes_give_a_picture_or_the_error(name: str, data: st.DataObject) -> None:
    changed = bytearray(FILES[name])
    places = st.one_of(st.integers(0, min(200, len(changed) - 1)), st.integers(0, len(changed) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        changed[place] = value
    picture = decoded(bytes(changed))
    if picture is not None:
        assert picture.dtype == np.uint8
        assert picture.ndim == 2 or picture.shape[2] == 3
        assert picture.shape[0] * picture.shape[1] <= 100_000


@pytest.mark.parametrize("name", ["png"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_changed_bit_of_a_png_passes(name: str, data: st.DataObject) -> None:
    changed = bytearray(FILES[name])
    changed[data.draw(st.integers(8, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decoded(bytes(changed)) is None


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"RIFF"]),
    st.binary(max_size=200),
)
def test_noise_behind_a_signature_is_no_picture_or_a_small_one(signature: bytes, noise: bytes) -> None:
    picture = decoded(signature + noise)
    assert picture is None or picture.size <= 300_000
