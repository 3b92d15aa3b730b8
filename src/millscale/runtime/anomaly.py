"""The anomaly scorer of a bundle on one image: how little it looks like the good images it was fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from millscale.core.errors import ModelError
from millscale.core.types import Boxes, Image
from millscale.data.masks import parts_of_mask
from millscale.imaging.preprocess import Geometry, Preprocess
from millscale.imaging.tiling import STEP, Tiling
from millscale.metrics.false_alarms import FalseAlarmThreshold, threshold_for
from millscale.runtime.arrays import read_array
from millscale.runtime.network import Network

SHARE = 0.01
"""Of an image's patches, the worst that its score is the mean of."""
_HIGHEST = float(np.nextafter(1.0, 0.0))
LEAST_AREA = 16
_MOST_PIXELS = 2**24
"""Of the map that boxes are cut out of; that of a larger picture is made coarser."""
NORMAL = "normal.npy"
"""Held-out good images: ``(N, 2)`` float64, raw score and number of its group."""


@dataclass(frozen=True, eq=False)
class Anomaly:
    """What the scorer says of one image.

    Attributes:
        raw: score, 0 or more, higher is worse, without a bound; of a picture in windows, the highest of theirs.
        patches: ``(h', w')`` raw map, one value for each patch.
        geometry: where the original image lies in the scorer's input.
        size: (height, width) of the original.
        working: (height, width) of the scorer's input.
    """

    raw: float
    patches: NDArray[np.float32]
    geometry: Geometry
    size: tuple[int, int]
    working: tuple[int, int]

    def map(self) -> NDArray[np.float32]:
        """``(H, W)`` raw map at the original's resolution, bilinear between patches."""
        return _resized(self.patches, self.size)

    def regions(self, threshold: float, class_id: int) -> Boxes:
        """Boxes around the connected parts of the map from the threshold up; the score is the highest inside.

        Parts of fewer than ``LEAST_AREA`` pixels of the scorer's input, a quarter of a patch, are left out.
        """
        coarser = max(1.0, (self.working[0] * self.working[1] / _MOST_PIXELS) ** 0.5)
        height, width = (max(1, round(side / coarser)) for side in self.working)
        levels = _resized(self.patches, (height, width))
        scale = np.array([self.working[1] / width, self.working[0] / height] * 2)
        xyxy, pixels = parts_of_mask(levels >= threshold, max(1, round(LEAST_AREA / coarser**2)))
        inside = [levels[top:bottom, left:right] for left, top, right, bottom in xyxy.astype(int)]
        score = np.array([squashed(float(part.max()), threshold) for part in inside], np.float32)
        found = self.geometry.to_original(xyxy * scale)
        area = pixels * scale[0] * scale[1] / (self.geometry.scale_x * self.geometry.scale_y)
        return Boxes(found, np.full(len(found), class_id, np.int64), score, area=np.maximum(np.rint(area), 1))


class Scorer:
    """An anomaly scorer ready to run; safe to share between threads.

    Args:
        network: ``images (n, h, w, 3)`` uint8 → ``map (n, h', w')``.
        preprocess: brings an image to the network's input.
        tile: pixels of the original along the side of the windows that a picture is cut into, each of which becomes an
            input of the preprocessing's size; None takes pictures whole.

    Raises:
        ModelError: the network has other inputs or outputs.
    """

    def __init__(self, network: Network, preprocess: Preprocess, tile: int | None = None) -> None:
        if "map" not in network.outputs or network.inputs != ["images"]:
            raise ModelError(
                f"{network.name}: expected input images and output map, found {network.inputs} and "
                f"{network.outputs}. Train the bundle anew."
            )
        self._network, self._preprocess, self._tiling = network, preprocess, tiling_of(preprocess, tile)

    def score(self, image: Image) -> Anomaly:
        """Score an image ``(H, W, 3)`` or ``(H, W)``.

        Raises:
            ModelError: the network gives no finite map of 0 or more.
        """
        if self._tiling is not None:
            windows = self._tiling.windows(image.shape[:2])
            maps = [self._map(self._tiling.cut(image, window)) for window in windows]
            return gathered(maps, self._tiling, image.shape[:2])
        tensor, geometry = self._preprocess.apply(image)
        patches = self._map(tensor)
        return Anomaly(raw_score(patches), patches, geometry, image.shape[:2], tensor.shape[:2])

    def _map(self, tensor: Image) -> NDArray[np.float32]:
        patches = self._network.run({"images": tensor[None]}, ["map"])[0]
        # A comparison with NaN is false, so that a NaN would make the verdict "pass".
        if patches.ndim != 3 or len(patches) != 1 or not patches.size or not _sound(patches):
            raise ModelError(
                f"{self._network.name}: expected a finite map of 0 or more, found one of shape {patches.shape}. "
                "Train the bundle anew."
            )
        return np.asarray(patches[0], np.float32)


def tiling_of(preprocess: Preprocess, tile: int | None) -> Tiling | None:
    """How pictures are cut into windows that the preprocessing would leave as they are; None without ``tile``."""
    return None if tile is None else Tiling(tile, max(STEP, (preprocess.size or (tile, tile))[0] // STEP * STEP))


def gathered(maps: Sequence[NDArray[np.float32]], tiling: Tiling, size: tuple[int, int]) -> Anomaly:
    """What the maps of a picture's windows say of a picture of (height, width) ``size``."""
    height, width = working = tiling.size(size)
    geometry = Geometry(width / size[1], height / size[0])
    return Anomaly(max(raw_score(each) for each in maps), tiling.blended(maps, size), geometry, size, working)


def raw_score(patches: NDArray[np.float32]) -> float:
    """Mean of the worst ``SHARE`` of the patches, at least of one."""
    count = max(1, int(np.ceil(SHARE * patches.size)))
    return float(np.sort(patches, axis=None)[-count:].mean(dtype=np.float64))


def squashed(raw: float, threshold: float) -> float:
    """A raw score in [0, 1): the threshold stands at one half."""
    return min(raw / (raw + threshold), _HIGHEST)


def read_normal(members: Mapping[str, bytes]) -> NDArray[np.float64]:
    """``(N, 2)`` the bundle's held-out good images.

    Raises:
        ModelError: absent, of another shape, or not finite.
    """
    scores = read_array(members, NORMAL)
    if scores.dtype != np.float64 or scores.ndim != 2 or scores.shape[1] != 2 or not _sound(scores):
        raise ModelError(
            f"Bundle: expected {NORMAL} with finite float64 (N, 2) of 0 or more, found {scores.dtype} {scores.shape}. "
            "Copy the bundle again, or train it anew."
        )
    return scores


def rethreshold(normal: NDArray[np.float64], rate: float) -> FalseAlarmThreshold:
    """The threshold of another false-alarm rate, from the bundle's held-out good images.

    Raises:
        UsageError: a rate that is no share.
        DataError: too few of them.
    """
    return threshold_for(normal[:, 0], normal[:, 1], rate)


def _sound(values: NDArray[np.floating]) -> bool:
    """Finite, and 0 or more."""
    return bool(((values >= 0) & (values < np.inf)).all())


def _resized(patches: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    image = PIL.Image.fromarray(np.ascontiguousarray(patches, np.float32))
    return np.asarray(image.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR))
