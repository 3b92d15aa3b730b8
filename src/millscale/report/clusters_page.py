"""The values that the page on clusters shows, as plain text and numbers."""

from collections import Counter

import numpy as np

from millscale.metrics.clusters import UNSORTED, contingency, matched
from millscale.report.cluster_selection import ShownClusters, cluster_color, cluster_name
from millscale.report.figures.lettering import visible
from millscale.report.frame import Values, data_values, percent
from millscale.report.report import ClusterReport
from millscale.report.thumbnails import data_address, shrink

WIDTH, HEIGHT, SIDE = 1000, 690, 40
"""Of the map and its pictures, in units of the drawing."""
_MARGIN = 30
_PICTURE, _ON_MAP = 130, 66
_STABLE, _SHAKY = 0.9, 0.7


def clusters_values(report: ClusterReport, shown: ShownClusters) -> Values:
    """Everything the template names, ready to print."""
    found = report.clusters
    return {
        **data_values(report),
        "mosaic": None,
        "stand_ins": [],
        "answers": _answers(report),
        "leak": _standing(report),
        "facts": _facts(report),
        "map": _map(report, shown),
        "legend": [{"name": cluster_name(n), "color": cluster_color(n)} for n in _numbers(report)],
        "evidence": _evidence(report),
        "members": [_member(report, shown, number) for number in range(found.count)],
        "unsorted": [_shot(report, shown, int(row)) for row in shown.unsorted],
        "unsorted_count": int((found.labels == UNSORTED).sum()),
        "crosstab": _crosstab(report),
    }


def _numbers(report: ClusterReport) -> list[int]:
    return [*range(report.clusters.count), *([UNSORTED] if (report.clusters.labels == UNSORTED).any() else [])]


def _answers(report: ClusterReport) -> list[Values]:
    found = report.clusters
    sure = found.stability
    how = f"{len(found.labels)} images in {len(set(report.groups))} independent groups"
    answers: list[Values] = [{"value": str(found.count), "name": "kinds that look alike", "told": how}]
    if report.scores:
        told = f"normalised mutual information {report.scores.nmi:.3f}"
        named = "of the images stand in the cluster matched to their known class"
        answers.append({"value": percent(report.scores.accuracy, 1), "name": named, "told": told})
    else:
        answers.append({"value": f"{sure:.2f}", "name": "stability", "told": "1 where halves of the data agree wholly"})
    return answers


def _standing(report: ClusterReport) -> tuple[str, str]:
    """(level, sentence) on how sure the clusters are."""
    if not report.clusters.count:
        return "bad", "No cluster was found: nothing stands apart from the rest."
    stability = report.clusters.stability
    told = f"Grouped again from random halves of the independent groups: adjusted Rand index {stability:.2f}"
    if stability >= _STABLE:
        return "good", f"{told}. The clusters are stable."
    if stability >= _SHAKY:
        return "unknown", f"{told}. Some of the clusters are not stable; below it is said which."
    return "bad", f"{told}. The clusters are not stable: take them for a way to look at the images, no more."


def _facts(report: ClusterReport) -> list[Values]:
    found, scores = report.clusters, report.scores
    values = [("stability", f"{found.stability:.3f}", "adjusted Rand index")]
    if np.isfinite(found.silhouette).any():
        values.append(("mean silhouette", f"{np.nanmean(found.silhouette):.3f}", "−1 to 1"))
    if scores:
        values.append(("mutual information", f"{scores.nmi:.3f}", "normalised"))
        values.append(("adjusted Rand index", f"{scores.ari:.3f}", "against the labels"))
    if (found.labels == UNSORTED).any():
        values.append(("unsorted", percent(float((found.labels == UNSORTED).mean()), 1), ""))
    return [{"name": name, "value": value, "range": told} for name, value, told in values]


def _at(report: ClusterReport, row: int) -> tuple[float, float]:
    x, y = report.place[row]
    return round(_MARGIN + x * (WIDTH - 2 * _MARGIN), 1), round(HEIGHT - _MARGIN - y * (HEIGHT - 2 * _MARGIN), 1)


def _map(report: ClusterReport, shown: ShownClusters) -> Values:
    labels = report.clusters.labels
    dots = []
    for row in range(len(labels)):
        x, y = _at(report, row)
        dots.append({"x": x, "y": y, "color": cluster_color(int(labels[row]))})
    pictures = []
    for row in shown.mapped.tolist():
        image = shown.thumbnails.get(report.paths[row])
        if image is None:
            continue
        x, y = _at(report, row)
        src, color = data_address(shrink(image, _ON_MAP), 75), cluster_color(int(labels[row]))
        pictures.append({"x": x - SIDE / 2, "y": y - SIDE / 2, "src": src, "color": color, "id": _tip(report, row)})
    return {"width": WIDTH, "height": HEIGHT, "side": SIDE, "dots": dots, "pictures": pictures}


def _tip(report: ClusterReport, row: int) -> str:
    return f"{cluster_name(int(report.clusters.labels[row]))}: {visible(report.ids[row])}"


def _evidence(report: ClusterReport) -> list[Values]:
    seen = report.clusters.evidence
    most = max((count.silhouette for count in seen), default=0.0)
    taken = next((count.clusters for count in seen if count.worse <= count.error), None)
    return [
        {
            "clusters": count.clusters,
            "silhouette": f"{count.silhouette:.3f}",
            "bar": round(100 * max(0.0, count.silhouette) / max(most, 1e-9), 1),
            "worse": "the best" if count.worse <= 0 else f"−{count.worse:.3f} ± {count.error:.3f}",
            "stability": f"{count.stability:.2f}",
            "chosen": count.clusters == taken,
        }
        for count in seen
    ]


def _member(report: ClusterReport, shown: ShownClusters, number: int) -> Values:
    rows = np.flatnonzero(report.clusters.labels == number)
    known = Counter(visible(str(report.labels[row])) for row in rows.tolist() if report.labels[row] is not None)
    groups = len({report.groups[row] for row in rows.tolist()})
    return {
        "name": cluster_name(number),
        "color": cluster_color(number),
        "images": len(rows),
        "share": percent(len(rows) / len(report.ids), 1),
        "groups": groups,
        "stability": f"{report.clusters.cluster_stability[number]:.2f}",
        "known": ", ".join(f"{name} {percent(count / len(rows), 1)}" for name, count in known.most_common(3)),
        "typical": [_shot(report, shown, int(row)) for row in shown.typical[number]],
        "doubtful": [_shot(report, shown, int(row)) for row in shown.doubtful[number]],
    }


def _shot(report: ClusterReport, shown: ShownClusters, row: int) -> Values:
    image = shown.thumbnails.get(report.paths[row])
    second = int(report.clusters.second[row])
    return {
        "src": None if image is None else data_address(shrink(image, _PICTURE)),
        "id": visible(report.ids[row]),
        "near": cluster_name(second) if second != UNSORTED else "",
        "doubt": bool(report.clusters.silhouette[row] < 0),
    }


def _crosstab(report: ClusterReport) -> Values | None:
    """Known classes against clusters, the clusters in the order of the classes they are matched to."""
    rows = [row for row, label in enumerate(report.labels) if label is not None]
    if not report.scores:
        return None
    labels = np.array([str(report.labels[row]) for row in rows])
    classes, found = sorted(set(labels.tolist())), report.clusters.labels[rows]
    counts, numbers = contingency(labels, found), np.unique(found).tolist()
    true = [place for place, number in enumerate(numbers) if number != UNSORTED]
    pairs = {row: true[column] for row, column in matched(counts[:, true])} if true else {}
    order = [*pairs.values(), *(place for place in range(len(numbers)) if place not in pairs.values())]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return {
        "columns": [cluster_name(numbers[place]) for place in order],
        "rows": [
            {
                "name": visible(name),
                "cells": [
                    {
                        "count": int(counts[i, j]),
                        "kind": "hit" if pairs.get(i) == j else "miss",
                        "strength": round(float(12 + 43 * share[i, j] if pairs.get(i) == j else 25 + 45 * share[i, j])),
                        "title": f"{visible(name)} in {cluster_name(numbers[j])}: {counts[i, j]}",
                    }
                    for j in order
                ],
            }
            for i, name in enumerate(classes)
        ],
    }
