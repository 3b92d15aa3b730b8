"""Is a compressed file whole? Decoders fill what is missing with grey; these checks look before they do.

Each function returns None where the file is whole and the reason, in a few words, where it is not.
"""

import re
import zlib
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

_AFTER_ENTROPY = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_EOI, _SOS = 0xD9, 0xDA
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def damage(data: bytes) -> str | None:
    """Why ``data`` is not a whole PNG, JPEG or WebP file; None where it is, or for any other format."""
    if data.startswith(PNG_SIGNATURE):
        return png_damage(data)
    if data.startswith(JPEG_SIGNATURE):
        return jpeg_damage(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        declared = int.from_bytes(data[4:8], "little") + 8
        return None if len(data) >= declared else f"{len(data)} of {declared} declared bytes"
    return None


def png_damage(data: bytes) -> str | None:
    """Every chunk's CRC is checked, up to and including the closing IEND."""
    view, position = memoryview(data), len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(view[position : position + 4])
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            return f"wrong checksum of the chunk at byte {position}"
        if data[position + 4 : position + 8] == b"IEND":
            return None
        position = end
    return "the file ends before its closing IEND chunk"


def jpeg_damage(data: bytes) -> str | None:
    """The end marker must be there, and before it every scan that completes every coefficient."""
    missing: dict[int, set[int]] = {}
    for marker, segment in _jpeg_segments(data):
        if marker in _FRAME_HEADERS:
            missing = {segment[6 + 3 * i]: set(range(64)) for i in range(segment[5])}
        elif marker == _SOS:
            _strike_out(missing, segment)
        elif marker == _EOI:
            whole = bool(missing) and not any(missing.values())
            return None if whole else "the file ends before its last scan"
    return "the file ends before its end marker"


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, segment without its length) in order; entropy-coded data are stepped over."""
    position = 2
    while position + 1 < len(data):
        if data[position] != 0xFF:
            return
        marker = data[position + 1]
        position += 1 if marker == 0xFF else 2
        if marker == 0xFF or marker in _STANDALONE:
            continue
        if marker == _EOI:
            yield marker, b""
            return
        end = position + int.from_bytes(data[position : position + 2])
        yield marker, data[position + 2 : end]
        position = end
        if marker == _SOS:
            found = _AFTER_ENTROPY.search(data, end)
            position = found.start() if found else len(data)


def _strike_out(missing: dict[int, set[int]], scan: bytes) -> None:
    """Remove from ``missing`` the coefficients that this scan brings to full precision."""
    components, (first, last, precision) = scan[0], scan[-3:]
    if precision & 15:
        return
    for i in range(components):
        missing.get(scan[1 + 2 * i], set()).difference_update(range(first, last + 1))


def with_bytes_before_the_end(data: bytes) -> bytes:
    """The JPEG with more entropy-coded bytes before its end marker.

    A decoder that had reached the last block ignores them; one that had run out of data and was
    filling with grey decodes them. Two equal pictures therefore prove that nothing was missing.
    """
    end = data.rfind(b"\xff\xd9")
    while data[end - 1] == 0xFF:
        end -= 1
    more = bytes(range(1, 251))
    restarts = b"".join(bytes((0xFF, 0xD0 + i)) + more for i in range(8))
    return data[:end] + more + restarts + data[end:]


def png_data_damage(data: bytes) -> str | None:
    """The image data must inflate, with a right checksum, to every row of every pass."""
    body = b"".join(content for kind, content in _png_chunks(data) if kind == b"IDAT")
    expected = _png_bytes(next(content for kind, content in _png_chunks(data) if kind == b"IHDR"))
    inflate = zlib.decompressobj()
    found = len(inflate.decompress(body, expected))
    inflate.decompress(inflate.unconsumed_tail, 1)
    if found == expected and inflate.eof:
        return None
    return f"{found} of {expected} bytes of pixels"


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4])
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def _png_bytes(header: bytes) -> int:
    """Bytes of all rows with their filter bytes, over the passes of an interlaced picture."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * _PNG_CHANNELS[header[9]]
    total = 0
    for left, top, step_x, step_y in _ADAM7 if header[12] else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // step_x), -((top - height) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
