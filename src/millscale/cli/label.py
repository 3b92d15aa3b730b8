"""``millscale label``."""

from pathlib import Path
from typing import Annotated

import typer

from millscale.cli.output import Watch, emit, failing_clearly, say

app = typer.Typer(help="Name what has no label yet.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """One verb so far; typer would else drop its name."""


@app.command()
def unknown(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Images, as `inspect --collect DIR` gathered them.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Whose classifier looks at them; by default the packaged NEU model.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for one folder a kind.")] = Path("kinds"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Sort unknown images into kinds, each a folder that can become a new class."""
    with failing_clearly():
        from millscale.cli.inspect import image_paths
        from millscale.pipeline.unknown import sort_unknown

        with Watch() as watch:
            kinds = sort_unknown(bundle, list(image_paths([str(directory)])), out, progress=watch)
        if as_json:
            found = [(str(kind.folder), [str(path) for path in kind.images], kind.nearest) for kind in kinds]
            emit({"kinds": [dict(zip(("folder", "images", "nearest"), kind, strict=True)) for kind in found]})
            return
        for kind in kinds:
            near = f", nearest to {kind.nearest}" if kind.nearest else ""
            say(f"{kind.folder}  {len(kind.images)} images{near}")
        say("Look at each, name the folder after its defect, put it beside the classes, and train anew.")
