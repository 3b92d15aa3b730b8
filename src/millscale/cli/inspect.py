"""``millscale inspect``."""

import csv
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from filecmp import cmp
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millscale.cli.output import emit, failing_clearly, say, shown, tell_all

if TYPE_CHECKING:
    from millscale.core.types import Boxes, Novelty, Problem
    from millscale.runtime.card import Task
    from millscale.runtime.inspector import Inspection, Inspector

_BUNDLE = ".millscale"
_UNREADABLE = "unreadable"
_DRAWN = ".boxes.png"
_DRAWINGS = (_DRAWN, ".explained.png")
"""Endings of drawings, which keep them apart from the images, should a folder hold both."""


def inspect(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="[BUNDLE] PATH...", help="A bundle first, if any; then files, folders, globs."),
    ],
    cost: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=COST", help="Decide at this cost instead of the bundle's."),
    ] = None,
    boxes: Annotated[
        bool, typer.Option("--boxes/--no-boxes", help="Locate defects, or classify only, which is quicker.")
    ] = True,
    draw: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every image there with its boxes drawn on it.")
    ] = None,
    collect: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy unknown images there, listed in unknown.csv.")
    ] = None,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="What runs the networks: onnxruntime or openvino.")
    ] = "onnxruntime",
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of an anomaly bundle: share of good images that may be rejected."),
    ] = None,
    fail_on_defect: Annotated[
        bool, typer.Option("--fail-on-defect", help="Exit with 1 if anything is not passed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and image.")] = False,
) -> None:
    """Give a verdict on each image. Without a bundle, the packaged NEU steel model decides."""
    with failing_clearly():
        from millscale.core.errors import DataError, UsageError
        from millscale.runtime.inspector import Inspector

        bundle = paths.pop(0) if paths[0].endswith(_BUNDLE) else None
        if not paths:
            raise UsageError("Expected images to inspect, found only a bundle. Add files, folders or globs.")
        inspector = Inspector.open(
            bundle, backend=backend, tasks=_tasks(boxes=boxes), false_alarm_rate=false_alarm_rate
        )
        images, lost = image_paths(paths, apart=[folder for folder in (draw, collect) if folder])
        album = _Album(draw, inspector) if draw else None
        rejects = _Rejects(collect, inspector) if collect else None
        counts = dict.fromkeys(("pass", "reject", "review"), 0) | {_UNREADABLE: len(lost)}
        _tell_lost(lost, inspector, as_json=as_json)
        for found in inspector.inspect_files(images, costs=_costs(inspector, cost)):
            line = _line(found, inspector)
            counts[line.get("verdict", _UNREADABLE)] += 1
            _tell(line, inspector, as_json=as_json)
            if album:
                album.add(found)
            if rejects:
                rejects.add(found)
        if not as_json:
            say(", ".join(f"{count} {name}" for name, count in counts.items() if count))
            if album:
                say(f"Drawn: {album.count}, in {draw}")
            if rejects:
                say(f"Unknown and new in {collect}: {rejects.count}")
        if counts[_UNREADABLE]:
            sys.exit(DataError.exit_code)
        if fail_on_defect and counts["reject"] + counts["review"]:
            sys.exit(1)


def _tasks(*, boxes: bool) -> "tuple[Task, ...]":
    return ("classify", "detect", "anomaly") if boxes else ("classify", "anomaly")


def _line(found: "Inspection", inspector: "Inspector") -> dict[str, Any]:
    """The document of one image; of a file that cannot be read, its error."""
    if found.prediction is None or found.verdict is None:
        return {"image": str(found.path), "error": str(found.error)}
    return {
        "image": str(found.path),
        "verdict": found.verdict.outcome,
        "label": found.verdict.label,
        "confidence": round(found.verdict.confidence, 6),
        "score": round(found.prediction.score, 6),
        **({"plausible": plausible} if (plausible := inspector.plausible(found.prediction)) else {}),
        "boxes": _boxes(inspector.counting(found.prediction), inspector.card.classes),
        "reason": found.verdict.reason,
        "fault": found.prediction.fault,
        **_novelty(found.prediction.novelty, inspector.card.classes),
        "milliseconds": round(found.milliseconds, 2),
    }


def _novelty(novelty: "Novelty | None", classes: Sequence[str]) -> dict[str, Any]:
    """Of a bundle with a guard: the distance over its limit, and the nearest class."""
    return {} if novelty is None else {"novelty": round(novelty.ratio, 4), "nearest": classes[novelty.nearest]}


def _boxes(boxes: "Boxes | None", classes: Sequence[str]) -> list[dict[str, Any]]:
    """Of each box its class, its score, its place to a tenth of a pixel, and of an anomaly the pixels within it."""
    if boxes is None or boxes.score is None:
        return []
    areas = [{}] * len(boxes) if boxes.area is None else [{"area": int(area)} for area in boxes.area]
    rows = zip(boxes.class_id, boxes.score.tolist(), boxes.xyxy.tolist(), areas, strict=True)
    return [
        {"label": classes[label], "score": round(score, 4), "xyxy": [round(value, 1) for value in xyxy], **area}
        for label, score, xyxy, area in rows
    ]


def _tell_lost(lost: "Sequence[Problem]", inspector: "Inspector", *, as_json: bool) -> None:
    """What lies in a folder but cannot be opened, each as if it were an image that cannot be read."""
    for problem in lost:
        _tell({"image": problem.path, "error": problem.told}, inspector, as_json=as_json)


def _tell(line: dict[str, Any], inspector: "Inspector", *, as_json: bool) -> None:
    if "error" in line:
        say(f"Error: {line['error']}")
    if as_json:
        emit(line)
    elif "error" not in line:
        if line["fault"]:
            say(f"{line['image']}: {line['reason']}")
        count = len(line["boxes"])
        located = f"{count:3} {'box  ' if count == 1 else 'boxes'}  " if inspector.locates else ""
        text = f"{line['verdict']:<7} {line['label']:<18} {line['confidence']:7.1%}  {located}{line['image']}"
        sys.stdout.write(f"{shown(text)}\n")


class _Album:
    """A folder of drawings; images of one name in several folders are numbered.

    Raises:
        UsageError: the bundle does not locate.
    """

    def __init__(self, folder: Path, inspector: "Inspector") -> None:
        from millscale.core.errors import UsageError

        if not inspector.locates:
            raise UsageError(
                f"--draw {folder}: expected a bundle that locates defects, found only a classifier. "
                "Leave --draw out, or use a bundle with a detector and no --no-boxes."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._inspector, self._names = folder, inspector, Counter[str]()
        self.count = 0

    def add(self, found: "Inspection") -> None:
        """Draw an image; none where it could not be read."""
        from millscale.imaging.decode import read_image
        from millscale.imaging.draw import draw_boxes

        boxes = self._inspector.counting(found.prediction) if found.prediction else None
        if boxes is None:
            return
        name = f"{unused_name(found.path.stem, self._names)}{_DRAWN}"
        draw_boxes(read_image(found.path), boxes, self._inspector.card.classes).save(self._folder / name)
        self.count += 1


class _Rejects:
    """A folder of copies of unknown images; those of one name in several folders are numbered.

    Raises:
        UsageError: the bundle has no guard.
    """

    def __init__(self, folder: Path, inspector: "Inspector") -> None:
        from millscale.core.errors import UsageError

        if inspector.card.openset is None:
            raise UsageError(
                f"--collect {folder}: expected a bundle that knows what is unknown to it, found "
                f"'{inspector.card.name}', which has no guard. Train the classifier anew, or leave --collect out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._classes = folder, inspector.card.classes
        self._names = Counter[str]()
        self._list = folder / "unknown.csv"
        self._by_size: dict[int, list[Path]] = defaultdict(list)
        self.count = 0
        for path in filter(Path.is_file, folder.iterdir()):
            self._names[path.stem] += 1
            self._by_size[path.stat().st_size].append(path)

    def add(self, found: "Inspection") -> None:
        """Copy an image that is unknown, and add it to the list, unless it is there already; others are left alone."""
        from millscale.runtime.decide import UNKNOWN

        novelty = found.prediction.novelty if found.prediction else None
        if novelty is None or found.verdict is None or found.verdict.label != UNKNOWN:
            return
        alike = self._by_size[found.path.stat().st_size]
        if any(cmp(copy, found.path, shallow=False) for copy in alike):
            return
        name = f"{unused_name(found.path.stem, self._names)}{found.path.suffix}"
        alike.append(Path(shutil.copyfile(found.path, self._folder / name)))
        new = not self._list.exists()
        with self._list.open("a", newline="", encoding="utf-8", errors="backslashreplace") as file:
            rows = csv.writer(file)
            rows.writerows([["image", "nearest", "ratio", "source"]] * new)
            rows.writerow([name, self._classes[novelty.nearest], f"{novelty.ratio:.4f}", found.path])
        self.count += 1


def unused_name(stem: str, names: Counter[str]) -> str:
    """The stem, or where a file before it has that name, the stem with the next free number; ``names`` counts them."""
    name = stem
    while names[name]:
        names[stem] += 1
        name = f"{stem}-{names[stem]}"
    names[name] += 1
    return name


def _costs(inspector: Any, values: list[str] | None) -> Any:
    """The bundle's costs with these changed."""
    if not values:
        return None
    from millscale.cli.train import pairs, parse_costs

    given = parse_costs(values)
    return inspector.card.costs.model_copy(update={key: getattr(given, key) for key in pairs(values, "")})


def image_paths(paths: Sequence[str], apart: Sequence[Path] = ()) -> "tuple[list[Path], list[Problem]]":
    """Files as named, a folder's images in order, globs expanded; and what lies there but cannot be opened at all.

    Args:
        paths: files, folders and globs.
        apart: folders whose images are left out where they lie below a folder that is listed, as drawings.

    Raises:
        DataError: a path that names nothing, or a folder without an image.
    """
    from millscale.core.errors import DataError

    found, lost = list[Path](), list["Problem"]()
    for text in paths:
        path = Path(text)
        if path.is_dir():
            images, problems = _listed(path, apart)
        elif path.exists():
            images, problems = [path], []
        elif matches := _matches(text, apart):
            images, problems = image_paths(matches, apart)
        else:
            raise DataError(f"{text}: expected a file, a folder or a glob that matches, found nothing. Check the path.")
        found += images
        lost += problems
    return found, lost


def _listed(folder: Path, apart: Sequence[Path]) -> "tuple[list[Path], list[Problem]]":
    from millscale.core.errors import DataError
    from millscale.data.scan import scan

    content = scan(folder)
    lost = [problem for problem in content.problems if problem.blocking]
    tell_all(problem for problem in content.problems if not problem.blocking)
    below = {one.resolve() for one in apart if folder.resolve() in one.resolve().parents}
    paths = [folder / image for image in content.images]
    images = [path for path in paths if not path.name.endswith(_DRAWINGS)]
    kept = [path for path in images if not below or below.isdisjoint(path.resolve().parents)]
    if not kept and not lost:
        what = "only drawings and collected images of an earlier call" if paths else "none"
        raise DataError(f"{folder}: expected a folder with images, found {what} in it. Check the path.")
    if len(kept) < len(paths):
        say(f"{folder}: {len(paths) - len(kept)} drawings and collected images are left out.")
    return kept, lost


def _matches(pattern: str, apart: Sequence[Path]) -> list[str]:
    """Paths that fit a glob, absolute or not, without those ``apart``, if there are others; none of what is no glob.

    Where ``**`` is in it and finds images, it names them, not their folders too.
    """
    from millscale.imaging.decode import SUFFIXES

    found = sorted(glob(pattern, recursive=True)) if has_magic(pattern) else []  # noqa: PTH207
    if "**" in pattern:
        found = [path for path in found if path.lower().endswith(tuple(SUFFIXES)) and Path(path).is_file()] or found
    others = {one.resolve() for one in apart}
    return [path for path in found if others.isdisjoint([*(Path(path).resolve() / "x").parents])] or found
