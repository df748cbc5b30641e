import json
import warnings

import numpy as np
import pytest

from base_models import CallableDetector, UnscorableVideoError, write_video
from base_models.video import iter_frames
from ensemble import DeepfakeEnsemble, load, scan_video, stress_test
from ensemble.cli.app import main

DARK, GREY, BRIGHT = (np.full((4, 8, 8, 3), v, np.uint8) for v in (30, 128, 220))


def _shade(video):
    return np.mean(video if isinstance(video, np.ndarray) else [*iter_frames(video)])


def _bright(videos):
    """Has no score of grey videos."""
    shades = [_shade(video) for video in videos]
    return [np.nan if 100 < shade < 150 else 0.1 + 0.8 * shade / 255
            for shade in shades]  # fmt: skip


def _only_new(videos):
    """Has a score of grey videos only, of which training had none."""
    return [0.9 if 100 < _shade(video) < 150 else np.nan for video in videos]


def _fitted(**options):
    videos = [np.full((4, 8, 8, 3), v, np.uint8)
              for v in [*range(20, 60, 5), *range(190, 230, 5)]]  # fmt: skip
    members = {
        "bright": CallableDetector(_bright), "late": CallableDetector(_only_new)
    }  # fmt: skip
    options = {"resampling": 2, "verbose": False, **options}
    return DeepfakeEnsemble(members, **options).fit(
        videos, [0] * 8 + [1] * 8, groups=np.arange(16) % 8
    )


COMBINERS = ("soft", "log_odds", "hard", "rank", "weighted", "logistic", "lightgbm",
             "greedy", "dynamic")  # fmt: skip


@pytest.mark.slow_after(5)
@pytest.mark.parametrize("combiner", COMBINERS)
def test_a_score_of_an_untrained_member_alone_is_never_called_real(combiner):
    model = _fitted(combiner=combiner)
    with pytest.raises(UnscorableVideoError, match="only late has a score, and it had"):
        model.predict([DARK, GREY])
    judged = model.judge([DARK, GREY])
    assert judged["status"].tolist() == ["partial", "unscorable"]
    assert judged["verdict"].iloc[1] == ""
    assert "only late has a score" in judged["reason"].iloc[1]
    with pytest.warns(UserWarning, match="only late has a score"):
        assert np.isnan(model.decision_function([DARK, GREY])).tolist() == [False, True]


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("calibration", [None, "platt", "isotonic", "venn_abers"])
def test_what_has_no_combined_score_has_none_after_calibration(calibration):
    model = _fitted(calibration=calibration)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = model.fake_score([GREY, BRIGHT])
    assert np.isnan(score).tolist() == [True, False]


def test_the_share_of_fakes_is_given_where_it_was_asked_for():
    model = _fitted(unscorable="prior")
    with pytest.warns(UserWarning, match=r"share of fakes in training, 0\.500: .*late"):
        assert model.fake_score([GREY])[0] == 0.5
    judged = model.judge([GREY])
    assert judged["status"].tolist() == ["unscorable"]
    found = stress_test(model, [GREY], changes={"darker": [1.0]})
    assert found.scores["ensemble"].isna().all()


def test_labels_are_not_given_for_scores_that_are_missing():
    with pytest.raises(ValueError, match="got NaN at 1 of 2"):
        _fitted().verdicts([0.2, np.nan])


def test_scan_and_stress_give_no_verdict_on_what_has_no_combined_score():
    model = _fitted()
    result = scan_video(model, GREY)
    assert (result.status, result.verdict) == ("unscorable", "")
    assert "none in training" in result.reason
    found = stress_test(model, [DARK, GREY], changes={"darker": [1.0]})
    assert list(found.reasons) == [scan_video(model, GREY).video]


def test_the_command_line_ends_with_one_where_no_member_that_was_trained_has_a_score(
    tmp_path, capsys, monkeypatch
):
    model = _fitted()
    model.save(tmp_path / "model.dfe")
    members = {
        "bright": CallableDetector(_bright), "late": CallableDetector(_only_new)
    }  # fmt: skip
    monkeypatch.setattr(
        "ensemble.load", lambda path, device=None: load(path, members, device=device)
    )
    video = write_video(tmp_path / "grey.mp4", np.full((4, 16, 16, 3), 128, np.uint8))
    with pytest.raises(SystemExit) as left:
        main(["predict", str(tmp_path / "model.dfe"), str(video), "--json", "-q"])
    assert left.value.code == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["p_fake"], row["status"]) == (None, "unscorable")


def test_a_video_that_is_cut_short_is_in_doubt_and_named_in_training(tmp_path):
    draw = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.mp4" for number in range(32)]
    for number, path in enumerate(paths):
        shades = draw.integers(20, 60, (12, 24, 24, 3)) + 150 * (number % 2)
        write_video(path, shades.astype(np.uint8), crf=18)
    labels = [number % 2 for number in range(32)]
    model = DeepfakeEnsemble([CallableDetector(_bright)], resampling=2, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(paths[:30], labels[:30], groups=np.arange(30) // 2)
    whole = model.judge(paths[30:])
    assert list(whole["verdict"]) == ["REAL", "FAKE"]
    assert not whole["doubts"].any()
    for path in paths[30:]:
        path.write_bytes(path.read_bytes()[:-900])
    cut = model.judge(paths[30:])
    assert list(cut["verdict"]) == ["UNSURE"] * 2
    assert cut["doubts"].str.match("it is cut short: it has .* and [0-9]+ of 12").all()
    unlabelled = DeepfakeEnsemble.from_detectors([CallableDetector(_bright)])
    assert unlabelled.judge(paths[30:])["doubts"].str.contains("it is cut short").all()
    with pytest.warns(UserWarning, match="2 of 32 training videos .* are not whole"):
        model.fit(paths, labels, groups=np.arange(32) // 2)


def test_predict_refuses_a_three_way_threshold_before_any_video_is_scored(monkeypatch):
    model = _fitted(threshold="three-way=0.4,confidence=none")
    monkeypatch.setattr(
        DeepfakeEnsemble, "detector_scores", lambda *_: pytest.fail("a video was read")
    )
    with pytest.raises(ValueError, match="labels can only be real or fake"):
        model.predict([DARK])
    with pytest.raises(ValueError, match="labels can only be real or fake"):
        model.decision_function([DARK])


def test_a_video_that_was_trained_on_is_said_to_be_one(tmp_path):
    def written(name, shade):
        frames = np.full((4, 64, 64, 3), shade, np.uint8)
        return write_video(tmp_path / f"{name}.mp4", frames)

    shades = [*range(20, 60, 5), *range(190, 230, 5)]
    videos = [written(shade, shade) for shade in shades]
    model = DeepfakeEnsemble(
        {"bright": CallableDetector(_bright)}, resampling=2, verbose=False
    ).fit(videos, [0] * 8 + [1] * 8, groups=np.arange(16) % 8)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(videos[3].read_bytes())
    other = written("other", 37)
    gone = tmp_path / "gone.mp4"
    model.save(tmp_path / "model.dfe")
    saved = load(tmp_path / "model.dfe", {"bright": model.detectors_["bright"]})
    for judging in (model, saved):
        judged = judging.judge([copy, other, gone])
        assert judged["doubts"].str.contains("learned from this video").tolist() == [
            True, False, False,
        ]  # fmt: skip
        assert judged["verdict"].tolist() == ["UNSURE", "REAL", ""]
        assert judging.judge([copy], doubts=False)["verdict"].tolist() == ["REAL"]
        assert judged["p_fake"].iloc[0] == model.fake_score([copy])[0]
    scanned = scan_video(model, copy)
    assert scanned.verdict == "UNSURE"
    assert "learned from this video" in scanned.doubts
