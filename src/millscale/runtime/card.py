"""The card of a bundle: what the model is, what it saw, how good it is, how it decides.

Pydantic checks it when a bundle is opened, because a bundle is untrusted input.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from millscale.core.errors import ModelError
from millscale.imaging.preprocess import Preprocess
from millscale.imaging.quality import SENSORS
from millscale.imaging.tiling import LEAST_TILE, MOST_ENLARGED, MOST_TILE

SCHEMA_VERSION: Literal[1] = 1
LONGEST_SIDE = 4096
"""Pixels; a card that asks for more would fill the memory with one image."""
MOST = 1000
"""Boxes of an image, at most."""
MOST_DETECTORS = 8
"""Of a bundle."""

Task = Literal["classify", "detect", "anomaly"]
Views = Literal[1, 2, 4, 8]
TASKS: tuple[Task, ...] = get_args(Task)

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Shift = Annotated[float, Field(ge=-16.0, le=16.0)]
Scale = Annotated[tuple[tuple[Probability, Probability], ...], Field(min_length=2, max_length=100)]
MemberName = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.(onnx|npy|png)$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Detection(_Strict):
    """How the raw boxes of a detector become its answer.

    Attributes:
        least_score: boxes below it are dropped.
        iou: of two boxes of one class that overlap by more than this, the weaker is dropped.
        agree: boxes of one class that overlap by more than this show one defect, whose box is their weighted mean: of
            the candidates of a single view, or of what several views found. None leaves the strongest candidate as
            it is and fuses views from above .55.
        most: boxes kept of an image, the strongest.
        thresholds: class name → the score from which a box of it counts: the operating point.
        views: dihedral views of the image that are located in and fused, the untouched one first.
        shift: (x, y) in pixels of the image, how far the boxes of all views lie right of and below where annotators
            draw them; it is taken off what is found.
    """

    least_score: Probability = 0.001
    iou: Annotated[float, Field(gt=0, le=1)] = 0.6
    agree: Annotated[float, Field(gt=0, lt=1)] | None = None
    most: Annotated[int, Field(ge=1, le=MOST)] = 100
    thresholds: dict[str, Probability] = {}
    views: Views = 1
    shift: tuple[Shift, Shift] = (0.0, 0.0)


class Alarms(_Strict):
    """The operating point of an anomaly scorer: `metrics.false_alarms.FalseAlarmThreshold` says what each means."""

    threshold: Annotated[float, Field(ge=1e-9, le=1e9)]
    rate_asked: Annotated[float, Field(gt=0, lt=1)]
    expected_rate: Probability
    upper_bound: Probability
    groups: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(ge=1)]
    extrapolated: bool


class Part(_Strict):
    """One network of the bundle and its task.

    Attributes:
        classes: of a detector, what it tells apart, where that is not all of the card's classes in their order.
        preprocess: of a detector or an anomaly scorer, which have their own; a classifier takes the card's.
        detection: of a detector.
        alarms: of an anomaly scorer.
        tile: of a detector or an anomaly scorer, pixels of the original along the side of the windows that pictures are
            cut into; None takes them whole.
    """

    task: Task
    file: MemberName
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    preprocess: dict[str, Any] | None = None
    detection: Detection | None = None
    alarms: Alarms | None = None
    tile: Annotated[int, Field(ge=LEAST_TILE, le=MOST_TILE)] | None = None

    @field_validator("preprocess")
    @classmethod
    def _can_be_applied(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return _applicable(value)

    @model_validator(mode="after")
    def _fits_its_task(self) -> "Part":
        found = {name for name in ("preprocess", "detection", "alarms") if getattr(self, name) is not None}
        own: dict[Task, set[str]] = {"detect": {"preprocess", "detection"}, "anomaly": {"preprocess", "alarms"}}
        wanted = own.get(self.task, set())
        if found != wanted:
            raise ValueError(f"expected {_listed(wanted)} with task '{self.task}', found {_listed(found)}")
        if self.classes is not None and self.detection is None:
            raise ValueError(f"expected classes of its own only of a detector, found some with task '{self.task}'")
        if self.tile is not None:
            size = (self.preprocess or {}).get("size")
            if size is None or size[0] != size[1] or size[0] > MOST_ENLARGED * self.tile:
                raise ValueError(
                    f"expected a tile only with a square size of at most {MOST_ENLARGED} tiles, found task "
                    f"'{self.task}' and size {size}"
                )
        return self

    def with_detection(self, **changes: Any) -> "Part":
        """The part with other values in its ``detection``; one that does not locate as it is."""
        if self.detection is None:
            return self
        return self.model_copy(update={"detection": self.detection.model_copy(update=changes)})


class Fusion(_Strict):
    """How the boxes of several detectors become one answer, by weighted box fusion.

    Attributes:
        weights: of each detector, in the order of their parts.
        scales: of each detector, points (own score, common score) that rise from (0, 0) to an own score of 1, by
            which its scores become comparable to the others' (`runtime.fusion.common_scales`); empty leaves them.
        iou: boxes of one class that overlap by more than this are fused.
        least_score: fused boxes below it are dropped.
        most: boxes kept of an image, the strongest.
        thresholds: class name → the fused score from which a box of it counts; the parts' own do not matter.
    """

    weights: tuple[Annotated[float, Field(gt=0)], ...]
    scales: tuple[Scale, ...] = ()
    iou: Annotated[float, Field(gt=0, le=1)] = 0.55
    least_score: Probability = 0.001
    most: Annotated[int, Field(ge=1, le=MOST)] = 100
    thresholds: dict[str, Probability]

    @model_validator(mode="after")
    def _scales_rise(self) -> "Fusion":
        if len(self.scales) not in (0, len(self.weights)):
            raise ValueError(f"expected a scale for each of {len(self.weights)} detectors, found {len(self.scales)}")
        for scale in self.scales:
            steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(scale)]
            if scale[0] != (0, 0) or scale[-1][0] != 1 or any(own <= 0 or common < 0 for own, common in steps):
                raise ValueError(f"expected scales that rise from (0, 0) to an own score of 1, found {scale}")
        return self


class Costs(_Strict):
    """What each outcome costs, in any one unit; only their ratios matter.

    Attributes:
        escape: a defective piece passed.
        overkill: a good piece rejected.
        mislabel: a defective piece rejected under the wrong defect name.
        review: a person looks.
    """

    escape: float = Field(10.0, ge=0)
    overkill: float = Field(1.0, ge=0)
    mislabel: float = Field(1.0, ge=0)
    review: float = Field(0.2, ge=0)


class Calibration(_Strict):
    """How scores were made into probabilities; already inside the graph."""

    method: Literal["temperature"]
    temperature: float = Field(gt=0)
    fitted_on: str


class OpenSet(_Strict):
    """How the classifier knows what it does not know: `runtime.openset.Guard` and its limits.

    Attributes:
        files: the guard's arrays: means, metric within classes, metric of all.
        limits: class name → limit of the relative distance from it; beyond that of every class, an image is unknown.
        farthest: limit of the plain distance from the nearest class; beyond it, an image is unknown as well.
        usual_doubt: natural logarithm of 1 less the highest probability, of the usual image.
        power: to which more doubt than usual is raised, and the relative distance multiplied by it.
        asked: share of known images that may be called unknown.
        measured: that share of images held out, the limits set without them.
    """

    method: Literal["relative_mahalanobis"] = "relative_mahalanobis"
    files: tuple[MemberName, MemberName, MemberName]
    limits: dict[str, Annotated[float, Field(gt=0)]]
    farthest: float = Field(gt=0)
    usual_doubt: float = Field(le=0)
    power: float = Field(ge=0)
    asked: Probability
    measured: Probability


class Golden(_Strict):
    """An image that travels with the bundle and the answer it must give.

    Attributes:
        probs: of the classifier, over the card's classes.
        scores: file of each detector → its highest raw scores, falling (`runtime.locate.Locator.top_scores`).
        raw: raw score of the anomaly scorer.
    """

    file: MemberName
    probs: tuple[Probability, ...] | None = None
    scores: dict[MemberName, tuple[Probability, ...]] = {}
    raw: Annotated[float, Field(ge=0)] | None = None
    tolerance: float = Field(1e-3, gt=0, le=0.01)


class Card(_Strict):
    """``card.json``: everything about a bundle but its arrays.

    A classifier needs ``preprocess``, ``calibration`` and ``golden.probs``; without one they are left out.

    Attributes:
        conformal: miscoverage → threshold on ``1 - p``: a class is in the set where ``1 - p <= threshold``.
        metrics: as ``evaluate --json`` writes them, measured on ``protocol``.
        fusion: needed exactly where there are several detectors.
        quality: sensor of `imaging.quality` → the lowest and the highest value of a proper image; where one is missing
            the absolute rule holds.
        openset: of a classifier with a guard; older bundles have none.
        sha256: of every other member, hexadecimal.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    millscale_version: str
    parts: tuple[Part, ...] = Field(min_length=1, max_length=MOST_DETECTORS + 1)
    classes: tuple[str, ...] = Field(min_length=1)
    good_classes: tuple[str, ...] = ()
    preprocess: dict[str, Any] | None = None
    calibration: Calibration | None = None
    costs: Costs = Costs.model_validate({})
    conformal: dict[str, float] = {}
    golden: Golden
    fusion: Fusion | None = None
    quality: dict[str, tuple[float, float]] | None = None
    openset: OpenSet | None = None
    protocol: str
    metrics: dict[str, Any]
    dataset: dict[str, Any]
    provenance: dict[str, Any]
    licence_notes: str
    sha256: dict[MemberName, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]

    @property
    def classifier(self) -> Part | None:
        """The part that classifies, if any."""
        return next((part for part in self.parts if part.task == "classify"), None)

    @property
    def detectors(self) -> tuple[Part, ...]:
        """The parts that locate."""
        return tuple(part for part in self.parts if part.task == "detect")

    def told_by(self, detector: Part) -> tuple[str, ...]:
        """The classes of a detector, in the order of its scores."""
        return self.classes if detector.classes is None else detector.classes

    @property
    def located(self) -> tuple[str, ...]:
        """The classes that detectors locate, in the card's order; none without a detector."""
        own = set(self.told_by(self.detectors[0])) if self.detectors else set()
        return tuple(name for name in self.classes if name in own)

    @property
    def scorer(self) -> Part | None:
        """The part that scores anomalies, if any."""
        return next((part for part in self.parts if part.task == "anomaly"), None)

    @property
    def thresholds(self) -> dict[str, float]:
        """Class name → the score from which a box of it counts; empty without a detector."""
        if self.fusion is not None:
            return self.fusion.thresholds
        located = [part.detection for part in self.detectors if part.detection is not None]
        return located[0].thresholds if located else {}

    @field_validator("preprocess")
    @classmethod
    def _can_be_applied(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return _applicable(value)

    @field_validator("quality")
    @classmethod
    def _are_ranges_of_sensors(
        cls, value: dict[str, tuple[float, float]] | None
    ) -> dict[str, tuple[float, float]] | None:
        for name, (low, high) in (value or {}).items():
            if name not in SENSORS or low > high:
                raise ValueError(f"expected (lowest, highest) of {', '.join(SENSORS)}, found {name}: {low}, {high}")
        return value

    @model_validator(mode="after")
    def _names_belong_together(self) -> "Card":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("expected every class once")
        if not set(self.good_classes) <= set(self.classes):
            raise ValueError(f"expected good classes among {self.classes}, found {self.good_classes}")
        for part in self.detectors:
            own = self.told_by(part)
            if len(set(own)) != len(own) or set(own) != set(self.located):
                raise ValueError(f"expected detectors of the same classes, all among {self.classes}, found {own}")
        if set(self.thresholds) != set(self.located):
            raise ValueError(f"expected a threshold for each of {self.located}, found {sorted(self.thresholds)}")
        if set(self.golden.scores) != {part.file for part in self.detectors}:
            raise ValueError(f"expected golden scores of every detector, found those of {sorted(self.golden.scores)}")
        return self

    @model_validator(mode="after")
    def _has_what_its_parts_need(self) -> "Card":
        tasks = [part.task for part in self.parts]
        if tasks.count("classify") > 1 or tasks.count("detect") > MOST_DETECTORS:
            raise ValueError(f"expected at most one classifier and {MOST_DETECTORS} detectors")
        if len({part.file for part in self.parts}) != len(tasks):
            raise ValueError("expected every file in one part")
        described = {"preprocess": self.preprocess, "calibration": self.calibration, "golden.probs": self.golden.probs}
        found = {name for name, value in described.items() if value is not None}
        wanted = set(described) if self.classifier else set()
        if found != wanted:
            having = "a" if self.classifier else "no"
            raise ValueError(f"expected {_listed(wanted)} with {having} classifier, found {_listed(found)}")
        if (self.golden.raw is not None) != (self.scorer is not None) or (self.scorer and len(tasks) > 1):
            raise ValueError("expected an anomaly scorer alone in its bundle, with its raw score of the golden image")
        if self.scorer and (len(self.classes) != 2 or self.good_classes != self.classes[:1]):
            raise ValueError(f"expected what is good and what is not as the classes of a scorer, found {self.classes}")
        if self.golden.probs is not None and len(self.golden.probs) != len(self.classes):
            raise ValueError(f"expected {len(self.classes)} golden probabilities, found {len(self.golden.probs)}")
        if self.classifier and len(self.classes) < 2:
            raise ValueError(f"expected at least 2 classes with a classifier, found {self.classes}")
        if self.openset and not (self.classifier and set(self.openset.limits) == set(self.classes)):
            raise ValueError("expected openset only with a classifier, and a limit of each class")
        weights = len(self.fusion.weights) if self.fusion else 0
        if weights != (len(self.detectors) if len(self.detectors) > 1 else 0):
            raise ValueError(f"expected fusion with a weight for each of several detectors, found {weights} weights")
        return self


def _applicable(preprocess: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same, once it is sure that no image becomes larger than memory by it."""
    if preprocess is None:
        return None
    try:
        size = Preprocess.from_json(preprocess).size
    except ModelError as error:
        raise ValueError(str(error)) from error
    if size is not None and not all(isinstance(n, int) and n <= LONGEST_SIDE for n in size):
        raise ValueError(f"expected whole sides of at most {LONGEST_SIDE} pixels, found {size}")
    return preprocess


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none of its own"
