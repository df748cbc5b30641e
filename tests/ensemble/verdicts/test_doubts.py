import copy
import json
import warnings
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from base_models import (
    CallableDetector,
    FrequencyDetector,
    VideoReadError,
    write_video,
)
from ensemble import DeepfakeEnsemble, ScorePipeline, load, scan_video
from ensemble.combiners import Voting
from ensemble.metrics import Interval
from ensemble.out_of_fold.ensemble_scores import is_above_chance
from ensemble.verdicts.doubts import _of_unseen_time
from ensemble.verdicts.video_profile import (
    TrainingProfile,
    profile_video,
    training_profile,
)


def video(shade, blue=0, side=24):
    """A video whose shade and blue channel say what its two members shall see."""
    frames = np.full((4, side, side, 3), shade, np.uint8)
    frames[..., 2] = blue
    return frames


def _bright(videos):
    return [0.1 + 0.8 * one[..., 0].mean() / 255 for one in videos]


def _blue(videos):
    """Sees no video without blue."""
    return [0.1 + 0.8 * b / 255 if (b := one[..., 2].mean()) else np.nan
            for one in videos]  # fmt: skip


def _noise(videos):
    return [0.3 + 0.4 * (int(one.sum()) * 7919 % 97) / 97 for one in videos]


def fitted(members=None, n_blind=0, combiner="soft", y=None, n=40, **options):
    """Fit on dark reals and bright fakes; of `n_blind` the blue member has no score."""
    draw = np.random.RandomState(0)
    is_fake = np.arange(n) % 2
    shades = np.where(is_fake, 190, 60) + draw.randint(-40, 41, n)
    blues = np.clip(shades + draw.randint(-20, 21, n), 1, 255)
    blues[:n_blind] = 0
    members = members or {"bright": _bright, "blue": _blue}
    model = DeepfakeEnsemble(
        {name: CallableDetector(function) for name, function in members.items()},
        combiner=combiner,
        resampling=4,
        verbose=False,
        **options,
    )
    videos = [video(s, b) for s, b in zip(shades, blues, strict=True)]
    y = is_fake if y is None else y
    return model.fit(videos, y, groups=np.arange(n) // 2)


@pytest.fixture(scope="module")
def model():
    return fitted()


@pytest.fixture(scope="module")
def guessing():
    with pytest.warns(UserWarning, match="not shown to beat chance") as told:
        model = fitted({"noise": _noise})
    assert [one for one in told if "UNSURE" in str(one.message)]
    return model


def test_an_ordinary_video_is_called_real_or_fake_without_a_doubt(model):
    judged = model.judge([video(60, 62), video(190, 180)])
    assert judged["verdict"].tolist() == ["REAL", "FAKE"]
    assert judged["doubts"].tolist() == ["", ""]


def test_a_model_at_chance_is_unsure_of_every_video_and_says_so(guessing, tmp_path):
    judged = guessing.judge([video(60, 60), video(190, 190)])
    assert judged["verdict"].tolist() == ["UNSURE"] * 2
    assert judged["doubts"].str.contains("not shown to beat chance").all()
    assert not guessing.card_.above_chance
    assert "not shown to be better than chance" in guessing.card_.summary()
    with pytest.warns(UserWarning, match="not shown to beat chance"):
        assert set(guessing.predict([video(60, 60)])) <= {0, 1}
    guessing.save(tmp_path / "guess.dfe")
    again = load(tmp_path / "guess.dfe", {"noise": CallableDetector(_noise)})
    assert again.judge([video(60, 60)])["verdict"].tolist() == ["UNSURE"]


def test_doubts_can_be_left_to_whoever_reads_them(guessing):
    judged = guessing.judge([video(60, 60)], doubts=False)
    assert judged["verdict"].iloc[0] in ("REAL", "FAKE")
    assert "beat chance" in judged["doubts"].iloc[0]


def test_a_video_without_a_member_that_decided_out_of_fold_is_unsure(model):
    judged = model.judge([video(190, 0)])
    assert judged["status"].tolist() == ["partial"]
    assert judged["verdict"].tolist() == ["UNSURE"]
    expected = "no score of blue, and none of 40 out-of-fold videos lacked it"
    assert expected in judged["doubts"].iloc[0]


def test_a_missing_member_is_no_doubt_where_out_of_fold_videos_lacked_it_too():
    judged = fitted(n_blind=20).judge([video(190, 0), video(60, 0)])
    assert judged["status"].tolist() == ["partial"] * 2
    assert judged["verdict"].tolist() == ["FAKE", "REAL"]


def test_the_rest_of_the_members_must_beat_chance_by_themselves():
    def dim(videos):  # knows something where the other member sees the video too
        return [_bright([one])[0] if one[..., 2].any() else _noise([one])[0]
                for one in videos]  # fmt: skip

    judged = fitted({"dim": dim, "blue": _blue}, n_blind=20).judge([video(190, 0)])
    assert judged["verdict"].tolist() == ["UNSURE"]
    assert "no score of blue, without which the model" in judged["doubts"].iloc[0]


def test_a_member_without_weight_need_not_have_a_score():
    model = fitted(combiner=Voting(weights=[1, 0]))
    judged = model.judge([video(190, 0)])
    assert judged["status"].tolist() == ["partial"]
    assert judged["verdict"].tolist() == ["FAKE"]


def test_members_that_disagree_more_than_they_did_out_of_fold_make_no_verdict(model):
    (row,) = model.judge([video(20, 252)]).to_dict("records")
    assert row["verdict"] == "UNSURE"
    assert "members disagree (bright 0.163, blue 0.891: " in row["doubts"]


def test_scores_outside_the_out_of_fold_range_are_in_doubt():
    def narrow(videos):
        return [0.4 + 0.2 * (one[..., 0].mean() / 255) for one in videos]

    model = fitted({"narrow": narrow})
    assert model.judge([video(200)])["verdict"].tolist() == ["FAKE"]
    table = model.detector_scores([video(200)])
    table["narrow"] = 0.999
    judged = model.judge_scores(table)
    assert judged["verdict"].tolist() == ["UNSURE"]
    assert "narrow gives 0.999, out of fold 0.4" in judged["doubts"].iloc[0]


def test_a_video_of_another_size_is_in_doubt_and_the_sizes_are_named(model):
    judged = model.judge([video(190, 180, side=24), video(190, 180, side=96)])
    assert judged["verdict"].tolist() == ["FAKE", "UNSURE"]
    expected = "shorter side of the frame 96 pixels, in training 24"
    assert judged["doubts"].tolist() == ["", expected]


def test_weights_of_zero_make_no_verdict():
    lazy = fitted()
    constant = _Constant("soft").fit(lazy.oof_scores_, np.arange(40) % 2)
    lazy.combiner_, constant.weights_ = constant, np.zeros(2)
    judged = lazy.judge([video(190, 180)])
    assert judged["verdict"].tolist() == ["UNSURE"]
    assert "no member any weight" in judged["doubts"].iloc[0]


def test_a_share_that_stands_for_a_score_is_no_verdict(tmp_path):
    model = fitted(unscorable="prior")
    table = model.detector_scores([video(190, 180)])
    table[:] = np.nan
    judged = model.judge_scores(table)
    assert judged["p_fake"].tolist() == [0.5]
    assert judged["verdict"].tolist() == ["UNSURE"]


def test_codec_quantiser_and_size_of_files_are_compared(tmp_path):
    frames = np.random.RandomState(0).randint(0, 256, (8, 64, 64, 3)).astype(np.uint8)
    good = [write_video(tmp_path / f"{n}.mp4", frames, crf=18) for n in range(3)]
    bad = write_video(tmp_path / "bad.mp4", frames, crf=45)
    profile = training_profile(good)
    assert profile.codecs == {"h264": 3}
    assert profile.unlike(profile_video(good[0])) == []
    (said,) = profile.unlike(profile_video(bad))
    assert said.startswith("quantiser ")
    other = training_profile([bad])
    assert profile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile
    assert other.quantiser[0] > profile.quantiser[2] + 6
    foreign = profile.from_dict(profile.to_dict() | {"codecs": {"vp9": 3}})
    assert "codec h264, in training vp9" in foreign.unlike(profile_video(good[0]))


def test_frames_that_lie_further_apart_than_training_videos_last_are_a_doubt():
    profile = profile_video(np.zeros((40, 64, 64, 3), np.uint8))
    training = TrainingProfile(3, seconds=(2.0, 4.0, 90.0))
    model = SimpleNamespace(detectors_={"a": FrequencyDetector("frame", n_frames=10)})

    def said(seconds):
        return _of_unseen_time(model, replace(profile, seconds=seconds), training)

    assert said(910.0) == [
        "it was looked at every 91 s, and training videos last up to 90.0 s: most of "
        "it was not seen"
    ]
    assert said(890.0) == said(np.nan) == []
    training = replace(training, seconds=(2.0, 4.0, 5.0))
    assert said(590.0) == []  # a minute apart is near
    assert said(610.0)[0].startswith("it was looked at every 61 s")
    model.detectors_ = {"a": CallableDetector(len)}
    assert said(9000.0) == []


def test_few_frames_are_a_doubt_where_training_had_more():
    clip = np.zeros((40, 64, 64, 3), np.uint8)
    profile = training_profile([clip, clip[:30]])

    def of_file(n_frames):
        return replace(profile_video(clip[:n_frames]), is_array=False)

    assert profile.unlike(of_file(3)) == ["3 frames, in training 30 to 40"]
    assert profile.unlike(of_file(1)) == ["1 frame, in training 30 to 40"]
    assert profile.unlike(of_file(8)) == []
    assert training_profile([clip[:4]]).unlike(of_file(3)) == []
    assert training_profile([clip[:1]]).unlike(of_file(1)) == []
    assert profile.unlike(profile_video(clip[:3])) == []  # as of a camera


def test_what_cannot_be_measured_is_a_doubt(tmp_path, monkeypatch):
    """Members decode some frames; what fails elsewhere takes no doubt away."""
    frames = np.full((8, 64, 64, 3), 90, np.uint8)
    path = write_video(tmp_path / "a.mp4", frames)
    profile = training_profile([path])

    def refused(*_, **__):
        raise VideoReadError(path, "one of its pictures is too large")

    monkeypatch.setattr("base_models.video.quality.estimate_qp", refused)
    assert profile.unlike(profile_video(path)) == [
        "what it is like cannot be measured: one of its pictures is too large"
    ]
    assert training_profile([path]) is None


def test_scan_has_the_doubts_and_the_card_of_judge(guessing):
    result = scan_video(guessing, video(60, 60))
    assert result.verdict == "UNSURE"
    assert "beat chance" in result.doubts
    assert result.to_dict()["card"]["n_real"] == 20
    assert guessing.card_.summary() in result.grounds
    assert result.grounds[0].startswith(
        "No video gets a verdict, whatever its score: the model is not shown to beat "
    )
    assert scan_video(guessing, video(60, 60), doubts=False).verdict != "UNSURE"


def test_a_saved_model_has_its_card_in_the_file(model, tmp_path):
    model.describe("shades", toy=True).save(tmp_path / "model.dfe")
    with zipfile.ZipFile(tmp_path / "model.dfe") as archive:
        card = json.loads(archive.read("manifest.json"))["card"]
    assert (card["data"], card["toy"], card["n_real"]) == ("shades", True, 20)
    assert card["profile"]["short_side"] == [24, 24, 24]
    assert card["rates"]["false_alarms"][0] == pytest.approx(
        model.card_.rates.false_alarms.estimate
    )
    members = {"bright": CallableDetector(_bright), "blue": CallableDetector(_blue)}
    again = load(tmp_path / "model.dfe", members)
    assert again.card_ == model.card_
    assert "(shades; a toy, not for real videos)" in again.card_.summary()


def test_rates_are_those_of_the_out_of_fold_verdicts():
    model = fitted(n_blind=20, threshold=0.6)
    card, known = model.card_, model.oof_fake_score_
    is_fake = np.arange(40) % 2
    called = known.to_numpy() > 0.6
    assert card.rates.false_alarms.estimate == called[is_fake == 0].mean()
    assert card.rates.misses.estimate == (~called)[is_fake == 1].mean()
    partial = card.by_status["partial"]
    assert partial.misses.estimate == (~called)[:20][is_fake[:20] == 1].mean()
    assert (partial.n_real, card.by_status["scored"].n_real) == (10, 10)
    assert model.set_params(threshold=0.99).card_.rates.misses.estimate == 1


class _NeedsAll(Voting):
    """Refuses to be fitted on a part of the videos."""

    def _fit(self, rows):
        if len(rows.place) < 40:
            raise RuntimeError("40 rows are needed")
        super()._fit(rows)


class _Constant(Voting):
    def _fake_score(self, scores):
        return np.full(len(scores), 0.5)


def test_a_combiner_that_cannot_be_measured_is_not_taken_for_a_good_one():
    with pytest.warns(UserWarning, match="not known.*RuntimeError: 40 rows are needed"):
        model = fitted(combiner=_NeedsAll("soft"))
    assert model.judge([video(60, 62)])["verdict"].tolist() == ["UNSURE"]
    said = model.card_.summary()
    assert "not known: its out-of-fold scores cannot be looked at again" in said
    assert "RuntimeError: 40 rows" in said


def test_a_refit_measures_the_new_combiner():
    model = fitted()
    assert model.card_.above_chance
    with pytest.warns(UserWarning, match="not shown to beat chance"):
        model.refit_combiner(_Constant("soft"))
    assert not model.card_.above_chance


def test_three_groups_of_each_class_are_the_fewest_that_show_anything():
    certain = Interval(1.0, 1.0, 1.0)
    assert not is_above_chance(certain, np.array([0, 1, 0, 1]), None)
    assert is_above_chance(certain, np.array([0, 1, 0, 1, 0, 1]), None)
    assert not is_above_chance(Interval(0.9, np.nan, np.nan), np.arange(8) % 2, None)


@pytest.mark.slow
def test_reals_alone_say_what_is_known_and_what_is_not():
    from base_models import FrequencyDetector

    draw = np.random.RandomState(0)
    videos = list(draw.randint(0, 256, (12, 2, 48, 48, 3)).astype(np.uint8))
    detector = FrequencyDetector("frame", image_size=48, n_frames=2, n_drawn=10)
    model = DeepfakeEnsemble([detector], resampling=2, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(videos, np.zeros(12, int), groups=np.arange(12))
    card = model.card_
    assert card.above_chance is None
    assert "How many fakes it finds is not known" in card.summary()
    assert "false alarms" in card.summary()
    assert "never REAL" in card.summary()
    other = draw.randint(0, 256, (2, 48, 48, 3)).astype(np.uint8)
    (found,) = model.judge([other]).to_dict("records")
    assert found["verdict"] in ("UNSURE", "FAKE TRACES")
    assert (
        found["verdict"] == "FAKE TRACES" or "does not make it real" in found["doubts"]
    )


def test_a_missing_member_that_hardly_moves_the_score_is_no_doubt():
    combiner = Voting("log_odds", weights=[1000, 1])
    model = fitted(combiner=combiner)
    judged = model.judge([video(190, 0), video(60, 0)])
    assert judged["status"].tolist() == ["partial"] * 2
    assert judged["verdict"].tolist() == ["FAKE", "REAL"]


def _noisy(videos):
    """Knows nothing, and sees no video whose blue is even."""
    blues = [int(one[0, 0, 0, 2]) for one in videos]
    return [0.3 + 0.4 * (b * 7919 % 97) / 97 if b % 2 else np.nan for b in blues]


def _of_even_shades(videos):
    return [shade if int(one[0, 0, 0, 0]) % 2 == 0 else np.nan
            for one, shade in zip(videos, _bright(videos), strict=True)]  # fmt: skip


def test_noise_alone_is_no_ground_whatever_combines():
    """As for a rule on the same scores, which goes by the same shares."""
    members = {"bright": _of_even_shades, "noise": _noisy}
    model = fitted(members, combiner="free_logistic", n=120)
    assert model.weights_ is None
    judged = model.judge([video(191, 61), video(190, 60), video(190, 61)])
    noise_alone, *others = judged["doubts"]
    assert "only noise has a score, and next to no weight" in noise_alone
    assert judged["verdict"].iloc[0] == "UNSURE"
    assert not any("next to no weight" in doubts for doubts in others)
    table = model.oof_scores_.dropna(how="all")
    training = model.fit_record_.training
    rows = training.rows(table.index)
    rule = ScorePipeline("free_logistic", n_boot=0)
    rule.fit(table, training.is_fake[rows], training.groups[rows])
    shares = model.fit_record_.evidence.shares
    np.testing.assert_allclose(shares, rule.shares_, atol=0.05)


def test_scores_that_are_no_probabilities_are_refused(model):
    table = model.detector_scores([video(190, 180)]) * 2
    with pytest.raises(ValueError, match="must be P\\(fake\\), 0 to 1, or NaN; bright"):
        model.judge_scores(table)


def test_fake_that_is_said_of_nearly_all_reals_is_in_doubt(model):
    clips = [video(60, 60), video(200, 200)]
    assert not model.judge(clips)["doubts"].str.contains("tells little").any()
    low = copy.copy(model)
    low.threshold = 1e-6
    judged = low.judge(clips)
    said = (
        "he threshold makes FAKE of nearly every video (out of fold it called 100% of "
        "real videos and 100% of fakes FAKE), so that FAKE tells little"
    )
    assert (judged["verdict"] == "UNSURE").all()
    assert judged["doubts"].str.endswith(said).all()
    assert low.card_.summary().endswith(f"{said}.")
    assert (low.judge(clips, doubts=False)["verdict"] == "FAKE").all()


def test_real_that_is_said_of_nearly_all_fakes_is_in_doubt(model):
    clips = [video(60, 60), video(200, 200)]
    high = copy.copy(model)
    high.threshold = 1 - 1e-6
    judged = high.judge(clips)
    said = (
        "he threshold makes REAL of nearly every video (out of fold it called 100% of "
        "fakes and 100% of real videos REAL), so that REAL tells little"
    )
    assert (judged["verdict"] == "UNSURE").all()
    assert judged["doubts"].str.endswith(said).all()
    assert high.card_.summary().endswith(f"{said}.")
    assert (high.judge(clips, doubts=False)["verdict"] == "REAL").all()
