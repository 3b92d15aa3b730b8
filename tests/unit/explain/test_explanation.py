"""What is told, drawn and saved of a map."""

import numpy as np
import PIL.Image
import pytest

from millscale.explain.colours import heat_colours
from millscale.explain.explanation import Explanation
from millscale.explain.faithfulness import Faithfulness
from millscale.explain.picture import draw_explanations
from millscale.explain.save import save
from millscale.explain.target import Target
from millscale.imaging.mosaic import BACKGROUND

BOX, WHOLE = Target(1, "pit", 0.876, (10.04, 20.06, 30, 40)), Target(0, "good", 0.5)
WARNING, FRAME = (255, 179, 71), (255, 96, 96)


def explanation(target=BOX, heat=np.zeros((40, 80)), beaten=9, random=9):
    return Explanation(target, heat, Faithfulness(0.12345, 0.9, 0.5, 0.4, beaten, random))


@pytest.mark.parametrize(
    ("beaten", "random", "words"),
    [
        (9, 9, "better than all 9 random maps"),
        (1, 1, "better than a random map"),
        (8, 9, "NO better than random (8 of 9 beaten), do not rely on this map"),
    ],
)
def test_words_say_how_far_to_believe_it(beaten, random, words):
    numbers = "deletion 0.123 (random 0.500), insertion 0.900 (random 0.400)"
    assert explanation(beaten=beaten, random=random).words == f"{numbers}: {words}"


def test_json_holds_the_numbers():
    assert explanation(beaten=8).to_json() == {
        "target": {"label": "pit", "score": 0.876, "xyxy": [10.0, 20.1, 30, 40]},
        "deletion": 0.1235,
        "insertion": 0.9,
        "random": {"deletion": 0.5, "insertion": 0.4, "maps": 9, "beaten": 8},
        "better_than_random": False,
    }
    assert explanation(WHOLE).to_json()["target"] == {"label": "good", "score": 0.5, "xyxy": None}


def test_a_map_is_nobody_elses():
    heat = np.zeros((2, 2), np.float32)
    kept = explanation(heat=heat).heat
    heat[0, 0] = 1
    assert kept[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 1


@pytest.mark.parametrize(
    ("shape", "targets", "size"),
    [
        # margins of 24, a scale of 14 with as much again for its numbers; heading 30 and words 46 high
        ((40, 80), 1, (4 * 24 + 2 * 480 + 4 * 14, 24 + 30 + 240 + 46 + 24)),
        ((40, 80), 3, (4 * 24 + 2 * 480 + 4 * 14, 3 * (24 + 30 + 240 + 46) + 24)),
        ((960, 960), 1, (4 * 24 + 2 * 480 + 4 * 14, 24 + 30 + 480 + 46 + 24)),
        ((480, 1), 1, (2 * 24 + 420, 24 + 30 + 480 + 46 + 24)),  # as wide as its words
        ((1, 2000), 1, (4 * 24 + 2 * 480 + 4 * 14, 24 + 30 + 1 + 46 + 24)),
    ],
)
def test_a_picture_has_a_row_for_each_target(shape, targets, size):
    rows = [explanation(WHOLE, np.zeros(shape))] * targets
    assert draw_explanations(np.zeros(shape, np.uint8), rows).size == size


def test_a_row_shows_the_image_its_map_its_box_and_the_scale():
    heat = np.zeros((48, 48), np.float32)
    heat[24:] = 1
    target = Target(0, "pit", 0.9, (10, 10, 20, 20))
    drawn = draw_explanations(np.full((48, 48), 100, np.uint8), [explanation(target, heat)])
    left, top, second = 24, 54, 24 + 480 + 24
    assert drawn.getpixel((left + 30, top + 30)) == (100, 100, 100)
    for value, row in ((0, 30), (1, 450)):
        mixture = np.rint(0.45 * 100 + 0.55 * heat_colours(value).astype(float)).astype(int)
        assert drawn.getpixel((second + 30, top + row)) == tuple(mixture)
    for panel in (left, second):
        assert drawn.getpixel((panel + 100, top + 100)) == FRAME
        assert drawn.getpixel((panel + 199, top + 199)) == FRAME
        assert drawn.getpixel((panel + 150, top + 150)) != FRAME
    scale = second + 480 + 24
    assert drawn.getpixel((scale, top)) == tuple(heat_colours(1).tolist())
    assert drawn.getpixel((scale, top + 479)) == tuple(heat_colours(0).tolist())


@pytest.mark.parametrize("shape", [(48, 48), (480, 20)])
def test_a_map_that_fails_its_test_warns_in_full(shape):
    def foot(beaten):
        drawn = draw_explanations(np.zeros(shape, np.uint8), [explanation(WHOLE, np.zeros(shape), beaten)])
        return np.asarray(drawn)[54 + 480 :]

    failed, passed = (foot(beaten) == WARNING for beaten in (3, 9))
    assert failed.all(2).any()
    assert not passed.all(2).any()
    assert (foot(3)[:, -24:] == BACKGROUND).all()  # no word is cut at the edge


def test_colours_rise_evenly_in_lightness_and_leave_red_to_the_boxes():
    colours = heat_colours(np.linspace(0, 1, 256)).astype(float)
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    # the way to OKLab, as Ottosson gives it
    cones = linear @ np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.63]]).T
    lightness = np.cbrt(cones) @ [0.2105, 0.7936, -0.0041]
    np.testing.assert_allclose(lightness, np.linspace(0.27, 0.92, 256), atol=0.012)
    assert (np.diff(lightness) >= 0).all()
    assert (colours[:, 0] <= colours[:, 1:].max(1) + 10).all()


def test_heat_beyond_its_range_has_the_colours_of_the_ends():
    np.testing.assert_array_equal(heat_colours([-1, 2]), heat_colours([0, 1]))


def test_files_are_called_by_their_targets(tmp_path):
    heats = [np.full((40, 80), share) for share in (0.1, 0.2, 0.3)]
    rows = [explanation(target, heat) for target, heat in zip((BOX, BOX, WHOLE), heats, strict=True)]
    saved = save(tmp_path / "new" / "folder", "süd 1", np.zeros((40, 80), np.uint8), rows)
    assert [path.name for path in saved.maps] == ["süd 1.box-1.npy", "süd 1.box-2.npy", "süd 1.class.npy"]
    for path, heat in zip(saved.maps, heats, strict=True):
        found = np.load(path, allow_pickle=False)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, heat)
    with PIL.Image.open(saved.picture) as picture:
        assert picture.size == (1112, 3 * 340 + 24)
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 4


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        save(tmp_path / "taken", "a", np.zeros((40, 80), np.uint8), [explanation()])
