import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from millscale.core.types import Problem
from millscale.report.frame import leak_statement, percent
from millscale.report.html import write_report
from millscale.report.report import AuditSummary, Protocol


class Page(HTMLParser):
    """The tags of a page with their attributes, and its visible words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.hidden = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.hidden = tag in {"style", "script"}

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture
def page(tmp_path):
    def make(report):
        files = write_report(tmp_path / "out" / "report.html", report)
        return Page(files[0].read_text(encoding="utf-8"))

    return make


def test_first_screen_is_the_answer(build, report_of, page):
    groups = tuple(f"g{i // 2}" for i in range(12))
    text = page(report_of(build(errors=3, groups=groups))).text
    answer = re.search(r"75\.00 % 3 errors in 12 imagesaccuracy, 95 % interval \S+ % – \S+ %, over 6 indep", text)
    assert answer
    assert answer.start() < text.index("5-fold cross-validation by group. Judged by a model trained on the other folds")


def test_unknown_groups_are_not_called_independent(build, report_of, page):
    assert "over 12 images taken as independent" in page(report_of(build())).text


def test_figures_lie_beside_the_page(build, report_of, tmp_path):
    files = write_report(tmp_path / "report.html", report_of(build(), mosaic=np.zeros((20, 30), np.uint8)))
    names = ["predictions", "confusion", "reliability", "per-class", "errors", "overlaps"]
    assert [f.name for f in files] == ["report.html", *(f"report-{n}.png" for n in names)]
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in files[1:])


def test_the_page_asks_nothing_of_the_network(build, report_of, page, tmp_path):
    parsed = page(report_of(build()))
    for tag, attributes in parsed.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        assert not any(name.startswith("on") or name == "href" for name in attributes)
        assert attributes.get("src", "data:image/jpeg").startswith("data:image/jpeg")
    page_text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "http:" not in page_text
    assert "https:" not in page_text
    assert "url(" not in page_text


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}'


def test_hostile_names_stay_text(build, report_of, page):
    table = build(names=(HOSTILE, "b"), file="x<i>&quot;{}.png")
    report = report_of(
        table,
        Protocol(HOSTILE, HOSTILE, 0.5),
        title=f"</title>{HOSTILE}",
        audit=AuditSummary(1, 1, problems=(Problem(HOSTILE, HOSTILE, HOSTILE, HOSTILE),)),
        details={HOSTILE: HOSTILE},
    )
    parsed = page(report)
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"script"}
    assert all("onerror" not in attributes for _, attributes in parsed.tags)
    assert parsed.text.count("{{ 7*7 }}") > 10
    assert "x<i>&quot;0.png" in parsed.text


def test_a_file_name_that_is_no_text_does_not_stop_the_report(build, report_of, page):
    table = build(images=3, errors=1)
    table = replace(table, ids=("bad\udcff.png", *table.ids[1:]))
    assert "bad\ufffd.png" in page(report_of(table)).text


def test_without_errors_the_closest_calls_are_shown(build, report_of, page):
    text = page(report_of(build(images=60, errors=0))).text
    assert "No error in 60 images" in text
    assert "The closest calls" in text
    assert "List of" not in text


def test_many_errors_are_capped_and_counted(build, report_of, page):
    parsed = page(report_of(build(images=75, errors=75, nearest=0)))
    assert sum(tag == "article" for tag, _ in parsed.tags) == 60
    assert "15 more errors are not pictured" in parsed.text
    assert "List of all 75 errors" in parsed.text


def test_images_that_are_gone_leave_a_note(build, report_of, page):
    table = build(images=3, errors=0, nearest=0)
    report = report_of(table)
    table.paths[0].unlink()
    assert page(report).text.count("image not available") == 2


def test_audit_folds_and_details_are_told(build, report_of, page):
    table = build(errors=2, fold=np.arange(12) % 3)
    audit = AuditSummary(
        1800,
        546,
        overlaps=2153,
        problems=(Problem("empty", "Cr_1.bmp", "found an empty file", "copy it again"),),
    )
    text = page(report_of(table, audit=audit, details={"seed": "7"})).text
    assert "independent groups546" in text
    assert "pairs of overlapping images2153" in text
    assert "near-duplicates" not in text
    assert "emptyCr_1.bmp: found an empty filecopy it again" in text
    assert "1 41 75.00 %".replace(" ", "") in text.replace(" ", "").replace("\xa0", "")
    assert "seed7" in text


def test_the_same_report_is_the_same_page(build, report_of, tmp_path):
    report = report_of(build())
    first, second = (write_report(tmp_path / f"{n}.html", report)[0].read_bytes() for n in "ab")
    assert first == second


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "100 %"), (0.0, "0 %"), (0.5, "50.00 %"), (1799 / 1800, "99.94 %"), (31999 / 32000, "99.997 %")],
)
def test_percent_never_rounds_up_to_all(value, text):
    assert percent(value) == text.replace(" ", "\u00a0")


def test_percent_of_nothing_is_a_dash():
    assert percent(float("nan")) == "–"


@pytest.mark.parametrize(
    ("leak", "level", "words"),
    [
        (0.0, "good", "none"),
        (0.534, "bad", "53.40\u00a0% of the judged images"),
        (None, "unknown", "not measured"),
    ],
)
def test_leak_is_stated(leak, level, words):
    found, sentence = leak_statement(Protocol("Random split", leak=leak))
    assert found == level
    assert words in sentence
