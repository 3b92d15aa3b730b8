"""``millscale ensemble``."""

from math import isfinite
from pathlib import Path
from typing import Annotated, get_args

import typer

from millscale.cli.evaluate import one_of
from millscale.cli.output import Watch, emit, failing_clearly, say


def ensemble(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Two or more .millscale files, or one.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("ensemble.millscale"),
    weights: Annotated[str | None, typer.Option(help="Of each detector, such as 1,2; by default all alike.")] = None,
    views: Annotated[
        int | None, typer.Option(help="Views of each image that every detector fuses: 1, 2, 4, 8.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(help="Side, in pixels, of overlapping windows that every detector looks at; 0: whole images."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Annotated images that no member learned from: the scale of scores and thresholds are chosen on them."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images whose annotations cannot be used, instead of stopping.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Join bundles: detectors of the same classes, whose boxes are fused, or a classifier and detectors beside it.

    With --views, --tile or --data one bundle is enough: it gets these views or windows, and thresholds that suit them.
    """
    with failing_clearly():
        from millscale.core.errors import UsageError
        from millscale.data.read import read
        from millscale.pipeline.ensemble import ensemble as join
        from millscale.runtime.card import Views

        if out.resolve() in {path.resolve() for path in bundles}:
            raise UsageError(f"--out {out}: expected a new file, found one of the bundles to join. Name another.")
        numbers, looks = _numbers(weights), one_of("--views", views, get_args(Views))
        with Watch() as watch:
            images = read(data) if data is not None else None
            made = join(
                bundles,
                out.stem,
                weights=numbers,
                views=looks,
                tile=tile,
                images=images,
                skip_bad=skip_bad,
                progress=watch,
            )
        path = made.save(out)
        if as_json:
            emit({"bundle": str(path), "parts": [part.file for part in made.card.parts]})
            return
        for part in made.card.parts:
            say(f"{part.task:<9}{part.file}")
        if images is None and made.card.detectors and (made.card.fusion or looks or tile is not None):
            say("Thresholds  of the members, which may not suit the whole: --data DIR chooses them anew")
        if tile and made.card.classifier:
            say("Careful: only the detector looks in windows; the classifier, which decides, takes whole images.")
        say(f"Bundle  {path} ({path.stat().st_size / 2**20:.1f} MB). Next: millscale evaluate {path} DIR")


def _numbers(text: str | None) -> list[float] | None:
    from millscale.core.errors import UsageError

    if text is None:
        return None
    wrong = UsageError(f"--weights: expected numbers such as 1,2,1, found '{text}'.")
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise wrong from error
    if not all(isfinite(number) for number in numbers):
        raise wrong
    return numbers
