"""Draw the pictures of the README from synthetic steel (``make docs``); no one else's image is in them."""

import tempfile
from pathlib import Path

import PIL.Image

import millscale as ms

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH = 1000


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ms.make_dataset(Path(folder) / "steel", per_class=60, seed=0)
        images = ms.read(Path(folder) / "steel" / "images")
        run = ms.train(images, name="synthetic-steel", out=Path(folder) / "run")
        for name in ("predictions", "overlaps", "confusion", "errors"):
            _shrink(run.folder / f"report-{name}.png", PICTURES / f"{name}.png")


def _shrink(source: Path, target: Path) -> None:
    """At most WIDTH wide, in 128 colours: the repository stays small."""
    with PIL.Image.open(source) as picture:
        small = picture.convert("RGB")
    if small.width > WIDTH:
        small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), PIL.Image.Resampling.LANCZOS)
    small.quantize(128, dither=PIL.Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
