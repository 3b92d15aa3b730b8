from dataclasses import replace

import pytest

from millscale.data.synthetic import make_dataset
from millscale.learn.label_errors import suspect_labels


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    kinds = ("crazing", "patches", "scratches")
    return make_dataset(tmp_path_factory.mktemp("labels"), per_class=15, size=128, crops_per_sheet=(1, 1), kinds=kinds)


def test_images_under_a_wrong_name_are_found_with_their_right_one(images):
    wrong = {"crazing/crazing_00003.bmp": "patches", "scratches/scratches_00005.bmp": "crazing"}
    records = tuple(replace(r, label=wrong.get(r.id, r.label)) for r in images.records)
    told = []
    found = suspect_labels(replace(images, records=records), progress=lambda *step: told.append(step))
    named = {suspect.image: suspect for suspect in found}
    assert set(wrong) <= set(named)
    assert len(found) <= 4
    for image, label in wrong.items():
        assert (named[image].label, named[image].suggestion) == (label, image.partition("/")[0])
        assert named[image].suggestion in named[image].reason
    assert {what for what, _, _ in told} == {"features", "heads"}
