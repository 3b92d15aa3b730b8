"""How many labels a model needs when it chooses what to ask, and how many wrong labels are found."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

import millscale as ms
from benchmarks.table import Table, data_folder
from millscale.features.backbone import open_backbones
from millscale.features.extract import extract
from millscale.features.working_size import fitting
from millscale.learn.few_labels import Surroundings
from millscale.learn.label_errors import rank_labels
from millscale.learn.selection import margin_doubt, next_to_label
from millscale.pipeline.audited import audited
from millscale.pipeline.summary import silent

RUNS = (("neu-cls", "millscale_s"), ("neu-cls", "resnet18"), ("x-sdd", "millscale_s"), ("x-sdd", "resnet18"))
SAW = "millscale_s saw X-SDD images (never their labels) when it was distilled, and no NEU image; resnet18 saw neither."
STARTS = 5
SHARE = 0.9
BATCH = 10
STEPS = (5, 6, 7, 8, 10, 12, 16, 20, 25, 30, 40, 50, 60)
FLIPPED = 0.05
GOALS = (0.97, 0.99)

Ints = NDArray[np.int64]
Chooser = Callable[["Pool", list[int], int], Sequence[int]]


class Pool:
    """Nine tenths of a data set's groups, in a random order."""

    def __init__(self, vectors: NDArray[np.float32], targets: Ints, groups: Ints, seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = rng.permutation(groups.max() + 1)
        rows = rng.permutation(np.flatnonzero(np.isin(groups, names[: int(SHARE * len(names))])))
        self.vectors, self.targets, self.groups = vectors[rows], targets[rows], groups[rows]
        self.surroundings = Surroundings(self.vectors[:, None])
        self.seed = seed
        self._latest = (list[int](), self._taught([]))

    def probs(self, rows: list[int]) -> tuple[NDArray[np.float64], Ints]:
        """What the labels of these rows teach, and the classes it is about."""
        if self._latest[0] != rows:
            self._latest = (list(rows), self._taught(rows))
        return self._latest[1]

    def _taught(self, rows: list[int]) -> tuple[NDArray[np.float64], Ints]:
        known, labels = np.unique(self.targets[rows], return_inverse=True)
        if len(known) < 2:
            return np.ones((len(self.targets), len(known))), known
        targets = np.full(len(self.targets), -1)
        targets[rows] = labels
        return self.surroundings.learn(targets, len(known)).probs, known

    def accuracy(self, rows: list[int]) -> float:
        """Over the images of groups without a label."""
        probs, known = self.probs(rows)
        tested = ~np.isin(self.groups, self.groups[rows])
        return float((known[probs.argmax(1)] == self.targets)[tested].mean())


def chosen(pool: Pool, rows: list[int], count: int) -> Sequence[int]:
    labelled = np.zeros(len(pool.targets), np.bool_)
    labelled[rows] = True
    probs, known = pool.probs(rows)
    doubt = margin_doubt(probs) if len(known) > 1 else np.ones(len(labelled))
    return next_to_label(pool.vectors, pool.groups, labelled, doubt, count).rows.tolist()


def at_random(pool: Pool, rows: list[int], count: int) -> Sequence[int]:
    rng = np.random.default_rng((pool.seed, len(rows)))
    order = rng.permutation(np.flatnonzero(~np.isin(pool.groups, pool.groups[rows])))
    _, first = np.unique(pool.groups[order], return_index=True)
    return order[np.sort(first)][:count].tolist()


def curve(pool: Pool, choose: Chooser) -> dict[int, float]:
    rows: list[int] = []
    found = {}
    while len(rows) < STEPS[-1]:
        for row in choose(pool, rows, BATCH):
            rows.append(row)
            if len(rows) in STEPS:
                found[len(rows)] = pool.accuracy(rows)
    return found


def needed(curves: list[dict[int, float]], goal: float) -> str:
    """Labels until the goal is first reached, mean ± sd."""
    first = [min((n for n, accuracy in found.items() if accuracy >= goal), default=None) for found in curves]
    reached = [n for n in first if n is not None]
    if len(reached) < len(first):
        return f"> {STEPS[-1]} in {len(first) - len(reached)} of {len(first)}"
    return f"{np.mean(reached):.1f} ± {np.std(reached):.1f}"


def prepared(name: str, backbone: str) -> tuple[NDArray[np.float32], Ints, Ints, Ints]:
    """Features ``(N, d)``, class and group of each image, and its fold."""
    images = ms.read(data_folder(name))
    groups = audited(images, silent).groups
    features = extract(images, open_backbones(backbone), fitting(images))
    vectors = features.rows(range(len(images)), views=8)
    targets = np.array([images.classes.index(str(record.label)) for record in images.records])
    _, group = np.unique([groups[name] for name in images.ids], return_inverse=True)
    return vectors, targets, group, ms.split(images, folds=5, groups=groups).fold_of(images.ids)


def labels_needed() -> None:
    table = Table(
        "labelling",
        "Labels that a model needs, all in all, when it chooses what to ask",
        (
            "data",
            "backbone",
            "chosen by",
            *(f"for {goal:.0%}" for goal in GOALS),
            "accuracy at 10",
            "at 20",
            "at 40",
            "seconds",
        ),
        notes=(
            "Transductive accuracy over the images that share no pixels with a labelled one, mean ± sd.",
            f"{STARTS} starts, each with {SHARE:.0%} of the groups; {BATCH} labels at a time, none at first.",
            "Both choose one image a group, and the same model learns from both (`learn/few_labels.py`).",
            f"Counts tried: {', '.join(map(str, STEPS))}. Seconds: one choice of {BATCH}, features cached.",
            "The settings (reach 0.95, whitening 0.25, 15 neighbours) were compared on these sets with millscale_s.",
            SAW,
        ),
    )
    for name, backbone in (RUNS[0], *RUNS[2:]):
        vectors, targets, groups, _ = prepared(name, backbone)
        pools = [Pool(vectors, targets, groups, seed) for seed in range(STARTS)]
        for told, choose in (("label next", chosen), ("chance", at_random)):
            curves = [curve(pool, choose) for pool in pools]
            start = time.perf_counter()
            choose(pools[0], [], BATCH)
            seconds = time.perf_counter() - start
            at = [[found[n] for found in curves] for n in (10, 20, 40)]
            shares = [f"{np.mean(values):.2%} ± {np.std(values):.2%}" for values in at]
            table.add(name, backbone, told, *(needed(curves, goal) for goal in GOALS), *shares, f"{seconds:.1f}")
    table.save()


def errors_found() -> None:
    table = Table(
        "label_errors",
        f"Wrong labels found: {FLIPPED:.0%} of the labels flipped at random",
        ("data", "backbone", "among the top 5 %", "contradicted", "of these wrong", "seconds"),
        notes=(
            f"{STARTS} draws, mean ± sd; five group-clean folds that hold the wrong labels, too.",
            "Contradicted: wrong labels of which the model believes something else (the list of `label check`).",
            SAW,
        ),
    )
    for name, backbone in RUNS:
        vectors, targets, _, folds = prepared(name, backbone)
        classes, figures = int(targets.max()) + 1, []
        for seed in range(STARTS):
            rng = np.random.default_rng(seed)
            wrong = np.isin(np.arange(len(targets)), rng.permutation(len(targets))[: round(FLIPPED * len(targets))])
            labels = np.where(wrong, (targets + rng.integers(1, classes, len(targets))) % classes, targets)
            start = time.perf_counter()
            found = rank_labels(vectors, labels, folds, classes)
            seconds = time.perf_counter() - start
            listed = found.doubt > 0.5
            top = wrong[found.order[: wrong.sum()]].mean()
            figures.append((top, listed[wrong].mean(), wrong[listed].mean(), seconds))
        mean, deviation = np.mean(figures, 0), np.std(figures, 0)
        shares = [f"{m:.1%} ± {s:.1%}" for m, s in zip(mean[:3], deviation[:3], strict=True)]
        table.add(name, backbone, *shares, f"{mean[3]:.1f}")
    table.save()


def main() -> None:
    labels_needed()
    errors_found()


if __name__ == "__main__":
    main()
