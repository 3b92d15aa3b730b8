"""Features of many images: each computed once, in parallel, kept on disk, read back in chunks."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError
from millscale.core.paths import cache_dir
from millscale.core.types import Problem
from millscale.core.version import __version__
from millscale.data.manifest import ImageRecord, Manifest
from millscale.features.backbone import Backbone
from millscale.features.cache import FeatureCache
from millscale.features.graph import VIEWS, feature_graph
from millscale.imaging.decode import read_image
from millscale.imaging.preprocess import Preprocess
from millscale.runtime.backends.onnxruntime import Network

Progress = Callable[[str, int, int], None]
_CHUNK = 32
"""Images per transaction: what an interruption can cost."""


@dataclass(frozen=True)
class Features:
    """The features of a manifest's images, on disk.

    Attributes:
        manifest: the images that could be decoded, in order; those that could not are its problems.
        dimensions: of one view's feature vector.
    """

    manifest: Manifest
    dimensions: int
    _cache: FeatureCache

    def chunks(self, size: int = 256) -> Iterator[NDArray[np.float32]]:
        """``(<= size, 8, d)`` float32 at a time, in the manifest's order."""
        return self._cache.read([r.content_hash for r in self.manifest.records], chunk=size)

    def rows(self, positions: Sequence[int], *, views: int) -> NDArray[np.float32]:
        """``(len(positions), d)`` features as a classifier that averages this many views sees them."""
        hashes = [self.manifest.records[position].content_hash for position in positions]
        return np.concatenate([averaged(chunk, views)[:, 0] for chunk in self._cache.read(hashes)])


def averaged(features: NDArray[np.float32], views: int) -> NDArray[np.float32]:
    """``(n, 8, d)`` features of every view → ``(n, 8 / views, d)`` means of ``views`` views each.

    The first is what a classifier sees of the image; the others are what it would see of the image turned.
    """
    n, _, d = features.shape
    return np.asarray(features.reshape(n, VIEWS // views, views, d).mean(axis=2), np.float32)


def extract(
    manifest: Manifest,
    backbones: Sequence[Backbone],
    preprocess: Preprocess,
    *,
    progress: Progress | None = None,
) -> Features:
    """Compute what is not yet on disk and return the whole.

    Every image runs alone and on one core, so its features never depend on the company it is computed in,
    nor on the number of cores. An interrupted call loses at most the images in flight.

    Args:
        manifest: the images.
        backbones: whose pooled maps are joined.
        preprocess: brings images to the working size.
        progress: called with (what, done, total).

    Raises:
        DataError: no image could be decoded.
    """
    graph = feature_graph(backbones)
    key = _extractor_key(graph, preprocess)
    network = Network(graph, "feature network", threads=1)
    dimensions = network.run({"images": np.zeros((1, 64, 64, 3), np.uint8)})[0].shape[2]
    cache = FeatureCache(cache_dir("features") / f"{key}.sqlite", (VIEWS, dimensions))
    records = manifest.records
    missing = [records[i] for i in cache.missing([record.content_hash for record in records])]
    unreadable: dict[str, str] = {}

    def compute(record: ImageRecord) -> tuple[str, NDArray[np.float32]] | None:
        try:
            tensor, _ = preprocess.apply(read_image(record.path))
        except DataError as error:
            unreadable[record.content_hash] = str(error)
            return None
        return record.content_hash, network.run({"images": tensor[None]})[0][0]

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for start in range(0, len(missing), _CHUNK):
            rows = pool.map(compute, missing[start : start + _CHUNK])
            cache.store([row for row in rows if row is not None])
            if progress:
                progress("features", min(start + _CHUNK, len(missing)), len(missing))
    return Features(_without_unreadable(manifest, unreadable), dimensions, cache)


def _extractor_key(graph: bytes, preprocess: Preprocess) -> str:
    """Names all that decides a feature's bits: the network, the sizing, the decoder, the arithmetic."""
    made_by = [__version__, version("onnxruntime"), version("Pillow")]
    return hashlib.sha256(graph + repr((preprocess.to_json(), made_by)).encode()).hexdigest()[:16]


def _without_unreadable(manifest: Manifest, unreadable: dict[str, str]) -> Manifest:
    """The manifest less the images that would not decode, each of them a problem."""
    if not unreadable:
        return manifest
    bad = [record for record in manifest.records if record.content_hash in unreadable]
    if len(bad) == len(manifest):
        raise DataError(
            f"{manifest.source}: expected images, found {len(bad)} files that cannot be decoded. "
            f"The first: {unreadable[bad[0].content_hash]}"
        )
    known = {(problem.code, problem.path) for problem in manifest.problems}
    problems = tuple(
        Problem("unreadable", r.id, unreadable[r.content_hash], "Replace or remove the file.", blocking=True)
        for r in bad
        if ("unreadable", r.id) not in known
    )
    kept = manifest.select(record.id for record in manifest.records if record.content_hash not in unreadable)
    return replace(kept, problems=manifest.problems + problems)
