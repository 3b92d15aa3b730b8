"""The one preprocessing: training and inspection call it, the bundle's card stores it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import ModelError, UsageError
from millscale.core.types import Image

Policy = Literal["native", "resize", "fit", "area", "letterbox"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LETTERBOX_GREY = 114
_MOST_NATIVE = 2**20
"""Pixels of the largest image whose size "native" keeps. Memory and time grow with them, and a model that keeps sizes
learned from images of a few hundred pixels a side."""
_STEP, _LEAST = 8, 32
"""Of sides under the policy "area", in pixels: what they are multiples of, and the shortest."""


@dataclass(frozen=True)
class Geometry:
    """Where the original image lies in the tensor: ``tensor = original * scale + offset``, in pixels.

    Attributes:
        scale_x: tensor pixels per original pixel, > 0.
        scale_y: tensor pixels per original pixel, > 0.
        offset_x: tensor column of the original's left edge.
        offset_y: tensor row of the original's top edge.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    offset_x: float = 0.0
    offset_y: float = 0.0

    def to_tensor(self, xyxy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map ``(N, 4)`` half-open boxes from original to tensor pixels."""
        return (np.asarray(xyxy, np.float64) * self._scale() + self._offset()).astype(np.float32)

    def to_original(self, xyxy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map ``(N, 4)`` half-open boxes from tensor to original pixels; not clipped to the image."""
        return ((np.asarray(xyxy, np.float64) - self._offset()) / self._scale()).astype(np.float32)

    def _scale(self) -> NDArray[np.float64]:
        return np.array([self.scale_x, self.scale_y] * 2)

    def _offset(self) -> NDArray[np.float64]:
        return np.array([self.offset_x, self.offset_y] * 2)


@dataclass(frozen=True)
class Preprocess:
    """From a decoded image to the pixels that the network takes.

    Attributes:
        policy: "native" keeps the size, but brings images of more than 2**20 pixels to so many; "resize" makes it
            ``size``, each axis by itself; "fit" keeps the proportions and stays within ``size``; "area" keeps them, but
            for rounding, and gives the image as many pixels as ``size`` has; "letterbox" fits, centres the image in
            ``size`` and fills the rest with grey 114.
        size: (height, width) in pixels, both at least 1; None with "native".
        mean: of each RGB channel in [0, 1]; the network's graph normalises with it, ``apply`` does not.
        std: deviation of each channel in [0, 1], > 0; as ``mean``.
    """

    policy: Policy = "native"
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policy):
            raise UsageError(f"Preprocess: expected a policy of {get_args(Policy)}, found {self.policy!r}.")
        if (self.size is None) != (self.policy == "native"):
            wanted = "no size" if self.policy == "native" else "a size (height, width)"
            raise UsageError(f"Preprocess: expected {wanted} with policy {self.policy!r}, found {self.size}.")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise UsageError(f"Preprocess: expected a size (height, width) of at least 1, found {self.size}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            found = f"{self.mean}, {self.std}"
            raise UsageError(f"Preprocess: expected three means and three deviations > 0, found {found}.")

    def apply(self, image: Image) -> tuple[Image, Geometry]:
        """Bring an image to its working size.

        Args:
            image: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8; grey becomes three equal channels.

        Returns:
            ``(h, w, 3)`` RGB uint8, contiguous, and where the image lies in it. Resizing is bilinear and
            antialiased; an image that has its size already is passed on bit for bit.
        """
        _require_pixels(image)
        if self.size is None and image.shape[0] * image.shape[1] <= _MOST_NATIVE:
            return as_rgb(image), Geometry()
        plane = as_plane(image)
        if self.policy == "letterbox" and self.size is not None:
            scaled, geometry = _letterbox(plane, self.size)
        else:
            scaled, geometry = _resize(plane, self._wanted(plane))
        return as_rgb(scaled), geometry

    def _wanted(self, image: Image) -> tuple[int, int]:
        """The (height, width) that an image is brought to where nothing is filled up."""
        if self.size is None:
            scale = (_MOST_NATIVE / (image.shape[0] * image.shape[1])) ** 0.5
            return max(1, int(image.shape[0] * scale)), max(1, int(image.shape[1] * scale))
        inner = {"fit": _inner_size, "area": _equal_area}.get(self.policy)
        return inner(image, self.size) if inner else self.size

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Preprocess":
        """Read back what ``to_json`` wrote.

        Raises:
            ModelError: a field is missing, unknown or of the wrong kind.
        """
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            if set(fields) != {"policy", "size", "mean", "std"}:
                raise ValueError(f"fields {sorted(fields)}")
            return cls(fields["policy"], fields["size"], fields["mean"], fields["std"])
        except (TypeError, ValueError, UsageError) as error:
            raise ModelError(
                f"Preprocessing: expected policy, size, mean and std, found: {error}. Export it again."
            ) from error


def as_rgb(image: Image) -> Image:
    """Return ``(H, W, 3)`` RGB, contiguous, from RGB or grey uint8.

    Raises:
        UsageError: another shape or dtype.
    """
    _require_pixels(image)
    return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2))


def _require_pixels(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        raise UsageError(
            f"Preprocess: expected (H, W, 3) RGB or (H, W) grey, uint8, not empty, found {image.shape} {image.dtype}. "
            "Decode files with read_image."
        )


def as_plane(image: Image) -> Image:
    """Return ``(H, W)`` where all channels are equal, as in most photographs of metal, else the image, contiguous.

    Raises:
        UsageError: as ``as_rgb``.
    """
    _require_pixels(image)
    if image.ndim == 3 and _is_grey(image[:: max(1, len(image) // 16)]) and _is_grey(image):
        return np.ascontiguousarray(image[..., 0])
    return np.ascontiguousarray(image)


def _is_grey(rgb: Image) -> bool:
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())


def _resize(image: Image, size: tuple[int, int]) -> tuple[Image, Geometry]:
    height, width = image.shape[:2]
    return _scaled(image, size), Geometry(scale_x=size[1] / width, scale_y=size[0] / height)


def _letterbox(image: Image, size: tuple[int, int]) -> tuple[Image, Geometry]:
    height, width = image.shape[:2]
    inner = _inner_size(image, size)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.full((*size, *image.shape[2:]), LETTERBOX_GREY, np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = _scaled(image, inner)
    return canvas, Geometry(inner[1] / width, inner[0] / height, left, top)


def _inner_size(image: Image, size: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) of the image's proportions within ``size``."""
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _equal_area(image: Image, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of about the image's proportions and the area of ``size``; a very long image is shortened."""
    area = size[0] * size[1]
    scale = (area / (image.shape[0] * image.shape[1])) ** 0.5
    longest = max(_LEAST, area // _LEAST // _STEP * _STEP)
    height, width = (min(max(_LEAST, round(side * scale / _STEP) * _STEP), longest) for side in image.shape[:2])
    return height, width


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    if image.shape[:2] == size:
        return image
    scaled = PIL.Image.fromarray(image).resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)
    return np.array(scaled)
