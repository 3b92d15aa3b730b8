"""``millscale label``."""

from pathlib import Path
from typing import Annotated

import typer

from millscale.cli.output import Watch, emit, failing_clearly, say

app = typer.Typer(help="Choose what to label, name it, and find wrong labels.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_Backbone = Annotated[str | None, typer.Option(help="Name or path, several joined by +; by default the packaged one.")]


@app.command()
def unknown(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Images, as `inspect --collect DIR` gathered them.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Whose classifier looks at them; by default the packaged NEU model.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for one folder a kind.")] = Path("kinds"),
    as_json: _Json = False,
) -> None:
    """Sort unknown images into kinds, each a folder that can become a new class."""
    with failing_clearly():
        from millscale.cli.inspect import image_paths
        from millscale.pipeline.unknown import sort_unknown

        with Watch() as watch:
            kinds = sort_unknown(bundle, image_paths([str(directory)])[0], out, progress=watch)
        if as_json:
            found = [(str(kind.folder), [str(path) for path in kind.images], kind.nearest) for kind in kinds]
            emit({"kinds": [dict(zip(("folder", "images", "nearest"), kind, strict=True)) for kind in found]})
            return
        for kind in kinds:
            near = f", nearest to {kind.nearest}" if kind.nearest else ""
            say(f"{kind.folder}  {len(kind.images)} images{near}")
        say("Look at each, name the folder after its defect, put it beside the classes, and train anew.")


@app.command(name="next")
def ask_next(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What has a label already: a CSV file with image,label.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many images to ask about.")] = 20,
    out: Annotated[Path, typer.Option(help="The list to fill; a page to click through is put beside it.")] = Path(
        "to_label.csv"
    ),
    backbone: _Backbone = None,
    as_json: _Json = False,
) -> None:
    """Choose the images whose labels teach most; no two of them show the same surface."""
    with failing_clearly():
        from millscale.data.read import read
        from millscale.features.backbone import DEFAULT_BACKBONE
        from millscale.pipeline.labelling import given_labels, questions, write_questions

        images = read(directory)
        given = given_labels(images, labels, say)
        with Watch() as watch:
            found = questions(images, given, count, backbone=backbone or DEFAULT_BACKBONE, progress=watch)
        page = write_questions(found, out, given, images)
        if len(found.asked) < count:
            say(f"Independent groups left without a label: {found.left} for {count} wanted; each is asked about.")
        if as_json:
            asked = [
                {"image": q.image, "suggestion": q.suggestion, "confidence": q.confidence, "reason": q.reason}
                for q in found.asked
            ]
            files = {"csv": str(out), "page": str(page)}
            emit({"next": asked, "classes": found.classes, "labelled": found.labelled, "left": found.left, **files})
            return
        for number, question in enumerate(found.asked, 1):
            perhaps = f"perhaps {question.suggestion}; " if question.suggestion else ""
            say(f"{number:>3}  {question.image}  {perhaps}{question.reason}")
        say(f"Labelled images: {found.labelled}; independent groups without a label: {found.left}.")
        applied = f"millscale label apply {out} --labels FILE"
        say(f"Fill the column `label` of {out}, or click through {page} and save; then `{applied}`.")


@app.command()
def apply(
    filled: Annotated[Path, typer.Argument(metavar="FILLED", help="A list of `label next` or `label check`, filled.")],
    labels: Annotated[Path, typer.Option(metavar="FILE", help="The labels file that grows; made where there is none.")],
    data: Annotated[Path | None, typer.Option(help="The folder of images, by which the names are checked.")] = None,
    suggestions: Annotated[
        bool,
        typer.Option(
            "--suggestions", help="Take the suggestion where no label was filled in, and of each row of `label check`."
        ),
    ] = False,
    new_class: Annotated[
        bool, typer.Option("--new-class", help="Believe a new name that is nearly that of another class.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let answers replace labels that differ.")] = False,
    folders: Annotated[
        Path | None, typer.Option(help="Also copy the labelled images of --data into one folder a class.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Add the answers of a filled list to a labels file."""
    with failing_clearly():
        from millscale.core.errors import UsageError
        from millscale.data.labels import write_labels
        from millscale.data.read import read
        from millscale.pipeline import answers as taking

        if folders is not None and data is None:
            raise UsageError("Expected --data with --folders, found none. Name the folder that holds the images.")
        images = None if data is None else read(data)
        given = taking.read_answers(filled, images, suggestions=suggestions)
        known = taking.read_known(labels, images, given)
        classes = () if images is None else images.classes
        applied = taking.apply(given, known, classes, new_class=new_class, replace=replace)
        if folders is not None and images is not None:
            say(f"{taking.copy_labelled(applied.labels, images, folders)} images copied into {folders}")
        write_labels(labels, applied.labels)
        if as_json:
            emit({"labels": len(applied.labels), "added": applied.added, "changed": applied.changed})
            return
        say(f"{len(applied.added)} labels added, {len(applied.changed)} changed; {labels} holds {len(applied.labels)}.")


@app.command()
def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled images.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check these labels, not those that the folder gives.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the lists and the page; by default runs/NAME-labels.")
    ] = None,
    backbone: _Backbone = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds.")] = 0,
    as_json: _Json = False,
) -> None:
    """Rank the labels by how strongly a model that never saw the image contradicts them."""
    with failing_clearly():
        from millscale.data.labels import read_labels
        from millscale.data.read import read
        from millscale.features.backbone import DEFAULT_BACKBONE
        from millscale.pipeline.label_check import check_labels, write_check

        images = read(directory)
        given = None if labels is None else read_labels(labels, images, whole=False)
        with Watch() as watch:
            found = check_labels(images, given, backbone=backbone or DEFAULT_BACKBONE, seed=seed, progress=watch)
        folder = out or Path("runs") / f"{directory.resolve().name}-labels"
        write_check(found, folder)
        if as_json:
            ranking = [dict(zip(("image", "label", "suggestion", "score"), row, strict=True)) for row in found.rows]
            emit({"images": len(found.rows), "suspects": found.suspects, "ranking": ranking, "out": str(folder)})
            return
        for image, label, suggestion, score in found.rows[: min(len(found.suspects), 20)]:
            say(f"{score:>6.1%}  {image}: {label}, perhaps {suggestion}")
        say(f"{len(found.suspects)} of {len(found.rows)} labels are contradicted: {folder / 'suspects.html'}")
        if found.suspects:
            applied = f"millscale label apply {folder / 'suspects.csv'} --labels FILE --suggestions --data {directory}"
            say(f"Strike out the rows of suspects.csv whose label is right; then `{applied}`.")


@app.command()
def suggest(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A CSV file with image,label; by default the folders beside `unlabelled/`."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The list of suggestions, the surest first.")] = Path("suggested.csv"),
    backbone: _Backbone = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds in which labels are hidden.")] = 0,
    as_json: _Json = False,
) -> None:
    """Suggest a label for every image that has none, with its confidence."""
    with failing_clearly():
        from millscale.data.read import read
        from millscale.features.backbone import DEFAULT_BACKBONE
        from millscale.pipeline.labelling import given_labels, require_applied
        from millscale.pipeline.suggest import suggest as spread

        images = read(directory)
        given = given_labels(images, labels, say, whole=True)
        require_applied(out, given, images)
        with Watch() as watch:
            found = spread(images, given, backbone=backbone or DEFAULT_BACKBONE, seed=seed, progress=watch)
        found.save(out)
        if as_json:
            suggested = {name: label for name, (label, _) in found.labels.items()}
            confidence = {name: sure for name, (_, sure) in found.labels.items()}
            hidden = {"judged": found.judged, "wrong": found.wrong}
            emit({"suggestions": suggested, "confidence": confidence, **hidden, "out": str(out)})
            return
        say(f"{len(found.labels)} suggestions from {len(given)} labels: {out}")
        if found.judged:
            say(f"Of {found.judged} labels that were hidden, {found.judged - found.wrong} were suggested right.")
        else:
            say("How good they are was not measured: that takes labels of two independent groups of a class.")
        applied = f"millscale label apply {out} --labels FILE --suggestions"
        say(f"Look at the doubtful ones at its end, then `{applied}`, or train with --labels.")


@app.command()
def curve(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, all labelled.")],
    size: Annotated[
        list[int] | None, typer.Option("--labels", min=1, help="Labels of each class; may be given again.")
    ] = None,
    draws: Annotated[int, typer.Option(min=2, help="How often labels are drawn for each size.")] = 10,
    out: Annotated[Path | None, typer.Option(help="The page; by default runs/NAME-curve/report.html.")] = None,
    backbone: _Backbone = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and the draws.")] = 0,
    as_json: _Json = False,
) -> None:
    """Measure how accuracy grows with the number of labels: how many are enough?"""
    with failing_clearly():
        from millscale.data.read import read
        from millscale.features.backbone import DEFAULT_BACKBONE
        from millscale.pipeline.curve import COUNTS, learning_curve
        from millscale.report.curve import accuracy

        with Watch() as watch:
            found = learning_curve(
                read(directory),
                labels=size or COUNTS,
                draws=draws,
                backbone=backbone or DEFAULT_BACKBONE,
                seed=seed,
                progress=watch,
            )
        page = found.report(out or Path("runs") / f"{directory.resolve().name}-curve" / "report.html")
        if as_json:
            emit({**found.to_json(), "report": str(page)})
            return
        say("labels of each class   suggestions        model, new images   labels alone")
        for point in found.points:
            cells = "  ".join(f"{accuracy(each):<18}" for each in (point.spread, point.head, point.alone))
            say(f"{point.labels:>20}   {cells}")
        say(f"Report  {page}")
