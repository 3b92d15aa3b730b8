"""From images and their annotations to a manifest: labels, canonical names, audited boxes."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from millscale.core.types import Problem
from millscale.data.classes import canonical_names, neu_class, original_stem, prefix_of
from millscale.data.formats._assemble import Labelled, not_images, readable_records, same_names, small_classes
from millscale.data.formats._box_audit import audited_boxes
from millscale.data.formats._drawn import Annotation
from millscale.data.formats._pairing import class_folders_of, split_of
from millscale.data.manifest import ImageRecord, Manifest
from millscale.data.scan import Scan, narrowed
from millscale.imaging.decode import read_size


@dataclass(frozen=True)
class AnnotatedImages:
    """What a format found in a folder.

    Attributes:
        images: the pictures, below the folder.
        annotations: of those that have one.
        used: the files that are neither pictures nor passed over: annotations, lists, class names.
        classes: names declared besides those drawn.
        splits: of images whose folders do not say it.
        problems: what was found so far.
        labels: of images whose folders do not name a class.
        groups: of images that belong together, as their folders say.
    """

    images: Sequence[PurePosixPath]
    annotations: Mapping[PurePosixPath, Annotation]
    used: frozenset[PurePosixPath]
    classes: Sequence[str] = ()
    splits: Mapping[PurePosixPath, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    labels: Mapping[PurePosixPath, str] = field(default_factory=dict)
    groups: Mapping[PurePosixPath, str] = field(default_factory=dict)


def annotated_manifest(source: Path, content: Scan, found: AnnotatedImages) -> Manifest:
    """The manifest with boxes.

    The label of an image is its class folder's name; else its file's prefix (``crazing_1``) where every image has
    a NEU one; else the class of most of its boxes; else None, as of an image that shows nothing.
    """
    drawn = {box.name for annotation in found.annotations.values() for box in annotation.boxes or ()}
    named = _named_labels(found, drawn.union(found.classes))
    labels = {image: named[image] or _majority(found.annotations.get(image)) for image in found.images}
    names = canonical_names(sorted(drawn.union(found.classes, filter(None, labels.values()))))
    classes = tuple(sorted(set(names.values())))
    named_images = ((i, names[label] if (label := labels[i]) else None) for i in found.images)
    images = [Labelled(i, label, found.splits.get(i) or split_of(i)) for i, label in named_images]
    records, lost = readable_records(content, images)
    checked, wrong = _checked(records, found.annotations, names, classes, {i for i in named if named[i]})
    checked = [replace(record, group=found.groups.get(PurePosixPath(record.id))) for record in checked]
    manifest = Manifest(tuple(checked), classes, str(source))
    problems = [
        *content.problems,
        *found.problems,
        *lost,
        *wrong,
        *not_images(content, [path for path in content.others if path not in found.used]),
        *same_names(content, images),
        *small_classes(
            Counter(name for record in checked for name in manifest.shown(record)),
            classes,
            listed={names[name] for name in found.classes},
        ),
    ]
    return replace(manifest, problems=tuple(problems))


def annotated_content(whole: Scan, needed: frozenset[str] = frozenset()) -> Scan:
    """The folder's content below its needless top folders, unless files ``needed`` (by ending) lie above them."""
    inner = narrowed(whole, to_images=False)
    above = len(whole.others) - len(inner.others)
    kept = sum(path.suffix.lower() in needed for path in inner.others)
    listed = sum(path.suffix.lower() in needed for path in whole.others)
    return whole if above and listed > kept else inner


def _checked(
    records: Sequence[ImageRecord],
    annotations: Mapping[PurePosixPath, Annotation],
    names: Mapping[str, str],
    classes: Sequence[str],
    named: Container[PurePosixPath],
) -> tuple[list[ImageRecord], list[Problem]]:
    """The records with their boxes, held against the label of those images that are ``named``, and what is wrong."""
    checked, problems = [], []
    for record in records:
        annotation = annotations.get(PurePosixPath(record.id))
        if annotation is None:
            checked.append(record)
            continue
        label = record.label if PurePosixPath(record.id) in named else None
        size = read_size(record.path)
        boxes, wrong = audited_boxes(replace(record, label=label), annotation, size, names, classes)
        checked.append(replace(record, boxes=boxes, mask=annotation.mask))
        problems += wrong
    return checked, problems


def _named_labels(found: AnnotatedImages, classes: set[str]) -> dict[PurePosixPath, str | None]:
    """What folders, or the names of files, call each image; None where they call it nothing."""
    folders = _class_folders(found.images, classes)
    prefixes = {image: prefix_of(original_stem(image.stem)) for image in found.images}
    if not all(neu_class(name or "") for name in (*prefixes.values(), *classes)):
        prefixes = {}
    return {i: found.labels.get(i) or folders.get(i) or prefixes.get(i) for i in found.images}


def _class_folders(images: Sequence[PurePosixPath], classes: Iterable[str]) -> dict[PurePosixPath, str]:
    """The class folder of each image that lies in one; none where no folder names a class of the annotations."""
    folders = {image: own[-1] for image in images if (own := class_folders_of(image))}
    known = {neu_class(name) or name for name in classes}
    meant = {neu_class(folder) or folder for folder in folders.values()}
    return folders if meant & known or not known else {}


def _majority(annotation: Annotation | None) -> str | None:
    """The class of most boxes; of equally many, the one annotated first."""
    counts = Counter(box.name for box in (annotation and annotation.boxes) or ())
    return counts.most_common(1)[0][0] if counts else None
