"""``millscale export``."""

from pathlib import Path
from typing import Annotated

import typer

from millscale.cli.output import Watch, emit, failing_clearly, say


def export(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A .millscale file, or a run's folder.")],
    data: Annotated[Path, typer.Option(help="Folder of images on which the runtimes are compared.")],
    out: Annotated[Path, typer.Option(help="Folder for the networks.")] = Path("exported"),
    backend: Annotated[str, typer.Option(help="onnxruntime (.onnx) or openvino (.xml and .bin).")] = "openvino",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a bundle's networks for another runtime, if it gives the same answers there."""
    with failing_clearly():
        from dataclasses import asdict

        from millscale.core.errors import DataError
        from millscale.data.read import read
        from millscale.pipeline.export import export as run_export
        from millscale.runtime.bundle import open_bundle

        images = [record.path for record in read(data).records]
        if not images:
            raise DataError(f"{data}: expected images to compare the runtimes on, found none that can be read.")
        with Watch() as watch:
            found = run_export(open_bundle(_bundle_of(bundle)), out, backend, images, progress=watch)
        if as_json:
            emit({"folder": str(out), "images": len(images), "parity": [asdict(parity) for parity in found]})
            return
        for one in found:
            say(f"{one.file}: {one.output} differ by {one.largest:.1e} at most ({one.allowed:g} is allowed)")
        say(f"Written to {out}, compared on {len(images)} images")


def _bundle_of(path: Path) -> Path:
    from millscale.core.errors import UsageError

    if not path.is_dir():
        return path
    found = sorted(path.glob("*.millscale"))
    if len(found) != 1:
        raise UsageError(
            f"{path}: expected a run's folder with one bundle, found {len(found)}. Name the bundle itself."
        )
    return found[0]
