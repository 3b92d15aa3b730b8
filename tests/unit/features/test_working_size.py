import PIL.Image
import pytest

from millscale.data.manifest import ImageRecord, Manifest
from millscale.features.working_size import fitting
from millscale.imaging.preprocess import Preprocess


@pytest.mark.parametrize(
    ("sides", "size", "expected"),
    [
        ([(200, 200)], 0, Preprocess()),
        ([(320, 100), (100, 320)], 0, Preprocess()),
        ([(321, 10), (10, 10)], 0, Preprocess("fit", (320, 320))),
        ([(10, 2000)], 0, Preprocess("fit", (320, 320))),
        ([(200, 200)], 64, Preprocess("fit", (64, 64))),
    ],
)
def test_images_stay_as_they_are_while_all_are_small(tmp_path, sides, size, expected):
    records = []
    for i, side in enumerate(sides):
        path = tmp_path / f"{i}.png"
        PIL.Image.new("L", side).save(path)
        records.append(ImageRecord(path.name, path))
    told = []
    assert fitting(Manifest(tuple(records), (), str(tmp_path)), size, lambda *step: told.append(step[0])) == expected
    assert [("are brought to 320" in text) for text in told] == [True] * (expected.size == (320, 320))
