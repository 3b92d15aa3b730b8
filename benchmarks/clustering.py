"""Groups without labels against the classes: each method, with and without the number given, and adapted features."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import millscale as ms
from benchmarks.table import Table, data_folder
from millscale.core import plugins
from millscale.data.manifest import Manifest
from millscale.features.backbone import open_backbones
from millscale.features.extract import extract
from millscale.features.working_size import fitting
from millscale.learn.clusters import DEFAULT_METHOD, METHODS, cluster
from millscale.learn.embedding import embed
from millscale.metrics.clusters import cluster_scores
from millscale.pipeline.audited import audited
from millscale.pipeline.cluster import surfaces_of
from millscale.pipeline.summary import silent

RUNS = (
    ("neu-cls", "millscale_s"),
    ("neu-cls", "resnet18"),
    ("x-sdd", "millscale_s"),
    ("x-sdd", "resnet18"),
    ("magnetic-tile", "millscale_s"),
)
SEEDS = (0, 1, 2)
COLUMNS = ("data", "backbone", "adapted", "method", "accuracy", "NMI", "ARI", "stability", "number unaided", "CPU s")
NOTES = (
    "Accuracy, NMI, ARI, stability: number of clusters given (the classes'), mean ± sd over three seeds.",
    "HDBSCAN has no seed and finds the number itself; its unsorted images count as wrong.",
    "Stability: adjusted Rand index with clusterings of random halves of the groups.",
    "Number unaided: found with each of the seeds; the same for spectral as for spherical_kmeans.",
    "CPU s: embedding, clusters, stability and, but for spectral, the number; one core, features cached; median.",
    "Magnetic tile: its 392 defective images; the defects are small on tiles that differ more than they do.",
    "millscale_s saw the X-SDD images (never their labels) when it was distilled, and no NEU image.",
    "Dimensions, neighbours and the rule for the number were chosen on NEU, X-SDD and subsets of their classes.",
)


def main() -> None:
    table = Table("clustering", "Images grouped without labels", COLUMNS, notes=NOTES)
    for data, backbone in RUNS:
        images = _images(data)
        prepared = _prepared(images, backbone)
        for adapt in (False, True):
            for method in sorted(plugins.names(METHODS), reverse=True):
                seeds = SEEDS if plugins.load(METHODS, method).COUNTED else SEEDS[:1]
                runs = [_run(images, prepared, method, adapt=adapt, seed=seed) for seed in seeds]
                table.add(data, backbone, "yes" if adapt else "no", method, *_told(runs))
    table.save()


def _images(data: str) -> Manifest:
    images = ms.read(data_folder(data))
    return images.select(record.id for record in images.records if record.label != "MT_Free")


def _prepared(images: Manifest, backbone: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Mean features of the views, groups and surfaces."""
    audit = audited(images, silent)
    features = extract(images, open_backbones(backbone), fitting(images))
    vectors = features.rows(range(len(images)), views=8)
    return vectors, [audit.groups[name] for name in images.ids], surfaces_of(images, audit)


@dataclass(frozen=True)
class _Run:
    """Accuracy, NMI, ARI and stability with the number given; the number found unaided, if looked for; CPU seconds."""

    figures: tuple[float, ...]
    number: int | None
    seconds: float


def _run(
    images: Manifest, prepared: tuple[np.ndarray, list[str], list[str]], method: str, *, adapt: bool, seed: int
) -> _Run:
    start = time.process_time()
    points = embed(*prepared, adapt=adapt, seed=seed)
    classes = sorted({str(record.label) for record in images.records})
    counted, usual = plugins.load(METHODS, method).COUNTED, method == DEFAULT_METHOD
    # The number is estimated the same for every method that has to be told it.
    found = cluster(points, method=method, clusters=len(classes) if counted and not usual else None, seed=seed)
    seconds, number = time.process_time() - start, None if counted and not usual else found.count
    if usual and found.count != len(classes):
        found = cluster(points, method=method, clusters=len(classes), seed=seed)
    scores = cluster_scores([classes.index(str(record.label)) for record in images.records], found.labels)
    return _Run((scores.accuracy, scores.nmi, scores.ari, found.stability), number, seconds)


def _told(runs: list[_Run]) -> Iterator[str]:
    """The cells of one row."""
    for column, form in zip(
        zip(*(run.figures for run in runs), strict=True), (".2%", ".3f", ".3f", ".2f"), strict=True
    ):
        spread = statistics.stdev(column) if len(column) > 1 else 0.0
        sd = f"{100 * spread:.2f}" if form == ".2%" else f"{spread:{form}}"
        yield f"{statistics.mean(column):{form}}" + (f" ± {sd}" if len(column) > 1 else "")
    yield " ".join(str(run.number) for run in runs if run.number is not None) or "–"
    yield f"{statistics.median(run.seconds for run in runs):.1f}"


if __name__ == "__main__":
    main()
