"""Patches to learn from: a few of every good image, and of copies of it that defects were drawn on."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from millscale.core.types import Image
from millscale.features.graph import Builder
from millscale.learn.drawn_defects import draw_defect
from millscale.runtime.network import Network

Floats = NDArray[np.float64]
T = TypeVar("T")
Progress = Callable[[str, int, int], None]
_GOOD, _BESIDE, _DRAWN = 48_000, 32_000, 32_000
"""Patches wanted in all."""
_MOST = 160
"""Of one image."""
COPIES = 1200
"""Copies wanted in all, at least one of each of so many images and at most 4."""
NEIGHBOURHOOD = 7
"""Patches along the side of what is around one."""
_PASTED = 48
"""Images of each part that others are pasted with pieces of."""
_COVERED, _CLEAR = 0.12, 0.005
"""Of a patch, what a drawn defect must cover, and what the blurred neighbourhood of one beside it may be covered."""


@dataclass(frozen=True, eq=False)
class Patches:
    """``(n, d)`` float32 feature vectors.

    Attributes:
        good: of good images.
        places: ``(n, 2)`` of each good one its row and column, as shares of the image's height and width.
        drawn: under defects drawn on good images.
        beside: of the same images, clear of the defects.
        around: ``(n, finest(d))`` of each good one the mean of its finest features over the patches around it.
        wholes: ``(N, 2 d)`` of each good image the mean of all its patches, then their deviation.
    """

    good: NDArray[np.float32]
    places: NDArray[np.float32]
    drawn: NDArray[np.float32]
    beside: NDArray[np.float32]
    around: NDArray[np.float32]
    wholes: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """What `Patches` has, of one image."""

    good: NDArray[np.float16]
    places: NDArray[np.float16]
    drawn: NDArray[np.float16]
    beside: NDArray[np.float16]
    around: NDArray[np.float16]
    wholes: NDArray[np.float32]


def joined(samples: Sequence[Sample]) -> Patches:
    """The patches of these images."""
    return Patches(*(np.concatenate([getattr(s, k.name) for s in samples]).astype(np.float32) for k in fields(Patches)))


def sample(
    network: Network,
    load: Callable[[int], Image],
    parts: NDArray[np.int64],
    *,
    drawn: bool,
    seed: int,
    progress: Progress,
) -> list[Sample]:
    """Patches of each image.

    Args:
        network: a `patch_graph`.
        load: the i-th image, ``(h, w, 3)`` uint8, its sides multiples of 8.
        parts: ``(N,)`` which part an image belongs to; what is pasted into it comes from the same part.
        drawn: whether defects are drawn.
        seed: of everything random.
        progress: called with (what, done, total).
    """
    count = len(parts)
    copies = min(4, -(-COPIES // count)) if drawn else 0
    every = max(1, count // COPIES)
    rng = np.random.default_rng(seed)
    pasted = [rng.permutation(np.flatnonzero(parts == part))[:_PASTED] for part in range(parts.max() + 1)]
    pieces = [[load(int(row)) for row in rows] if drawn else [] for rows in pasted]

    def one(row: int) -> Sample:
        rng = np.random.default_rng([seed, row])
        image = load(row)
        good, sides = _vectors(network, image)
        taken = rng.permutation(len(good))[: _share(_GOOD, count)]
        centres = (np.stack(np.unravel_index(taken, sides), axis=1) + 0.5) / sides
        own, beside = [good[:0]], [good[:0]]
        for _ in range(copies if row % every == 0 else 0):
            own_part = pieces[parts[row]]
            altered, mask = draw_defect(image, own_part[rng.integers(len(own_part))], rng)
            vectors, places = _vectors(network, altered)
            covered = _coverage(mask, places)
            under = np.flatnonzero(covered.ravel() > _COVERED)
            clear = np.flatnonzero(gaussian_filter(covered, 2.0).ravel() < _CLEAR)
            own.append(vectors[rng.permutation(under)[: _share(_DRAWN, count * copies // every)]])
            beside.append(vectors[rng.permutation(clear)[: _share(_BESIDE, count * copies // every)]])
        whole = np.concatenate([moment(good.astype(np.float32), 0) for moment in (np.mean, np.std)])[None]
        around = _around(good, sides)[taken]
        return Sample(
            good[taken], centres.astype(np.float16), np.concatenate(own), np.concatenate(beside), around, whole
        )

    return in_parallel(one, count, "patches", progress)


def finest(features: int) -> int:
    """How many of the features, from the first, are of the finest map: with our backbones about a third."""
    return features // 3


def in_parallel(work: Callable[[int], T], count: int, what: str, progress: Progress) -> list[T]:
    """``work`` of 0 to ``count`` - 1, in order, one core each."""
    found: list[T] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done, one in enumerate(pool.map(work, range(count)), 1):
            found.append(one)
            if done % 16 == 0 or done == count:
                progress(what, done, count)
    return found


def pointwise(build: Builder, features: str, weight: Floats, bias: Floats) -> str:
    """``features (n, d, h, w)`` → ``(n, k, h, w)``: each vector times weight ``(d, k)`` plus bias ``(k,)``."""
    kernel = build.constant(np.ascontiguousarray(weight.T[:, :, None, None], np.float32))
    return build.op("Conv", features, kernel, build.constant(np.asarray(bias, np.float32)), kernel_shape=[1, 1])


def _around(vectors: NDArray[np.float16], sides: tuple[int, int]) -> NDArray[np.float16]:
    fine = vectors[:, : finest(vectors.shape[1])].astype(np.float32).reshape(*sides, -1)
    window = (NEIGHBOURHOOD, NEIGHBOURHOOD, 1)
    inside = uniform_filter(np.ones((*sides, 1), np.float32), window, mode="constant")
    mean = uniform_filter(fine, window, mode="constant") / inside
    return np.asarray(mean.reshape(len(vectors), -1), np.float16)


def _vectors(network: Network, image: Image) -> tuple[NDArray[np.float16], tuple[int, int]]:
    """``(h' w', d)`` the image's patches row by row, and ``(h', w')``."""
    features = network.run({"images": image[None]}, ["features"])[0][0]
    vectors = np.asarray(features.reshape(len(features), -1).T, np.float16)
    return vectors, (features.shape[1], features.shape[2])


def _coverage(mask: NDArray[np.bool_], places: tuple[int, int]) -> NDArray[np.float32]:
    """``places`` float32, of each patch the share that the mask covers."""
    image = PIL.Image.fromarray(mask.astype(np.float32))
    return np.asarray(image.resize(places[::-1], PIL.Image.Resampling.BOX))


def _share(wanted: int, images: int) -> int:
    return min(_MOST, max(1, -(-wanted // max(images, 1))))
