"""Limits of image quality on real metal: what they let through and which faults they find."""

import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageFilter

import millscale as ms
from millscale.imaging.quality import fault, fit_limits, measure

DATA = os.environ.get("MILLSCALE_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs the environment variable MILLSCALE_DATA: a folder with neu-cls, x-sdd and magnetic-tile"
)
SETS = {"neu-cls": "*.bmp", "x-sdd": "*.*g", "magnetic-tile": "*.jpg"}


def pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(PIL.Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


FAULTS = {
    "black": lambda image, rng: pixels(rng.normal(1, 1.5, image.shape)),
    "white": lambda image, rng: np.full_like(image, 255),
    "grey": lambda image, rng: np.full_like(image, int(image.mean())),
    "noise": lambda image, rng: pixels(rng.normal(image.mean(), 5, image.shape)),
    "blur": lambda image, rng: blurred(image, 6),
    "blur with noise": lambda image, rng: pixels(blurred(image, 6) + rng.normal(0, 2, image.shape)),
    "colour": lambda image, rng: pixels(np.dstack([1.1 * image, image, 0.8 * image])),
    "under-exposed": lambda image, rng: pixels(image / 4),
    "over-exposed": lambda image, rng: pixels(4.0 * image),
    "larger": lambda image, rng: image.repeat(2, 0).repeat(2, 1),
}
HARDER = {
    # NEU's own brightness spans a factor of seven: a bright image at a quarter of its light is a dark one of NEU.
    ("neu-cls", "under-exposed"): 0.6,
    ("neu-cls", "over-exposed"): 0.8,
    ("magnetic-tile", "over-exposed"): 0.9,
    # Tiles of many sizes.
    ("magnetic-tile", "larger"): 0.0,
}


@pytest.fixture(scope="module", params=SETS)
def halves(request):
    """The name of a set, the images of every second name for training, some of the others."""
    paths = sorted((Path(DATA or "") / request.param).rglob(SETS[request.param]), key=lambda path: path.name)
    images = [image if image.ndim == 2 else image[..., 0] for image in map(ms.read_image, paths)]  # all are grey
    return request.param, images[::2], images[1::2]


@pytest.fixture(scope="module")
def limits(halves):
    return fit_limits([measure(image) for image in halves[1]])


def test_hardly_any_proper_image_is_called_faulty(halves, limits):
    wrong = [fault(measure(image), limits) for image in halves[2]]
    assert sum(reason is not None for reason in wrong) <= 2  # of 670 to 900
    assert not any(fault(measure(image)) for image in halves[2])


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(halves, limits, name):
    rng, some = np.random.default_rng(0), halves[2][::12]
    found = np.mean([fault(measure(FAULTS[name](image, rng)), limits) is not None for image in some])
    assert found >= HARDER.get((halves[0], name), 0.95)


def test_no_defect_is_a_fault_where_only_good_tiles_were_seen():
    root = Path(DATA or "") / "magnetic-tile"
    good = fit_limits([measure(ms.read_image(path)) for path in sorted((root / "MT_Free").rglob("*.jpg"))[::2]])
    defects = [path for path in root.rglob("*.jpg") if path.parent.parent.name != "MT_Free"]
    assert len(defects) == 392
    assert [fault(measure(ms.read_image(path)), good) for path in defects] == [None] * 392


def test_the_packaged_bundle_never_passes_a_black_frame_as_steel():
    inspector = ms.Inspector.open()
    assert inspector.card.quality is None or inspector.card.quality["highlights"][0] >= 9
    verdict = inspector.decide(inspector.inspect(np.zeros((200, 200), np.uint8)))
    assert (verdict.outcome, verdict.label) == ("review", "image fault")
