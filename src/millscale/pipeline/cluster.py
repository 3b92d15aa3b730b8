"""Group a folder's images without labels, and leave the evidence: a table, a page, and folders to name."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from millscale.core import plugins
from millscale.core.errors import DataError, UsageError, unknown_name
from millscale.core.types import Problem
from millscale.data.audit.audit import Audit
from millscale.data.audit.groups import name_groups
from millscale.data.labels import write_table
from millscale.data.manifest import Manifest
from millscale.features.backbone import DEFAULT_BACKBONE, open_backbones
from millscale.features.extract import extract
from millscale.features.working_size import check_size, fitting
from millscale.learn.cluster_map import plane, require_map
from millscale.learn.clusters import DEFAULT_METHOD, METHODS, Clusters
from millscale.learn.clusters import cluster as group
from millscale.learn.embedding import Floats, embed
from millscale.learn.recipe import Progress
from millscale.metrics.clusters import UNSORTED, ClusterScores, cluster_scores
from millscale.pipeline.audited import audited
from millscale.pipeline.folders import copy_into_folders, require_empty
from millscale.pipeline.run import RUN_FILE, environment, write_json
from millscale.pipeline.summary import audit_summary, silent
from millscale.report.html import write_report
from millscale.report.report import ClusterReport

FEWEST = 4
UNSORTED_NAME = "unsorted"


@dataclass(frozen=True)
class ClusterConfig:
    """What decides a clustering.

    Attributes:
        clusters: how many; None looks for the number, from 2 to 15.
        method: "spherical_kmeans", "spectral" or "hdbscan", which finds the number itself.
        backbone: names or paths, joined by ``+``.
        map: "pca", or "umap" where umap-learn is installed.
        adapt: adapt the features to these images first, without labels.
        size: working size of the longer side in pixels; 0 keeps images as they are where none has more than 320.
        seed: of everything random.
    """

    clusters: int | None = None
    method: str = DEFAULT_METHOD
    backbone: str = DEFAULT_BACKBONE
    map: str = "pca"
    adapt: bool = False
    size: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in plugins.names(METHODS):
            raise unknown_name("clustering method", self.method, plugins.names(METHODS))
        require_map(self.map)
        if self.clusters is not None and self.clusters < 2:
            raise UsageError(f"clusters: expected 2 or more, found {self.clusters}. Leave it out to have it estimated.")
        if self.clusters is not None and not plugins.load(METHODS, self.method).COUNTED:
            raise UsageError(
                f"clusters: expected none for {self.method}, which finds the number itself, found {self.clusters}. "
                "Leave it out, or name another method."
            )
        check_size(self.size)
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, found {self.seed}.")


@dataclass(frozen=True, eq=False)
class Clustering:
    """Images in clusters, and the files that say so.

    Attributes:
        config: what decided it.
        folder: holds ``clusters.csv``, ``report.html`` and ``run.json``.
        manifest: the images that were grouped.
        clusters: their clusters with the evidence; number 0 here is ``cluster_1`` in every file.
        scores: against the known labels; None where fewer than two classes are labelled.
        problems: of the images, those left out among them.
        groups: independent groups of images.
        seconds: the whole took.
    """

    config: ClusterConfig
    folder: Path
    manifest: Manifest
    clusters: Clusters
    scores: ClusterScores | None
    problems: tuple[Problem, ...]
    groups: int
    seconds: float

    @property
    def assignments(self) -> dict[str, int]:
        """The number of each image's cluster by image id, from 1 on; -1 where unsorted."""
        return dict(zip(self.manifest.ids, _numbers(self.clusters), strict=True))

    def to_json(self) -> dict[str, Any]:
        """The document that ``cluster --json`` prints."""
        found, scores = self.clusters, self.scores
        return {
            "clusters": found.count,
            **(scores.to_json() if scores else {"accuracy": None, "nmi": None, "ari": None}),
            "stability": round(found.stability, 4),
            "cluster_stability": {i + 1: round(float(s), 4) for i, s in enumerate(found.cluster_stability)},
            "evidence": [count.to_json() for count in found.evidence],
            "unsorted": int((found.labels == UNSORTED).sum()),
            "images": len(self.manifest),
            "groups": self.groups,
            "method": self.config.method,
            "report": str(self.folder / "report.html"),
            "problems": [asdict(problem) for problem in self.problems],
            "seconds": round(self.seconds, 2),
            "assignments": self.assignments,
        }


def cluster(
    images: Manifest,
    config: ClusterConfig,
    folder: Path,
    *,
    folders: Path | None = None,
    progress: Progress = silent,
) -> Clustering:
    """Group images by their looks. No label is used; where there are some, they score the result.

    Images that cannot be read are left out; those that show nothing are told, and grouped like the others.

    Args:
        images: the data set; labels may be missing.
        config: what decides.
        folder: receives ``clusters.csv``, ``report.html`` with its pictures, and ``run.json``.
        folders: receives a copy of each image in ``cluster_1`` and so on; must be empty or not yet there.
        progress: called with (what, done, total).

    Raises:
        UsageError: more clusters than images, or ``folders`` holds something.
        DataError: fewer than four images that can be read.
        ModelError: the backbone cannot be opened.
    """
    start = time.perf_counter()
    if folders is not None:
        require_empty(folders, "--folders")
    _require(config, len(images), images.source)
    backbones = open_backbones(config.backbone)
    audit = audited(images, progress)
    lost = set(audit.unreadable)
    usable = images.select(name for name in images.ids if name not in lost)
    _require(config, len(usable), images.source, len(images) - len(usable))
    features = extract(usable, backbones, fitting(usable, config.size), progress=progress)
    kept = replace(features.manifest.with_groups(audit.groups), problems=audit.problems)
    _require(config, len(kept), images.source, len(images) - len(kept))
    progress("clusters", 0, 1)
    vectors = features.rows(range(len(kept)), views=8)
    groups, surfaces = [str(record.group) for record in kept.records], surfaces_of(kept, audit)
    if len(set(groups)) == 1:
        message = "all images belong to one group: they are taken for independent, and stability says little"
        problem = Problem("one_group", images.source, message, "Add images of other pieces.")
        kept, groups = replace(kept, problems=(*kept.problems, problem)), list(kept.ids)
    points = embed(vectors, groups, surfaces, adapt=config.adapt, seed=config.seed)
    found = group(points, method=config.method, clusters=config.clusters, seed=config.seed)
    scores = _scores(kept, found)
    place = plane(points.plain, config.map, config.seed)
    progress("clusters", 1, 1)
    result = Clustering(
        config, folder, kept, found, scores, kept.problems, len(set(groups)), time.perf_counter() - start
    )
    _write_table(folder / "clusters.csv", result)
    write_report(folder / "report.html", _report(result, images, audit, place))
    if folders is not None:
        copy_into_folders(folders, _by_cluster(result))
    result = replace(result, seconds=time.perf_counter() - start)
    document = {"config": {"data": images.source, **asdict(config)}, "dataset": images.fingerprint, **environment()}
    write_json(folder / RUN_FILE, document | {"clusters": result.to_json()})
    return result


def _require(config: ClusterConfig, count: int, source: str, lost: int = 0) -> None:
    """Enough images, of which ``lost`` could not be used."""
    if count < FEWEST:
        also = f" and {lost} that cannot be read" if lost else ""
        raise DataError(f"{source}: expected at least {FEWEST} images to group, found {count}{also}. Add images.")
    if config.clusters is not None and config.clusters > count:
        raise UsageError(
            f"clusters: expected at most one for each of the {count} images, found {config.clusters}. Ask for fewer."
        )


def surfaces_of(images: Manifest, audit: Audit) -> list[str]:
    """Which images show the same surface: seen in their pixels, not declared."""
    known = set(images.ids)
    pairs = [(pair.a, pair.b) for pair in (*audit.overlaps, *audit.second_exposures)]
    pairs += [(pair.a, pair.b) for pair in audit.near_duplicates]
    named = name_groups(images.ids, [(a, b) for a, b in pairs if a in known and b in known])
    return [named[name] for name in images.ids]


def _scores(images: Manifest, found: Clusters) -> ClusterScores | None:
    labels = [record.label for record in images.records]
    known = [row for row, label in enumerate(labels) if label is not None]
    classes = sorted({str(labels[row]) for row in known})
    if len(classes) < 2:
        return None
    truth = np.array([classes.index(str(labels[row])) for row in known])
    return cluster_scores(truth, found.labels[known])


def _numbers(found: Clusters) -> list[int]:
    return [int(label) + 1 if label != UNSORTED else UNSORTED for label in found.labels]


def _by_cluster(result: Clustering) -> Mapping[str, list[Path]]:
    """The files of each cluster by folder name, the largest first, the unsorted last."""
    found: dict[str, list[Path]] = {f"cluster_{number}": [] for number in range(1, result.clusters.count + 1)}
    for record, number in zip(result.manifest.records, _numbers(result.clusters), strict=True):
        found.setdefault(f"cluster_{number}" if number != UNSORTED else UNSORTED_NAME, []).append(record.path)
    return found


def _write_table(path: Path, result: Clustering) -> None:
    """One line an image: cluster, cosine with its centre, silhouette, the nearest other cluster, and what is known."""
    found = result.clusters
    rows = []
    for i, (record, number) in enumerate(zip(result.manifest.records, _numbers(found), strict=True)):
        second = int(found.second[i]) + 1 if found.second[i] != UNSORTED else ""
        values = [_told(found.typicality[i]), _told(found.silhouette[i]), second]
        rows.append([record.id, number, *values, record.label or "", record.group])
    write_table(path, ("image", "cluster", "typicality", "silhouette", "second", "label", "group"), rows)


def _told(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


def _report(result: Clustering, images: Manifest, audit: Audit, place: Floats) -> ClusterReport:
    kept = result.manifest
    return ClusterReport(
        clusters=result.clusters,
        place=place,
        ids=kept.ids,
        paths=tuple(record.path for record in kept.records),
        labels=tuple(record.label for record in kept.records),
        groups=tuple(str(record.group) for record in kept.records),
        scores=result.scores,
        title=f"{Path(images.source).resolve().name}: images grouped by their looks",
        audit=audit_summary(audit),
        details=dict(_details(result, images)),
    )


def _details(result: Clustering, images: Manifest) -> Iterator[tuple[str, str]]:
    config = result.config
    yield "data", images.source
    yield "method", f"{config.method}: {plugins.load(METHODS, config.method).DESCRIPTION}"
    yield "backbone", config.backbone
    yield "features adapted", "yes" if config.adapt else "no"
    yield "map", config.map
    yield "seed", str(config.seed)
    yield "images", f"{len(result.manifest)} of {len(images)}"
    yield "fingerprint", images.fingerprint[:16]
    yield "millscale", environment()["versions"]["millscale"]
