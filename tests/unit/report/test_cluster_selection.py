"""Which images stand for a cluster, and where the page puts them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from millscale.learn.clusters import Clusters, cluster
from millscale.learn.embedding import Embedding, unit
from millscale.metrics.clusters import UNSORTED, cluster_scores
from millscale.report.cluster_selection import choose_members, spread
from millscale.report.clusters import clusters_contents
from millscale.report.clusters_page import clusters_values
from millscale.report.html import render
from millscale.report.report import ClusterReport


@pytest.fixture
def report() -> ClusterReport:
    """Three kinds of 20 images, three crops a photograph; every fifth label unknown, one class spelt as markup."""
    truth = np.repeat(np.arange(3), 20)
    groups = np.arange(60) // 3
    rng = np.random.default_rng(0)
    points = Embedding(unit(np.eye(6)[truth] + 0.15 * rng.normal(size=(60, 6))), groups)
    names = ("<b>dent</b>", "pit", "scratch")
    return ClusterReport(
        clusters=cluster(points, clusters=3),
        place=rng.random((60, 2)),
        ids=tuple(f"{i:02}.png" for i in range(60)),
        paths=tuple(Path(f"gone/{i:02}.png") for i in range(60)),
        labels=tuple(None if i % 5 == 0 else names[truth[i]] for i in range(60)),
        groups=tuple(map(str, groups)),
        scores=cluster_scores(truth, cluster(points, clusters=3).labels),
    )


def test_no_group_stands_twice_for_a_cluster_that_has_others(report):
    shown = choose_members(report)
    for number, rows in enumerate(shown.typical):
        found = [report.groups[row] for row in rows]
        own = {report.groups[row] for row in np.flatnonzero(report.clusters.labels == number)}
        assert len(set(found)) == min(len(own), len(found))
        assert not set(rows.tolist()) & set(shown.doubtful[number].tolist())
        assert report.clusters.typicality[rows[0]] == report.clusters.typicality[report.clusters.labels == number].max()


def test_pictures_on_the_map_do_not_cover_one_another():
    place = np.random.default_rng(1).random((500, 2))
    kept = spread(place, np.arange(500) % 4)
    apart = np.abs(place[kept][:, None] - place[kept][None])
    near = (apart < (0.04, 0.06)).all(2)
    assert len(kept) > 50
    assert near.sum() == len(kept)  # each only with itself


def test_the_page_counts_labels_against_clusters(report):
    values = clusters_values(report, choose_members(report))
    table = values["crosstab"]
    assert isinstance(table, dict)
    counts = [[cell["count"] for cell in row["cells"]] for row in table["rows"]]
    assert counts == [[16, 0, 0], [0, 16, 0], [0, 0, 16]]
    page = render("clusters.html.j2", values).decode()
    assert "&lt;b&gt;dent&lt;/b&gt;" in page
    assert "<b>dent</b>" not in page
    assert "image not available" in page


def test_a_set_without_clusters_has_a_page(report):
    alone = np.full(60, UNSORTED)
    nothing = np.full(60, np.nan)
    none = replace(report.clusters, labels=alone, typicality=nothing, silhouette=nothing, second=alone, evidence=())
    values, figures = clusters_contents(
        replace(report, clusters=replace(none, cluster_stability=np.zeros(0)), scores=None)
    )
    assert "60 images lie where few others do" in render("clusters.html.j2", values).decode()
    assert set(figures) == {"map", "members"}


def test_no_cluster_at_all_is_not_called_stable(report):
    none = Clusters(
        labels=np.full(60, UNSORTED),
        typicality=np.full(60, np.nan),
        silhouette=np.full(60, np.nan),
        second=np.full(60, UNSORTED),
        stability=1.0,
        cluster_stability=np.zeros(0),
    )
    empty = replace(report, clusters=none, scores=None)
    level, sentence = clusters_values(empty, choose_members(empty))["leak"]
    assert (level, sentence) == ("bad", "No cluster was found: nothing stands apart from the rest.")
