"""Draw the pictures of the README from synthetic steel (``make docs``); no one else's image is in them."""

import tempfile
from pathlib import Path

import PIL.Image

import millscale as ms
from millscale.imaging.decode import read_image
from millscale.imaging.draw import draw_boxes

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH, ACROSS, TILE = 1000, 4, 250


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ms.make_dataset(Path(folder) / "steel", per_class=60, seed=0)
        images = ms.read(Path(folder) / "steel" / "images")
        run = ms.train(images, name="synthetic-steel", out=Path(folder) / "run")
        for name in ("predictions", "overlaps", "confusion", "errors"):
            with PIL.Image.open(run.folder / f"report-{name}.png") as picture:
                _save(picture, name)
        _save(located(images), "located")


def located(images: ms.Manifest) -> PIL.Image.Image:
    """What the packaged bundle finds on the first two images of each class, a class after the other."""
    inspector = ms.Inspector.open()
    chosen = [r.path for name in images.classes for r in [r for r in images.records if r.label == name][:2]]
    sheet = PIL.Image.new("RGB", (ACROSS * TILE, -(-len(chosen) // ACROSS) * TILE))
    for place, path in enumerate(chosen):
        boxes = inspector.counting(inspector.inspect(path))
        assert boxes is not None
        tile = draw_boxes(read_image(path), boxes, inspector.card.classes, side=TILE).resize((TILE, TILE))
        sheet.paste(tile, (place % ACROSS * TILE, place // ACROSS * TILE))
    return sheet


def _save(picture: PIL.Image.Image, name: str) -> None:
    """At most WIDTH wide, in 128 colours: the repository stays small."""
    small = picture.convert("RGB")
    if small.width > WIDTH:
        small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), PIL.Image.Resampling.LANCZOS)
    small.quantize(128, dither=PIL.Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
