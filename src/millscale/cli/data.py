"""``millscale data …``: look at data sets, divide, fetch and make them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from millscale.cli.output import Watch, emit, failing_clearly, refuse_given, say, tell_all

app = typer.Typer(help="Audit, split, convert, fetch and make data sets.", no_args_is_help=True, rich_markup_mode=None)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def check(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|SPLIT", help="A folder of images, or a split file with --data.")
    ],
    data: Annotated[Path | None, typer.Option(help="The folder that a split file divides.")] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A part of a split as a list of names; 'train' and others."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures of the largest groups and of boxes that disagree.")
    ] = None,
    labels: Annotated[bool, typer.Option(help="Look for wrong labels with a model of the packaged backbone.")] = True,
    as_json: _Json = False,
) -> None:
    """Find shared pixels, duplicates, unreadable files, doubtful labels and boxes; measure a split's leak."""
    with failing_clearly():
        from millscale.data.read import read
        from millscale.pipeline.audited import audited

        images = read(data or source)
        parts = _parts(source, data, part, images)
        with Watch() as watch:
            audit = audited(images, watch)
            if labels:
                audit = _with_suspects(images, audit, watch)
        document: dict[str, Any] = audit.to_json()
        if parts is not None:
            from millscale.data.leaks import leaks

            document["leaks"] = [leak.to_json() for leak in leaks(parts, audit)]
        if any(record.boxes is not None for record in images.records):
            from millscale.metrics.agreement import agreement

            document["boxes"] = images.box_counts
            document["box_agreement"] = agreement(images, audit).to_json()
        if out is not None:
            _draw(images, audit, out)
        if as_json:
            emit(document)
        else:
            _say_audit(document)


def _draw(images: Any, audit: Any, out: Path) -> None:
    from millscale.data.audit.disagreements import draw_disagreements
    from millscale.data.audit.mosaic import draw_groups

    out.mkdir(parents=True, exist_ok=True)
    pictures = {"groups.png": draw_groups(images, audit), "boxes.png": draw_disagreements(images, audit)}
    for name, picture in pictures.items():
        if picture is not None:
            picture.save(out / name)
            say(f"Picture {out / name}")


def _with_suspects(images: Any, audit: Any, watch: Watch) -> Any:
    """The audit with the labels that a model doubts, where one can be trained."""
    from millscale.core.errors import DataError

    try:
        from millscale.learn.label_errors import suspect_labels
        from millscale.pipeline.tasks.classify import usable

        return audit.with_suspects(suspect_labels(usable(images, audit), progress=watch))
    except DataError as error:
        say(f"Labels were not checked: {error}")
    except ImportError as error:
        say(f'Labels were not checked: {error.name} is not installed. Run: pip install "millscale[learn]"')
    return audit


def _part_files(part: list[str]) -> dict[str, Path]:
    from millscale.cli.train import pairs

    return {name: Path(file) for name, file in pairs(part, "--part NAME=FILE").items()}


def _parts(source: Path, data: Path | None, part: list[str] | None, images: Any) -> Any:
    """The split to measure: from files, from a split file, or the one that came with the folders."""
    from millscale.core.errors import UsageError
    from millscale.data.leaks import named_parts, read_parts

    if part and data is not None:
        raise UsageError("Expected a split file with --data or lists with --part, found both. Leave one of them out.")
    if part:
        return read_parts(_part_files(part), images)
    if data is not None:
        return read_parts(source, images)
    named = {record.split for record in images.records if record.split}
    return named_parts(images) if "train" in named and len(named) > 1 else None


def _say_classes(classes: Mapping[str, int], images: int, boxes: Mapping[str, int]) -> None:
    unlabelled = images - sum(classes.values())
    others = {"without a label": unlabelled} if unlabelled else {}
    for name, count in (*classes.items(), *others.items()):
        drawn = f"{boxes[name]:>8} boxes" if name in boxes else ""
        say(f"  {name:<24}{count:>6}{drawn}")


def _say_audit(found: dict[str, Any]) -> None:
    from millscale.core.types import Problem

    say(f"{found['images']} images, {found['groups']} independent groups")
    _say_classes(found["classes"], found["images"], found.get("boxes", {}))
    involved = len({name for pair in found["overlaps"] for name in pair[:2]})
    if found["overlaps"]:
        say(f"{len(found['overlaps'])} pairs share pixels; {involved} images take part. A random split would leak.")
    if found["second_exposures"]:
        say(f"{len(found['second_exposures'])} more pairs show the same surface in two photographs.")
    for key, text in (("exact_duplicates", "exact duplicates"), ("near_duplicates", "near duplicates")):
        if found[key]:
            say(f"{len(found[key])} {text}, such as {found[key][0][0]} and {found[key][0][1]}")
    for suspect in found["suspect_labels"][:20]:
        say(
            f"doubtful label: {suspect['image']}: {suspect['label']}, perhaps {suspect['suggestion']}. "
            f"{suspect['reason']}"
        )
    tell_all(Problem(**problem) for problem in found["problems"])
    if found.get("box_agreement", {}).get("mean", {}).get("boxes"):
        from millscale.metrics.agreement import agreement_lines

        say("Boxes drawn twice on the same pixels: how well the two annotations agree, the ceiling of honest detectors")
        for line in agreement_lines(found["box_agreement"]):
            say(line)
    for leak in found.get("leaks", ()):
        say(
            f"leak: {leak['leaking']} of {leak['images']} {leak['part']} images ({leak['fraction']:.1%}) "
            "share surface with a training image"
        )


@app.command()
def split(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images.")],
    out: Annotated[Path, typer.Option(help="The split file to write.")] = Path("split.json"),
    folds: Annotated[int, typer.Option(help="Parts for cross-validation; 0 for none.")] = 5,
    test: Annotated[float, typer.Option(help="Share of the images to keep for a final test.")] = 0.0,
    val: Annotated[float, typer.Option(help="Share of the images for validation.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides among equally good divisions.")] = 0,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Take the division from lists of names: train, and val or test."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Divide a data set; images that share pixels stay together, unless lists of names divide them."""
    with failing_clearly():
        from millscale.data.leaks import read_parts
        from millscale.data.read import read
        from millscale.data.split import named_split
        from millscale.data.split import split as divide
        from millscale.pipeline.audited import audited

        if part:
            refuse_given(context, ("folds", "test", "val", "seed"), "--part takes the division as it is")
        images = read(directory)
        given = read_parts(_part_files(part), images) if part else None
        with Watch() as watch:
            audit = audited(images, watch)
        readable = images.select(name for name in images.ids if name not in set(audit.unreadable))
        if isinstance(given, Mapping):
            known = set(readable.ids)
            listed = {name: [one for one in ids if one in known] for name, ids in given.items()}
            parts = named_split(readable, listed, audit.groups)
        else:
            parts = divide(readable, folds=folds, groups=audit.groups, test=test, val=val, seed=seed)
        parts.save(out)
        tell_all(parts.problems)
        say(f"{parts.groups} groups; {len(parts.train)} train, {len(parts.val)} val, {len(parts.test)} test")
        if parts.leaks:
            say(f"{parts.leaks} held-out images belong to the group of a training image.")
        say(f"Wrote {out}")
        if as_json:
            emit(parts.to_json())


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="neu-cls, neu-det, a backbone's name, or that of a training's weights.")],
    out: Annotated[Path | None, typer.Option(help="Where a data set goes; by default a folder of its name.")] = None,
) -> None:
    """Download a data set, a backbone or weights by name, and verify them. The only command that uses the network."""
    with failing_clearly():
        from millscale.core import plugins
        from millscale.core.errors import UsageError, unknown_name
        from millscale.data.fetch import SOURCES
        from millscale.data.fetch import fetch as fetch_data
        from millscale.features.backbone import PACKAGE, download_backbone
        from millscale.train.published import PUBLISHED, download_weights

        if out is not None and name not in SOURCES:
            raise UsageError("--out is where a data set goes; weights go to the cache (MILLSCALE_CACHE). Leave it out.")
        backbones = plugins.names(PACKAGE)
        if name in backbones:
            say(f"Ready: {download_backbone(name, report=say)}")
        elif name in PUBLISHED:
            say(f"Ready: {download_weights(name, report=say)}")
        elif name in SOURCES:
            images = fetch_data(name, out or Path(name))
            say(f"{len(images)} images in {out or Path(name)}")
        else:
            raise unknown_name("data set, backbone or weights", name, [*SOURCES, *backbones, *PUBLISHED])


@app.command()
def convert(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, in any known layout.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    to: Annotated[str, typer.Option(help="class_folders, or with boxes: voc, coco, yolo.")] = "class_folders",
    layout: Annotated[
        str | None,
        typer.Option("--format", help="Layout of DIR, if it is not to be recognised: `masks` makes boxes of masks."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images of annotations that are no use.")
    ] = False,
) -> None:
    """Copy a data set into another layout: one folder a class, Pascal VOC, COCO JSON or YOLO text."""
    with failing_clearly():
        from millscale.data.convert import convert as lay_out
        from millscale.data.read import read
        from millscale.data.sound import SKIPPED

        images = read(directory, format=layout)
        tell_all(images.problems)
        copy = lay_out(images, out, to, skip_bad=skip_bad)
        tell_all(problem for problem in copy.problems if problem.code == SKIPPED)
        say(f"{len(copy)} images in {out}")


@app.command()
def consensus(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images with boxes.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out images of annotations that are no use.")
    ] = False,
) -> None:
    """Merge the boxes that overlapping images were given separately, and write them as Pascal VOC."""
    with failing_clearly():
        from millscale.data.audit.consensus import consensus as merge
        from millscale.data.convert import whole_folder
        from millscale.data.formats import pascal_voc
        from millscale.data.read import read
        from millscale.data.sound import require_boxes, require_sound
        from millscale.pipeline.audited import audited

        images = require_sound(read(directory), skip_bad=skip_bad)
        tell_all(images.problems)
        require_boxes(images)
        # The folder first: what is wrong with OUT is told before the long audit, not after it.
        with whole_folder(out) as folder:
            with Watch() as watch:
                merged = merge(images, audited(images, watch))
            touched = _merged_images(images, merged)
            pascal_voc.write(merged, folder)
        before, after = (sum(len(r.boxes) for r in m.records if r.boxes is not None) for m in (images, merged))
        say(
            f"{len(merged)} images in {out}; the boxes of {touched} that overlap were merged: {before} boxes before, "
            f"{after} now, with those that only a neighbour had. Judge models on the annotations as they were."
        )


def _merged_images(images: Any, merged: Any) -> int:
    """How many images overlap others, so that their boxes were merged."""
    from millscale.core.errors import DataError

    touched = sum(old is not new for old, new in zip(images.records, merged.records, strict=True))
    if not touched:
        raise DataError(
            f"{images.source}: expected annotated images that overlap, found none among {len(images)}. "
            "There is nothing to merge: use the annotations as they are."
        )
    return touched


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    per_class: Annotated[int, typer.Option(min=1, help="Images of each of the six defects.")] = 60,
    size: Annotated[int, typer.Option(min=32, help="Side of an image in pixels.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pixels.")] = 0,
) -> None:
    """Make images of hot-rolled strip with six defects, their masks, boxes and known overlaps."""
    with failing_clearly():
        from millscale.data.synthetic import make_dataset

        with Watch() as watch:

            def step(done: int, total: int) -> None:
                watch("images", done, total)

            images = make_dataset(out, per_class=per_class, size=size, seed=seed, progress=step)
        say(f"{len(images)} images in {out / 'images'}; masks and truth.json beside them")
