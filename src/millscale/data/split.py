"""Leak-safe splits: groups stay whole, classes stay balanced, a seed repeats it, a file keeps it."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millscale.core.errors import DataError, UsageError, unknown_name
from millscale.core.files import write_whole
from millscale.core.types import Problem
from millscale.data.audit.check import check
from millscale.data.manifest import Manifest

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Image ids by part. ``train``, ``val`` and ``test`` are disjoint.

    Those that `split` makes hold every image together; those that `named_split` takes from lists may leave some out.

    Attributes:
        train, val, test: image ids, in the manifest's order.
        folds: the held-out part of each fold; together they hold train and val exactly once.
        groups: how many groups were kept whole.
        leaks: held-out images whose group also stands in training; 0 for every split made by `split`.
        problems: classes with fewer groups than parts, which some part must miss; images in no part.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    groups: int
    leaks: int = 0
    problems: tuple[Problem, ...] = ()

    def fold_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """``(N,)`` the fold that holds each of these images out."""
        home = {name: k for k, fold in enumerate(self.folds) for name in fold}
        return np.array([home[name] for name in ids], np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``: the keys of ``data split --json``."""
        return {
            "train": list(self.train),
            "val": list(self.val),
            "test": list(self.test),
            "folds": [list(fold) for fold in self.folds],
            "groups": self.groups,
            "leaks": self.leaks,
            "problems": [vars(problem) for problem in self.problems],
        }

    def save(self, path: Path) -> None:
        """Write the split as a JSON file."""
        write_whole(path, json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n")


def load_split(path: Path | str) -> Split:
    """Read a split that ``Split.save`` or ``data split --json`` wrote.

    Raises:
        DataError: not such a file.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        train, val, test = (tuple(map(str, found[part])) for part in ("train", "val", "test"))
        folds = tuple(tuple(map(str, fold)) for fold in found["folds"])
        problems = tuple(Problem(**problem) for problem in found.get("problems", ()))
        return Split(train, val, test, folds, int(found["groups"]), int(found["leaks"]), problems)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected a split file with train, val, test, folds, groups and leaks, found "
            f"{type(error).__name__} ({error}). Write one with 'millscale data split'."
        ) from error


def split(
    manifest: Manifest,
    *,
    folds: int = 5,
    groups: Mapping[str, str] | None = None,
    test: float = 0.0,
    val: float = 0.0,
    seed: int = 0,
) -> Split:
    """Divide a data set so that no group stands on both sides of any division.

    Groups are dealt largest first, each to the part that misses most images of its classes, which keeps
    every class balanced. The same arguments give the same split.

    Args:
        manifest: the data set.
        folds: parts for cross-validation over everything outside ``test``; below 2, none.
        groups: id → group, as ``Audit.groups``; None takes the manifest's own, or else runs the audit.
        test, val: share of the images wanted in each, in [0, 1); their sum below 1.
        seed: decides among equally good deals.

    Raises:
        UsageError: shares outside their range.
        DataError: an image without group, or fewer groups than folds or parts.
    """
    if min(test, val) < 0 or test + val >= 1:
        raise UsageError(f"Expected test and val of 0 or more with a sum below 1, found {test} and {val}.")
    known = known_groups(manifest, groups)
    rng = np.random.default_rng(seed)
    parts = _named_parts(manifest, known, (1 - test - val, val, test), rng)
    trained = parts[0] | parts[1]
    fold_parts = _deal_folds(manifest, known, trained, folds, rng)
    in_order = [tuple(name for name in manifest.ids if name in part) for part in (*parts, *fold_parts)]
    return Split(
        train=in_order[0],
        val=in_order[1],
        test=in_order[2],
        folds=tuple(in_order[3:]),
        groups=len({known[name] for name in manifest.ids}),
        leaks=_leaking(known, parts, fold_parts),
        problems=(
            *_thin_classes(manifest, known, max(folds, sum(len(part) > 0 for part in parts))),
            *_lacking_parts(manifest, parts),
        ),
    )


def named_split(manifest: Manifest, parts: Mapping[str, Sequence[str]], groups: Mapping[str, str]) -> Split:
    """A division that somebody else made, its leak measured: no folds, only the named parts.

    Args:
        manifest: the data set.
        parts: ids of "train" and of "val", "test" or both, as ``read_parts`` resolves them.
        groups: id → group, as ``Audit.groups``.

    Raises:
        UsageError: a part of another name.
        DataError: no training part, nothing held out, an id that the data set lacks, or one in two parts.
    """
    for name in parts:
        if name not in _PARTS:
            raise unknown_name("part", name, _PARTS)
    if not parts.get("train") or not any(parts.get(name) for name in ("val", "test")):
        found = ", ".join(f"{name} with {len(ids)}" for name, ids in parts.items()) or "none"
        raise DataError(f"Expected images in the part 'train' and in 'val' or 'test', found {found}. Name both lists.")
    _require_disjoint(manifest, parts)
    chosen = [set(parts.get(part, ())) for part in _PARTS]
    held = [tuple(name for name in manifest.ids if name in part) for part in chosen]
    known = known_groups(manifest, groups)
    return Split(
        train=held[0],
        val=held[1],
        test=held[2],
        folds=(),
        groups=len({known[name] for part in held for name in part}),
        leaks=_leaking(known, chosen, []),
        problems=_in_no_part(manifest, held),
    )


def _require_disjoint(manifest: Manifest, parts: Mapping[str, Sequence[str]]) -> None:
    known = set(manifest.ids)
    home: dict[str, str] = {}
    for part, ids in parts.items():
        for name in ids:
            if name not in known:
                raise DataError(f"Expected ids of the data set in '{part}', found '{name}'. Remove or correct it.")
            if name in home:
                raise DataError(
                    f"Expected each image once, found '{name}' in '{home[name]}' and in '{part}'. Keep one."
                )
            home[name] = part


def _in_no_part(manifest: Manifest, parts: Sequence[Sequence[str]]) -> tuple[Problem, ...]:
    left = sorted(set(manifest.ids).difference(*parts))
    if not left:
        return ()
    message = f"{len(left)} of {len(manifest)} images stand in no part, such as {left[0]}"
    return (Problem("in_no_part", manifest.source, message, "None, if they are left out on purpose."),)


def known_groups(manifest: Manifest, groups: Mapping[str, str] | None) -> Mapping[str, str]:
    """``groups``, or those of the records, or those that the audit finds.

    Raises:
        DataError: an image has no group in ``groups``.
    """
    if groups is None:
        own = {record.id: record.group for record in manifest.records if record.group is not None}
        groups = own if len(own) == len(manifest) else check(manifest).groups
    missing = [name for name in manifest.ids if name not in groups]
    if missing:
        raise DataError(
            f"Expected a group for each of {len(manifest)} images, found none for {len(missing)}, the first "
            f"'{missing[0]}'. Audit this very folder again with 'millscale data check'."
        )
    return groups


def deal(
    manifest: Manifest, groups: Mapping[str, str], shares: Sequence[float], rng: np.random.Generator
) -> list[set[str]]:
    """Whole groups into parts of the wanted shares, class by class as near as groups allow.

    Greedy, largest group first: each goes where the squared distance to the wanted counts, summed over
    classes and divided by the class size, grows least.
    """
    names, counts = _group_counts(manifest, groups)
    totals = counts.sum(0)
    wanted = np.outer(shares, totals)
    filled = np.zeros_like(wanted)
    open_parts = np.flatnonzero(np.asarray(shares) > 0)
    part_of: dict[str, int] = {}
    shuffled = rng.permutation(len(names))
    for i in shuffled[np.argsort(-counts[shuffled].sum(1), kind="stable")]:
        room = (filled - wanted)[open_parts]
        growth = (((room + counts[i]) ** 2 - room**2) / np.maximum(totals, 1)).sum(1)
        best = int(open_parts[rng.choice(np.flatnonzero(growth <= growth.min() + 1e-12))])
        filled[best] += counts[i]
        part_of[names[i]] = best
    return [{name for name in manifest.ids if part_of[groups[name]] == k} for k in range(len(shares))]


def _named_parts(
    manifest: Manifest, groups: Mapping[str, str], shares: Sequence[float], rng: np.random.Generator
) -> list[set[str]]:
    """As `deal`, none of the parts that a share is wanted of being empty."""
    asked = [k for k, share in enumerate(shares) if share > 0]
    found = len({groups[name] for name in manifest.ids})
    if found < len(asked):
        raise DataError(
            f"Expected at least {len(asked)} groups for {' and '.join(_PARTS[k] for k in asked)}, found {found}. Ask "
            "for fewer parts, or add images of other pieces of metal."
        )
    parts = deal(manifest, groups, shares, rng)
    for k, part in zip(asked, _none_empty([parts[k] for k in asked], groups), strict=True):
        parts[k] = part
    return parts


def _lacking_parts(manifest: Manifest, parts: Sequence[set[str]]) -> list[Problem]:
    """The named parts in which a class is missing that others have."""
    shown = {record.id: manifest.shown(record) for record in manifest.records}
    held = [{name for image in part for name in shown[image]} for part in parts]
    problems = []
    for part, ids, classes in zip(_PARTS, parts, held, strict=True):
        lacking = sorted(set().union(*held) - classes) if ids else []
        if lacking:
            message = f"no image of {', '.join(lacking)} in the part '{part}'"
            fix = "ask for a larger share, or add images of other pieces of metal"
            problems.append(Problem("part_lacks_class", part, message, fix))
    return problems


def _group_counts(manifest: Manifest, groups: Mapping[str, str]) -> tuple[list[str], NDArray[np.float64]]:
    """Group names in order of appearance, and ``(groups, labels)`` image counts."""
    tally: dict[str, Counter[str | None]] = defaultdict(Counter)
    for record in manifest.records:
        tally[groups[record.id]][record.label] += 1
    labels = sorted({record.label for record in manifest.records}, key=lambda label: (label is None, label))
    counts = np.array([[tally[name][label] for label in labels] for name in tally], np.float64)
    return list(tally), counts.reshape(len(tally), len(labels))


def _deal_folds(
    manifest: Manifest, groups: Mapping[str, str], ids: set[str], folds: int, rng: np.random.Generator
) -> list[set[str]]:
    if folds < 2:
        return []
    found = len({groups[name] for name in ids})
    if found < folds:
        raise DataError(
            f"Expected at least {folds} groups for {folds} folds, found {found} in {len(ids)} images. "
            f"Ask for fewer folds, or add images of other pieces of metal."
        )
    return _none_empty(deal(manifest.select(ids), groups, [1 / folds] * folds, rng), groups)


def _none_empty(parts: Sequence[set[str]], groups: Mapping[str, str]) -> list[set[str]]:
    """The parts, each empty one given the smallest group of the part that has most groups.

    Classes are dealt without regard to one another, which in small data sets can pass a fold over.
    """
    filled = [set(part) for part in parts]
    for part in filled:
        if not part:
            held = [Counter(groups[name] for name in other) for other in filled]
            most = max(range(len(filled)), key=lambda k: len(held[k]))
            smallest = min(held[most], key=lambda group: (held[most][group], group))
            part |= {name for name in filled[most] if groups[name] == smallest}
            filled[most] -= part
    return filled


def _leaking(groups: Mapping[str, str], parts: Sequence[set[str]], folds: Sequence[set[str]]) -> int:
    """Held-out images with a group mate in training, over the named parts and over every fold."""
    divisions = [(parts[0], parts[1] | parts[2])]
    divisions += [(set().union(*folds) - fold, fold) for fold in folds]
    leaks = 0
    for train, held in divisions:
        trained = {groups[name] for name in train}
        leaks += sum(groups[name] in trained for name in held)
    return leaks


def _thin_classes(manifest: Manifest, groups: Mapping[str, str], parts: int) -> tuple[Problem, ...]:
    found: dict[str, set[str]] = defaultdict(set)
    for record in manifest.records:
        for name in manifest.shown(record):
            found[name].add(groups[record.id])
    return tuple(
        Problem(
            "fewer_groups_than_parts", name,
            f"class '{name}' has {len(found[name])} independent groups for {parts} parts: some part lacks it",
            "add images of other pieces of metal, or ask for fewer folds",
        )
        for name in manifest.classes
        if 0 < len(found[name]) < parts
    )  # fmt: skip
