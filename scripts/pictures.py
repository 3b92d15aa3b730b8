"""Draw the pictures of the README from synthetic steel (``make docs``); no one else's image is in them."""

import tempfile
from dataclasses import replace
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

import millscale as ms
from millscale.data.synthetic import GOOD
from millscale.imaging.decode import read_image
from millscale.imaging.draw import draw_boxes
from millscale.runtime.decide import UNKNOWN

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH, ACROSS, TILE = 1000, 4, 250
LETTERS, STRIP = 15, 24


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
        _save(anomaly(Path(folder)), "anomaly")
        _save(unknown(Path(folder), images), "unknown")
        ms.learning_curve(images, labels=(1, 2, 5, 10, 20)).report(Path(folder) / "curve.html")
        with PIL.Image.open(Path(folder) / "curve.png") as picture:
            _save(picture, "learning_curve")
        ms.cluster(images, out=Path(folder) / "clusters")
        with PIL.Image.open(Path(folder) / "clusters" / "report-map.png") as picture:
            _save(picture, "clusters")


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


def anomaly(folder: Path) -> PIL.Image.Image:
    """Maps of defects by a scorer that was fitted on good strip alone."""
    good = ms.make_dataset(folder / "good", per_class=90, crops_per_sheet=(1, 1), kinds=(GOOD,), seed=1)
    steel = ms.make_dataset(folder / "defects", per_class=2, crops_per_sheet=(1, 1), seed=1)
    images = ms.Manifest((*steel.records, *good.records), (*steel.classes, GOOD), steel.source)
    run = ms.train(images, task="anomaly", name="synthetic-strip", out=folder / "anomaly")
    with PIL.Image.open(run.folder / "report-found.png") as picture:
        return picture.copy()


def unknown(folder: Path, images: ms.Manifest) -> PIL.Image.Image:
    """What a classifier that never saw a kind answers on two fresh images of it, for each kind in turn."""
    fresh = ms.make_dataset(folder / "fresh", per_class=2, crops_per_sheet=(1, 1), seed=2)
    sheet = PIL.Image.new("RGB", (ACROSS * TILE, -(-len(fresh) // ACROSS) * (TILE + STRIP)), "white")
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(LETTERS)
    inspectors = {name: _without(name, images, folder) for name in images.classes}
    for place, record in enumerate(fresh.records):
        left, top = place % ACROSS * TILE, place // ACROSS * (TILE + STRIP)
        inspector = inspectors[str(record.label)]
        told = inspector.decide(inspector.inspect(record.path)).label
        sheet.paste(PIL.Image.fromarray(read_image(record.path)).resize((TILE - 6, TILE - 6)), (left + 3, top + STRIP))
        colour = "darkgreen" if told == UNKNOWN else "firebrick"
        draw.text((left + 3, top + 3), f"{record.label}: {told}", fill=colour, font=font)
    return sheet


def _without(kind: str, images: ms.Manifest, folder: Path) -> ms.Inspector:
    """The classifier of all kinds but one."""
    known = images.select([record.id for record in images.records if record.label != kind])
    known = replace(known, classes=tuple(name for name in images.classes if name != kind))
    return ms.Inspector.open(ms.train(known, name="all-but-one", out=folder / f"without-{kind}").bundle_path)


def _save(picture: PIL.Image.Image, name: str) -> None:
    """At most WIDTH wide, in 128 colours: the repository stays small."""
    small = picture.convert("RGB")
    if small.width > WIDTH:
        small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), PIL.Image.Resampling.LANCZOS)
    small.quantize(128, dither=PIL.Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
