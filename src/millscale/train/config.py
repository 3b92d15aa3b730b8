"""The options of the recipes that train a whole network; listing them needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from millscale.core.errors import UsageError
from millscale.imaging.tiling import check_tile
from millscale.runtime.card import LONGEST_SIDE, Views

Precision = Literal["auto", "float32", "bfloat16"]
"""Of the arithmetic while training; "auto" takes bfloat16 where it is faster."""
Final = Literal["refit", "reuse"]
DeviceName = Literal["auto", "cpu", "cuda"]
DEFAULT_NETWORK = "millscale_s"
"""The one that ships inside the package: nothing has to be fetched."""


class _Checked:
    """A frozen configuration that refuses values which make no sense."""

    def _check(self, name: str, expected: str, holds: Callable[[Any], bool]) -> None:
        """Refuse a value of the field ``name`` for which ``holds`` does not."""
        value = getattr(self, name)
        if not holds(value):
            raise UsageError(f"{name}: expected {expected}, found {value!r}. Set it with --set {name}=….")


@dataclass(frozen=True)
class ClassifierConfig(_Checked):
    """Options of training a network to classify images.

    Attributes:
        size: longer side of the images the network sees, in pixels, at least 32; 0 keeps that of the largest
            image up to 224. Fine textures need their native size.
        epochs: passes over the training images.
        batch: images a step.
        rate: highest learning rate, reached after the warm-up, then a cosine down to zero.
        warm_up: share of all steps in which the rate rises, in [0, 1).
        weight_decay: of AdamW, on weights but not on biases.
        ema: decay a step of the moving average of the weights, which is what is judged and kept; 0 keeps the
            last weights themselves.
        clip: largest norm of a step's gradient.
        label_smoothing: share of the target spread over all classes, in [0, 1).
        augment: strength of all augmentation; 0 shows every image as it is.
        mixup: parameter of the Beta distribution that pairs of images are blended with; 0 blends none.
        validation: share of each training part, in whole groups, on which epochs are compared and the
            temperature is fitted, in (0, 1).
        patience: epochs without a better validation score after which training stops; 0 never stops early.
        held_out_folds: how many folds are judged by a network trained without them; 0 means all. Each costs
            one training.
        final: "refit" trains the network of the bundle on all images, "reuse" takes the one that was trained
            without the first fold.
        precision: "float32", "bfloat16", or "auto": bfloat16 on a GPU, and on a processor that has such
            instructions where the network gains from them.
        device: "auto" (a GPU if there is one), "cpu" or "cuda".
    """

    size: int = 0
    epochs: int = 4
    batch: int = 16
    rate: float = 1e-4
    warm_up: float = 0.1
    weight_decay: float = 0.02
    ema: float = 0.99
    clip: float = 1.0
    label_smoothing: float = 0.05
    augment: float = 1.0
    mixup: float = 0.0
    validation: float = 0.15
    patience: int = 0
    held_out_folds: int = 1
    final: Final = "refit"
    precision: Precision = "auto"
    device: DeviceName = "auto"

    def __post_init__(self) -> None:
        self._check("size", "0, or at least 32 pixels", lambda size: size == 0 or size >= 32)
        for name in ("epochs", "batch"):
            self._check(name, "1 or more", lambda count: count >= 1)
        for name in ("patience", "held_out_folds", "weight_decay", "augment", "mixup"):
            self._check(name, "0 or more", lambda value: value >= 0)
        for name in ("rate", "clip"):
            self._check(name, "a number above 0", lambda value: value > 0)
        for name in ("warm_up", "ema", "label_smoothing"):
            self._check(name, "0 or more, below 1", lambda share: 0 <= share < 1)
        self._check_validation()
        for name, choices in (("final", Final), ("precision", Precision), ("device", DeviceName)):
            self._check(name, " or ".join(get_args(choices)), get_args(choices).__contains__)

    def _check_validation(self) -> None:
        self._check("validation", "a number between 0 and 1", lambda share: 0 < share < 1)


@dataclass(frozen=True)
class FinetuneConfig(ClassifierConfig):
    """Options of fine-tuning a pretrained network.

    Attributes:
        network: a name in ``millscale.train.networks`` that has pretrained weights: "millscale_s" ships in
            the package; "resnet18" and "mobilenet_v2" are fetched by ``millscale data fetch``, or read
            from the folder ``MILLSCALE_WEIGHTS``.
        frozen: how many of the network's leading stages keep their pretrained weights.
        head_first: fit the linear head on the pretrained features before the whole network is trained, so
            that the first steps do not spoil them (Kumar et al., ICLR 2022).
    """

    network: str = DEFAULT_NETWORK
    frozen: int = 0
    head_first: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("frozen", "0 or more", lambda count: count >= 0)


@dataclass(frozen=True)
class FixmatchConfig(FinetuneConfig):
    """Options of fine-tuning on few labels and many images without.

    Attributes:
        epochs: passes over the images without label.
        batch: labelled images a step.
        validation: share of each training part, in whole groups, on which epochs are compared and the probabilities
            calibrated, in [0, 1); at 0 every label is learned from, the last epoch kept and nothing calibrated.
        unlabelled: images without label a step, for each labelled one.
        weight: of their part of the loss.
        weak: strength of the augmentation of what the moving average sees of them.
        strong: strength of the augmentation of what the network itself sees of them.
    """

    batch: int = 8
    validation: float = 0.0
    unlabelled: int = 3
    weight: float = 1.0
    weak: float = 0.25
    strong: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("unlabelled", "1 or more", lambda count: count >= 1)
        for name in ("weight", "weak", "strong"):
            self._check(name, "0 or more", lambda value: value >= 0)

    def _check_validation(self) -> None:
        self._check("validation", "0 or more, below 1", lambda share: 0 <= share < 1)


@dataclass(frozen=True)
class ScratchConfig(ClassifierConfig):
    """Options of training the small network from random weights; as ``ClassifierConfig``, longer."""

    size: int = 128
    epochs: int = 20
    batch: int = 32
    rate: float = 1e-3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    augment: float = 0.5


@dataclass(frozen=True)
class DetectorConfig(_Checked):
    """Options of training a detector.

    Attributes:
        detector: a name in ``millscale.train.detectors``: "yolo_n" for a processor, "yolo_w", "yolo_s",
            "faster_rcnn", "ssd", "ssdlite".
        start: the first weights: "public" ones, which ``millscale data fetch`` gets, "random" ones, those of
            the bundle that ships with millscale ("packaged"), or of another (its file), to go on from. A bundle holds a
            detector of the same kind, or a narrower one where the other is wider ("yolo_w" from "yolo_n"), and has
            learned from no image that is held out here, as far as their bytes tell.
        size: longer side of the images the network sees, in pixels, a multiple of its stride; 0 takes what was
            found best for the detector on images of 200 pixels, or as much more, up to 640, as shows nine in ten of the
            boxes at least 8 pixels wide and high.
        tile: pixels of the original along the side of the overlapping windows that large images are cut into, each of
            which the network sees at its size; 0 takes images whole.
        multi_scale: largest change of the size from batch to batch, a share, in [0, 1).
        epochs: passes over the training images.
        batch: images a step; 0 takes 32, or with few images an eighth of them, 8 at least: what counts are steps.
        rate: highest learning rate, reached after the warm-up, then a cosine down to zero; 0 takes what suits the
            detector.
        warm_up: share of all steps in which the rate rises, in [0, 1).
        weight_decay: of AdamW, on weights but not on biases.
        ema: decay a step of the moving average of the weights, which is what is judged and kept.
        clip: largest norm of a step's gradient.
        mosaic: share of the training scenes that are made of four images, in [0, 1].
        paste: chance, in [0, 1], that an image gets defects of another image with a class in common; a first form
            of it lost a point on NEU-DET.
        zoom: a scene of one image is enlarged up to ``1 + zoom`` times.
        still: share of the last epochs without mosaics, in [0, 1].
        augment: strength of changes of exposure, sharpness and noise; 0 leaves the pixels as they are.
        softness: how ambiguous the extent of the annotated boxes is taken to be: the deviation of their sides, as a
            share of width and height; the YOLO family then learns a distribution as wide. 0 takes them at their word.
        views: dihedral views of an image that are judged together, and that the bundle fuses: 1, 2, 4 or 8. The
            training is the same.
        held_out_folds: how many folds are judged by a network trained without them; 0 means all. Each costs
            one training.
        final: "refit" trains the network of the bundle on all images, "reuse" takes the one that was trained
            without the first fold.
        precision: "float32", "bfloat16", or "auto", as in the other recipes.
        device: "auto" (a GPU if there is one), "cpu" or "cuda".
    """

    detector: str = "yolo_n"
    start: str = "public"
    size: int = 0
    tile: int = 0
    multi_scale: float = 0.0
    epochs: int = 120
    batch: int = 0
    rate: float = 0.0
    warm_up: float = 0.05
    weight_decay: float = 0.05
    ema: float = 0.998
    clip: float = 10.0
    mosaic: float = 0.5
    paste: float = 0.0
    zoom: float = 0.4
    still: float = 0.2
    augment: float = 0.7
    softness: float = 0.05
    views: Views = 1
    held_out_folds: int = 1
    final: Final = "refit"
    precision: Precision = "auto"
    device: DeviceName = "auto"

    def __post_init__(self) -> None:
        self._check("epochs", "1 or more", lambda count: count >= 1)
        for name in ("size", "batch", "held_out_folds", "rate", "weight_decay", "zoom", "augment", "softness"):
            self._check(name, "0 or more", lambda value: value >= 0)
        self._check("size", f"at most {LONGEST_SIDE}", lambda size: size <= LONGEST_SIDE)
        self._check("clip", "a number above 0", lambda value: value > 0)
        for name in ("warm_up", "ema", "multi_scale"):
            self._check(name, "0 or more, below 1", lambda share: 0 <= share < 1)
        for name in ("mosaic", "paste", "still"):
            self._check(name, "a share from 0 to 1", lambda share: 0 <= share <= 1)
        check_tile(self.tile, self.size)
        for name, choices in (("final", Final), ("precision", Precision), ("device", DeviceName), ("views", Views)):
            self._check(name, " or ".join(map(str, get_args(choices))), get_args(choices).__contains__)


@dataclass(frozen=True)
class SemiDetectorConfig(DetectorConfig):
    """Options of training a detector on few annotated images and many without annotation.

    Attributes:
        teachers: detectors that learn from the annotated images alone, each from another seed.
        teacher_views: dihedral views that the teachers look at images without annotation in, 1 to 8.
        share: of the boxes that annotators would have drawn, were all images like the annotated ones: so many of
            each class the student learns as true.
        firm: the least score of such a box, in [0, 1].
        ignored: boxes down to this share of their class's limit become regions to ignore, in [0, 1].
        annotated: share of the student's scenes that are annotated images, at least, in [0, 1).
        student_epochs: passes of the student over all images.
        student_rate: its highest learning rate.
        anew: the student starts as its teachers did, else from the first of them.
        rounds: students, each with boxes of the one before; 0 trains the teacher alone.
    """

    teachers: int = 1
    teacher_views: int = 8
    share: float = 0.8
    firm: float = 0.05
    ignored: float = 0.2
    annotated: float = 0.5
    student_epochs: int = 20
    student_rate: float = 3e-4
    anew: bool = False
    rounds: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("teacher_views", "1 to 8", lambda count: 1 <= count <= 8)
        for name in ("teachers", "student_epochs"):
            self._check(name, "1 or more", lambda count: count >= 1)
        self._check("rounds", "0 or more", lambda count: count >= 0)
        for name in ("share", "student_rate"):
            self._check(name, "a number above 0", lambda value: value > 0)
        for name in ("firm", "ignored"):
            self._check(name, "a share from 0 to 1", lambda share: 0 <= share <= 1)
        self._check("annotated", "0 or more, below 1", lambda share: 0 <= share < 1)
