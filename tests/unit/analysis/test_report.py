"""The report is whole, honest about what it draws, and safe with any text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle
from matplotlib.text import Text

from cofire.analysis.report.charts import style
from cofire.analysis.report.cluster_graph import ClusterGraph, cluster_figure
from cofire.analysis.report.page import ReportData
from cofire.analysis.report.sae_page import write_report
from cofire.analysis.report.visible import drawable, visible_line, visible_token
from cofire.errors import InputError
from report_data import CLIQUE, HARD_TOKENS, STAR, UID, report_data

CHARTS = {"firing-frequency.png", "activation-histograms.png", "cluster-sizes.png", "edge-strength.png"}
EMPTY = pd.DataFrame()


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.events, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "srcset", "action", "data", "poster"}]
        self.events += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def written(data, out):
    page = write_report(data, out)
    assert page == out / "index.html"
    text = page.read_text(encoding="utf-8")
    pictures = {path.name: path.read_bytes() for path in out.glob("*.png")}
    return text, pictures


def test_the_page_holds_every_picture_and_asks_nothing_of_the_network(tmp_path):
    text, pictures = written(report_data([*STAR, *CLIQUE]), tmp_path / "new" / "report")
    assert set(pictures) == CHARTS | {"hub-1.png", "clique-1.png"}
    inside = {base64.b64decode(x) for x in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)}
    assert inside == set(pictures.values())
    page = Page(text)
    assert page.tags.count("img") == len(pictures)
    assert all(link.startswith("data:") for link in page.links)
    assert re.search(r"https?:|url\(|@import|<script", text) is None
    assert "default-src 'none'" in text


def test_the_counts_are_those_of_the_data(tmp_path):
    text, _ = written(report_data([*STAR, *CLIQUE], n=40, dead=3), tmp_path)
    rows = dict(re.findall(r"<th scope=\"row\">(.*?)</th><td>(.*?)</td>", text))
    assert rows["Latents"] == "40"
    assert rows["Dead latents (never fire here)"] == "3"
    assert rows["Tokens counted"] == "10,000"
    assert rows["Documents"] == "7"
    assert rows["Co-firing edges kept"] == "14"
    assert rows["Edge rule"] == "count &gt;= 20, log_odds &gt;= 1, q &lt;= 0.01 within documents"
    assert rows["Pairs that co-fired"] == "900"
    assert rows["… often enough (count)"] == "300 (600 removed)"
    assert rows["… beyond what their documents explain (q)"] == "60 (240 removed)"
    assert rows["… strongly enough (log odds)"] == "14 (46 removed)"
    assert rows["Pairs that pass only with firings below the noise floor"] == "5"
    assert rows["Noise floor"] == "residuals of 1,000 tokens"
    assert rows["Decoder cosine of passing pairs"] == "median 0.10, quartiles -0.05 and 0.30"
    assert rows["Decoder cosine of weak-only pairs"] == "median 0.40, quartiles 0.20 and 0.50"
    assert rows["Clusters (two latents and more)"] == "2: 1 hub and spoke, 1 clique"
    assert "37 live latents; 3 dead" in text


def test_equal_data_give_equal_bytes(tmp_path):
    assert written(report_data(STAR), tmp_path / "a") == written(report_data(STAR), tmp_path / "b")


def test_pictures_of_an_earlier_report_go_and_other_files_stay(tmp_path):
    (tmp_path / "mine.png").write_bytes(b"mine")
    written(report_data([*STAR, (20, 21), (20, 22), (20, 23), *CLIQUE]), tmp_path)
    assert (tmp_path / "hub-2.png").exists()
    _, pictures = written(report_data(STAR), tmp_path)
    assert set(pictures) == CHARTS | {"hub-1.png", "clique-1.png", "mine.png"}


def test_exact_shapes_are_drawn_largest_first(tmp_path):
    text, _ = written(report_data([*STAR, (20, 21), (20, 22), (20, 23)]), tmp_path)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    rule = "of 2 of this shape by centralisation, then size."
    assert f"5 latents, centralisation 1.00, density 0.40. First {rule}" in captions[4]
    assert f"4 latents, centralisation 1.00, density 0.50. Second {rule}" in captions[5]


def test_the_nearest_cluster_is_drawn_and_said_to_be_so(tmp_path):
    paw = [(0, 1), (0, 2), (1, 2), (0, 3)]
    text, pictures = written(report_data(paw), tmp_path)
    assert set(pictures) == CHARTS | {"hub-1.png", "clique-1.png"}
    assert "Nearest to a hub-and-spoke cluster" in text
    assert "Nearest to a clique" in text
    name = "c-" + hashlib.sha256(b"0,1,2,3").hexdigest()[:12]
    assert (
        "No cluster of 4 latents or more is a hub-and-spoke cluster; drawn is the one with the highest "
        f"centralisation. Cluster {name}: 4 latents, structure mixed, centralisation 0.67, density 0.67."
    ) in text
    assert "drawn is the one with the highest density." in text


def test_a_cluster_too_large_to_label_is_cut_and_said_to_be_so(tmp_path):
    big = report_data(list(itertools.combinations(range(16), 2)), n=60)
    assert "are drawn." not in written(big, tmp_path / "whole")[0]
    pairs = list(itertools.combinations(range(20), 2))
    text, _ = written(report_data(pairs, n=60), tmp_path / "cut")
    assert "20 latents, centralisation 0.00, density 1.00." in text
    assert "Only the 16 latents of the greatest strength are drawn." in text


SHAPES = {
    "no clusters": dataclasses.replace(report_data(STAR), clusters=EMPTY, members=EMPTY),
    "no edges": report_data([]),
    "only small clusters": report_data([(0, 1), (5, 6), (6, 7), (5, 7)]),
    "all dead": report_data([], dead=40),
    "one latent": report_data([], n=1, dead=0),
    "no rows and no columns": ReportData({"uid": UID}, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY),
    "no tokens, no contexts": dataclasses.replace(report_data(STAR), tokens=EMPTY, contexts=EMPTY),
    "nulls": dataclasses.replace(
        report_data(STAR), contexts=report_data(STAR).contexts.assign(u=None), sae={"uid": UID, "layer": None}
    ),
    "no histograms": dataclasses.replace(report_data(STAR), latents=report_data(STAR).latents.assign(histogram=None)),
}
DRAWN = {
    "no clusters": CHARTS - {"cluster-sizes.png"},
    "no edges": CHARTS - {"cluster-sizes.png", "edge-strength.png"},
    "only small clusters": CHARTS,
    "all dead": set(),
    "one latent": {"firing-frequency.png", "activation-histograms.png"},
    "no rows and no columns": set(),
    "no tokens, no contexts": CHARTS | {"hub-1.png", "clique-1.png"},
    "nulls": CHARTS | {"hub-1.png", "clique-1.png"},
    "no histograms": (CHARTS | {"hub-1.png", "clique-1.png"}) - {"activation-histograms.png"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_cannot_be_drawn_is_said(shape, tmp_path):
    text, pictures = written(SHAPES[shape], tmp_path)
    assert set(pictures) == DRAWN[shape]
    missing = len((CHARTS | {"hub-1.png", "clique-1.png"}) - DRAWN[shape])
    assert text.count("Not drawn: ") == missing
    assert re.search(r"\bnan\b|\bNone\b", Page(text).text) is None


@pytest.mark.parametrize("part", [slice(5), slice(5, None)])
def test_text_is_escaped_and_hard_characters_are_shown(part, tmp_path):
    tokens = HARD_TOKENS[part]
    data = report_data([*STAR, *CLIQUE], texts=tuple(tokens))
    data = dataclasses.replace(data, sae={**data.sae, "uid": "<img src=x>", "edgeRule": "<i>"})
    text, _ = written(data, tmp_path)
    page = Page(text)
    assert not {"script", "b", "i"} & set(page.tags)
    assert page.events == []
    assert all(link.startswith("data:") for link in page.links)
    for shown in [*(visible_token(token) for token in tokens), "before <b>bold</b>⏎", "<img src=x>", "Rule: <i>."]:
        assert shown in page.text


def test_tokens_are_made_visible():
    assert visible_token(" the\n\t\r") == "␣the⏎⇥↵"
    assert visible_token("a\u200b\xa0\x00\ud800") == "aU+200BU+00A0U+0000U+D800"
    assert visible_token("") == "∅"
    assert visible_line("two words\n") == "two words⏎"
    assert drawable("中a$é", 9) == "□a$é"
    assert drawable("abcdefgh", 5) == "abcd…"


def test_a_missing_column_is_named_and_nothing_is_written(tmp_path):
    data = report_data(STAR)
    with pytest.raises(InputError, match="table edges has no column log_odds"):
        write_report(dataclasses.replace(data, edges=data.edges.drop(columns="log_odds")), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file: the report cannot be written there .*; give another --out"):
        write_report(report_data(STAR), tmp_path / "file")


def graph(n, pairs, hub, names):
    rng = np.random.default_rng(n)
    return ClusterGraph(
        latents=[100_000 + 7 * i for i in range(n)],
        tokens=[[names[(i + k) % len(names)] for k in range(i % 4)] for i in range(n)],
        a=[a for a, _ in pairs],
        b=[b for _, b in pairs],
        count=rng.integers(1, 99_999, len(pairs)).tolist(),
        log_odds=rng.uniform(0.1, 9, len(pairs)).tolist(),
        hub=hub,
    )


@pytest.mark.parametrize("n", range(4, 17))
@pytest.mark.parametrize("shape", ["star", "clique", "star with spokes joined"])
def test_no_two_labels_of_a_cluster_touch(n, shape):
    names = [" misunderstanding", "\n", " the", "中文中文中文中文中文中文", "$x$", "WWWWWWWWWWWWWWWW"]
    star = [(0, i) for i in range(1, n)]
    pairs, hub = {
        "star": (star, 0),
        "clique": (list(itertools.combinations(range(n), 2)), None),
        "star with spokes joined": (star + [(i, n - i) for i in range(1, (n + 1) // 2)], 0),
    }[shape]
    with style():
        figure = cluster_figure(graph(n, pairs, hub, names))
        renderer = FigureCanvasAgg(figure).get_renderer()
        # Text.get_window_extent leaves out the white ground behind a label, which may cover a line.
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        boxes = {text.get_text() + f" #{k}": text.get_window_extent(renderer) for k, text in enumerate(texts)}
        assert len([text for text in texts if text.get_text().startswith("100") and len(text.get_text()) == 6]) == n
        touching = [
            (one, other) for one, other in itertools.combinations(boxes, 2) if boxes[one].overlaps(boxes[other])
        ]
        assert touching == []
        page = figure.bbox
        assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= page.x1 and b.y1 <= page.y1 for b in boxes.values())
        circles = [circle.get_window_extent(renderer) for circle in figure.findobj(Circle)]
        assert len(circles) == n
        assert not any(p.overlaps(q) for p, q in itertools.combinations(circles, 2))
