"""``millscale train``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from millscale.cli.evaluate import summary_lines
from millscale.cli.output import Watch, emit, failing_clearly, refuse_given, say, tell_all


def train(
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of images, in any known layout.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classify, detect or anomaly; by default read off the recipe, else off labels and boxes."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="To classify: probe (the default) or semi (few labels), without torch; finetune, fixmatch or "
            "scratch; to locate: detect, or detect_semi where many images are not annotated; else anomaly."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="What locates: yolo_n (the default), yolo_w, yolo_s, faster_rcnn, ssd or ssdlite."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Frozen backbone: a name, a path to an ONNX file, or several joined by '+'."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME-RECIPE.")] = None,
    folds: Annotated[
        int, typer.Option(min=3, help="Folds of the cross-validation; overlapping images stay together.")
    ] = 5,
    split: Annotated[
        Path | None, typer.Option(help="Use the folds of this file or, to locate, its parts (see `data split`).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and of everything random.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the recipe; may be repeated.")
    ] = None,
    good: Annotated[list[str] | None, typer.Option(help="A class that is no defect; may be given again.")] = None,
    cost: Annotated[
        list[str] | None, typer.Option(metavar="KIND=COST", help="Of escape, overkill, mislabel or review.")
    ] = None,
    unknown_rate: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of known images that a classifier may call unknown.")
    ] = 0.01,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="A labels file (image,label) of some of the images; the rest is unlabelled."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the bundle; by default the folder's.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images whose annotations cannot be used, instead of stopping.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Repeat the run of this run.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train on a folder, judge without leakage, and write a bundle with its report.

    Interrupted and run again, it goes on from where it was.
    """
    with failing_clearly(resumes=True):
        from dataclasses import replace

        from millscale.data.read import read
        from millscale.pipeline.config import TrainConfig
        from millscale.pipeline.run import deviations, read_run
        from millscale.pipeline.train import train as run_training

        repeated = read_run(config) if config is not None else None
        if repeated is not None:
            own = {"directory", "config", "out", "as_json"}
            others = {str(parameter.name) for parameter in context.command.params} - own
            refuse_given(context, others, "--config repeats a run as it was")
            settings = TrainConfig.from_json(repeated["config"])
            if directory is not None:
                settings = replace(settings, data=str(directory))
        else:
            if split is not None:
                refuse_given(context, {"folds"}, "--split has folds or parts of its own")
            options = _options(option, backbone=backbone, detector=detector)
            settings = TrainConfig(
                data=_given(directory),
                task=_task(task, recipe, detector),
                recipe=recipe,
                options=options,
                folds=folds,
                split=str(split) if split else None,
                seed=seed,
                costs=parse_costs(cost),
                good_classes=tuple(good) if good else None,
                name=name,
                skip_bad=skip_bad,
                unknown_rate=unknown_rate,
                labels=str(labels) if labels else None,
            )
        images = read(settings.data)
        target = out or _own_folder(Path("runs") / _run_name(settings, images), settings)
        with Watch() as watch:
            run = run_training(images, settings, target, progress=watch)
        told = {problem.path for problem in run.audit.problems}
        tell_all([*run.audit.problems, *(problem for problem in run.split.problems if problem.path not in told)])
        for what in deviations(repeated, run.document) if repeated is not None else ():
            say(f"Careful: {what} of {config}; the run is another one.")
        if labels and run.document["config"]["recipe"] == "probe" and not recipe:
            say(f"{labels} labels all images, so the recipe is {run.document['config']['recipe']}.")
        if as_json:
            emit(run.to_json())
        else:
            _summary(run)


def _given(directory: Path | None) -> str:
    from millscale.core.errors import UsageError

    if directory is None:
        raise UsageError("Expected a folder of images or --config run.json, found neither. Try `millscale train DIR`.")
    return str(directory)


def _task(task: str | None, recipe: str | None, detector: str | None) -> str | None:
    """The task that is asked for by name, or by what only one task has."""
    from millscale.core import plugins
    from millscale.core.errors import UsageError
    from millscale.pipeline.config import RECIPES

    if detector is None:
        return task
    asked = task or (plugins.load(RECIPES, recipe).TASK if recipe else "detect")
    if asked != "detect":
        other = f"--task {task}" if task else f"--recipe {recipe}"
        raise UsageError(f"--detector {detector} locates defects, {other} does not. Leave out one of them.")
    return "detect"


def _options(values: list[str] | None, *, backbone: str | None, detector: str | None) -> dict[str, Any]:
    """The recipe's options: those of --set, and those that have a name of their own."""
    named = {"backbone": backbone, "detector": detector}
    return pairs(values, "--set NAME=VALUE") | {name: value for name, value in named.items() if value is not None}


def _run_name(settings: Any, images: Any) -> str:
    from millscale.data.labels import read_labels, with_labels
    from millscale.pipeline.tasks import with_recipe

    if settings.labels:
        images = with_labels(images, read_labels(settings.labels, images))
    return f"{Path(settings.data).resolve().name}-{with_recipe(settings, images).recipe}"


def _own_folder(target: Path, settings: Any) -> Path:
    """The folder of a run that nobody named, unless another data set's run is in it."""
    from millscale.core.errors import UsageError
    from millscale.pipeline.run import RUN_FILE, read_run

    if (target / RUN_FILE).is_file():
        earlier = read_run(target / RUN_FILE)["config"]["data"]
        if Path(earlier).resolve() != Path(settings.data).resolve():
            raise UsageError(
                f"{target} holds the run on {earlier}, which this one on {settings.data} would replace. Name another "
                "folder with --out."
            )
    return target


def pairs(values: list[str] | None, form: str) -> dict[str, Any]:
    """``["a=1"]`` → ``{"a": "1"}``."""
    from millscale.core.errors import UsageError

    result: dict[str, Any] = {}
    for value in values or []:
        key, equals, content = value.partition("=")
        if not equals or not key:
            raise UsageError(f"Expected {form}, found '{value}'.")
        result[key] = content
    return result


def parse_costs(values: list[str] | None) -> Any:
    """Costs from ``KIND=COST`` options, the defaults for those left out."""
    from pydantic import ValidationError

    from millscale.core.errors import UsageError
    from millscale.runtime.card import Costs

    try:
        return Costs.model_validate(pairs(values, "--cost KIND=COST"))
    except ValidationError as error:
        first = error.errors()[0]
        kinds = ", ".join(Costs.model_fields)
        raise UsageError(
            f"--cost {first['loc'][0]}: {first['msg']}. Expected KIND=COST with a kind of {kinds} and a cost ≥ 0."
        ) from error


def _summary(run: Any) -> None:
    from millscale.pipeline.run import UNJUDGED

    say("")
    if run.metrics:
        for line in summary_lines(run.metrics):
            say(line)
        say(f"  {run.metrics.groups} independent groups; {run.protocol.split}")
    else:
        say(f"Not measured, for no class has labels in two independent groups. {UNJUDGED}")
    semi = run.document["trained"] if run.document["config"]["recipe"] == "semi" else {}
    if semi and semi["head"] != "spread":
        spread, alone = semi["errors"]["spread"], semi["errors"][semi["head"]]
        say(
            f"Careful: {spread} of {semi['judged']} held-out labels were missed with the unlabelled images, {alone} "
            "without; so the model learned from the labels alone."
        )
    card = run.bundle.card
    for fold, told in run.document["trained"].get("learned", {}).items():
        if len(told["map50"]) > 1:
            alone, student = told["map50"][0], told["map50"][-1]
            worse = "" if student >= alone else ": here they did harm, so use --recipe detect"
            say(
                f"Learned {fold}: mAP50 {alone:.1%} from {told['annotated']} annotated images alone, {student:.1%} "
                f"with {told['without_annotation']} others{worse}"
            )
    if card.scorer:
        limit = card.scorer.alarms
        guessed = ", beyond which scores were extrapolated" if limit.extrapolated else ""
        say(
            f"Limit   expected to reject {limit.expected_rate:.2%} of new good images, with 95 % confidence at most "
            f"{limit.upper_bound:.1%}: chosen on {limit.images} images in {limit.groups} groups{guessed}"
        )
    if card.openset:
        say(f"Unknown {card.openset.measured:.1%} of held-out known images ({card.openset.asked:.0%} asked)")
    suspects = [entry["image"] for entry in run.document["trained"].get("suspects", ())]
    if suspects:
        say(
            f"Look at  {', '.join(suspects)}: so unlike the other good images that they may show defects. Remove those."
        )
    say(f"Bundle  {run.bundle_path} ({run.bundle_path.stat().st_size / 2**20:.1f} MB)")
    if run.metrics:
        say(f"Report  {run.folder / 'report.html'}")
    say(f"Took    {run.document['seconds']:.1f} s")
