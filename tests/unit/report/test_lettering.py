import pytest

from millscale.report.figures.lettering import Lettering, columns, drawable, lettering, shorten, visible


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("scratches", 9, "scratches"),
        ("scratches", 8, "scra…hes"),
        ("scratches", 5, "sc…es"),
        ("氧化铁皮", 7, "氧化…皮"),
        ("", 5, ""),
    ],
)
def test_shorten_keeps_both_ends(text, width, expected):
    assert shorten(text, width) == expected
    assert columns(shorten(text, width)) <= width


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\nb\tc", "a b c"), ("up\u202edown", "up\ufffddown"), ("\udcff", "\ufffd"), ("Ω ß", "Ω ß")],
)
def test_visible_is_one_line_without_control_characters(text, expected):
    assert visible(text) == expected


def test_names_the_base_font_has_are_kept_as_they_are():
    names = ("Scratches", "трещина", "défaut", "$x_1$", "صدأ")
    assert lettering(names).names == names
    assert lettering(names).families == ["DejaVu Sans"]


def test_a_name_no_font_can_draw_is_numbered():
    assert lettering(("Patches", "氧化铁皮", "锈 (rust)"), available=()).names == (
        "Patches",
        "class 2",
        "class 3",
    )


def test_a_family_is_added_only_for_what_the_base_font_lacks():
    stix = ("STIXGeneral",)  # comes with the drawing library
    assert lettering(("Patches",), available=stix).families == ["DejaVu Sans"]
    assert lettering(("\u1d81",), available=stix) == Lettering(("\u1d81",), ["DejaVu Sans", *stix])
    assert lettering(("氧",), available=stix) == Lettering(("class 1",), ["DejaVu Sans"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b 1.bmp", "a/b 1.bmp"), ("傷/図 1.bmp", "\ufffd/\ufffd 1.bmp"), ("süß\n№", "süß №")],
)
def test_what_no_font_has_is_replaced_sign_by_sign(text, expected):
    assert drawable(text, ["DejaVu Sans"]) == expected
