import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from millscale.core.errors import DataError, UsageError
from millscale.imaging.decode import MOST_PIXELS, decode_image, read_header, read_image, read_mask, read_size

GREY = np.random.default_rng(1).integers(0, 256, (40, 56), dtype=np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def encode(picture: np.ndarray | PIL.Image.Image, form: str, **options: object) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = PIL.Image.fromarray(picture)
    file = BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, body: bytes, *, depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(tags: dict[int, tuple[int, int]], pixels: bytes) -> bytes:
    """A little-endian TIFF of one strip; ``tags`` are {tag: (type, value)}, the strip offset is filled in."""
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = sorted({**tags, 273: (4, start)}.items())
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + bytes(4) + pixels


def tiff_tags(width: int, height: int, bits: int, count: int, photometric: int = 1) -> dict[int, tuple[int, int]]:
    return {
        256: (4, width),
        257: (4, height),
        258: (3, bits),
        259: (3, 1),
        262: (3, photometric),
        277: (3, 1),
        278: (4, height),
        279: (4, count),
    }


LOSSLESS = [
    ("BMP", {}),
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "packbits"}),
    ("WEBP", {"lossless": True}),
]


@pytest.mark.parametrize(("form", "options"), LOSSLESS)
def test_lossless_colour_comes_back_bit_for_bit(form: str, options: dict[str, object]) -> None:
    np.testing.assert_array_equal(decode_image(encode(COLOUR, form, **options)), COLOUR)


@pytest.mark.parametrize(("form", "options"), LOSSLESS[:-1])
def test_lossless_grey_comes_back_as_two_dimensions(form: str, options: dict[str, object]) -> None:
    np.testing.assert_array_equal(decode_image(encode(GREY, form, **options)), GREY)


@pytest.mark.parametrize("picture", [GREY, COLOUR])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_equals_pillow(picture: np.ndarray, *, progressive: bool) -> None:
    data = encode(picture, "JPEG", progressive=progressive)
    with PIL.Image.open(BytesIO(data)) as reference:
        np.testing.assert_array_equal(decode_image(data), np.asarray(reference))


def test_flat_mid_grey_jpeg_is_whole() -> None:
    flat = np.full((40, 56), 128, np.uint8)
    np.testing.assert_array_equal(decode_image(encode(flat, "JPEG")), flat)


TRUNCATED = [
    (GREY, "BMP", {}),
    (COLOUR, "BMP", {}),
    (GREY, "PNG", {}),
    (COLOUR, "JPEG", {}),
    (COLOUR, "JPEG", {"progressive": True}),
    (COLOUR, "JPEG", {"restart_marker_rows": 1}),
    (GREY, "TIFF", {}),
    (COLOUR, "WEBP", {}),
    (COLOUR, "WEBP", {"lossless": True}),
]


@pytest.mark.parametrize(("picture", "form", "options"), TRUNCATED)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.99])
def test_truncated_is_refused(picture: np.ndarray, form: str, options: dict[str, object], share: float) -> None:
    data = encode(picture, form, **options)
    with pytest.raises(DataError, match="strip_17"):
        decode_image(data[: int(len(data) * share)], "strip_17")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"quality": 30}])
@pytest.mark.parametrize("picture", [GREY, COLOUR])
@pytest.mark.parametrize("share", np.linspace(0.1, 0.8, 25))
def test_cut_off_jpeg_closed_with_an_end_marker_is_refused(
    picture: np.ndarray, options: dict[str, object], share: float
) -> None:
    data = encode(picture, "JPEG", **options)
    first_scan = data.index(b"\xff\xda") + 12
    kept = first_scan + int(share * (len(data) - first_scan))
    with pytest.raises(DataError, match="truncated"):
        decode_image(data[:kept] + b"\xff\xd9")


def test_jpeg_with_a_zeroed_tail_is_refused() -> None:
    data = encode(COLOUR, "JPEG")
    with pytest.raises(DataError, match="end marker"):
        decode_image(data[:-600] + bytes(600))


def test_bytes_after_the_end_marker_do_no_harm() -> None:
    data = encode(COLOUR, "JPEG")
    np.testing.assert_array_equal(decode_image(data + b"camera serial 1234"), decode_image(data))


def test_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(encode(GREY, "PNG"))
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match="checksum"):
        decode_image(bytes(data))


@pytest.mark.parametrize("colour", [0, 3])
def test_png_whose_rows_end_early_is_refused(colour: int) -> None:
    half = b"".join(b"\0" + row.tobytes() for row in GREY[:20])
    palette = chunk(b"PLTE", bytes(range(256)) * 3)
    data = png(56, 40, zlib.compress(half), colour=colour)
    data = data.replace(
        chunk(b"IDAT", zlib.compress(half)), palette * (colour == 3) + chunk(b"IDAT", zlib.compress(half))
    )
    with pytest.raises(DataError, match="1140 of 2280 bytes of pixels"):
        decode_image(data)


def test_png_that_ends_in_black_is_whole() -> None:
    black = np.zeros((40, 56), np.uint8)
    np.testing.assert_array_equal(decode_image(encode(black, "PNG")), black)


def test_tiff_whose_strips_leave_rows_out_is_refused() -> None:
    tags = tiff_tags(8, 8, 8, 32) | {278: (4, 4)}
    with pytest.raises(DataError, match="strips"):
        decode_image(tiff(tags, bytes(32)))


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "empty"), (b"not an image at all", "another file"), (b"GIF89a" + bytes(40), "another")],
)
def test_what_is_no_image_is_refused(content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=found):
        decode_image(content)


def test_format_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.BMP"
    path.write_bytes(encode(GREY, "PNG"))
    np.testing.assert_array_equal(read_image(path), GREY)


@pytest.mark.parametrize("side", [4000, 9000, 30000])
def test_cap_is_checked_before_decoding(side: int) -> None:
    # The body is no deflate stream: decoding one pixel of it would give another error.
    with pytest.raises(DataError, match="at most 1000000 pixels"):
        decode_image(png(side, side, b"no pixels here"), max_pixels=1_000_000)


def test_the_environment_raises_the_cap_and_says_what_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = encode(GREY, "PNG")
    for value, error, words in (
        ("10", DataError, "set MILLSCALE_MAX_PIXELS"),
        ("1e9", UsageError, "expected a number of pixels up to 178956970, found '1e9'"),
        ("178956971", UsageError, "cut larger images up"),
        ("0", UsageError, "found '0'"),
    ):
        monkeypatch.setenv("MILLSCALE_MAX_PIXELS", value)
        with pytest.raises(error, match=words):
            decode_image(data)
    monkeypatch.setenv("MILLSCALE_MAX_PIXELS", str(MOST_PIXELS))
    side = 10_000  # more than the default allows
    path = tmp_path / "large.png"
    PIL.Image.new("L", (side, side), 7).save(path, compress_level=1)
    assert read_image(path).shape == (side, side)
    monkeypatch.delenv("MILLSCALE_MAX_PIXELS")
    with pytest.raises(DataError, match="at most 67108864 pixels, found 10000 x 10000"):
        read_image(path)


def test_file_larger_than_any_picture_within_the_cap_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.bmp"
    with path.open("wb") as file:
        file.truncate(2**25)
    with pytest.raises(DataError, match="bytes"):
        read_image(path, max_pixels=1000)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP"])
def test_several_frames_are_refused(form: str) -> None:
    second = PIL.Image.fromarray(255 - COLOUR)
    data = encode(COLOUR, form, save_all=True, append_images=[second])
    with pytest.raises(DataError, match="2 frames or pages"):
        decode_image(data)


@pytest.mark.parametrize(
    ("mode", "form"), [("F", "TIFF"), ("I", "TIFF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF")]
)
def test_modes_without_declared_range_or_profile_are_refused(mode: str, form: str) -> None:
    with pytest.raises(DataError, match=f"found mode {mode}"):
        decode_image(encode(PIL.Image.new(mode, (8, 8)), form))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_bilevel_is_black_and_white(form: str) -> None:
    bits = GREY > 127
    np.testing.assert_array_equal(decode_image(encode(bits, form)), np.where(bits, 255, 0))


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_palette_of_greys_is_grey_and_of_colours_is_rgb(form: str) -> None:
    index = np.array([[0, 1], [2, 1]], np.uint8)
    for palette, expected in [
        ([9, 9, 9, 200, 200, 200, 30, 30, 30], [[9, 200], [30, 200]]),
        ([9, 9, 9, 200, 0, 0, 30, 30, 30], [[[9] * 3, [200, 0, 0]], [[30] * 3, [200, 0, 0]]]),
    ]:
        picture = PIL.Image.fromarray(index, "L").convert("P")
        picture.putdata(index.ravel().tolist())
        picture.putpalette(palette)
        np.testing.assert_array_equal(decode_image(encode(picture, form)), expected)


def test_palette_colours_that_no_pixel_uses_do_not_count() -> None:
    picture = PIL.Image.new("P", (4, 4), 0)
    picture.putpalette([7, 7, 7, 255, 0, 0])
    np.testing.assert_array_equal(decode_image(encode(picture, "BMP")), np.full((4, 4), 7))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_dropped_only_where_the_picture_is_opaque(form: str) -> None:
    picture = PIL.Image.fromarray(COLOUR)
    picture.putalpha(255)
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(decode_image(encode(picture, form, **options)), COLOUR)
    picture.putpixel((3, 3), (1, 2, 3, 254))
    with pytest.raises(DataError, match="alpha 254"):
        decode_image(encode(picture, form, **options))


def test_transparent_colour_counts_as_alpha() -> None:
    with pytest.raises(DataError, match="transparent"):
        decode_image(encode(GREY, "PNG", transparency=int(GREY[5, 5])))
    with_gap = np.where(GREY == 17, 18, GREY)
    np.testing.assert_array_equal(decode_image(encode(with_gap, "PNG", transparency=17)), with_gap)


def test_16_bit_grey_is_scaled_over_its_whole_range() -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    for form in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode_image(encode(values, form)), [[0, 0, 1, 1, 128, 255]])


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no file without an end here")
def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(DataError, match="expected at most 16777224 bytes, found more"):
        read_image("/dev/zero", max_pixels=1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("values", "expected"), [([0, 1, 100, 255], [0, 1, 100, 255]), ([0, 1, 1001, 65535], [0, 1, 4, 255])]
)
def test_small_numbers_of_a_16_bit_mask_stay_apart_from_0(
    values: list[int], expected: list[int], form: str, tmp_path: Path
) -> None:
    path = tmp_path / "mask"
    path.write_bytes(encode(np.array([values], np.uint16), form))
    np.testing.assert_array_equal(read_mask(path), [expected])


DEEP = np.array([[0, 2048, 4095, 4095]], "<u2")


def test_16_bit_tiff_is_scaled_by_the_depth_it_declares() -> None:
    declared = tiff(tiff_tags(4, 1, 16, 8) | {281: (3, 4095)}, DEEP.tobytes())
    np.testing.assert_array_equal(decode_image(declared), [[0, 128, 255, 255]])
    undeclared = tiff(tiff_tags(4, 1, 16, 8), DEEP.tobytes())
    np.testing.assert_array_equal(decode_image(undeclared), [[0, 8, 16, 16]])


def test_packed_12_bit_tiff() -> None:
    packed = bytes([0x00, 0x08, 0x00, 0xFF, 0xFF, 0xFF])
    np.testing.assert_array_equal(decode_image(tiff(tiff_tags(4, 1, 12, 6), packed)), [[0, 128, 255, 255]])


def test_values_above_the_declared_depth_are_refused() -> None:
    with pytest.raises(DataError, match="declared 1023, found 4095"):
        decode_image(tiff(tiff_tags(4, 1, 16, 8) | {281: (3, 1023)}, DEEP.tobytes()))


def test_16_bit_tiff_with_white_as_zero_is_inverted() -> None:
    data = tiff(tiff_tags(4, 1, 16, 8, photometric=0) | {281: (3, 4095)}, DEEP.tobytes())
    np.testing.assert_array_equal(decode_image(data), [[255, 127, 0, 0]])


def test_16_bit_rgb_keeps_the_high_byte() -> None:
    row = b"\0" + struct.pack(">3H", 0x12FF, 0x8000, 0xFFFF)
    data = png(1, 1, zlib.compress(row), depth=16, colour=2)
    np.testing.assert_array_equal(decode_image(data), [[[0x12, 0x80, 0xFF]]])


ORIENTED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_pixels_and_size(form: str, orientation: int, tmp_path: Path) -> None:
    blocks = np.kron(np.array([[[250, 0, 0], [0, 120, 0]]], np.uint8), np.ones((16, 16, 1), np.uint8))
    picture = PIL.Image.fromarray(blocks)
    exif = picture.getexif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    path = tmp_path / "turned"
    path.write_bytes(encode(picture, form, exif=exif, **options))
    expected = ORIENTED[orientation](blocks)
    np.testing.assert_allclose(read_image(path).astype(int), expected.astype(int), atol=3)
    assert read_size(path) == (expected.shape[1], expected.shape[0])


def test_run_length_encoded_bmp_is_refused() -> None:
    data = bytearray(encode(GREY, "BMP"))
    data[30] = 1
    with pytest.raises(DataError, match="run-length"):
        decode_image(bytes(data))


def test_header_says_what_decoding_will_change(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(tiff(tiff_tags(4, 1, 16, 8) | {281: (3, 4095)}, DEEP.tobytes()))
    header = read_header(path)
    assert (header.width, header.height, header.format) == (4, 1, "TIFF")
    assert (header.depth, header.note) == (12, "12 bit scaled to 8")
    path.write_bytes(encode(GREY, "PNG"))
    assert (read_header(path).depth, read_header(path).note) == (8, "")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for function in (read_image, read_size):
        with pytest.raises(DataError, match="No such file"):
            function(tmp_path / "absent.bmp")
        with pytest.raises(DataError, match="directory"):
            function(tmp_path)


def test_a_damaged_tag_beside_sound_pixels_gives_the_picture_and_no_warning() -> None:
    start = 8 + 2 + 12 * 10 + 4
    tags = tiff_tags(4, 1, 8, 4)
    entries = [(tag, kind, 1, value) for tag, (kind, value) in (tags | {273: (4, start)}).items()]
    entries.append((305, 2, 100, 9_999_999))
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    data = struct.pack("<2sHIH", b"II", 42, 8, 10) + directory + bytes(4) + bytes([1, 2, 3, 4])
    with pytest.warns(UserWarning, match="Truncated"), PIL.Image.open(BytesIO(data)):
        pass
    np.testing.assert_array_equal(decode_image(data), [[1, 2, 3, 4]])


def test_threads_decode_alike_and_leave_the_warning_filters_as_they_were() -> None:
    files = [encode(COLOUR, form) for form in ("TIFF", "PNG", "BMP")] * 40
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(decode_image, files))
    assert all(np.array_equal(picture, COLOUR) for picture in pictures)
    assert list(warnings.filters) == before
