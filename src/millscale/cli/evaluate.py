"""``millscale evaluate``."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from millscale.cli.output import Watch, emit, failing_clearly, say, tell_all


def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A .millscale file.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled or annotated images.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the report; by default evaluations/BUNDLE-DIR.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classify or detect, where the bundle can do both; by default read off the labels."),
    ] = None,
    views: Annotated[int | None, typer.Option(help="Views of each image that a detector fuses: 1, 2, 4 or 8.")] = None,
    backend: Annotated[str, typer.Option(help="What runs the networks: onnxruntime or openvino.")] = "onnxruntime",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images whose annotations cannot be used, instead of stopping.")
    ] = False,
    unknown_classes: Annotated[
        bool, typer.Option("--unknown-classes", help="Classes that the bundle does not know should be called unknown.")
    ] = False,
    good: Annotated[
        list[str] | None, typer.Option(help="A class that is no defect, for an anomaly bundle; may be given again.")
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of an anomaly bundle: share of good images that may be rejected."),
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=COST",
            help="Judge a classifier at this cost instead of its own; of an anomaly bundle, tell the cheapest limit.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Judge a bundle on labelled images: numbers with intervals, pictures, report."""
    with failing_clearly():
        from millscale.cli.train import pairs, parse_costs
        from millscale.data.read import read
        from millscale.pipeline.evaluate import evaluate as run_evaluation
        from millscale.pipeline.evaluate import rate_in_words
        from millscale.runtime.card import Views

        costs = {kind: getattr(parse_costs(cost), kind) for kind in pairs(cost, "--cost KIND=COST")}
        target = out or Path("evaluations") / f"{bundle.stem}-{directory.resolve().name}"
        images = read(directory)
        with Watch() as watch:
            result = run_evaluation(
                bundle,
                images,
                target,
                task=task,
                views=one_of("--views", views, get_args(Views)),
                backend=backend,
                skip_bad=skip_bad,
                good_classes=good or None,
                false_alarm_rate=false_alarm_rate,
                costs=costs or None,
                unknown_classes=unknown_classes,
                progress=watch,
            )
        tell_all(result.problems)
        if result.trained_on:
            say(f"Careful: {result.trained_on} of these images were used to train this bundle; this is no test.")
        if result.faults:
            say(f"Careful: {result.faults} of these images are faulty photographs; `inspect` says why.")
        if as_json:
            emit(result.to_json())
            return
        for line in summary_lines(result.metrics):
            say(line)
        for key, value in result.rates.items():
            say(f"  {key.replace('_', ' ')} {rate_in_words(value, result.rate_intervals.get(key))}")
        for key, value in result.unknown.get("unknown_flagged", {}).items():
            say(f"  {key}: {value:.1%} called unknown")
        if result.unknown:
            say(f"  unknown from known: AUROC {result.unknown['unknown_auroc']:.3f}")
        if result.cheapest:
            say(
                f"Cheapest on these images: {result.cheapest['limit']:.2f} × this limit, which "
                f"--false-alarm-rate {result.cheapest['false_alarm_rate']:g} sets. Judge it on others."
            )
        say(f"Report  {target / 'report.html'}")


_ANOMALY_FIGURES = (
    ("auroc", "AUROC of images"),
    ("average_precision", "Average precision"),
    ("fpr95", "FPR at 95 % recall"),
    ("escape_rate", "Escapes"),
    ("overkill_rate", "Overkill"),
    ("pixel_auroc", "AUROC of pixels"),
    ("aupro", "AUPRO up to 30 %"),
)


_DETECTION_FIGURES = (
    ("map50", "mAP50"),
    ("map50_95", "mAP50-95"),
    ("escape_rate", "Escapes"),
    ("overkill_rate", "Overkill"),
)


def _figure(name: str, value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return f"{name:<19} undefined here"
    low, high = interval
    return f"{name:<19} {value:6.1%} (95 % interval {low:.1%} to {high:.1%})"


def one_of(option: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """The value, where it is one of the choices or not given."""
    from millscale.core.errors import UsageError

    if value is not None and value not in choices:
        raise UsageError(f"{option}: expected one of {', '.join(map(str, choices))}, found {value}.")
    return value


def summary_lines(metrics: Any) -> list[str]:
    """What a terminal says of the metrics of a classifier, a detector or an anomaly scorer."""
    if hasattr(metrics, "auroc"):
        return [_figure(name, getattr(metrics, key), metrics.intervals.get(key)) for key, name in _ANOMALY_FIGURES]
    if hasattr(metrics, "accuracy"):
        low, high = metrics.intervals["accuracy"]
        return [
            f"Accuracy {metrics.accuracy:.2%} (95 % interval {low:.2%} to {high:.2%})",
            f"  {metrics.errors} of {metrics.images} wrong",
        ]
    found = metrics.to_json()
    lines = [_figure(name, found[key], metrics.intervals.get(key)) for key, name in _DETECTION_FIGURES]
    lines += [f"  AP50 {name:<22} {'–' if ap is None else format(ap, '.1%')}" for name, ap in found["ap50"].items()]
    if metrics.unchosen:
        lines.append(
            f"Careful: a box of {', '.join(metrics.unchosen)} counts from a score of 0.5, the threshold of a class of "
            "which none was drawn or none found rightly. It may let all defects pass."
        )
    return lines
