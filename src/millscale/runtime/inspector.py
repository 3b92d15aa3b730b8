"""Run a bundle on images: prediction first, then the decision."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from millscale.core.errors import DataError, ModelError, UsageError
from millscale.core.types import Boxes, Image, Prediction
from millscale.imaging.decode import decode_image, read_image
from millscale.imaging.preprocess import Preprocess, as_plane
from millscale.imaging.quality import fault, measure
from millscale.runtime.anomaly import Scorer, read_normal, rethreshold, squashed
from millscale.runtime.bundle import Bundle, open_bundle
from millscale.runtime.card import TASKS, Alarms, Card, Costs, Task, Views
from millscale.runtime.classify import Classifier
from millscale.runtime.decide import (
    LIMIT,
    Verdict,
    counting,
    decide_anomaly,
    decide_boxes,
    decide_class,
    decide_fault,
    decide_unknown,
    defect_score,
)
from millscale.runtime.locate import Locator, fused, locator_of
from millscale.runtime.network import DEFAULT_BACKEND, open_network
from millscale.runtime.openset import Limits, read_guard

PACKAGED_BUNDLE = "neu.millscale"
PROMISED = "0.05"
"""The miscoverage of `plausible` classes, as the card spells it."""


@dataclass(frozen=True)
class Inspection:
    """What came of one file: a prediction with its verdict, or the error that prevented them."""

    path: Path
    prediction: Prediction | None
    verdict: Verdict | None
    milliseconds: float
    error: DataError | None = None


class Inspector:
    """A bundle ready to inspect; safe to share between threads.

    Every image runs alone and on one core, so an answer never depends on the others in a folder nor on the
    machine's number of cores.

    Args:
        bundle: verified.
        backend: a registered name of `runtime.backends`.
        threads: cores for one image. More of them answer sooner, and may change the last bit of the answer; for many
            images one core each is quicker.
        tasks: the parts to run; the bundle must have one of them.
        views: dihedral views of the image that each detector looks at; None as the card says.
        false_alarm_rate: of an anomaly scorer, another share of good images that may be rejected than the card's.

    Raises:
        UsageError: an unknown backend, a bundle with none of the tasks, or a false-alarm rate for one without a scorer.
        ModelError: a network that does not load, or is not what its part says.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: str = DEFAULT_BACKEND,
        threads: int = 1,
        tasks: Sequence[Task] = TASKS,
        views: Views | None = None,
        false_alarm_rate: float | None = None,
    ) -> None:
        self.card = card = bundle.card
        parts = [part for part in card.parts if part.task in tasks]
        if not parts:
            raise _without(card, tasks)
        networks = [
            open_network(bundle.members[part.file], part.file, backend=backend, threads=threads) for part in parts
        ]
        self._classifier: Classifier | None = None
        self._locators: dict[str, Locator] = {}
        self._scorer: Scorer | None = None
        self.alarms = _alarms(bundle, false_alarm_rate)
        for part, network in zip(parts, networks, strict=True):
            if part.task == "classify":
                self._classifier = Classifier(network, Preprocess.from_json(card.preprocess or {}), len(card.classes))
            elif part.task == "anomaly":
                self._scorer = Scorer(network, Preprocess.from_json(part.preprocess or {}), part.tile)
            else:
                seeing = part if views is None else part.with_detection(views=views)
                classes = [card.classes.index(name) for name in card.told_by(part)]
                self._locators[part.file] = locator_of(seeing, network, classes)
        self._guard = read_guard(bundle.members, card.openset, len(card.classes)) if card.openset else None
        # What detectors see in windows alone may be of any size. A scorer has a false-alarm rate, each window a chance.
        any_size = all(part.tile is not None and part.task == "detect" for part in parts)
        self._limits = {
            name: limits
            for name, limits in (card.quality or {}).items()
            if not (any_size and name in ("size", "aspect"))
        }
        self._good = tuple(name in card.good_classes for name in card.classes)

    @classmethod
    def open(
        cls,
        path: Bundle | Path | str | None = None,
        *,
        backend: str = DEFAULT_BACKEND,
        threads: int = 1,
        tasks: Sequence[Task] = TASKS,
        views: Views | None = None,
        false_alarm_rate: float | None = None,
    ) -> "Inspector":
        """Open a bundle, verify it, and run its golden image.

        Args:
            path: the file, or what was read from one; None opens the packaged NEU bundle.
            backend: as the class says, like the rest.
            threads: cores for one image.
            tasks: the parts to run.
            views: of each detector.
            false_alarm_rate: of an anomaly scorer.

        Raises:
            UsageError: as the class says.
            ModelError: not a bundle, damaged, refused, or it answers the golden image wrongly.
        """
        if path is None:
            path = packaged_bundle()
        bundle = path if isinstance(path, Bundle) else open_bundle(path)
        inspector = cls(
            bundle, backend=backend, threads=threads, tasks=tasks, views=views, false_alarm_rate=false_alarm_rate
        )
        inspector._check_golden(bundle, bundle.card.name if isinstance(path, Bundle) else str(path))
        return inspector

    def inspect(self, image: Image | bytes | Path | str) -> Prediction:
        """Predict one image.

        Args:
            image: a file's path, a file's bytes, or ``(H, W, 3)`` RGB / ``(H, W)`` grey uint8 pixels.

        Returns:
            ``probs`` where a classifier runs, ``boxes`` where a detector does, however weak they are. The score is the
            probability of a defect; without a classifier, the highest score of a box of one. An anomaly scorer gives
            its map, a score that is one half at the limit, and from there on boxes around what is beyond it. ``fault``
            where the image is no proper photograph.

        Raises:
            DataError: the image cannot be decoded.
            UsageError: an array that holds no pixels, or of another shape or type.
            ModelError: a network's answer is not finite, or of other classes.
        """
        return self._inspect(_pixels(image), maps=True)

    def _inspect(self, pixels: Image, *, maps: bool) -> Prediction:
        pixels = as_plane(pixels)  # a third of the work, wherever channels are equal
        quality = measure(pixels)
        found, blank = fault(quality, self._limits), fault(quality) is not None
        return replace(self._predict(pixels, maps=maps), fault=found, blank=blank)

    def _predict(self, pixels: Image, *, maps: bool) -> Prediction:
        if self._scorer is not None and self.alarms is not None:
            found, limit = self._scorer.score(pixels), self.alarms.threshold
            regions = found.regions(limit, len(self.card.classes) - 1) if found.raw >= limit else _no_boxes()
            score = squashed(found.raw, limit)
            if not maps:
                return Prediction(score, boxes=regions)
            whole = found.map()
            beyond = whole + np.float32(limit)
            return Prediction(score, boxes=regions, anomaly_map=np.divide(whole, beyond, out=beyond))
        boxes = self._locate(pixels)
        if self._classifier is not None:
            probs, features = self._classifier.classify(pixels)
            score = float(probs[[not good for good in self._good]].sum())
            novelty = None
            if self._guard is not None:
                seen = np.zeros(0, np.float32) if features is None else features
                novelty = self._guard.novelty(seen, probs, Limits.of(self.card))
            return Prediction(min(max(score, 0.0), 1.0), probs, boxes, novelty=novelty)
        score = defect_score(boxes, self.card.classes, self.card.good_classes) if boxes is not None else 0.0
        return Prediction(score=score, boxes=boxes)

    def decide(self, prediction: Prediction, costs: Costs | None = None) -> Verdict:
        """The verdict on a prediction.

        An image that shows nothing is for a person to see, and so is what is unlike anything in training (an anomaly
        scorer rejects it), and what breaks the limits of the training images' quality. Else the classifier's
        probabilities decide where there are any, by the bundle's costs or by others; else the boxes, by the thresholds
        of the card.

        Raises:
            UsageError: costs for a prediction of boxes alone.
            ModelError: a prediction with neither.
        """
        card = self.card
        if costs is not None and self.alarms is not None:
            raise UsageError(
                f"Bundle '{card.name}': expected no costs, for its limit follows from a false-alarm rate. "
                "Give that instead."
            )
        strange = self._strange(prediction, costs or card.costs)
        if prediction.fault is not None:
            if prediction.blank or strange is None:
                return decide_fault(prediction.fault)
            return replace(strange, reason=f"{strange.reason}; as a photograph: {prediction.fault}")
        if strange is not None:
            return strange
        if prediction.probs is not None:
            return decide_class(prediction.probs, card.classes, card.good_classes, costs or card.costs)
        if self.alarms is not None and self._scorer is not None:
            return decide_anomaly(prediction.score, 0, card.classes[0], self.alarms.expected_rate)
        if prediction.boxes is None:
            raise ModelError("Expected a prediction with class probabilities or boxes, found neither in it.")
        if costs is not None:
            raise UsageError(
                f"Bundle '{card.name}': expected no costs, for it locates only, and the thresholds of its card decide. "
                "Leave the costs out."
            )
        return decide_boxes(prediction.boxes, card.classes, card.good_classes, card.thresholds)

    def _strange(self, prediction: Prediction, costs: Costs) -> Verdict | None:
        """The verdict on what is unlike training; None where it is like it, or nothing can tell."""
        if prediction.novelty is not None and prediction.novelty.unknown:
            return decide_unknown(prediction.novelty, self.card.classes, costs)
        if self.alarms is not None and prediction.score >= LIMIT:
            regions = 0 if prediction.boxes is None else len(prediction.boxes)
            return decide_anomaly(prediction.score, regions, self.card.classes[0], self.alarms.expected_rate)
        return None

    def features(self, image: Image | bytes | Path | str) -> NDArray[np.float32]:
        """What the classifier sees in an image, ``(d,)``.

        Raises:
            DataError: the image cannot be decoded.
            UsageError: a bundle without a classifier, or with an old one that does not tell.
        """
        answer = self._classifier.classify(_pixels(image)) if self._classifier else None
        if answer is None or answer.features is None:
            raise UsageError(
                f"Bundle '{self.card.name}': expected a classifier that gives features, found none. Train one anew."
            )
        return answer.features

    @property
    def locates(self) -> bool:
        """Whether predictions have boxes."""
        return bool(self._locators) or self._scorer is not None

    def plausible(self, prediction: Prediction) -> tuple[str, ...] | None:
        """The classes of which the true one is one in 95 % of images like those of training, the most probable first.

        They are a conformal set (Vovk et al. 2005), with the most probable class where that would be empty. None where
        nothing classifies, or the bundle has no threshold for it.
        """
        limit = self.card.conformal.get(PROMISED)
        if prediction.probs is None or limit is None:
            return None
        order = np.argsort(-prediction.probs, kind="stable")
        return tuple(self.card.classes[i] for i in order if i == order[0] or 1 - prediction.probs[i] <= limit)

    @property
    def looks(self) -> tuple[tuple[int, int | None], ...]:
        """Of each detector, how many views it looks at, and the side of its windows in pixels or None."""
        return tuple((locator.views, locator.tile) for locator in self._locators.values())

    def counting(self, prediction: Prediction) -> Boxes | None:
        """The boxes of a prediction that reach their class's threshold; None where nothing locates.

        None of them counts on an image with a fault.
        """
        if prediction.boxes is None:
            return None
        if self._scorer is not None and not prediction.blank:
            return prediction.boxes
        if prediction.fault is not None:
            return _no_boxes()
        return counting(prediction.boxes, self.card.classes, self.card.thresholds)

    def inspect_files(
        self, paths: Iterable[Path], *, costs: Costs | None = None, workers: int | None = None, maps: bool = False
    ) -> Iterator[Inspection]:
        """Inspect files in parallel; results come in the order of ``paths``, one for each.

        Args:
            paths: may be endless; only a few are read ahead.
            costs: another operating point than the bundle's.
            workers: threads; by default one a core.
            maps: whether predictions have their anomaly maps, of four bytes a pixel.
        """
        count = workers or os.cpu_count() or 1
        ahead = count if maps else 4 * count
        source = iter(paths)
        with ThreadPoolExecutor(max_workers=count) as pool:
            waiting: list[Future[Inspection]] = [
                pool.submit(self._inspect_file, path, costs, maps=maps) for path in islice(source, ahead)
            ]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(self._inspect_file, path, costs, maps=maps) for path in islice(source, 1)]

    def _inspect_file(self, path: Path, costs: Costs | None, *, maps: bool) -> Inspection:
        start = time.perf_counter()
        try:
            prediction = self._inspect(_pixels(path), maps=maps)
        except DataError as error:
            return Inspection(path, None, None, _since(start), error)
        return Inspection(path, prediction, self.decide(prediction, costs), _since(start))

    def scores(self, image: Image | bytes | Path | str) -> tuple[NDArray[np.float32], ...]:
        """Of each detector, the scores of all boxes that it finds, before they are fused or brought to one scale.

        Raises:
            DataError: the image cannot be decoded.
        """
        pixels = as_plane(_pixels(image))
        return tuple(np.asarray(locator.locate(pixels).score) for locator in self._locators.values())

    def _locate(self, pixels: Image) -> Boxes | None:
        found = [locator.locate(pixels) for locator in self._locators.values()]
        fusion = self.card.fusion
        if fusion is not None and found:
            return fused(found, fusion)
        return found[0] if found else None

    def _check_golden(self, bundle: Bundle, source: str) -> None:
        golden = bundle.card.golden
        try:
            pixels = decode_image(bundle.members[golden.file])
            found = {file: locator.top_scores(pixels) for file, locator in self._locators.items()}
            expected = {file: np.array(golden.scores[file]) for file in found}
            if self._classifier is not None:
                found["probs"], expected["probs"] = self._classifier.classify(pixels).probs, np.array(golden.probs)
            alarms = bundle.card.scorer.alarms if bundle.card.scorer else None
            if self._scorer is not None and alarms is not None and golden.raw is not None:
                # The golden image is no metal: its raw score is high, and so is what rounding does to it.
                found["score"] = np.array([squashed(self._scorer.score(pixels).raw, alarms.threshold)], np.float32)
                expected["score"] = np.array([squashed(golden.raw, alarms.threshold)])
        except (DataError, ModelError) as error:
            raise ModelError(f"{source}: its golden image cannot be inspected: {error}") from error
        for name, answer in found.items():
            _check_answer(source, answer, expected[name], golden.tolerance)


def _no_boxes() -> Boxes:
    return Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def _alarms(bundle: Bundle, rate: float | None) -> Alarms | None:
    """The operating point of the bundle's anomaly scorer, or that of another rate."""
    part = bundle.card.scorer
    if rate is None:
        return part.alarms if part else None
    if part is None:
        raise UsageError(
            f"Bundle '{bundle.card.name}': expected an anomaly scorer to set a false-alarm rate of, found none. "
            "Leave the rate out."
        )
    try:
        return Alarms.model_validate(rethreshold(read_normal(bundle.members), rate).to_json())
    except ValidationError as error:
        raise ModelError(
            f"Bundle '{bundle.card.name}': its held-out good images give no threshold at a rate of {rate}. "
            "Copy the bundle again, or train it anew."
        ) from error


def _without(card: Card, tasks: Sequence[Task]) -> UsageError:
    words = {"anomaly": "score anomalies"}
    having = ", ".join(sorted({words.get(part.task, part.task) for part in card.parts}))
    wanted = " or ".join(words.get(task, task) for task in tasks)
    return UsageError(
        f"Bundle '{card.name}': expected a part that can {wanted or 'do something'}, found only what can {having}. "
        "Ask for that, or use another bundle."
    )


def _check_answer(source: str, found: NDArray[np.float32], expected: NDArray[np.float64], tolerance: float) -> None:
    """Refuse a machine that computes something else than the one that wrote the card."""
    if found.shape != expected.shape or not (np.abs(found - expected) <= tolerance).all():
        raise ModelError(
            f"{source}: on its golden image this machine gives {found}, the card says {expected}. "
            "Use the backend onnxruntime, upgrade it, or train the bundle anew on this machine."
        )


def packaged_bundle() -> Path:
    """The NEU bundle that ships inside the package."""
    return Path(str(files("millscale.runtime"))) / "bundles" / PACKAGED_BUNDLE


def _pixels(image: Image | bytes | Path | str) -> Image:
    if isinstance(image, bytes):
        return decode_image(image)
    return image if isinstance(image, np.ndarray) else read_image(image)


def _since(start: float) -> float:
    return 1000.0 * (time.perf_counter() - start)
