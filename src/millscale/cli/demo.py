"""``millscale demo``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from millscale.cli.evaluate import summary_lines
from millscale.cli.output import Watch, failing_clearly, say, tell_all


def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of images; without it, synthetic steel is made.")] = None,
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    backbone: Annotated[str | None, typer.Option(help="Frozen backbone; by default the packaged one.")] = None,
    per_class: Annotated[int, typer.Option(min=5, help="Synthetic images of each defect.")] = 60,
) -> None:
    """Show everything from nothing, offline: data → audit → train → evaluate → report → inspect."""
    with failing_clearly(resumes=True), Watch() as watch:
        from millscale.data.read import read
        from millscale.pipeline.api import train

        name = data.resolve().name if data else "synthetic-steel"
        if data is None:
            say("1. Making steel: six defects, cropped out of larger sheets as NEU is")
            data = _synthetic(out / "data", per_class, watch)
        images = read(data)
        say(f"2. Audit, folds, training and judging {len(images)} images of {len(images.classes)} classes")
        run = train(images, task="classify", backbone=backbone, name=name, out=out / name, progress=watch)
        tell_all(run.audit.problems)
        _tell_leak(run)
        if run.metrics:
            say(f"3. Group-clean {summary_lines(run.metrics)[0].lower()}")
        else:
            say("3. Not measured, for no class has labels in two independent groups")
        say("4. The bundle's verdict on one image of each class")
        _inspect_some(run)
        if run.metrics:
            drawn = run.folder / "report-predictions.png"
            say(f"Open {run.folder / 'report.html'}; the predictions are drawn in {drawn}")
        say(f"Next: millscale inspect {run.bundle_path} YOUR_IMAGES")


def _synthetic(folder: Path, per_class: int, watch: Watch) -> Path:
    from millscale.data.synthetic import make_dataset

    make_dataset(folder, per_class=per_class, progress=lambda done, total: watch("images", done, total))
    return folder / "images"


def _tell_leak(run: Any) -> None:
    involved = {name for overlap in run.audit.overlaps for name in (overlap.a, overlap.b)}
    groups = len(set(run.audit.groups.values()))
    say(f"   {len(involved)} of {run.audit.images} images share pixels with another: {groups} independent groups")


def _inspect_some(run: Any) -> None:
    from millscale.runtime.inspector import Inspector

    inspector = Inspector.open(run.bundle_path)
    first = {record.label: record.path for record in reversed(run.manifest.records)}
    for name in run.manifest.classes:
        verdict = inspector.decide(inspector.inspect(first[name]))
        say(f"   {verdict.outcome:<7}{verdict.label:<18}{verdict.confidence:6.1%}  {first[name].name}")
