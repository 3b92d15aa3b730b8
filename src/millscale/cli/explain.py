"""``millscale explain``."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millscale.cli.inspect import image_paths, unused_name
from millscale.cli.output import Watch, emit, failing_clearly, say, shown

if TYPE_CHECKING:
    from millscale.core.types import Image
    from millscale.explain.config import ExplainConfig
    from millscale.explain.explanation import Explanation
    from millscale.explain.save import Saved
    from millscale.runtime.card import Task
    from millscale.runtime.decide import Verdict
    from millscale.runtime.inspector import Inspector

_BUNDLE = ".millscale"


def explain(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="[BUNDLE] IMAGE...", help="A bundle first, if any; then images, folders, globs."),
    ],
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="Explain only this: detect (the boxes) or classify (the class)."),
    ] = None,
    box: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Explain this box only: from 1, those that count as inspect lists them, then weaker ones."
        ),
    ] = None,
    masks: Annotated[int, typer.Option(help="Random masks, an even number: each is an inspection.")] = 400,
    cells: Annotated[
        int, typer.Option(help="Cells of a mask along the longer side: more show finer things, with more noise.")
    ] = 8,
    fill: Annotated[
        str, typer.Option(metavar="NAME", help="What hides a part of the image: blur, or mean, its mean colour.")
    ] = "blur",
    seed: Annotated[int, typer.Option(help="Of the masks.")] = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the pictures and the maps.")] = Path("explained"),
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="What runs the networks: onnxruntime or openvino.")
    ] = "onnxruntime",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and target.")] = False,
) -> None:
    """Show what in an image makes the boxes and the class, and how far each map can be believed."""
    with failing_clearly():
        from millscale.core.errors import DataError, UsageError

        bundle = paths.pop(0) if paths[0].endswith(_BUNDLE) else None
        if not paths:
            raise UsageError("Expected images to explain, found only a bundle. Add images, folders or globs.")
        config = _config(masks, cells, fill, seed)
        images, lost = image_paths(paths, apart=[out])
        explainer = _Explainer(_inspectors(bundle, _task(task, box), backend), box, config)
        out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is told before the work, not after it
        names, failed = Counter[str](), len(lost)
        for problem in lost:
            _tell_error(Path(problem.path), problem.told, as_json=as_json)
        for path in images:
            try:
                image, found, verdict = explainer.explain(path)
            except DataError as error:
                failed += 1
                _tell_error(path, error, as_json=as_json)
                continue
            _tell(path, found, verdict, _saved(out, path, image, found, names), as_json=as_json)
        if failed:
            sys.exit(DataError.exit_code)


class _Explainer:
    """Explains image after image with one inspector for each task, so that nothing else is computed."""

    def __init__(self, inspectors: "dict[Task, Inspector]", box: int | None, config: "ExplainConfig") -> None:
        self._inspectors, self._box, self._config = inspectors, box, config

    def explain(self, path: Path) -> "tuple[Image, list[Explanation], Verdict]":
        """The image, the explanations of its boxes and its class, and the verdict of what is explained.

        Raises:
            DataError: the image cannot be read, or has no box and nothing else is to be explained.
        """
        from millscale.core.errors import DataError
        from millscale.explain.explain import explain_class
        from millscale.imaging.decode import read_image

        image, found = read_image(path), list["Explanation"]()
        judge = self._inspectors.get("classify") or self._inspectors["detect"]
        verdict = judge.decide(judge.inspect(image))
        with Watch() as watch:
            if "detect" in self._inspectors:
                try:
                    found += self._boxes(image, watch)
                except DataError as error:
                    if "classify" not in self._inspectors:
                        raise DataError(f"{path}: {error}") from error
                    say(f"{path}: {error}")
            if "classify" in self._inspectors:
                found.append(explain_class(self._inspectors["classify"], image, self._config, watch))
        return image, found, verdict

    def _boxes(self, image: "Image", watch: Watch) -> "tuple[Explanation, ...]":
        from millscale.explain.explain import explain_boxes
        from millscale.explain.selection import chosen_boxes

        inspector = self._inspectors["detect"]
        boxes = chosen_boxes(inspector, inspector.inspect(image), self._box)
        return explain_boxes(inspector, image, boxes, self._config, watch)


def _config(masks: int, cells: int, fill: str, seed: int) -> "ExplainConfig":
    from millscale.core.errors import unknown_name
    from millscale.explain.config import FILLS, ExplainConfig

    known = {name: name for name in FILLS}
    if fill not in known:
        raise unknown_name("fill", fill, FILLS)
    return ExplainConfig(masks=masks, cells=cells, fill=known[fill], seed=seed)


def _task(task: str | None, box: int | None) -> "Task | None":
    """The task that was asked for; a box by its number is one of detection."""
    from millscale.core.errors import UsageError, unknown_name
    from millscale.runtime.card import TASKS

    known = {name: name for name in TASKS}
    if task is not None and task not in known:
        raise unknown_name("task", task, TASKS)
    if box is not None and task == "classify":
        raise UsageError(f"--box {box}: expected a box to belong to detection, found --task classify. Leave one out.")
    if box is not None:
        return "detect"
    return known[task] if task else None


def _inspectors(bundle: str | None, task: "Task | None", backend: str) -> "dict[Task, Inspector]":
    from millscale.core.errors import UsageError
    from millscale.runtime.card import TASKS
    from millscale.runtime.inspector import Inspector

    whole = Inspector.open(bundle, backend=backend, tasks=(task,) if task else TASKS)
    having = {part.task for part in whole.card.parts} & ({task} if task else set(TASKS))
    if "anomaly" in having:
        raise UsageError(
            f"Bundle '{whole.card.name}': expected a classifier or a detector, found an anomaly scorer, whose map says "
            "where: use `millscale inspect --draw DIR`."
        )
    if len(having) == 1:
        return dict.fromkeys(having, whole)
    return {one: Inspector.open(bundle, backend=backend, tasks=(one,)) for one in TASKS if one in having}


def _saved(out: Path, path: Path, image: "Image", found: "list[Explanation]", names: Counter[str]) -> "Saved":
    """Images of one name in several folders are numbered."""
    from millscale.explain.save import save

    return save(out, unused_name(path.stem, names), image, found)


def _tell(path: Path, found: "list[Explanation]", verdict: "Verdict", saved: "Saved", *, as_json: bool) -> None:
    from millscale.runtime.decide import IMAGE_FAULT, UNKNOWN

    decided = {"verdict": verdict.outcome, "reason": verdict.reason}
    for explanation, heat in zip(found, saved.maps, strict=True):
        if as_json:
            files = {"map": str(heat), "picture": str(saved.picture)}
            emit({"image": str(path), **decided, **explanation.to_json(), **files})
        else:
            target = explanation.target
            place = "" if target.xyxy is None else f" at {', '.join(f'{value:.0f}' for value in target.xyxy)}"
            head = shown(f"{path}: {target.label} {target.score:.1%}{place}")
            sys.stdout.write(f"{head}\n  {explanation.words}\n")
    if verdict.label == UNKNOWN:
        say(f"{path}: {verdict.reason}. What is explained is why the nearest class was named, not what it is.")
    elif verdict.label == IMAGE_FAULT:
        say(f"{path}: {verdict.reason}")
    say(f"Picture  {saved.picture}")


def _tell_error(path: Path, error: Any, *, as_json: bool) -> None:
    say(f"Error: {error}")
    if as_json:
        emit({"image": str(path), "error": str(error)})
