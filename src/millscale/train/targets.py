"""What the teachers say of a fixed set of views, computed once and kept on disk in half precision."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime as ort
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.features.backbone import Backbone
from millscale.imaging.preprocess import IMAGENET_MEAN, IMAGENET_STD
from millscale.train.views import Grey, ViewConfig, draw_view

Scalar = TypeVar("Scalar", bound=np.generic)

_CHUNK = 50
"""Views drawn, shown to the teachers and written together."""
_FINGERPRINTED = 32


@dataclass(frozen=True)
class TargetConfig:
    """Which targets are kept.

    Attributes:
        views: how many.
        seed: of the views.
        map_side: side of the kept maps of the first teacher, one number a map; finer maps are averaged down.
        view: how views are drawn.
    """

    views: int = 24000
    seed: int = 0
    map_side: tuple[int, ...] = (16, 16, 8)
    view: ViewConfig = field(default_factory=ViewConfig)


@dataclass(frozen=True, eq=False)
class Targets:
    """Views and their targets, on disk.

    Attributes:
        views: ``(N, size, size)`` uint8 grey.
        maps: the first teacher's feature maps, each ``(N, side, side, C)`` float16.
        pooled: ``(N, P)`` float16, mean and deviation over space of every map of every teacher.
    """

    views: NDArray[np.uint8]
    maps: tuple[NDArray[np.float16], ...]
    pooled: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.views)


def normalised(views: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey views ``(N, H, W)`` as the ``(N, 3, H, W)`` float32 input of a backbone."""
    mean, std = (np.array(v, dtype=np.float32)[None, :, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    images: NDArray[np.float32] = ((views[:, None].astype(np.float32) / 255 - mean) / std).astype(np.float32)
    return images


def pooled(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean and deviation over space of each ``(N, C, H, W)`` map, side by side."""
    return np.concatenate([stat for m in maps for stat in (m.mean((2, 3)), m.std((2, 3)))], axis=1)


def fingerprint(photographs: Sequence[Grey], config: TargetConfig) -> str:
    """sha256 of the first views, which another generator, other photographs or another seed would change."""
    views = (draw_view(photographs, config.view, config.seed, index) for index in range(_FINGERPRINTED))
    return hashlib.sha256(b"".join(view.tobytes() for view in views)).hexdigest()


def averaged(features: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """``(N, C, H, W)`` averaged over blocks to ``(N, side, side, C)``; H and W are multiples of ``side``."""
    n, c, h, w = features.shape
    blocks = features.reshape(n, c, side, h // side, side, w // side)
    averages: NDArray[np.float32] = blocks.mean((3, 5), dtype=np.float32)
    return averages.transpose(0, 2, 3, 1)


def make_targets(
    folder: Path, teachers: Sequence[Backbone], photographs: Sequence[Grey], config: TargetConfig
) -> Targets:
    """Compute the targets into ``folder``, or go on where an interrupted call stopped.

    Args:
        folder: made where missing; belongs to one configuration.
        teachers: the first gives maps, all give pooled statistics.
        photographs: unlabelled grey images.
        config: how many views, and of what sort.

    Raises:
        DataError: the folder holds targets of another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sessions = [_session(teacher) for teacher in teachers]
    _claim(folder, _identity(teachers, photographs, config))
    targets = _opened(folder, sessions, config)
    for start in range(_done(folder), config.views, _CHUNK):
        stop = min(start + _CHUNK, config.views)
        drawn = [draw_view(photographs, config.view, config.seed, index) for index in range(start, stop)]
        _fill(targets, slice(start, stop), np.stack(drawn), sessions, config)
        (folder / "done").write_text(str(stop))
    return targets


def _session(teacher: Backbone) -> ort.InferenceSession:
    """One thread, so that equal views give equal bits."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(teacher.data, options, providers=["CPUExecutionProvider"])


def _identity(teachers: Sequence[Backbone], photographs: Sequence[Grey], config: TargetConfig) -> str:
    """What the targets depend on, as JSON."""
    asked = asdict(config) | {
        "teachers": [teacher.digest for teacher in teachers],
        "first_views": fingerprint(photographs, config),
    }
    return json.dumps(asked, sort_keys=True, indent=1)


def _claim(folder: Path, identity: str) -> None:
    """Mark the folder as that of one configuration."""
    path = folder / "targets.json"
    if path.exists() and path.read_text() != identity:
        raise DataError(
            f"{folder}: expected targets of this configuration, found those of another. "
            "Name another folder, or delete this one."
        )
    path.write_text(identity)


def _done(folder: Path) -> int:
    """How many views are complete."""
    path = folder / "done"
    return int(path.read_text()) if path.exists() else 0


def _opened(folder: Path, sessions: Sequence[ort.InferenceSession], config: TargetConfig) -> Targets:
    """The arrays on disk, made where missing."""
    size = config.view.size
    probe = normalised(np.zeros((1, size, size), dtype=np.uint8))
    outputs = [session.run(None, {"image": probe}) for session in sessions]
    width = sum(2 * m.shape[1] for maps in outputs for m in maps)
    n = config.views
    maps = tuple(
        _array(folder / f"map{k}.npy", (n, side, side, m.shape[1]), np.float16)
        for k, (m, side) in enumerate(zip(outputs[0], config.map_side, strict=True))
    )
    views = _array(folder / "views.npy", (n, size, size), np.uint8)
    return Targets(views, maps, _array(folder / "pooled.npy", (n, width), np.float16))


def _array(path: Path, shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
    """An array that lives in a file."""
    if path.exists():
        return open_memmap(path, mode="r+")
    return open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _fill(
    targets: Targets,
    rows: slice,
    views: NDArray[np.uint8],
    sessions: Sequence[ort.InferenceSession],
    config: TargetConfig,
) -> None:
    """Write some views and what the teachers say of them."""
    images = normalised(views)
    outputs = [session.run(None, {"image": images}) for session in sessions]
    targets.views[rows] = views
    for kept, found, side in zip(targets.maps, outputs[0], config.map_side, strict=True):
        kept[rows] = averaged(found, side)
    targets.pooled[rows] = np.concatenate([pooled(maps) for maps in outputs], axis=1)
