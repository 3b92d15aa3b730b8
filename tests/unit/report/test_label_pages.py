import json
import re

import numpy as np
import PIL.Image
import pytest

from millscale.report.label_pages import Asked, Doubted, write_doubt_page, write_question_page


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(4)]
    for k, path in enumerate(paths):
        PIL.Image.fromarray(np.full((30, 40), 60 * k, np.uint8)).save(path)
    return paths


def loads(page):
    """Everything that the page would fetch."""
    return re.findall(r'(?:src|href)="(?!data:)([^"]*)"|url\(|@import', page)


def test_the_page_asks_in_the_order_of_the_list_and_loads_nothing(files, tmp_path):
    asked = [Asked(f"{k}.png", files[k], "rust" if k else "", 0.5 if k else None, f"reason {k}") for k in (2, 0, 1)]
    write_question_page(tmp_path / "page.html", asked, ("pit", "rust"), "to_label.csv")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r'data-image="([^"]*)" data-suggestion="([^"]*)"', page) == [
        ("2.png", "rust"), ("0.png", ""), ("1.png", "rust"),
    ]  # fmt: skip
    assert len(re.findall(r'src="data:image/jpeg', page)) == 3
    assert loads(page) == []
    assert json.loads(re.search(r"const classes = (\[.*?\])", page).group(1)) == ["pit", "rust"]


def test_names_are_text_wherever_they_stand(files, tmp_path):
    nasty = "</script><b>\"'&"
    asked = [Asked(nasty, files[0], nasty, 0.5, nasty)]
    write_question_page(tmp_path / "page.html", asked, (nasty,), "x.csv")
    doubted = [Doubted(nasty, files[0], nasty, "b", 0.5, ((files[1],), ()))]
    write_doubt_page(tmp_path / "doubts.html", doubted, images=3, suspects=1)
    for name in ("page.html", "doubts.html"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert '<b>"' not in page
        assert page.count("</script>") == (name == "page.html")


def test_a_doubtful_label_stands_beside_typical_images_of_both_classes(files, tmp_path):
    doubted = [Doubted("0.png", files[0], "rust", "pit", 0.987, (files[1:3], files[3:]))]
    write_doubt_page(tmp_path / "page.html", doubted, images=40, suspects=7)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("rust</bdi>") < page.index("pit</bdi>")
    assert len(set(re.findall(r'src="(data:image/jpeg[^"]*)"', page))) == 4
    assert "7 of 40 labels" in page
    assert "98.7" in page
    assert loads(page) == []


def test_an_image_that_is_gone_does_not_keep_the_page_from_being_written(files, tmp_path):
    write_question_page(tmp_path / "page.html", [Asked("x", tmp_path / "lost.png", "", None, "")], (), "x.csv")
    assert "image not available" in (tmp_path / "page.html").read_text(encoding="utf-8")
