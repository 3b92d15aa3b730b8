"""``millscale evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from millscale.cli.output import Watch, emit, failing_clearly, say, tell_all


def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A .millscale file.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled images.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the report; by default evaluations/BUNDLE-DIR.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Judge a bundle on labelled images: numbers with intervals, pictures, report."""
    with failing_clearly():
        from millscale.data.read import read
        from millscale.pipeline.evaluate import evaluate as run_evaluation

        target = out or Path("evaluations") / f"{bundle.stem}-{directory.resolve().name}"
        images = read(directory)
        with Watch() as watch:
            result = run_evaluation(bundle, images, target, progress=watch)
        tell_all(result.problems)
        if result.trained_on:
            say(f"Careful: {result.trained_on} of these images were used to train this bundle; this is no test.")
        if as_json:
            emit(result.to_json())
            return
        low, high = result.metrics.intervals["accuracy"]
        say(f"Accuracy {result.metrics.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%})")
        say(f"  {result.metrics.errors} of {result.metrics.images} wrong")
        for key, value in result.rates.items():
            say(f"  {key.replace('_', ' ')} {'undefined here' if value is None else format(value, '.2%')}")
        say(f"Report  {target / 'report.html'}")
