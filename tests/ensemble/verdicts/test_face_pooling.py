"""Several people in one video: each scored by itself, pooled, and differences said."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import ensemble
from base_models import CallableDetector, Face, TorchDetector, score_videos
from base_models.faces import rare_faces
from base_models.scoring.several_faces import faces_of
from base_models.video.one_face import MOST_FACES, OneFace
from ensemble import DeepfakeEnsemble, scan_video
from ensemble.cli.app import main
from ensemble.cli.tables import show_scan
from ensemble.out_of_fold.face_pooling import pool_faces
from ensemble.verdicts.member_scores import face_scores, named_members

SIDE = 24  # of a "face": a square on a black ground, told by its blue


class Squares:
    """Finds squares by their blue, left to right."""

    def find(self, frame):
        found = []
        for blue in range(100, 256, 30):
            rows, columns = np.nonzero(np.abs(frame[..., 2].astype(int) - blue) < 5)
            if len(rows) > 100:
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                found.append(Face(tuple(map(int, box)), 1.0))
        return found


class Generous(Squares):
    """Finds the same, but draws a larger box around the second."""

    def find(self, frame):
        found = super().find(frame)
        for place in range(1, len(found)):
            left, top, right, bottom = found[place].box
            box = (left - 4, top - 4, right + 4, bottom + 4)
            found[place] = Face(box, 1.0)
        return found


class Channel(nn.Module):
    """P(fake) rises with one colour of the image."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, images):  # (B, 3, H, W), -1..1
        return self.scale * images[:, self.channel].mean(dim=(1, 2))


def member(channel=0, **params):
    settings = {"view": "face", "n_frames": 8, "finder": Squares()} | params
    return TorchDetector(
        Channel(channel), train="none", image_size=16, margin=1.0, n_threads=1,
        **settings,
    )  # fmt: skip


def video(*people, n_frames=24):
    """Squares of (red, green), the first the largest."""
    frames = np.zeros((n_frames, 60, 40 * max(2, len(people)), 3), np.uint8)
    for place, (red, green) in enumerate(people):
        side = SIDE - 2 * (place > 0)
        frames[:, 10 : 10 + side, 8 + 40 * place : 8 + 40 * place + side] = (
            red, green, 100 + 30 * place,
        )  # fmt: skip
    return frames


REAL, FAKE = (60, 60), (230, 230)


def fitted(members, extra=(), **params):
    """An ensemble of some videos of one person each, and what else is given."""
    videos = [video((60 + 10 * i, 60 + 10 * i)) for i in range(4)]
    videos += [video((160 + 10 * i, 160 + 10 * i)) for i in range(4)]
    labels = [0] * 4 + [1] * 4
    for clip, label in extra:
        videos.append(clip)
        labels.append(label)
    settings = {"strategy": "voting", "resampling": 2, "verbose": False} | params
    model = DeepfakeEnsemble(members, **settings)
    model.fit(videos, labels, groups=np.arange(len(videos)) // 2)
    return model, videos


def two_members():
    return [("red", member(0)), ("green", member(1))]


@pytest.fixture(scope="module")
def largest():
    return fitted(two_members())[0]


@pytest.fixture(scope="module")
def worst():
    return fitted(two_members(), faces_pooling="worst")[0]


def score_of(*people):
    """What a member says of a square, by hand."""
    values = np.array(people) / 127.5 - 1
    return 1 / (1 + np.exp(-4 * values))


def test_a_real_verdict_on_one_of_two_faces_says_that_the_other_looks_fake(largest):
    clip = video(REAL, FAKE)
    judged = largest.judge([clip]).iloc[0]
    assert judged["p_fake"] == pytest.approx(score_of(60), abs=0.01)
    assert judged["p_fake"] == largest.fake_score([clip])[0]
    said = judged["doubts"]
    assert judged["verdict"] == "UNSURE"
    assert (
        f"its faces disagree, P(fake) {judged['p_fake']:.3f} (the largest face)" in said
    )
    (other,) = scan_video(largest, clip).faces["p_fake"][1:]
    assert other == pytest.approx(score_of(230), abs=0.01)
    assert f", {other:.3f}" in said
    assert next(largest.judge_each([clip])).iloc[0].equals(judged)


def test_scoring_faces_leaves_the_members_as_they_are(largest):
    """They may be in the midst of scoring other videos."""
    clips = [video(REAL, FAKE), video(FAKE), video((70, 70), FAKE)]
    streamed = pd.concat(list(largest.judge_each(clips)))
    assert streamed["doubts"].str.contains("its faces disagree").tolist() == [
        True, False, True
    ]  # fmt: skip
    pd.testing.assert_frame_equal(streamed, largest.judge(clips))
    members = named_members(largest)
    scores, reasons = score_videos(members, clips[:1])
    before = [dict(vars(member)) for _, member in members]
    face_scores(largest, members, clips[0], scores[0], reasons[0])
    assert [vars(member) for _, member in members] == before


def test_faces_that_agree_are_no_news(largest):
    judged = largest.judge([video(REAL, (70, 70)), video(REAL), video(FAKE, FAKE)])
    said = judged["reason"].str.cat(judged["doubts"])
    assert not said.str.contains("disagree").any()


@pytest.mark.parametrize("how", ["worst", "mean"])
def test_videos_of_one_face_have_the_same_scores_however_faces_are_pooled(how, largest):
    other, videos = fitted(two_members(), faces_pooling=how)
    np.testing.assert_array_equal(other.oof_scores_, largest.oof_scores_)
    np.testing.assert_array_equal(other.fake_score(videos), largest.fake_score(videos))


def test_the_worst_face_is_chosen_by_all_members_together(worst):
    clip = video(REAL, (250, 100), (120, 245))
    table = worst.detector_scores([clip])
    faces = np.array([score_of(60, 60), score_of(250, 100), score_of(120, 245)])
    odds = np.log(faces / (1 - faces)).mean(axis=1)
    np.testing.assert_allclose(table.iloc[0], faces[np.argmax(odds)], atol=0.01)
    # and not by each for itself, which would mix two people in one row
    assert table.iloc[0]["red"] < faces[:, 0].max() - 0.1
    judged = worst.judge([clip], doubts=False).iloc[0]
    assert judged["verdict"] == "FAKE"
    assert "its faces disagree" in judged["reason"]
    assert "its faces disagree" not in judged["doubts"]  # the worst is what counts


@pytest.mark.slow
def test_a_fake_that_the_worst_face_hides_from_the_combiner_is_a_doubt():
    draw = np.random.default_rng(0)
    shades = np.r_[draw.integers(60, 110, 20), draw.integers(160, 210, 20)]
    chance = draw.integers(60, 210, 40)
    videos = [video((red, green)) for red, green in zip(shades, chance, strict=True)]
    model = DeepfakeEnsemble(
        two_members(), faces_pooling="worst", resampling=2, verbose=False
    ).fit(videos, np.arange(40) // 20, groups=np.arange(40) % 20)
    assert model.weights_["green"] < 0.1 * model.weights_["red"]
    hidden = video((200, 10), (60, 240))  # the second is the worst to their plain mean
    judged = model.judge([hidden]).iloc[0]
    assert judged["verdict"] == "UNSURE"
    assert "its faces disagree" in judged["doubts"]


def test_a_scan_is_about_the_face_that_decided(worst, largest, capsys):
    clip = video(REAL, (250, 150), FAKE)
    for model, face in ((worst, 3), (largest, 1)):
        found = scan_video(model, clip)
        assert found.faces["main"].tolist() == [n == face for n in (1, 2, 3)]
        assert found.faces["p_fake"][face - 1] == pytest.approx(found.p_fake, rel=1e-6)
        pooled = found.timeline[found.timeline["pooled"]]
        assert set(pooled["face"]) == {face}
        assert set(found.timeline[found.timeline["decided"]]["face"]) == {face}
        for row in found.how.to_dict()["members"]:
            scores = pooled[pooled["detector"] == row["detector"]]["score"]
            assert scores.mean() == pytest.approx(row["p_fake"], rel=1e-6)
        assert found.faces_disagree
        show_scan(found)
        assert "its faces have different verdicts)" in capsys.readouterr().out
        assert "its faces disagree" in (found.reason if face == 3 else found.doubts)


@pytest.mark.slow
def test_replicas_choose_the_worst_face_by_their_averages():
    members, bag = two_members(), {"strategy": "bagging", "resampling": "bootstrap"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few videos
        model, _ = fitted(members, faces_pooling="worst", **bag)
    found = scan_video(model, video(REAL, FAKE))
    assert found.faces["main"].tolist() == [False, True]
    np.testing.assert_allclose(found.members["p_fake"], score_of(230, 230), atol=0.01)


def test_the_mean_is_that_of_log_odds():
    mean, _ = fitted(two_members(), faces_pooling="mean")
    table = mean.detector_scores([video(REAL, FAKE)])
    low, high = np.log(1 / (1 / score_of(60, 230) - 1))
    expected = 1 / (1 + np.exp(-(low + high) / 2))
    np.testing.assert_allclose(table.iloc[0], [expected] * 2, atol=0.01)


@pytest.mark.slow
def test_training_and_new_videos_are_pooled_alike():
    """Members that learn nothing say out of fold what they say of new videos."""
    extra = [(video(REAL, FAKE), 1), (video(REAL, (70, 70)), 0)]
    for how in ("largest", "worst", "mean"):
        model, videos = fitted(two_members(), extra, faces_pooling=how)
        again = model.detector_scores(videos)
        np.testing.assert_allclose(model.oof_scores_, again, rtol=1e-6)
        assert list(model.oof_scores_.index) == list(again.index)
    assert model.oof_scores_.attrs["provenance"]["several_faces"] == 2


def test_no_detector_learns_from_a_second_face(monkeypatch, tmp_path):
    trained = []
    original = TorchDetector.fit

    def fit(self, videos, *arguments, **more):
        trained.append(list(videos))
        return original(self, videos, *arguments, **more)

    monkeypatch.setattr(TorchDetector, "fit", fit)
    extra = [(video((61, 60), FAKE), 1), (video((62, 60), FAKE), 1)]
    _, videos = fitted(two_members(), extra, faces_pooling="worst", store=tmp_path)
    assert len(trained) == 2 * 3  # two folds and all videos, for each of two members
    assert max(map(len, trained)) == len(videos)
    assert not any(isinstance(v, OneFace) for videos in trained for v in videos)


def test_faces_of_training_videos_are_looked_for_once_a_person(tmp_path, monkeypatch):
    """Once a video for its views, and once more for each face of those with several."""
    followed = []
    original = rare_faces.follow_faces

    def counting(frames, finder, dropped):
        followed.append(len(frames))
        return original(frames, finder, dropped)

    monkeypatch.setattr(rare_faces, "follow_faces", counting)
    extra = [(video((63, 60), FAKE), 1), (video((64, 60)), 0)]
    _, videos = fitted(two_members(), extra, faces_pooling="worst", store=tmp_path)
    assert len(followed) == len(videos) + 2


def test_members_that_know_no_faces_say_the_same_of_each():
    bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    members = [("red", member(0)), ("frame", member(1, view="frame")), ("any", bright)]
    model, _ = fitted(members, faces_pooling="worst")
    clip = video(REAL, FAKE)
    table = model.detector_scores([clip])
    assert table["red"].iloc[0] == pytest.approx(score_of(230), abs=0.01)
    assert table["any"].iloc[0] == clip.mean() / 255
    frame, _ = score_videos([model.detectors_["frame"]], [clip])
    assert table["frame"].iloc[0] == frame[0, 0]


@pytest.mark.slow
def test_members_that_look_at_other_frames_or_boxes_are_about_the_same_face():
    """The second member takes the second person for the largest."""
    members = [("red", member(0)), ("green", member(1, n_frames=5, finder=Generous()))]
    clip = video((60, 235), (240, 200))
    for how in ("largest", "worst"):
        model, _ = fitted(members, faces_pooling=how)
        table = model.detector_scores([clip])
        faces = np.array(table.attrs["faces"][table.index[0]]["scores"])
        assert faces.shape == (2, 2)
        assert faces[0, 0] == pytest.approx(score_of(60), abs=0.01)
        assert faces[1, 0] == pytest.approx(score_of(240), abs=0.01)
        assert faces[0, 1] > faces[1, 1]  # of the first person, as red[0] is
    np.testing.assert_array_equal(table.iloc[0], faces[1])


def test_at_most_so_many_faces_are_scored():
    people = [(100 + 10 * i, 100) for i in range(5)]
    found = faces_of(video(*people), [member(0)])
    assert len(found) == MOST_FACES
    assert [face.number for face in found] == [1, 2, 3, 4]
    assert faces_of(video(REAL), [member(0)]) == []
    assert faces_of(video(REAL, FAKE), [member(0, view="frame")]) == []


def test_a_face_that_is_not_scored_is_a_doubt(largest):
    """The last of six is a fake, and the four largest alone are scored."""
    crowd = video(*[REAL] * 5, FAKE)
    table = largest.detector_scores([crowd, video(REAL, REAL)])
    assert len(table.attrs["faces"][table.index[0]]["scores"]) == 6
    judged = largest.judge([crowd, video(REAL, REAL)])
    assert judged["verdict"].iloc[0] == "UNSURE"
    assert "2 of its 6 faces of like size were not scored" in judged["doubts"].iloc[0]
    assert "not scored" not in judged["doubts"].iloc[1]
    worst, _ = fitted(two_members(), faces_pooling="worst")
    doubts = worst.judge([crowd, video(FAKE, *[REAL] * 5)])["doubts"]
    assert ["not scored" in said for said in doubts] == [True, False]  # a fake is one


def test_a_face_that_few_frames_show_is_a_doubt(largest):
    """The first frame is looked at, and five others that are not."""
    first, later, half = video(REAL), video(REAL), video(REAL)
    first[1:], half[12:] = 0, 0
    later[:], later[5:7] = 0, video(REAL)[5:7]
    doubts = largest.judge([first, later, half])["doubts"].tolist()
    assert "a face is seen in 1 of 8 frames alone" in doubts[0]
    assert "face found in 1 of" in doubts[1] or "a face is seen in 1 of 8" in doubts[1]
    assert "a face" not in doubts[2]


def test_another_pooling_after_the_fit_is_refused(largest, tmp_path):
    changed = ensemble.load(_saved(largest, tmp_path), detectors=dict(two_members()))
    changed.set_params(faces_pooling="worst")
    with pytest.raises(ValueError, match="set after a fit with 'largest'"):
        changed.predict([video(REAL)])
    with pytest.raises(ValueError, match="faces_pooling must be one of"):
        fitted(two_members(), faces_pooling="wosrt")


def test_a_saved_ensemble_pools_as_it_did(worst, tmp_path):
    again = ensemble.load(_saved(worst, tmp_path), detectors=dict(two_members()))
    clip = video(REAL, FAKE)
    assert again.fake_score([clip])[0] == worst.fake_score([clip])[0]
    with pytest.raises(ValueError, match="call fit with all of them"):
        again.add_detector("more", member(2))


def _saved(model, folder):
    model.save(folder / "model.dfe")
    return folder / "model.dfe"


def test_a_face_without_scores_is_never_the_worst():
    scores = np.array([[0.2, 0.3], [np.nan, np.nan]])
    row, face = pool_faces(scores, "worst")
    assert face == 0
    assert row.tolist() == [0.2, 0.3]
    assert np.isnan(pool_faces(np.full((2, 2), np.nan), "worst")[0]).all()
    assert np.isnan(pool_faces(np.full((2, 2), np.nan), "mean")[0]).all()


@pytest.mark.slow
def test_the_command_line_hands_the_pooling_on(tmp_path, capsys):
    from base_models import write_video

    for label, shades in (("real", (60, 80)), ("fake", (200, 220))):
        (tmp_path / "videos" / label).mkdir(parents=True)
        for shade in shades:
            clip = video((shade, shade))
            write_video(tmp_path / "videos" / label / f"{shade}.mp4", clip)
    with pytest.raises(SystemExit) as left:
        main(["fit", str(tmp_path / "videos"), "--out", str(tmp_path / "model.dfe"),
              "--backbones", "test_resnet", "--views", "frame", "--train", "head",
              "--weights", "none", "--image-size", "32", "--folds", "2", "-q",
              "--faces-pooling", "worst"])  # fmt: skip
    assert left.value.code == 0, capsys.readouterr().err
    assert ensemble.load(tmp_path / "model.dfe").faces_pooling == "worst"
