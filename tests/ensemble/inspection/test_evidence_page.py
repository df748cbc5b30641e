"""Heat maps, and the page of what speaks for a verdict."""

import hashlib
import html
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import ensemble
from base_models import CallableDetector, Face, FrameDetector, TorchDetector
from base_models.export.heat_maps import heat_maps, overlay
from base_models.scoring.pooling import pool_scores
from ensemble import DeepfakeEnsemble, scan_video
from ensemble.cli.app import main
from ensemble.decision import adjust_prior
from ensemble.inspection.evidence_page import decisive_frames, suspicious_frames
from ensemble.inspection.scanned_model import model_file

pytest.importorskip("captum")


class Corner(nn.Module):
    """Says fake where the lower right of the image is bright."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 2, 4, stride=4)
        weight = torch.zeros(2, 3, 4, 4)
        weight[1] = 1 / 48
        self.look.weight = nn.Parameter(weight)
        self.look.bias = nn.Parameter(torch.zeros(2))

    def forward(self, images):
        maps = torch.relu(self.look(images))
        return 8 * maps[:, 1, 4:, 4:].mean(dim=(1, 2))


class Pixels(nn.Module):
    """Has no feature maps: the mean red of the left half."""

    def forward(self, images):
        return images[:, 0, :, :16].mean(dim=(1, 2))


class SquareFinder:
    """Finds the blue square."""

    def find(self, frame):
        rows, columns = np.nonzero(frame[..., 2] > 100)
        if len(rows) < 100:
            return []
        box = (columns.min(), rows.min(), columns.max(), rows.max())
        return [Face(tuple(map(int, box)), 1.0)]


def member(network=None, view="face"):
    return TorchDetector(
        network or Corner(), view=view, train="none", image_size=32, n_frames=6,
        finder=SquareFinder(), margin=1.0, n_threads=1,
    )  # fmt: skip


def video(bright, n_frames=12):
    """A blue square that grows redder in its lower right corner."""
    frames = np.zeros((n_frames, 60, 96, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[10:42, 20:52] = (20, 20, 120)
        frame[26:42, 36:52, 0] = min(255, bright + 4 * index)
    return frames


@pytest.fixture(scope="module")
def model():
    videos = [video(20 + 10 * n) for n in range(4)] + [
        video(160 + 10 * n) for n in range(4)
    ]
    blue = CallableDetector(lambda videos: [v[..., 2].mean() / 255 for v in videos])
    named = [("face", member()), ("<frame>", member(view="frame")), ("blue", blue)]
    model = DeepfakeEnsemble(named, strategy="voting", resampling=2)
    return model.fit(videos, [0] * 4 + [1] * 4, groups=np.arange(8) % 4)


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("evidence") / "new" / "page.html"
    scan_video(model, video(210)).to_html(path)
    return path


@pytest.mark.slow
def test_the_page_says_beside_the_maps_what_bright_means(page):
    text = page.read_text("utf-8")
    before = text[: text.index("Heat map of")]
    assert "Each map is scaled to its own brightest place" in before
    assert "the mean, the few that contribute half of its distance" in before
    assert ", no more fake than real</figcaption>" in text


def fitted(detector):
    return detector.fit([video(20), video(220)], [0, 1])


def test_a_map_is_bright_where_the_network_looks():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
    maps = heat_maps(fitted(member()), images)
    assert maps.shape == (3, 32, 32)
    assert maps.min() >= 0
    np.testing.assert_allclose(maps.max(axis=(1, 2)), 1)
    corner = maps[:, 16:, 16:].sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    assert (corner > 0.8).all()  # maps are coarse: some of it lies just outside


def test_without_feature_maps_the_pixels_themselves_are_asked():
    images = np.full((1, 32, 32, 3), 200, np.uint8)
    (heat,) = heat_maps(fitted(member(Pixels())), images)
    assert heat[:, :15].min() > 0.9
    assert heat[:, 17:].max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("train", ["head", "full"])
def test_networks_have_maps_however_they_were_trained(toy_videos, train):
    videos, y, _ = toy_videos
    detector = FrameDetector(
        "test_resnet", "frame", train, None, 32, n_frames=2, epochs=1, n_threads=1,
        random_state=0,
    ).fit(videos[:8], y[:8])  # fmt: skip
    before = {k: v.clone() for k, v in detector.module_.state_dict().items()}
    score = detector.fake_score(videos[:2])
    maps = heat_maps(detector, np.full((2, 32, 32, 3), 100, np.uint8))
    assert maps.shape == (2, 32, 32)
    assert np.isfinite(maps).all()
    np.testing.assert_array_equal(detector.fake_score(videos[:2]), score)
    for name, value in detector.module_.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_overlay_leaves_cold_places_as_they_are():
    image = np.full((8, 8, 3), 100, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[4:] = 1
    laid = overlay(image, heat)
    assert (laid[:4] == image[:4]).all()
    assert (laid[4:] != image[4:]).any(axis=2).all()


def test_the_most_suspicious_frames_come_first():
    timeline = pd.DataFrame({"frame": [0, 3, 6, 9], "score": [0.2, 0.9, 0.4, 0.7]})
    assert suspicious_frames(timeline, 3) == [3, 9, 6]


def test_the_page_shows_the_verdict_and_needs_nothing_beside_it(page, model):
    text = page.read_text(encoding="utf-8")
    p_fake = model.fake_score([video(210)])[0]
    assert f"P(fake) {p_fake:.3f}" in text
    assert model.judge([video(210)])["verdict"].iloc[0] in text
    assert "&lt;frame&gt;" in text
    assert "<frame>" not in text
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert text.count("Heat map of face at") == 4
    assert text.count("Heat map of &lt;frame&gt; at") == 4
    assert "no map: it does not score images by a network" in text


def test_doubts_are_a_list_and_the_model_is_spoken_of_in_a_place_of_its_own(
    model, tmp_path
):
    scan = scan_video(model, video(210))
    text = (
        replace(scan, doubts="it is short; it (a; b) is odd")
        .to_html(tmp_path / "page.html")
        .read_text("utf-8")
    )
    assert "<li>it is short</li>" in text
    assert "<li>it (a; b) is odd</li>" in text
    verdict, of_model = text.index('id="verdict"'), text.index('<h2 id="model"')
    assert all(verdict < of_model < text.index(said) for said in scan.grounds)
    assert "0 is real, 1 is fake." in text


def test_a_suspicion_is_not_called_real_or_fake(model, tmp_path):
    scan = scan_video(model, video(210))
    card = replace(scan.card, n_fake=0)
    page = replace(scan, card=card, doubts="").to_html(tmp_path / "page.html")
    text = page.read_text("utf-8")
    assert "a suspicion, no probability" in text
    assert "0 is real" not in text
    assert "no more fake than real" not in text
    assert "speaks against a verdict" not in text
    assert "P(fake)" not in text[: text.index('<h2 id="model"')]


def test_the_latest_frames_are_the_most_suspicious_here(page):
    times = re.findall(r"<h3>([\d.]+) s, frame (\d+)", page.read_text(encoding="utf-8"))
    frames = [int(frame) for _, frame in times]
    assert frames[:2] == [11, 9]  # those before are all alike to it


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "median", "max", "logit_mean"])
@pytest.mark.parametrize("calibration", [None, "platt"])
def test_what_the_page_shows_adds_up_to_the_verdict(pooling, calibration):
    """Frames, pooled, are the members' scores; these, combined, the verdict's."""
    videos = [video(20 + 12 * n) for n in range(16)]
    members = [("face", member()), ("frame", member(Pixels(), view="frame"))]
    for _, detector in members:
        detector.set_params(pooling=pooling)
    model = DeepfakeEnsemble(
        members, strategy="stacking", resampling=2, calibration=calibration, prior=0.3
    )
    model.fit(videos, np.arange(16) > 7, groups=np.arange(16) % 4)
    found = scan_video(model, video(150))
    shown = found.to_dict()
    for row in shown["how"]["members"]:
        frames = [
            frame for frame in shown["timeline"]
            if frame["detector"] == row["detector"] and frame["pooled"]
        ]  # fmt: skip
        scores = [frame["score"] for frame in frames]
        assert (row["frames"], row["pooling"]) == (6, pooling)
        assert (row["low"], row["high"]) == (min(scores), max(scores))
        assert row["p_fake"] == pytest.approx(pool_scores(scores, pooling), abs=1e-9)
    table = pd.DataFrame(
        [{r["detector"]: r["p_fake"] for r in shown["how"]["members"]}]
    )
    combined = model.combiner_.fake_score(table)
    expected = [combined[0]]
    if calibration:
        combined = model.calibrator_(combined)
        expected.append(combined[0])
    expected.append(adjust_prior(combined, 0.5, 0.3)[0])
    steps = [step["p_fake"] for step in shown["how"]["steps"]]
    np.testing.assert_allclose(steps, expected, rtol=1e-9)
    assert steps[-1] == pytest.approx(shown["p_fake"], abs=1e-12)
    assert found.faces["p_fake"][0] == pytest.approx(shown["p_fake"], abs=1e-9)


@pytest.mark.slow
def test_the_page_says_which_score_is_which_and_which_model_decided(
    toy_videos, tmp_path
):
    videos, y, groups = toy_videos
    detector = FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1
    )
    model = DeepfakeEnsemble([("one", detector)], resampling=2, verbose=False)
    model.fit(videos, y, groups)
    text = scan_video(model, videos[0]).to_html(tmp_path / "a.html").read_text()
    assert "an ensemble that is in no file" in text
    model.save(tmp_path / "model.dfe")
    digest = hashlib.sha256((tmp_path / "model.dfe").read_bytes()).hexdigest()
    for one in (model, ensemble.load(tmp_path / "model.dfe")):
        found = scan_video(one, videos[0])
        assert found.model_file == {"name": "model.dfe", "sha256": digest}
        text = found.to_html(tmp_path / "b.html").read_text(encoding="utf-8")
        assert f"Judged by model.dfe, sha256 {digest[:12]}, of one." in text
        (combined,) = [p for _, p in found.how.steps]
        assert f"<td>{combined:.3f}</td>" in text
        assert "members combined (logistic)" in text
        assert "P(fake) of the verdict" in text
        # a frame's score is a member's, never called P(fake) of the ensemble
        assert not re.search(r"<h3>[^<]*P\(fake\)", text)
        assert "threshold cannot be drawn here" in text
    late = ensemble.load(tmp_path / "model.dfe")
    one.refit_combiner("log_odds")
    assert scan_video(one, videos[0]).model_file == {"name": None, "sha256": None}
    asked = ensemble.load(tmp_path / "model.dfe")
    assert model_file(asked)["sha256"] == digest
    one.save(tmp_path / "model.dfe")  # another one under the same name
    assert model_file(asked)["sha256"] == digest
    assert model_file(late) == {"name": "model.dfe", "sha256": None}


def test_the_frames_that_decided_come_first_whichever_side_they_are_on():
    timeline = pd.DataFrame(
        {
            "frame": [0, 3, 6, 0, 3, 6],
            "score": [0.1, 0.6, 0.2, 0.1, 0.7, 0.05],
            "decided": [True, False, True, False, False, True],
        }
    )
    assert decisive_frames(timeline, is_fake=False) == [6, 0]
    assert decisive_frames(timeline, is_fake=True, n_frames=1) == [6]


@pytest.mark.slow
def test_a_reader_sees_it_without_complaint(page, open_page):
    for width, dark in ((360, False), (1280, True)):
        opened = open_page(page, width, dark)
        assert opened.complaints == []
        assert opened.requests == []
        assert opened.overflow() <= 0
        broken = opened.page.evaluate(
            "[...document.images].filter(i => !i.naturalWidth).length"
        )
        assert broken == 0


HOSTILE = "/x[/b]/$a_$b^{ [red]x <img src=x> &amp;\n\udce9\x00\u202e_.mp4"


def test_whatever_a_name_holds_the_page_shows_it_letter_by_letter(
    model, tmp_path, open_page
):
    found = scan_video(model, video(210))
    names = {"face": "$\\frac{$ <b>", "<frame>": "_$x$", "blue": "<i>\n"}
    found = replace(
        found,
        video=HOSTILE,
        members=found.members.rename(index=names),
        face_scores=found.face_scores.rename(columns=names),
        how=replace(found.how, members=found.how.members.rename(index=names)),
        timeline=found.timeline.replace({"detector": names}),
        detectors={names[name]: d for name, d in found.detectors.items()},
        look=replace(
            found.look, views={(f"{names[n[:-2]]} 0", f): v
                               for (n, f), v in found.look.views.items()},
        ),
    )  # fmt: skip
    opened = open_page(found.to_html(tmp_path / "page.html"))
    assert opened.complaints == []
    assert opened.requests == []
    heading = opened.page.locator("h1").inner_text()
    assert heading == r"$a_$b^{ [red]x <img src=x> &amp;\n\udce9\x00\u202e_.mp4"
    drawn = opened.page.locator("svg text").all_text_contents()
    assert "$\\frac{$ <b>" in drawn
    assert "_$x$" in [text.strip() for text in drawn]
    figure = found.plot_timeline(tmp_path / "timeline.svg")
    written = html.unescape((tmp_path / "timeline.svg").read_text(encoding="utf-8"))
    assert r"$a_$b^{ [red]x <img src=x> &amp;\n\udce9\x00\u202e_.mp4: " in written
    legend = [text.get_text().strip() for text in figure.legends[0].get_texts()]
    named = [text for text in legend if not text.startswith("0.5, as near")]
    assert named == [r"\$\frac{\$ <b>", r"_\$x\$"]


def test_a_video_without_faces_or_that_cannot_be_read_has_a_page(tmp_path):
    videos = [video(20 + 20 * n) for n in range(8)]
    model = DeepfakeEnsemble([("face", member())], strategy="voting", resampling=2)
    model.fit(videos, np.arange(8) > 3)
    empty = scan_video(model, np.zeros((6, 60, 96, 3), np.uint8))
    empty.to_html(tmp_path / "empty.html")
    assert "no face" in (tmp_path / "empty.html").read_text(encoding="utf-8")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    broken = scan_video(model, tmp_path / "broken.mp4")
    broken.to_html(tmp_path / "broken.html")
    assert "No verdict" in (tmp_path / "broken.html").read_text(encoding="utf-8")


def test_the_command_line_writes_it(toy_videos, tmp_path, capsys):
    from base_models import write_video

    videos, y, groups = toy_videos
    detector = FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1
    )
    model = DeepfakeEnsemble([("one", detector)], resampling=2)
    model.fit(videos, y, groups).save(tmp_path / "model.dfe")
    clip = write_video(tmp_path / "clip.mp4", videos[1])
    with pytest.raises(SystemExit) as left:
        main(["scan", str(clip), "--model", str(tmp_path / "model.dfe"), "-q",
              "--evidence", str(tmp_path / "evidence.html")])  # fmt: skip
    assert left.value.code == 0
    assert "evidence.html" in capsys.readouterr().out
    assert "Heat map of one" in (tmp_path / "evidence.html").read_text()
