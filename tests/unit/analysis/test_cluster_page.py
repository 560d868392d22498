"""The page about a cluster is whole, tells what is not known, and is safe with any text."""

from __future__ import annotations

import base64
import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from test_report import Page

from cluster_capture import BOTH, GROUPS, MIXTURE, PAIR, STAR, UID, cluster_capture
from cofire.analysis.report.charts import style
from cofire.analysis.report.cluster_page import write_cluster_page
from cofire.analysis.report.cluster_page_data import cluster_page_data
from cofire.analysis.report.cluster_pictures import MAX_NODES
from cofire.analysis.report.plane import COLOURS, Plane, colours_of, mixture_figure, plane_figure
from cofire.analysis.report.visible import visible_token
from cofire.cli import run
from cofire.errors import CaptureError, InputError
from cofire.ingest.capture_dir.table_files import table_infos
from report_data import HARD_TOKENS

PICTURES = {"graph", "plane", "mixtures"}


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return cluster_capture(tmp_path_factory.mktemp("clusters"))


def written(data, out):
    page = write_cluster_page(data, out)
    name = data.cluster["cluster"].rpartition("/")[2]
    assert page == out / f"{name}.html"
    pictures = {path.stem.removeprefix(f"{name}-"): path.read_bytes() for path in out.glob(f"{name}-*.png")}
    return page.read_text(encoding="utf-8"), pictures


def test_the_page_holds_its_pictures_and_asks_nothing_of_the_network(capture, tmp_path):
    text, pictures = written(cluster_page_data(capture, STAR), tmp_path / "new" / "report")
    assert PICTURES <= set(pictures) <= PICTURES | {"plane-3"}
    inside = {base64.b64decode(x) for x in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)}
    assert inside == set(pictures.values())
    page = Page(text)
    assert page.tags.count("img") == len(pictures)
    assert all(link.startswith("data:") for link in page.links)
    assert re.search(r"https?:|url\(|@import|<script", text) is None
    assert "default-src 'none'" in text
    assert re.search(r"\bnan\b|\bNone\b", page.text) is None


def test_members_are_told_with_role_strength_and_tokens(capture, tmp_path):
    data = cluster_page_data(capture, STAR)
    assert data.members["latent"].tolist()[0] == 0
    assert data.members["role"].tolist() == ["hub", "spoke", "spoke", "spoke"]
    text, _ = written(data, tmp_path)
    for latent in GROUPS[STAR]:
        strength = data.edges.loc[(data.edges["a"] == latent) | (data.edges["b"] == latent), "log_odds"].sum()
        row = re.search(rf"<td class=\"index[^>]*>{latent}</td>(.*?)</tr>", text, re.DOTALL).group(1)
        assert f">{strength:.1f}<" in row
        shown = Page(row).text
        assert all(visible_token(token) in shown for token in data.tokens[latent][:6])
    assert len(data.edges) == 3
    assert "The 3 kept edges with log odds above 0 among its 4 latents." in text


def test_numbers_are_those_of_the_tables(capture, tmp_path):
    text, _ = written(cluster_page_data(capture, MIXTURE), tmp_path)
    page = Page(text)
    assert "Structure: clique (probability 0.97). Function: ambiguity." in page.text
    rows = dict(re.findall(r"<tr><th scope=\"row\">(.*?)</th><td>([^<]*)", text))
    assert rows["Label"] == "ambiguity"
    assert rows["Probability of ambiguity"].strip() == "0.91"
    assert rows["Parent cluster"] == "c-dddddddddddd: 8 latents, mixed; level 1, it holds 1 other cluster directly"
    assert rows["SAE"] == UID
    numbers = re.search(r"Centralisation \(1: a star\)</th>(.*?)</tr>", text).group(1)
    assert Page(numbers).text.split() == ["1.000.50", "±", "0.504.5"]
    assert "44 clusters of equal size" in page.text


def test_the_plane_is_told_with_its_fit(capture, tmp_path):
    data = cluster_page_data(capture, MIXTURE)
    assert data.subspace["simplex_r2"] > 0.8
    text, _ = written(data, tmp_path)
    assert f"explain {data.subspace['simplex_r2']:.2f} of the variance" in text
    assert f"they explain {data.subspace['simplex_null']:.2f} (p = 0.01)" in text
    assert "activation times decoder direction" in text
    assert f"{data.subspace['tokens']:,} of {data.subspace['co_firing']:,} tokens" in text


def test_tokens_at_the_ends_are_the_extreme_ones_with_their_text(capture, tmp_path):
    data = cluster_page_data(capture, MIXTURE)
    assert [one.end for one in data.extremes] == [
        (component, upper) for component in (0, 1) for upper in (False, True) for _ in range(2)
    ]
    assert len({one.point for one in data.extremes}) == 8
    fitted = [point for point in data.points if len(point["latents"]) > 1]
    first = [point["components"][0] for point in fitted]
    assert data.points[data.extremes[0].point]["components"][0] == min(first)
    assert data.points[data.extremes[2].point]["components"][0] == max(first)
    documents, texts = capture.documents(), capture.vocabulary()
    for one in data.extremes:
        point = data.points[one.point]
        words = [texts[int(token)] for token in documents[point["document"]]]
        assert one.token == words[point["position"]]
        assert "".join(words).count(one.before + one.token + one.after) >= 1
    page = Page(written(data, tmp_path)[0])
    assert page.tags.count("blockquote") == 8
    assert "with activation / full strength." in page.text


def test_text_is_escaped_and_hard_characters_are_shown(capture, tmp_path):
    data = cluster_page_data(capture, STAR)
    data = dataclasses.replace(data, sae="<img src=x>", tokens=dict.fromkeys(GROUPS[STAR], HARD_TOKENS[:6]))
    page = Page(written(data, tmp_path)[0])
    assert not {"script", "b", "i"} & set(page.tags)
    assert page.events == []
    assert all(link.startswith("data:") for link in page.links)
    for shown in [*(visible_token(token) for token in HARD_TOKENS[:6]), "<img src=x>"]:
        assert shown in page.text


def test_equal_data_give_equal_bytes_and_pages_share_a_directory(capture, tmp_path):
    data = cluster_page_data(capture, PAIR)
    first = written(data, tmp_path)
    (tmp_path / "index.html").write_text("mine")
    other, _ = written(cluster_page_data(capture, STAR), tmp_path)
    assert written(data, tmp_path) == first
    assert (tmp_path / "index.html").read_text() == "mine"
    assert (tmp_path / "c-aaaaaaaaaaaa.html").read_text(encoding="utf-8") == other


def test_a_picture_that_is_not_drawn_any_more_goes(capture, tmp_path):
    data = cluster_page_data(capture, STAR)
    written(data, tmp_path)
    bare = dataclasses.replace(data, subspace=None, points=[], mixtures=[], extremes=[])
    text, pictures = written(bare, tmp_path)
    assert set(pictures) == {"graph"}
    assert text.count("Not drawn: ") == 2


def test_a_coarser_cluster_has_its_parts_and_no_plane(capture, tmp_path):
    data = cluster_page_data(capture, BOTH)
    assert sorted(data.members["latent"]) == GROUPS[STAR] + GROUPS[MIXTURE]
    text, pictures = written(data, tmp_path)
    assert set(pictures) == {"graph"}
    assert "c-aaaaaaaaaaaa: 4 latents, hub and spoke; c-bbbbbbbbbbbb: 4 latents, clique" in text
    assert "it is for clusters of the finest level" in text


def test_a_capture_that_was_not_analysed_says_what_to_run(tmp_path):
    capture = cluster_capture(tmp_path, analysed=False)
    text, pictures = written(cluster_page_data(capture, STAR), tmp_path / "out")
    assert set(pictures) == {"graph"}
    for analysis in ("nulls", "functions", "subspaces"):
        assert f"run cofire analyze CAPTURE --only {analysis}." in text


def test_a_capture_without_weights_and_text(tmp_path):
    capture = cluster_capture(tmp_path, weights=False, text=False)
    data = cluster_page_data(capture, MIXTURE)
    assert data.extremes == []
    text, pictures = written(data, tmp_path / "out")
    assert set(pictures) >= PICTURES
    assert "as the decoder&#39;s weights are not known" in text
    assert "The capture has no text" in text
    assert Page(text).text.count("no distinctive token") == 4


def test_a_capture_without_activations_says_so(capture, tmp_path):
    data = cluster_page_data(capture, STAR)
    data = dataclasses.replace(
        data, keeps_activations=False, function=None, subspace=None, points=[], mixtures=[], extremes=[]
    )
    text, pictures = written(data, tmp_path)
    assert set(pictures) == {"graph"}
    assert text.count("the capture was made with --no-keep") == 2


def nothing_differs(data):
    row = data.subspace | {
        "explained": None,
        "corners": None,
        "origin": None,
        "simplex_r2": None,
        "simplex_null": None,
        "simplex_p": None,
    }
    return dataclasses.replace(
        data,
        subspace=row,
        points=[point | {"components": None, "strongest": None} for point in data.points],
        mixtures=[mixture | {"components": None} for mixture in data.mixtures],
        extremes=[],
    )


def test_tokens_that_do_not_differ_are_told(capture, tmp_path):
    text, pictures = written(nothing_differs(cluster_page_data(capture, STAR)), tmp_path)
    assert set(pictures) == {"graph", "mixtures"}
    assert "and these do not differ" in text
    assert re.search(r"\bnan\b|\bNone\b", Page(text).text) is None


def test_an_unknown_strength_is_told(capture, tmp_path):
    data = cluster_page_data(capture, STAR)
    unknown = ("strengths", "corners", "simplex_r2", "simplex_null", "simplex_p")
    row = data.subspace | dict.fromkeys(unknown)
    data = dataclasses.replace(data, subspace=row, members=data.members.assign(mu=np.nan, mu_rule=None))
    text, pictures = written(data, tmp_path)
    assert set(pictures) >= PICTURES
    assert "undefined, as its tokens do not differ or a full strength is not known" in text
    assert "Triangles" not in text
    assert "with activation.</p>" in text


def test_a_large_cluster_is_cut_in_the_graph(capture, tmp_path):
    data = cluster_page_data(capture, STAR)
    n = 30
    members = pd.concat([data.members] * 8, ignore_index=True).head(n).assign(latent=range(n), role="member")
    edges = pd.DataFrame({"a": [0] * (n - 1), "b": range(1, n), "count": [30] * (n - 1), "log_odds": [2.0] * (n - 1)})
    big = dataclasses.replace(
        nothing_differs(data), members=members, edges=edges, tokens={k: [" the"] for k in range(n)}
    )
    text, _ = written(big, tmp_path)
    assert f"Only the {MAX_NODES} latents of the greatest strength are drawn, of 30." in text
    assert text.count('<td class="index') == n


def plane(random, components, members=9, tokens=200, marks=(0, 3)):
    places = random.standard_normal((tokens, components))
    return Plane(
        places=places,
        strongest=random.integers(-1, members, tokens),
        alone=random.random(tokens) < 0.3,
        explained=np.array([0.5, 0.3, 0.2])[:components],
        names={k: f"{k}  $x$" for k in range(members)},
        corners={k: random.standard_normal(components) for k in range(members)},
        origin=np.zeros(components),
        centroids=random.standard_normal((20, components)),
        marks=marks,
    )


@pytest.mark.parametrize(("components", "second"), [(1, 1), (2, 1), (3, 1), (3, 2)])
def test_every_token_is_drawn_in_the_colour_of_its_strongest_member(components, second):
    drawn = plane(np.random.default_rng(1), components)
    with style():
        figure = plane_figure(drawn, second)
        FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    dots = [c for c in axes.collections if isinstance(c, PathCollection) and len(c.get_offsets()) > 1]
    rings, full = dots[0].get_offsets(), dots[1].get_offsets()
    assert len(rings) == drawn.alone.sum()
    np.testing.assert_allclose(np.asarray(full)[:, 0], drawn.places[~drawn.alone, 0])
    if components > 1:
        np.testing.assert_allclose(np.asarray(full)[:, 1], drawn.places[~drawn.alone, second])
    tags = [text.get_text() for text in axes.texts]
    assert sorted(tags) == ["1", "2", *"abcdefghij"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*(drawn.names[k] for k in colours_of(drawn.strongest)), "others"]
    assert len(colours_of(drawn.strongest)) == len(COLOURS)


def test_bars_are_the_mixtures():
    with style():
        figure = mixture_figure(["1 + 2  a", "3 others"], [12, 5], others=True)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [12, 5]
    assert figure.axes[0].patches[0].get_facecolor() != figure.axes[0].patches[1].get_facecolor()


def test_an_unknown_cluster_is_refused(capture):
    assert cluster_page_data(capture, "c-aaaaaaaaaaaa").cluster["cluster"] == STAR
    with pytest.raises(InputError, match=r"has no cluster c-000; tables/clusters.parquet there lists them"):
        cluster_page_data(capture, "c-000")


def test_a_capture_without_clusters_is_refused(tmp_path):
    capture = cluster_capture(tmp_path)
    assert "members" in table_infos(capture)
    (capture.tables / "members.parquet").unlink()
    with pytest.raises(CaptureError, match="run `cofire analyze"):
        cluster_page_data(capture, STAR)


def test_a_place_that_cannot_be_written_is_named(capture, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file: the page cannot be written there .*; give another --out"):
        write_cluster_page(cluster_page_data(capture, STAR), tmp_path / "file")


def test_the_command_writes_the_page(capture, tmp_path, capsys):
    assert run(["report", str(capture.path), "--cluster", STAR, "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new/c-aaaaaaaaaaaa-plane.png").stat().st_size > 10_000
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"wrote {tmp_path}/new/c-aaaaaaaaaaaa.html\n")


WRONG = {
    "nothing named": ((), "give either --sae UID, or CAPTURE --cluster UID"),
    "both named": (("--sae", UID, "--cluster", STAR), "give either --sae UID, or CAPTURE --cluster UID"),
    "no capture": (("--cluster", STAR), "--cluster needs the capture"),
    "a store": (("CAPTURE", "--cluster", STAR, "--store", "s"), "--store is for a store"),
    "capture without cluster": (("CAPTURE", "--sae", UID), "a capture goes with --cluster"),
    "another SAE": (("CAPTURE", "--cluster", "other/sae/c-aaaaaaaaaaaa"), "of none of the captures named"),
    "no such cluster": (("CAPTURE", "--cluster", f"{UID}/c-0"), "has no cluster"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_command_refuses_what_is_wrong(case, capture, tmp_path, capsys):
    arguments, message = WRONG[case]
    arguments = [str(capture.path) if x == "CAPTURE" else x for x in arguments]
    assert run(["report", *arguments, "--out", str(tmp_path / "new")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
