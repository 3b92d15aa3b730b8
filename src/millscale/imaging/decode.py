"""The one strict decoder: a picture is returned whole and right, or a ``DataError`` says why not.

| case                          | rule                                                                       |
|-------------------------------|----------------------------------------------------------------------------|
| formats                       | BMP, PNG, JPEG, TIFF, WebP by content, whatever the name; others refused   |
| empty, not an image           | refused                                                                    |
| truncated or damaged          | refused; PNG checksums, JPEG scans and end marker are checked              |
| more than ``max_pixels``      | refused from the header, before any pixel is decoded; the environment      |
|                               | variable MILLSCALE_MAX_PIXELS raises it, to ``MOST_PIXELS`` at most        |
| animated, several pages       | refused                                                                    |
| grey, bilevel                 | (H, W); bilevel as 0 and 255                                               |
| colour                        | (H, W, 3) RGB; equal channels stay three                                   |
| palette                       | (H, W) where all its colours in use are grey, else (H, W, 3)               |
| 16 bit (12 to 16 in TIFF)     | scaled to 8 bit by the declared depth: round(255 v / (2^depth - 1)); in    |
|                               | TIFF MaxSampleValue may declare fewer bits; a value above it is refused;   |
|                               | RGB of 16 bits keeps the high byte; ``read_header(path).note`` says so     |
| 16 bit, of a mask             | kept where none is above 255; else as above, but what is not 0 stays so    |
| 32 bit, floating point        | refused: its range is not declared, scale it where it is known             |
| CMYK, Lab                     | refused: the colours depend on a profile                                   |
| alpha, transparent colour     | dropped where the whole picture is opaque, else refused                    |
| EXIF and TIFF orientation     | applied: sizes, boxes and masks refer to the upright picture               |
| run-length encoded BMP        | refused: its missing rows cannot be told from black ones                   |

JPEG carries no checksum: damage inside a scan that keeps its syntax legal cannot be seen by any decoder.
"""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError
from millscale.core.types import Image
from millscale.imaging import completeness

MAX_PIXELS, MOST_PIXELS = 2**26, 178_956_970
"""Default cap, 16 384 lines of a 4096-pixel line camera; and the highest, from which Pillow sees an attack."""

SUFFIXES = frozenset({".bmp", ".dib", ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp"})
"""Lower-case file name endings that are taken for images when a folder is read."""

_FORMATS = ("BMP", "PNG", "JPEG", "TIFF", "WEBP")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE, _ORIENTATION = 258, 262, 281, 274
_GREY16 = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_COLOUR = frozenset({"RGB", "YCbCr", "RGBX"})
_ALPHA = frozenset({"LA", "RGBA", "PA"})
_RUN_LENGTH = (1, 2)
_CUT_UP = f"Cut it up, or set MILLSCALE_MAX_PIXELS (to {MOST_PIXELS} at most) if it comes from your own camera."

# warnings.catch_warnings changes the whole process: two threads in it would restore the filters out of order.
_WARNINGS = threading.Lock()


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image file say.

    Attributes:
        width: pixels, of the upright picture.
        height: pixels, of the upright picture.
        format: "BMP", "PNG", "JPEG", "TIFF" or "WEBP".
        depth: declared bits of a sample as stored.
        note: what decoding will change in the values ("16 bit scaled to 8"), empty where nothing.
    """

    width: int
    height: int
    format: str
    depth: int
    note: str = ""


def read_image(path: Path | str, *, max_pixels: int | None = None) -> Image:
    """Decode the file ``path`` by the rules above.

    Returns:
        ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8; may be read-only.

    Raises:
        DataError: the file is missing, unreadable or refused by a rule.
        UsageError: MILLSCALE_MAX_PIXELS is no number of pixels that can be allowed.
    """
    cap = _cap(max_pixels)
    return decode_image(_file_bytes(Path(path), cap), str(path), max_pixels=cap)


def read_mask(path: Path | str) -> Image:
    """Decode a file whose pixels say where something is, and may be numbers of what it is.

    Returns:
        As `read_image`.

    Raises:
        DataError: as `read_image`.
        UsageError: as `read_image`.
    """
    cap = _cap(None)
    return decode_image(_file_bytes(Path(path), cap), str(path), max_pixels=cap, numbers=True)


def decode_image(data: bytes, name: str = "image", *, max_pixels: int | None = None, numbers: bool = False) -> Image:
    """Decode the bytes of an image file by the rules above; ``name`` stands in the messages.

    Args:
        data: the file's.
        name: of the file.
        max_pixels: the cap; None as the environment says.
        numbers: of 16 bits a pixel, whether small ones must stay apart from 0, as of a mask.

    Returns:
        ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8; may be read-only.

    Raises:
        DataError: refused by a rule.
    """
    cap = _cap(max_pixels)
    with _failures_as_data_errors(name):
        picture, orientation = _open(BytesIO(data), name, cap)
        reason = completeness.damage(data)
        if reason:
            raise _truncated(name, reason)
        _require_tiles(picture, name)
        with _silenced(picture):
            pixels = _pixels(picture, name, numbers=numbers)
        _require_unfilled(data, picture, pixels, name)
        return _upright(pixels, orientation)


def read_header(path: Path | str, *, max_pixels: int | None = None) -> ImageHeader:
    """What the file's header declares; no pixel is decoded.

    Raises:
        DataError: missing, not an image, or refused for what its header says.
    """
    path, cap = Path(path), _cap(max_pixels)
    try:
        with path.open("rb") as file, _failures_as_data_errors(str(path)):
            picture, orientation = _open(file, str(path), cap)
            width, height = picture.size if orientation < 5 else picture.size[::-1]
            depth = _depth(picture)
            return ImageHeader(width, height, str(picture.format), depth, _note(picture, depth))
    except OSError as error:
        raise _unreadable(path, error) from error


def read_size(path: Path | str) -> tuple[int, int]:
    """(width, height) of the upright picture, from the header alone.

    Raises:
        DataError: as ``read_header``.
    """
    header = read_header(path)
    return header.width, header.height


def _cap(max_pixels: int | None) -> int:
    """The cap that is given, or that of the environment, or the default."""
    chosen = os.environ.get("MILLSCALE_MAX_PIXELS")
    if max_pixels is not None or not chosen:
        return MAX_PIXELS if max_pixels is None else max_pixels
    if not (chosen.isascii() and chosen.isdigit() and 0 < int(chosen) <= MOST_PIXELS):
        raise UsageError(
            f"MILLSCALE_MAX_PIXELS: expected a number of pixels up to {MOST_PIXELS}, found '{chosen}'. "
            "Correct it, or cut larger images up."
        )
    return int(chosen)


def _file_bytes(path: Path, max_pixels: int) -> bytes:
    # 8 bytes a pixel is the largest uncompressed picture that could pass the cap.
    most = 8 * max_pixels + 2**24
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)  # a pipe has no size to ask for
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > most:
        raise DataError(f"{path}: expected at most {most} bytes, found more. {_CUT_UP}")
    return data


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(f"{path}: expected a readable image, found: {reason}. Check the path and its permissions.")


def _truncated(name: str, reason: str) -> DataError:
    return DataError(f"{name}: expected a whole image, found a truncated or damaged one ({reason}). Copy it again.")


@contextmanager
def _failures_as_data_errors(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # damaged files make Pillow raise a dozen unrelated types
        raise _truncated(name, f"{type(error).__name__}: {error}") from error


def _open(file: IO[bytes], name: str, max_pixels: int) -> tuple[PIL.Image.Image, int]:
    """The picture with its header read and accepted, its pixels not yet decoded, and its orientation."""
    if not file.read(1):
        raise DataError(f"{name}: expected an image, found an empty file. Copy it again.")
    file.seek(0)
    with _WARNINGS, warnings.catch_warnings(action="ignore"):
        picture = _identified(file, name, max_pixels)
        _require_supported(picture, name)
        return picture, _orientation(picture)


@contextmanager
def _silenced(picture: PIL.Image.Image) -> Iterator[None]:
    """Silence what Pillow says of TIFF tags as it reads the pixels; other formats speak on opening only."""
    if picture.format != "TIFF":
        yield
        return
    with _WARNINGS, warnings.catch_warnings(action="ignore"):
        yield


def _identified(file: IO[bytes], name: str, max_pixels: int) -> PIL.Image.Image:
    try:
        picture = PIL.Image.open(file, formats=_FORMATS)
    except PIL.UnidentifiedImageError:
        raise DataError(
            f"{name}: expected a BMP, PNG, JPEG, TIFF or WebP image, found another file or a cut-off header. "
            "Copy it again, convert it to one of these, or remove it."
        ) from None
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(name, str(error), max_pixels) from error
    if picture.width * picture.height > max_pixels:
        raise _too_large(name, f"{picture.width} x {picture.height}", max_pixels)
    return picture


def _too_large(name: str, found: str, max_pixels: int) -> DataError:
    return DataError(f"{name}: expected at most {max_pixels} pixels, found {found}. {_CUT_UP}")


def _require_supported(picture: PIL.Image.Image, name: str) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{name}: expected one picture, found {frames} frames or pages. Save the one wanted.")
    if picture.format == "BMP" and picture.info.get("compression") in _RUN_LENGTH:
        raise DataError(f"{name}: expected an uncompressed BMP, found run-length encoding. Save it as PNG.")
    if picture.mode not in _GREY16 | _COLOUR | _ALPHA | {"1", "L", "P"}:
        raise DataError(
            f"{name}: expected 8- or 16-bit grey or RGB, found mode {picture.mode} "
            "(floating point, 32 bit, CMYK or Lab). Convert it where its range and profile are known."
        )


def _pixels(picture: PIL.Image.Image, name: str, *, numbers: bool = False) -> Image:
    """The stored picture, before orientation, as uint8 grey or RGB."""
    mode = picture.mode
    if mode == "L" and "transparency" not in picture.info:
        return _array(picture)
    if mode in _GREY16:
        return _grey16(picture, name, numbers=numbers)
    if mode in _ALPHA or "transparency" in picture.info:
        picture = _opaque(picture, name)
        mode = picture.mode
    if mode == "P":
        return _palette(picture)
    if mode in _COLOUR:
        _require_full_range(picture, name)
    return _array(picture if mode in ("L", "RGB") else picture.convert("L" if mode == "1" else "RGB"))


def _array(picture: PIL.Image.Image) -> Image:
    pixels: Image = np.asarray(picture)
    return pixels


def _opaque(picture: PIL.Image.Image, name: str) -> PIL.Image.Image:
    """The picture without its alpha, which must be 255 everywhere."""
    grey = picture.mode in ("L", "LA")
    with_alpha = picture if picture.mode in ("LA", "RGBA") else picture.convert("LA" if grey else "RGBA")
    lowest = int(np.asarray(with_alpha.getchannel("A")).min())
    if lowest < 255:
        raise DataError(
            f"{name}: expected an opaque picture, found transparent pixels (alpha {lowest}). "
            "Metal has none: flatten the image on the background it was drawn for."
        )
    return with_alpha.convert("L" if grey else "RGB")


def _palette(picture: PIL.Image.Image) -> Image:
    index = _array(picture)
    table: Image = np.zeros((256, 3), np.uint8)
    colours = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table[: len(colours)] = colours
    used = table[: int(index.max()) + 1][np.bincount(index.ravel()) > 0]
    grey = bool((used == used[:, :1]).all())
    pixels: Image = table[index, 0] if grey else table[index]
    return pixels


def _depth(picture: PIL.Image.Image) -> int:
    """Declared bits of one sample: TIFF's MaxSampleValue where it names fewer than are stored."""
    wide = picture.mode in _GREY16 or ";16" in str(getattr(picture, "tile", ""))
    stored = 16 if wide else 8
    tags = getattr(picture, "tag_v2", None)
    if tags is None or stored == 8:
        return stored
    bits = int(np.max(tags.get(_BITS_PER_SAMPLE, stored)))
    highest = int(np.max(tags.get(_MAX_SAMPLE_VALUE, 2**bits - 1)))
    return min(bits, max(highest.bit_length(), 1))


def _note(picture: PIL.Image.Image, depth: int) -> str:
    if depth == 8:
        return ""
    return f"{depth} bit scaled to 8" if picture.mode in _GREY16 else f"{depth} bit, high byte kept"


def _grey16(picture: PIL.Image.Image, name: str, *, numbers: bool) -> Image:
    top = 2 ** _depth(picture) - 1
    values: NDArray[np.uint32] = np.asarray(picture).astype(np.uint32)
    found = int(values.max())
    if found > top:
        raise DataError(f"{name}: expected values up to the declared {top}, found {found}. Correct the header.")
    scaled: Image = ((values * 255 + top // 2) // top).astype(np.uint8)
    if numbers:
        scaled = values.astype(np.uint8) if found <= 255 else np.maximum(scaled, values > 0)
    white_is_zero = getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    return ~scaled if white_is_zero else scaled


def _require_full_range(picture: PIL.Image.Image, name: str) -> None:
    depth = _depth(picture)
    if depth not in (8, 16):
        raise DataError(f"{name}: expected 8- or 16-bit RGB, found {depth} bits. Scale it to 16 bits.")


def _require_tiles(picture: PIL.Image.Image, name: str) -> None:
    """Refuse a file whose strips or tiles leave a part of the picture out."""
    if picture.format == "WEBP":
        return  # decoded as a whole
    places = {(left, top, right, bottom) for _, (left, top, right, bottom), *_ in getattr(picture, "tile", ())}
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in places)
    if area < picture.width * picture.height:
        raise _truncated(name, "its strips do not cover the picture")


def _require_unfilled(data: bytes, picture: PIL.Image.Image, pixels: Image, name: str) -> None:
    """Where the picture could end in what decoders fill missing data with, prove that it does not."""
    reason = None
    if picture.format == "JPEG" and ("progressive" in picture.info or _ends_in_grey(pixels)):
        more = PIL.Image.open(BytesIO(completeness.with_bytes_before_the_end(data)), formats=("JPEG",))
        same = np.array_equal(_pixels(more, name), pixels)
        reason = None if same else "its data end before its last block"
    elif picture.format == "PNG" and (picture.info.get("interlace") or picture.mode == "P" or not pixels[-1].any()):
        reason = completeness.png_data_damage(data)
    if reason:
        raise _truncated(name, reason)


def _ends_in_grey(pixels: Image) -> bool:
    """Is the last block of this decoded JPEG the uniform mid-grey that decoders fill missing data with?"""
    height, width = pixels.shape[:2]
    block = pixels[(height - 1) // 8 * 8 :, (width - 1) // 8 * 8 :].astype(np.float32)
    luma = block @ np.array([0.299, 0.587, 0.114], np.float32) if block.ndim == 3 else block
    return bool(np.abs(luma - 128).max() <= 2)


def _orientation(picture: PIL.Image.Image) -> int:
    """EXIF orientation 1 to 8; anything else counts as 1."""
    if picture.format == "TIFF":
        return 1  # Pillow turns these by itself
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # asking further would decode the pixels
    value = picture.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Image, orientation: int) -> Image:
    if orientation == 1:
        return pixels
    turned = np.swapaxes(pixels, 0, 1) if orientation >= 5 else pixels
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)
