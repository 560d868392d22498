"""The report in a real browser: its pictures load, it asks for nothing else, and it fits phones and wide screens."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image

from browser import Browser
from cofire.analysis.report.sae_page import write_report
from report_data import CLIQUE, HARD_TOKENS, STAR, report_data


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    write_report(report_data([*STAR, *CLIQUE], texts=tuple(HARD_TOKENS)), out)
    # Only the page itself: it must not lean on the pictures beside it.
    for picture in out.glob("*.png"):
        picture.unlink()
    return (out / "index.html").as_uri()


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (768, False), (1600, False), (1600, True)])
def test_the_page_is_whole_at_every_width(browser, page, width, dark):
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page, width, dark=dark)
    pictures = browser.value("[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])")
    assert len(pictures) == 6
    assert all(complete and natural > 1000 and shown > 300 for complete, natural, shown in pictures)
    assert browser.value("document.documentElement.scrollWidth") <= width
    shown = image.imread(io.BytesIO(browser.screenshot()))
    assert shown.shape[1] == width
    corner = float(np.mean(shown[:5, :5, :3]))
    assert (corner < 0.2) if dark else (corner > 0.9)
    assert [url for url in browser.requests if not url.startswith("data:")] == [page]
    assert browser.complaints == []


def test_hard_text_is_text(browser, page):
    browser.open(page, 1000)
    assert browser.value("document.scripts.length") == 0
    text = browser.value("document.body.textContent")
    assert all(shown in text for shown in ("<script>alert(1)</script>", "␣the", "⏎", "$x$", "before <b>bold</b>⏎"))


def test_example_contexts_open_without_scripts(browser, page):
    browser.open(page, 1000)
    assert browser.value("document.querySelectorAll('details').length") == 2
    hidden = browser.value("document.querySelector('blockquote').checkVisibility()")
    browser.value("document.querySelector('summary').click()")
    assert (hidden, browser.value("document.querySelector('blockquote').checkVisibility()")) == (False, True)


def test_the_browser_would_have_told(browser, tmp_path):
    """What the tests above look for is seen when it is there."""
    browser.requests.clear()
    browser.complaints.clear()
    page = tmp_path / "bad.html"
    page.write_text("<!DOCTYPE html><img src='gone.png'><script>console.error('no')</script>")
    browser.open(page.as_uri(), 400)
    assert [url.rpartition("/")[2] for url in browser.requests] == ["bad.html", "gone.png"]
    assert browser.complaints != []
    assert browser.value("document.images[0].naturalWidth") == 0
