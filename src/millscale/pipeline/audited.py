"""The audit of a data set, remembered by its content."""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from millscale.core.errors import DataError
from millscale.core.files import write_whole
from millscale.core.paths import cache_dir
from millscale.core.types import Problem
from millscale.data.audit.audit import BLANK_IMAGE, VERSION, Audit, NearDuplicate, SuspectLabel
from millscale.data.audit.check import check
from millscale.data.audit.findings import class_problems
from millscale.data.audit.overlap import Overlap
from millscale.data.manifest import Manifest
from millscale.imaging.decode import read_image
from millscale.learn.recipe import Progress


def audited(manifest: Manifest, progress: Progress) -> Audit:
    """``check(manifest)``, read from disk where the same images and labels were audited before."""
    path = cache_dir("audits") / f"{_key(manifest)}-{VERSION}.json"
    if path.is_file() and (known := _load(path)) and not _mended(manifest, known):
        return _of_today(manifest, known)
    audit = check(manifest, progress=progress)
    with suppress(OSError):  # a cache that cannot be written costs the time of another audit
        write_whole(path, json.dumps(asdict(audit)))
    return audit


def _mended(manifest: Manifest, audit: Audit) -> bool:
    """Can an image be decoded that could not be at the time, such as for want of memory?"""
    lost = set(audit.unreadable)
    for record in manifest.records:
        if record.id in lost:
            with suppress(DataError):
                read_image(record.path)
                return True
    return False


def _key(manifest: Manifest) -> str:
    """Of all that the audit depends on: the images, their labels and boxes, and the groups that they come with."""
    groups = "\0".join(str(record.group) for record in manifest.records)
    return hashlib.sha256(f"{manifest.fingerprint}\0{groups}".encode()).hexdigest()[:32]


def _of_today(manifest: Manifest, audit: Audit) -> Audit:
    """The audit with what is told of the folder as it is now.

    Empty classes and files that cannot be opened are no images, so a stored audit does not know of them.
    """
    lost = set(audit.unreadable)
    problems = (
        *manifest.problems,
        *(problem for problem in audit.problems if problem.path in lost or problem.code == BLANK_IMAGE),
        *class_problems(manifest, audit.groups, audit.unreadable),
    )
    return replace(audit, classes=manifest.class_counts, problems=problems)


def _load(path: Path) -> Audit | None:
    """The stored audit; None where the file is damaged."""
    try:
        return _parsed(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError):
        return None


def _parsed(stored: dict[str, Any]) -> Audit:
    return Audit(
        images=stored["images"],
        classes=stored["classes"],
        unreadable=tuple(stored["unreadable"]),
        exact_duplicates=tuple((a, b) for a, b in stored["exact_duplicates"]),
        overlaps=tuple(Overlap(**entry) for entry in stored["overlaps"]),
        second_exposures=tuple(Overlap(**entry) for entry in stored["second_exposures"]),
        near_duplicates=tuple(NearDuplicate(**entry) for entry in stored["near_duplicates"]),
        groups=stored["groups"],
        suspect_labels=tuple(SuspectLabel(**entry) for entry in stored["suspect_labels"]),
        problems=tuple(Problem(**entry) for entry in stored["problems"]),
    )
