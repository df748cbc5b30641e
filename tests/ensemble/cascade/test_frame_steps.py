"""Members that look at a quarter of their frames, at half, and at all of them."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

from base_models import FrameDetector, Store, score_videos
from base_models.detectors.bases import network
from base_models.scoring.in_steps import (
    TOO_FEW,
    FrameStep,
    rows_of_step,
    takes_steps,
)
from base_models.scoring.on_workers import score_part
from base_models.scoring.pooling import pool_scores
from ensemble import ArtifactError, DeepfakeEnsemble, load
from ensemble.inspection.scan import scan_video

N_FRAMES = 16
N_PERSONS = 48
RATE = 0.1  # 29 groups or more are needed
PART = "of its frames"


def picture(is_fake, person, n_frames=N_FRAMES):
    """A still scene in noise, of which a fake has more."""
    draw = np.random.default_rng(2 * person + is_fake)
    scene = draw.integers(0, 256, (1, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    noise = draw.normal(0, 20, (n_frames, 32, 32, 3))
    noise += is_fake * draw.normal(0, 45, (n_frames, 32, 32, 1))
    return (scene + noise).clip(0, 255).astype(np.uint8)


def clips(persons):
    """Return a real and a fake of each person, labels and persons."""
    pairs = [(is_fake, person) for person in persons for is_fake in (0, 1)]
    y, groups = map(list, zip(*pairs, strict=True))
    return [picture(*pair) for pair in pairs], y, groups


def member(backbone="test_resnet", seed=0, **more):
    given = {
        "image_size": 32,
        "n_frames": N_FRAMES,
        "random_state": seed,
        "n_threads": 1,
    }
    return FrameDetector(backbone, "frame", "head", None, **(given | more))


def members():
    return {
        "a": member(),
        "b": member(seed=1),
        "small": member("mesonet4", pooling="logit_mean"),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def in_steps(store):
    model = DeepfakeEnsemble(
        members(),
        resampling=3,
        combiner="soft",
        cascade=RATE,
        verbose=False,
        store=store,
    )
    videos, y, groups = clips(range(N_PERSONS))
    return model.fit(videos, y, groups=groups)


@pytest.fixture(scope="module")
def new():
    return clips(range(1000, 1015))[0]


@pytest.fixture(scope="module")
def trained():
    videos, y, _ = clips(range(6))
    return member(pooling="median").fit(videos, y)


@pytest.fixture
def seen(monkeypatch):
    """How many images networks looked at, call by call."""
    counted = []
    plain = network.run_frozen

    def count(module, preprocess, images, *more):
        counted.append(len(images))
        return plain(module, preprocess, images, *more)

    monkeypatch.setattr(network, "run_frozen", count)
    return counted


def everybody(model):
    return copy.copy(model).set_params(cascade=None)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 7, 8, 16, 33])
def test_half_of_the_frames_has_the_quarter_and_both_are_even(n_frames):
    frames = np.repeat(np.arange(n_frames) * 5, 2)  # two faces a frame
    quarter, half, whole = (rows_of_step(frames, n) for n in (1, 2, 4))
    assert len(whole) == len(frames)
    assert set(quarter) <= set(half)
    assert 0 < len(quarter) <= 2 * -(-n_frames // 4)
    for rows in (quarter, half):
        gaps = np.diff(np.unique(frames[rows]))
        assert not len(gaps) or gaps.min() == gaps.max()


def test_steps_pool_the_scores_of_their_frames_and_look_at_each_once(
    trained, seen, tmp_path
):
    video = picture(1, 77)
    (timeline,) = trained.score_frames([video])
    seen.clear()
    anew = copy.deepcopy(trained).set_params(store=tmp_path)
    steps = {str(n): FrameStep(anew, n) for n in (1, 2, 4)}
    scores, reasons = score_videos(steps, [video])
    assert seen == [4, 4, 8]
    for column, quarters in enumerate((1, 2, 4)):
        rows = rows_of_step(timeline["frame"], quarters)
        expected = pool_scores(timeline["score"].to_numpy()[rows], "median")
        assert scores[0, column] == pytest.approx(expected, abs=1e-6)
    assert not reasons.any()


@pytest.mark.parametrize("n_frames", [1, 3, 7, 8])
def test_a_part_of_too_few_frames_says_nothing(in_steps, n_frames):
    video = picture(1, 79, n_frames)
    step = {"part": FrameStep(in_steps.detectors_["a"], 1)}
    scores, reasons = score_videos(step, [video])
    assert np.isnan(scores[0, 0]) == (n_frames < 8)
    assert (reasons[0, 0] == TOO_FEW) == (n_frames < 8)
    if n_frames < 8:
        (judged,) = in_steps.judge([video]).to_dict("records")
        (full,) = everybody(in_steps).judge([video]).to_dict("records")
        assert judged["members_asked"] == "a, b, small"
        assert judged["p_fake"] == pytest.approx(full["p_fake"], abs=1e-6)
        assert judged["verdict"] == full["verdict"]


def _tenth(scores):
    return float(np.sort(scores)[9])


def test_a_pooling_that_takes_no_part_of_the_frames_takes_no_steps():
    videos, y, groups = clips(range(8))
    model = DeepfakeEnsemble(
        {"a": member(pooling=_tenth), "b": member(seed=1)},
        resampling=2,
        combiner="soft",
        verbose=False,
    ).fit(videos, y, groups=groups)
    assert list(model.fit_record_.frame_steps) == ["b"]
    assert model.oof_scores_.notna().all(axis=None)


def test_scores_in_8_bits_are_kept_apart_from_others(trained, store):
    pytest.importorskip("onnxruntime")
    videos, y, groups = clips(range(30, 36))
    plain = copy.deepcopy(trained).find_ranges(videos)
    eight = copy.deepcopy(plain).set_params(engine="int8")
    scores = {
        name: DeepfakeEnsemble(
            {"one": FrozenEstimator(one)}, combiner="soft", verbose=False, store=store
        )
        .fit(videos, y, groups=groups)
        .oof_scores_["one"]
        .to_numpy()
        for name, one in (("plain", plain), ("eight", eight))
    }
    np.testing.assert_array_equal(scores["plain"], plain.fake_score(videos))
    np.testing.assert_array_equal(scores["eight"], eight.fake_score(videos))


def test_workers_that_copy_them_look_at_each_frame_once(trained, seen, tmp_path):
    anew = copy.deepcopy(trained).set_params(store=tmp_path)
    named = [(str(n), FrameStep(anew, n)) for n in (1, 2, 4)]
    video = picture(0, 78)
    ((scores, *_),), _ = score_part(named, [video], Store(tmp_path), None)
    assert seen == [4, 4, 8]
    expected, _ = score_videos([trained], [video])
    assert scores[2] == pytest.approx(expected[0, 0], abs=1e-6)
    assert copy.copy(named[0][1]).detector is not anew


def test_only_what_scores_each_of_enough_frames_takes_steps(trained):
    assert takes_steps(trained)
    assert takes_steps(FrozenEstimator(trained))
    assert not takes_steps(member(n_frames=4))
    assert not takes_steps(object())


def test_a_fit_leaves_scores_by_fewer_frames_that_no_member_had_learned_from(
    in_steps, trained
):
    known = in_steps.fit_record_.frame_steps
    assert list(known) == ["a", "b", "small"]
    whole = in_steps.oof_scores_["a"].to_numpy()
    rows = in_steps.fit_record_.training.rows(in_steps.oof_scores_.index)
    by_quarter, by_half = known["a"][rows].T
    assert not np.isnan(known["a"]).any()
    spread = [np.abs(part - whole).mean() for part in (by_quarter, by_half)]
    assert 0 < spread[1] < spread[0] < 0.1  # nearer to the whole the more they saw
    videos, y, groups = clips(range(20, 40))
    frozen = DeepfakeEnsemble(
        {"one": FrozenEstimator(trained)}, combiner="soft", verbose=False
    ).fit(videos, y, groups=groups)
    rows = frozen.fit_record_.training.rows(frozen.oof_scores_.index)
    for video, row in zip(videos, rows, strict=True):
        (timeline,) = trained.score_frames([video])
        said = timeline["score"].to_numpy()
        expected = [np.median(said[rows_of_step(range(16), n)]) for n in (1, 2)]
        found = frozen.fit_record_.frame_steps["one"][row]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_cascade_settles_by_fewer_frames_and_says_so(in_steps, new, seen):
    judged, full = in_steps.judge(new), everybody(in_steps).judge(new)
    asked = judged["members_asked"]
    assert asked.str.contains(f"quarter {PART}").mean() > 0.5
    assert (judged["verdict"] != full["verdict"]).mean() <= RATE
    whole = (asked == "a, b, small").to_numpy()
    assert whole.any()
    np.testing.assert_allclose(
        judged["p_fake"][whole], full["p_fake"][whole], atol=1e-6
    )
    assert (judged["p_fake"][~whole] != full["p_fake"][~whole]).all()


def test_fewer_images_go_through_the_networks(in_steps, seen, tmp_path):
    videos = clips(range(2000, 2010))[0]
    fresh = copy.copy(in_steps)
    fresh.detectors_ = {
        name: copy.deepcopy(found).set_params(store=tmp_path / "steps")
        for name, found in in_steps.detectors_.items()
    }
    asked = fresh.set_params(store=tmp_path / "steps").judge(videos)["members_asked"]
    in_turn = sum(seen)
    quarters = sum(
        {"": 16, f" (a quarter {PART})": 4, f" (half {PART})": 8}[rest]
        for names in asked
        for one in names.split(", ")
        for rest in [one[len(one.split(" ")[0]) :]]
    )
    assert in_turn == quarters < 0.7 * 3 * N_FRAMES * len(videos)


def test_p_fake_of_such_a_video_is_that_of_its_stage(in_steps, new):
    table = in_steps.judge(new)
    row = table[table["members_asked"].str.count("a quarter") == 2].iloc[0]
    asked = in_steps.cascade_.asked_after(2)
    assert set(asked.values()) == {1}
    stage = in_steps.cascade_.stage_of(asked)
    video = new[list(table.index).index(row.name)]
    steps = {name: FrameStep(in_steps.detectors_[name], 1) for name in asked}
    scores = pd.DataFrame(score_videos(steps, [video])[0], columns=list(steps))
    scores = scores[[name for name in in_steps.detectors_ if name in asked]]
    assert row["p_fake"] == pytest.approx(float(stage.combiner.fake_score(scores)[0]))


def test_saved_and_loaded_it_stops_at_the_same_frames(in_steps, new, tmp_path):
    in_steps.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    assert again.cascade_.turns == in_steps.cascade_.turns
    assert again.judge(new[:8]).equals(in_steps.judge(new[:8]))
    later = load(tmp_path / "model.dfe").set_params(cascade=0.09)
    assert "quarter" in later.judge(new[:8])["members_asked"].str.cat()


def test_without_scores_by_fewer_frames_members_are_asked_whole(in_steps, new):
    older = copy.copy(in_steps)
    older.fit_record_ = replace(
        in_steps.fit_record_, frame_steps={}, step_cascade=None, cascade=None
    )
    asked = older.judge(new)["members_asked"]
    assert not asked.str.contains(PART).any()
    assert asked.str.count(",").mean() < 2


def test_an_exact_cascade_and_a_scan_look_at_all_frames(in_steps, new):
    exact = copy.copy(in_steps).set_params(cascade="exact")
    judged = exact.judge(new, doubts=False)
    assert not judged["members_asked"].str.contains(PART).any()
    full = everybody(in_steps).judge(new, doubts=False)
    assert judged["verdict"].equals(full["verdict"])
    scanned = scan_video(in_steps, new[0], cascade=True)
    named = scanned.members["reason"].str.startswith("not asked: settled after")
    assert not scanned.members["reason"].str.contains(PART).any()
    assert scanned.members["p_fake"].isna().equals(named)


def test_one_more_member_and_another_combiner_keep_them(in_steps, store):
    model = copy.copy(in_steps).refit_combiner("median")
    said = str(model.cascade_)
    assert "(1/4: a quarter of its frames): " in said
    assert " 1/4, " in said
    videos, *_ = clips(range(N_PERSONS))
    model.add_detector("more", member(seed=3), videos)
    assert list(model.fit_record_.frame_steps) == ["a", "b", "small", "more"]
    assert {turn.name for turn in model.cascade_.turns} == set(model.detectors_)
    assert list(in_steps.fit_record_.frame_steps) == ["a", "b", "small"]


def test_no_labels_make_no_steps(trained, new):
    together = DeepfakeEnsemble(
        {"one": FrozenEstimator(trained)}, cascade=RATE, verbose=False
    )
    with pytest.warns(UserWarning, match="certified on labelled"):
        together.fit(new[::2], [0] * len(new[::2]))
    assert not together.cascade_.quarters


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"z": np.zeros((2 * N_PERSONS, 2))}, "'z', no member"),
        ({"a": np.zeros((3, 2))}, r"shape \(96, 2\); got \(3, 2\)"),
        ({"a": np.full((2 * N_PERSONS, 2), 1.5)}, "lie in 0..1"),
    ],
)
def test_forged_scores_by_fewer_frames_are_refused(in_steps, forged, said, tmp_path):
    other = copy.copy(in_steps)
    other.fit_record_ = replace(in_steps.fit_record_, frame_steps=forged)
    other.save(tmp_path / "model.dfe")
    with pytest.raises(ArtifactError, match=said):
        load(tmp_path / "model.dfe")
