"""Pascal VOC annotation files: boxes 1-based and inclusive there, half-open and 0-based here.

M. Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 88 (2010).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from millscale.core.errors import DataError


@dataclass(frozen=True)
class VocBox:
    """One annotated object.

    Attributes:
        name: class as the file spells it.
        xyxy: left, top, right, bottom, half-open pixels of the image, as annotated (not clipped).
        difficult: the annotator's mark.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    difficult: bool


def read_voc(path: Path) -> list[VocBox]:
    """The objects of one annotation file, in its order.

    Raises:
        DataError: not well-formed, or an object lacks its name or a number of its box.
    """
    try:
        root = fromstring(path.read_bytes())
        return [_box(item) for item in root.iter("object")]
    except (ParseError, DefusedXmlException, OSError, ValueError) as error:
        raise DataError(f"{path}: expected Pascal VOC XML, found: {error}. Correct or remove it.") from error


def _box(item: Element) -> VocBox:
    left, top, right, bottom = (_number(item, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
    name = (item.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object without a name")
    difficult = (item.findtext("difficult") or "0").strip() == "1"
    return VocBox(name, (left - 1, top - 1, right, bottom), difficult)


def _number(item: Element, key: str) -> float:
    value = float(item.findtext(key) or "nan")
    if not math.isfinite(value):
        raise ValueError(f"an object without a number in {key}")
    return value
