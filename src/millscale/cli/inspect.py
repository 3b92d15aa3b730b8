"""``millscale inspect``."""

import sys
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, Any

import typer

from millscale.cli.output import emit, failing_clearly, say

_BUNDLE = ".millscale"


def inspect(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="[BUNDLE] PATH...", help="A bundle first, if any; then files, folders, globs."),
    ],
    cost: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=COST", help="Decide at this cost instead of the bundle's."),
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
        inspector = Inspector.open(bundle)
        counts = {"pass": 0, "reject": 0, "review": 0, "unreadable": 0}
        for found in inspector.inspect_files(_images(paths), costs=_costs(inspector, cost)):
            if found.error is not None:
                counts["unreadable"] += 1
                say(f"Error: {found.error}")
                if as_json:
                    emit({"image": str(found.path), "error": str(found.error)})
                continue
            line = _line(found)
            counts[line["verdict"]] += 1
            if as_json:
                emit(line)
            else:
                sys.stdout.write(
                    f"{line['verdict']:<7} {line['label']:<18} {line['confidence']:7.1%}  {line['image']}\n"
                )
        if not as_json:
            say(", ".join(f"{count} {name}" for name, count in counts.items() if count))
        if counts["unreadable"]:
            sys.exit(DataError.exit_code)
        if fail_on_defect and counts["reject"] + counts["review"]:
            sys.exit(1)


def _line(found: Any) -> dict[str, Any]:
    return {
        "image": str(found.path),
        "verdict": found.verdict.outcome,
        "label": found.verdict.label,
        "confidence": round(found.verdict.confidence, 6),
        "score": round(found.prediction.score, 6),
        "boxes": [],
        "reason": found.verdict.reason,
        "milliseconds": round(found.milliseconds, 2),
    }


def _costs(inspector: Any, values: list[str] | None) -> Any:
    """The bundle's costs with these changed."""
    if not values:
        return None
    from millscale.cli.train import pairs, parse_costs

    given = parse_costs(values)
    return inspector.card.costs.model_copy(update={key: getattr(given, key) for key in pairs(values, "")})


def _images(paths: list[str]) -> Iterator[Path]:
    """Files as named, a folder's images in order, globs expanded.

    Raises:
        DataError: a path that names nothing, or a folder without an image.
    """
    from millscale.core.errors import DataError
    from millscale.imaging.decode import SUFFIXES

    for text in paths:
        path = Path(text)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not found:
                raise DataError(f"{text}: expected a folder with images, found none in it. Check the path.")
            yield from found
        elif path.exists():
            yield path
        elif matches := _matches(text):
            yield from _images(matches)
        else:
            raise DataError(f"{text}: expected a file, a folder or a glob that matches, found nothing. Check the path.")


def _matches(pattern: str) -> list[str]:
    """Paths that fit a glob, absolute or not; none where the text is no glob."""
    return sorted(glob(pattern, recursive=True)) if has_magic(pattern) else []  # noqa: PTH207
