"""One Pascal VOC annotation file: boxes 1-based and inclusive there, half-open and 0-based here.

M. Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 88 (2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from millscale.data.formats._drawn import AnnotationError, DrawnBox, finite

_EXPECTED = "Pascal VOC XML"


@dataclass(frozen=True)
class VocFile:
    """What one file says.

    Attributes:
        boxes: its objects, in order.
        size: (width, height) that it declares, or None.
        filename: the image that it names, possibly empty.
        filename_place: ``file:line`` of that name.
    """

    boxes: tuple[DrawnBox, ...]
    size: tuple[int, int] | None
    filename: str
    filename_place: str


def read_voc(path: Path) -> VocFile:
    """Parse one annotation file.

    Raises:
        AnnotationError: not well-formed, with entities, or an object lacks its name or a finite number of its box.
    """
    builder = _LineBuilder()
    parser = DefusedXMLParser(target=builder)
    builder.expat = parser.parser
    try:
        parser.feed(path.read_bytes())
        root = parser.close()
    except ET.ParseError as error:
        raise AnnotationError(f"{path}:{error.position[0]}", _EXPECTED, error) from error
    except DefusedXmlException as error:
        place = f"{path}:{builder.expat.CurrentLineNumber}"
        raise AnnotationError(place, _EXPECTED, "entities, which a small file can blow up with") from error
    except (OSError, LookupError, ValueError) as error:
        raise AnnotationError(str(path), _EXPECTED, error) from error
    return _parsed(root, path, builder.lines)


def write_voc(path: Path, image: str, size: tuple[int, int], boxes: Sequence[DrawnBox]) -> None:
    """Write one annotation file, which `read_voc` reads back without loss; corners are whole numbers where they can be.

    Args:
        image: the image's file name.
        size: its (width, height).
        boxes: ``place`` is not written.
    """
    root = ET.Element("annotation")
    ET.SubElement(root, "filename").text = image
    frame = ET.SubElement(root, "size")
    for key, value in zip(("width", "height"), size, strict=True):
        ET.SubElement(frame, key).text = str(value)
    for box in boxes:
        _append(root, box)
    ET.indent(root, "\t")
    path.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")


class _LineBuilder(ET.TreeBuilder):
    """Builds the tree and remembers the line on which each element begins."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[ET.Element, int] = {}
        self.expat: Any = None

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        element = super().start(tag, attrs)
        self.lines[element] = self.expat.CurrentLineNumber
        return element


def _parsed(root: ET.Element, path: Path, lines: dict[ET.Element, int]) -> VocFile:
    boxes = tuple(_box(item, f"{path}:{lines[item]}") for item in root.iter("object"))
    name = root.find("filename")
    place = str(path) if name is None else f"{path}:{lines[name]}"
    return VocFile(boxes, _size(root), (root.findtext("filename") or "").strip(), place)


def _size(root: ET.Element) -> tuple[int, int] | None:
    """The declared size; None where it is missing, no number, or 0, as some tools write when they do not know it."""
    try:
        width, height = (int(root.findtext(f"size/{key}") or 0) for key in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _box(item: ET.Element, place: str) -> DrawnBox:
    texts = [item.findtext(f"bndbox/{key}") or "" for key in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = finite(texts, place, "an object with the numbers xmin, ymin, xmax and ymax in bndbox")
    name = (item.findtext("name") or "").strip()
    if not name:
        raise AnnotationError(place, "an object with a name", "none")
    difficult = (item.findtext("difficult") or "0").strip() == "1"
    return DrawnBox(name, (left - 1, top - 1, right, bottom), difficult, place)


def _append(root: ET.Element, box: DrawnBox) -> None:
    item = ET.SubElement(root, "object")
    ET.SubElement(item, "name").text = box.name
    ET.SubElement(item, "difficult").text = str(int(box.difficult))
    frame = ET.SubElement(item, "bndbox")
    left, top, right, bottom = box.xyxy
    for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (left + 1, top + 1, right, bottom), strict=True):
        ET.SubElement(frame, key).text = str(int(value)) if value.is_integer() else repr(value)
