"""The page as a reader sees it: with three videos and with 3,000."""

import os
import re

import numpy as np
import pandas as pd
import pytest

from base_models import write_video
from ensemble.datasets import VideoTable, explore, load_dataset
from ensemble.datasets.exploring.page import captions_of
from ensemble.datasets.exploring.pictures import clip_url

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


def bars(path, shift, n_frames=6, size=(96, 128)):
    y, x = np.mgrid[: size[0], : size[1]]
    frames = [
        (127 + 100 * np.sin((x + 3 * t) / (5 + shift) + y / 9))[..., None].repeat(3, 2)
        for t in range(n_frames)
    ]
    return str(write_video(path, [f.astype(np.uint8) for f in frames], fps=10))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    videos = [
        bars(folder / f"{name}.mp4", n) for n, name in enumerate(["a & b", "c", "<d>"])
    ]
    frame = pd.DataFrame({"path": videos, "label": [0, 1, None]})
    frame["video_id"] = [os.path.basename(video) for video in videos]
    frame["original_id"] = [None, "a & b.mp4", None]
    table = VideoTable(frame.assign(group=["g", "g", None]))
    return explore(table, folder, finder=None, store=folder / ".store")


@pytest.fixture(scope="module")
def pages(three):
    folder = three.root
    return {
        embed: three.to_html(folder / f"page{int(embed)}.html", embed=embed)
        for embed in (False, True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("embed", [False, True])
def test_it_opens_without_complaint_request_or_overflow(pages, open_page, width, embed):
    opened = open_page(pages[embed], width, dark=embed)
    assert opened.complaints == []
    assert opened.requests == []
    assert opened.overflow() <= 0
    assert opened.page.locator("svg[role=img]").count() >= 2
    titles = opened.page.locator("h2").all_text_contents()
    assert titles == [
        "What to look at", "Files", "Columns", "Counts", "Frames", "Faces",
        "Numbers by class", "Leaks", "How to read it",
    ]  # fmt: skip
    broken = "all => all.filter(i => !i.complete || !i.naturalWidth).length"
    assert opened.page.locator("img").evaluate_all(broken) == 0


@pytest.mark.slow
def test_embedded_clips_play(pages, open_page):
    page = open_page(pages[True]).page
    assert page.locator("video").count() == 5  # fake, real, both as kin, unlabelled
    page.locator("video").first.evaluate(
        "async v => { v.muted = true; await v.play() }"
    )
    seen = page.locator("video").first.evaluate(
        "v => new Promise(done => { v.onended = () => done(v.currentTime); })"
    )
    assert seen == pytest.approx(0.6, abs=0.15)


@pytest.mark.slow
def test_without_them_a_picture_leads_to_its_file(pages, open_page, three):
    opened = open_page(pages[False])
    links = opened.page.locator(".pictures a").evaluate_all(
        "all => all.map(a => a.href)"
    )
    paths = {(three.root / name).as_uri() for name in three.metadata.index}
    assert set(links) == paths
    assert len(links) == 5


def test_names_are_text_and_no_markup(pages):
    text = pages[False].read_text("utf-8")
    assert "<d>" not in text
    assert "&lt;d&gt;.mp4" in text


def test_what_was_not_tested_is_not_called_clear(pages, three):
    text = pages[False].read_text("utf-8")
    assert "Nothing stands out" not in text
    assert "<p>Properties of the files were not tested: too few groups: 1 with" in text
    assert "not tested</td>" in text
    assert "properties of the files were not tested: too few" in three.summary()


@pytest.mark.slow
def test_the_layout_of_faceforensics_is_understood(tmp_path):
    fakes = "manipulated_sequences"
    names = ["original_sequences/youtube/c23/videos/002.mp4"]
    for method in ("Deepfakes", "FaceSwap"):
        for level in ("c23", "masks"):
            names.append(f"{fakes}/{method}/{level}/videos/002_003.mp4")
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True)
        bars(tmp_path / name, number)
    table = load_dataset("faceforensics", tmp_path)
    found = explore(table, tmp_path, finder=None, store=tmp_path / ".store")
    text = found.to_html(tmp_path / "page.html").read_text("utf-8")
    captions = re.findall(r"<figcaption>(\d[^:<]*)</figcaption>", text)
    both = ["002_003.mp4, Deepfakes, c23, fake", "002_003.mp4, FaceSwap, c23, fake"]
    assert captions[:3] == [*both, "002.mp4, real"]
    assert "Masks, which say where fakes were changed: 2." in text
    assert "in no list" not in text.partition('id="files"')[0]


def test_names_that_repeat_are_told_apart_by_what_is_known():
    rows = {
        "r/c23/1.mp4": ("none", "youtube", "c23"),
        "r/c40/1.mp4": ("none", "youtube", "c40"),
        "x/2.mp4": (None, None, None),
        "y/2.mp4": (None, None, None),
        "y/3.mp4": ("swap", None, "c23"),
    }
    frame = pd.DataFrame.from_dict(
        rows, orient="index", columns=["method", "source", "compression"]
    )
    frame = frame.assign(label=0, path=frame.index, video_id=frame.index)
    assert list(captions_of(VideoTable(frame)).values()) == [
        "1.mp4, youtube, c23", "1.mp4, youtube, c40", "x/2.mp4", "y/2.mp4", "3.mp4",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_same_seed_gives_the_same_page(three, pages, tmp_path):
    again = three.to_html(three.root / "again.html")
    assert again.read_text("utf-8") == pages[False].read_text("utf-8")


def test_a_large_clip_of_any_codec_is_made_small(tmp_path, monkeypatch):
    path = write_video(
        tmp_path / "large.mp4",
        (np.full((600, 802, 3), t, np.uint8) for t in range(30)),
        fps=60,
    )
    avi = path.rename(tmp_path / "large.avi")
    url = clip_url(avi)
    assert url.startswith("data:video/mp4;base64,")
    assert len(url) < 20000


@pytest.mark.slow
def test_tables_are_written_too(three, tmp_path):
    written = three.to_csv(tmp_path / "tables")
    assert len(written) == 13
    counts = pd.read_csv(tmp_path / "tables" / "counts.csv")
    assert counts.loc[counts["column"] == "class", "count"].sum() == 3
    three.to_json(tmp_path / "all.json")
    rows = pd.read_json(tmp_path / "all.json", typ="series")["counts"]
    assert [row["value"] for row in rows if row["column"] == "class"] == [
        "real", "fake", "unlabelled",
    ]  # fmt: skip


def many(folder, n=3000):
    """A table of 3,000 videos as `index_videos` leaves it; ten files are there."""
    draw = np.random.default_rng(0)
    files = [bars(folder / f"{number}.mp4", number) for number in range(10)]
    y = draw.integers(0, 2, n)
    frame = pd.DataFrame({"path": [files[row % 10] for row in range(n)], "label": y})
    frame["video_id"] = [f"part_{row % 40}/video_{row:05}.mp4" for row in range(n)]
    frame["original_id"] = [
        f"original_{row % 700}.mp4" if y[row] else None for row in range(n)
    ]
    frame["group"] = [f"g{row % 700}" for row in range(n)]
    frame["split"] = draw.choice(["train", "val", "test"], n)
    frame["method"] = [f"method_{row % 35}" if y[row] else "none" for row in range(n)]
    frame["fps"], frame["frames"], frame["seconds"] = 30.0, 300, 10.0
    frame["width"], frame["height"] = draw.choice([640, 1920], n), 1080
    frame["codec"], frame["file_size"] = "h264", draw.integers(10**5, 10**7, n)
    frame["quantiser"] = draw.normal(25, 4, n)
    frame["brightness"] = draw.normal(110, 30, n)
    frame["readable"] = draw.random(n) > 0.02
    frame["reason"] = frame["readable"].map({True: None, False: "it is cut short"})
    frame["face"], frame["face_size"] = True, draw.integers(50, 300, n)
    frame["digest"] = [f"{row % 2900:064x}" for row in range(n)]
    hashes = draw.integers(0, 256, (n, 32)).astype(np.uint8)
    frame["phash"] = [row.tobytes().hex() for row in hashes]
    types = {"readable": bool, "face": "boolean", "face_size": "Int64"}
    return VideoTable(frame.astype(types))


@pytest.mark.slow
def test_a_page_of_3000_videos_is_no_larger(three, tmp_path, open_page):
    found = explore(many(tmp_path), tmp_path)
    assert len(found.metadata) == 3000
    page = found.to_html(tmp_path / "page.html")
    assert page.stat().st_size < 1_500_000
    embedded = found.to_html(tmp_path / "embedded.html", embed=True)
    assert embedded.stat().st_size < 10_000_000
    for path, width in ((page, 360), (page, 1280), (embedded, 1280)):
        opened = open_page(path, width)
        assert opened.complaints == []
        assert opened.requests == []
        assert opened.overflow() <= 0
    text = page.read_text("utf-8")
    assert re.search(r"… and 2,992 more", text)
    rows = opened.page.locator("table").evaluate_all(
        "all => all.map(t => t.rows.length)"
    )
    assert max(rows) <= 41
