"""The page about a cluster in a real browser: whole, by itself, on phones and wide screens, by day and by night."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image

from browser import Browser
from cluster_capture import MIXTURE, cluster_capture
from cofire.analysis.report.cluster_page import write_cluster_page
from cofire.analysis.report.cluster_page_data import cluster_page_data


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("cluster")
    capture = cluster_capture(out / "made")
    path = write_cluster_page(cluster_page_data(capture, MIXTURE), out)
    # Only the page itself: it must not lean on the pictures beside it.
    for picture in out.glob("*.png"):
        picture.unlink()
    return path.as_uri()


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (768, False), (1600, False), (1600, True)])
def test_the_page_is_whole_at_every_width(browser, page, width, dark):
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(page, width, dark=dark)
    pictures = browser.value("[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])")
    assert len(pictures) in (3, 4)
    assert all(complete and natural > 1000 and shown > 300 for complete, natural, shown in pictures)
    assert browser.value("document.documentElement.scrollWidth") <= width
    shown = image.imread(io.BytesIO(browser.screenshot()))
    assert shown.shape[1] == width
    corner = float(np.mean(shown[:5, :5, :3]))
    assert (corner < 0.2) if dark else (corner > 0.9)
    assert [url for url in browser.requests if not url.startswith("data:")] == [page]
    assert browser.complaints == []


def test_text_and_numbers_are_there_without_scripts(browser, page):
    browser.open(page, 1000)
    assert browser.value("document.scripts.length") == 0
    assert browser.value("document.querySelectorAll('blockquote mark').length") == 8
    bars = browser.value("[...document.querySelectorAll('.bar')].map(b => b.getBoundingClientRect().width)")
    # Probabilities .06, .91 and .03 of 8 rem.
    assert [round(width / 128, 2) for width in bars] == [0.06, 0.91, 0.03]
    text = browser.value("document.body.textContent")
    assert all(shown in text for shown in ("Function: ambiguity", "<script>alert(1)</script>", "Parent cluster"))
