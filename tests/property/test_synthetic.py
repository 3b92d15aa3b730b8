import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from millscale.data.synthetic import KINDS, Crop, Truth, render_sheet, render_texture, true_overlaps
from millscale.data.synthetic.boxes import boxes_of

few = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**63 - 1)
sides = st.integers(32, 90)


@few
@given(kind=st.sampled_from(KINDS), seed=seeds, height=sides, width=sides)
def test_a_sheet_is_a_function_of_its_seed(kind, seed, height, width):
    first, again = (render_sheet(kind, (height, width), seed) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    np.testing.assert_array_equal(first.boxes.xyxy, again.boxes.xyxy)
    assert first.image.shape == (height, width)


@few
@given(seed=seeds, size=sides)
def test_a_texture_is_a_function_of_its_seed(seed, size):
    texture = render_texture(seed, size)
    assert texture.shape == (size, size)
    np.testing.assert_array_equal(texture, render_texture(seed, size))


@given(cells=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29)), max_size=25), join=st.integers(1, 15))
def test_every_marked_pixel_lies_in_a_box_and_every_box_is_tight(cells, join):
    mask = np.zeros((40, 30), dtype=bool)
    for y, x in cells:
        mask[y, x] = True
    inside = np.zeros_like(mask)
    for left, top, right, bottom in boxes_of(mask, 0, join, least=1).xyxy.astype(int):
        window = mask[top:bottom, left:right]
        inside[top:bottom, left:right] = True
        assert window[0].any()
        assert window[-1].any()
        assert window[:, 0].any()
        assert window[:, -1].any()
    assert inside[mask].all()


@given(
    places=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 30)), max_size=6),
    size=st.integers(1, 20),
)
def test_overlaps_are_those_of_painted_squares(places, size):
    crops = [Crop(f"{k}", f"sheet{s}", x, y, ()) for k, (s, x, y) in enumerate(places)]
    painted = np.zeros((len(crops), 2, 50, 50), dtype=bool)
    for canvas, (s, x, y) in zip(painted, places, strict=True):
        canvas[s, y : y + size, x : x + size] = True
    expected = {
        (a.id, b.id): np.sum(painted[i] & painted[j]) / size**2
        for i, a in enumerate(crops)
        for j, b in enumerate(crops)
        if i < j and np.any(painted[i] & painted[j])
    }
    found = true_overlaps(Truth(size, 0, (), tuple(crops)))
    assert {(a, b): fraction for a, b, fraction in found} == expected
