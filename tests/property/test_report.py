from hypothesis import given
from hypothesis import strategies as st

from millscale.report.figures.lettering import columns, lettering, shorten, visible


@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened_text_fits_and_keeps_its_ends(text, width):
    short = shorten(text, width)
    assert columns(short) <= max(width, 0)
    if short != text:
        head, _, tail = short.partition("…")
        assert text.startswith(head)
        assert text.endswith(tail)


@given(st.text(st.characters(), max_size=30))
def test_visible_text_is_one_encodable_line(text):
    seen = visible(text)
    assert len(seen.splitlines()) <= 1
    seen.encode("utf-8")


@given(st.lists(st.text(max_size=8), min_size=1, max_size=5))
def test_every_class_gets_a_drawable_name(names):
    style = lettering(names, available=())
    assert len(style.names) == len(names)
    assert lettering(style.names, available=()) == style
