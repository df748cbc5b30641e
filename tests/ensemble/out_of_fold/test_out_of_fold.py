import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    cross_val_predict,
)

from base_models import (
    CallableDetector,
    CompressionRouter,
    FrameDetector,
    FrequencyDetector,
    LSTMDetector,
)
from base_models.backbones import build_network
from base_models.detectors import frame
from base_models.detectors.bases import network
from base_models.networks import backbones
from ensemble import DeepfakeEnsemble, LeakError, out_of_fold_scores
from ensemble.out_of_fold import jobs_that_fit, prepare
from ensemble.scores import companions, reasons

HEAD = FrameDetector("test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1)


def test_scores_are_those_of_cross_val_predict(noise, memoriser):
    videos, y, groups = noise(0)
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=3)
    table = out_of_fold_scores(
        {"memory": memoriser()}, videos, y, groups=groups, resampling=folds
    )
    expected = cross_val_predict(
        memoriser(), videos, y, groups=groups, cv=folds, method="predict_proba"
    )
    np.testing.assert_allclose(table["memory"], expected[:, 1])
    beside = companions(table)
    np.testing.assert_array_equal(beside["label"], y)
    np.testing.assert_array_equal(beside["group"], groups)
    for number, (_, test) in enumerate(folds.split(videos, y, groups)):
        assert (beside["fold"].iloc[test] == number).all()


def test_no_group_is_in_two_folds(noise):
    videos, y, groups = noise(1)
    for resampling in (5, "k-fold", "holdout", "bootstrap", LeaveOneGroupOut()):
        seen = []

        class Spy(CallableDetector):
            def fit(self, videos, y, groups=None, sample_weight=None, seen=seen):
                seen.append(set(groups))
                return super().fit(videos, y)

            def predict_proba(self, videos, seen=seen, all_videos=videos):
                keys = {video.tobytes() for video in videos}
                tested = {
                    groups[row]
                    for row, video in enumerate(all_videos)
                    if video.tobytes() in keys
                }
                assert not tested & seen[-1]
                return super().predict_proba(videos)

        def middle(videos):
            return [0.5] * len(videos)

        out_of_fold_scores(
            [Spy(middle)], videos, y, groups=groups, resampling=resampling
        )
        assert seen


def test_a_split_that_shares_a_group_is_refused(noise, memoriser):
    videos, y, groups = noise(0)
    with pytest.raises(LeakError, match="group"):
        out_of_fold_scores(
            [memoriser()],
            videos,
            y,
            groups=groups,
            resampling=[(np.arange(0, 39), np.arange(39, 40))],
        )
    assert not memoriser.fits


def test_noise_is_chance_however_it_is_resampled(noise, memoriser):
    for resampling in (5, "holdout", "bootstrap"):
        aucs = []
        for seed in range(8):
            videos, y, groups = noise(seed, 160)
            table = out_of_fold_scores(
                [memoriser(n_neighbors=3)],
                videos,
                y,
                groups=groups,
                resampling=resampling,
                random_state=seed,
            )
            beside = companions(table)
            fold = np.zeros(len(table)) if "fold" not in table.attrs else beside["fold"]
            for number in np.unique(fold):
                rows = (
                    (fold == number).to_numpy()
                    if hasattr(fold, "to_numpy")
                    else (fold == number)
                )
                label = beside["label"][rows]
                if label.nunique() == 2:
                    aucs.append(roc_auc_score(label, table.iloc[:, 0][rows]))
        # a pooled out-of-bag AUC reads a little low, as any pooled one does
        low = 0.42 if resampling == "bootstrap" else 0.45
        assert low < np.mean(aucs) < 0.55, resampling


@pytest.mark.slow
def test_detectors_keep_their_column_wherever_they_stand(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    detectors = {"a": HEAD, "b": clone(HEAD).set_params(image_size=24), "c": HEAD}
    first = out_of_fold_scores(
        detectors, videos, y, groups=groups, resampling=3, store=tmp_path / "1"
    )
    names = ["c", "a", "b"]
    second = out_of_fold_scores(
        {name: detectors[name] for name in names},
        videos,
        y,
        groups=groups,
        resampling=3,
        store=tmp_path / "2",
    )
    np.testing.assert_array_equal(first[names], second)
    assert (first["a"] != first["c"]).any()  # one kind, two seeds


@pytest.mark.slow
def test_jobs_store_and_order_do_not_change_a_score(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    detectors = {
        "head": HEAD,
        "full": clone(HEAD).set_params(train="full", epochs=1, batch_size=8),
    }

    def score(order, **kwargs):
        table = out_of_fold_scores(
            detectors,
            [videos[i] for i in order],
            y[order],
            groups=groups[order],
            resampling=3,
            **kwargs,
        )
        return table.to_numpy()[np.argsort(order)]

    plain = np.arange(len(videos))
    expected = score(plain, store=tmp_path / "cold")
    assert not np.isnan(expected).any()
    np.testing.assert_array_equal(score(plain, store=tmp_path / "cold"), expected)
    mixed = np.random.default_rng(0).permutation(len(videos))
    np.testing.assert_array_equal(score(mixed, store=tmp_path / "mixed"), expected)
    np.testing.assert_array_equal(
        score(plain, store=tmp_path / "jobs", n_jobs=2), expected
    )


def test_what_was_fitted_once_is_found_again(toy_videos, tmp_path, monkeypatch):
    videos, y, groups = toy_videos
    given = {"groups": groups, "resampling": 3, "store": tmp_path}
    expected = out_of_fold_scores([HEAD], videos, y, **given)
    fits = []
    original = FrameDetector.fit
    monkeypatch.setattr(
        FrameDetector, "fit", lambda *a, **k: fits.append(1) or original(*a, **k)
    )
    again = out_of_fold_scores([HEAD], videos, y, **given)
    np.testing.assert_array_equal(again, expected)
    assert not fits
    for change in (
        {"resampling": 4},
        {"random_state": 1},
        {"sample_weight": np.arange(24.0) + 1},
    ):
        fits.clear()
        out_of_fold_scores([HEAD], videos, y, **{**given, **change})
        assert fits, change
    fits.clear()
    out_of_fold_scores([clone(HEAD).set_params(C=1.0)], videos, y, **given)
    out_of_fold_scores([HEAD], videos, 1 - y, **given)
    assert len(fits) == 6


@pytest.mark.slow
def test_folds_stand_on_one_frozen_body(toy_videos, tmp_path, monkeypatch):
    videos, y, groups = toy_videos
    file = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", None).state_dict(), file)
    params = {"train": "head", "weights": file, "image_size": 32, "n_frames": 2}
    params["n_threads"] = 1
    members = {
        view: FrameDetector("test_resnet", view, **params) for view in ("frame", "crop")
    }
    given = {"groups": groups, "resampling": 4}
    built = []

    def counting(*args):
        built.append(args)
        return build_network(*args)

    monkeypatch.setattr(backbones, "build_network", counting)
    shared = out_of_fold_scores(members, videos, y, store=tmp_path / "one", **given)
    assert len(built) == 1
    monkeypatch.setattr(
        frame, "build_frozen", lambda *a, device, **how: build_network(*a, **how)
    )
    own = out_of_fold_scores(members, videos, y, store=tmp_path / "other", **given)
    np.testing.assert_array_equal(shared, own)
    assert shared["frame"].nunique() > 2


def test_a_foreign_detector_is_remembered_where_a_store_is_named(
    noise, memoriser, tmp_path
):
    videos, y, groups = noise(0)
    given = {"groups": groups, "resampling": 4}
    for _ in range(2):
        out_of_fold_scores([memoriser()], videos, y, **given)
    assert len(memoriser.fits) == 8
    for _ in range(2):
        out_of_fold_scores([memoriser()], videos, y, store=tmp_path, **given)
    assert len(memoriser.fits) == 12
    out_of_fold_scores([memoriser(channel=1)], videos, y, store=tmp_path, **given)
    assert len(memoriser.fits) == 16


def by_name(videos):
    return [int(os.path.basename(video)[0]) / 10 for video in videos]


def test_a_function_of_names_is_not_remembered_by_content(tmp_path):
    y, groups = [0, 1] * 4, np.arange(8) // 2
    for folder, digits in (("one", range(8)), ("two", range(9, 1, -1))):
        (tmp_path / folder).mkdir()
        videos = [str(tmp_path / folder / f"{digit}.mp4") for digit in digits]
        for number, video in enumerate(videos):
            Path(video).write_text(f"content {number}")
        table = out_of_fold_scores(
            [CallableDetector(by_name)], videos, y, groups=groups, resampling=2,
            store=tmp_path / "store",
        )  # fmt: skip
        found = table.loc[videos].iloc[:, 0]
        assert found.tolist() == [digit / 10 for digit in digits]


class Uncopied(ClassifierMixin, BaseEstimator):
    """Somebody else's, and once it is fitted it holds what has no copy."""

    def fit(self, videos, y):
        self.classes_, self.handle_ = np.unique(y), threading.Lock()
        return self

    def predict_proba(self, videos):
        fake = np.array([video.mean() / 255 for video in videos])
        return np.c_[1 - fake, fake]


@pytest.mark.slow
def test_a_foreign_detector_that_cannot_be_copied_costs_no_fit(noise, tmp_path):
    videos, y, groups = noise(0)
    for _ in range(2):
        model = DeepfakeEnsemble(
            [Uncopied()], resampling=2, store=tmp_path, verbose=False
        ).fit(videos, y, groups=groups)
        assert model.oof_scores_.notna().all(axis=None)


def test_unscorable_videos_have_nan_and_a_reason(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    face = clone(HEAD).set_params(view="face")
    for _ in range(2):  # the second one finds its fits in the store, and says so too
        lacks = r"1 of 25 videos lack a view.*broken\.mp4"
        with pytest.warns(UserWarning, match=lacks):
            table = out_of_fold_scores(
                [HEAD],
                [*videos, str(broken)],
                np.r_[y, 1],
                groups=np.r_[groups, 99],
                resampling=3,
                store=tmp_path / "store",
            )
    assert np.flatnonzero(table.iloc[:, 0].isna()).tolist() == [24]
    (why,) = reasons(table).itertuples(index=False)
    assert why.video.endswith("broken.mp4")
    assert why.detector == "test_resnet_frame"
    with (
        pytest.warns(UserWarning, match="no face found"),
        pytest.raises(ValueError, match="no face found"),
    ):
        out_of_fold_scores([face], videos, y, groups=groups, resampling=3)


def test_bootstrap_averages_what_was_out_of_bag(noise, memoriser):
    videos, y, groups = noise(0)
    table = out_of_fold_scores(
        [memoriser()], videos, y, groups=groups, resampling="bootstrap"
    )
    assert len(memoriser.fits) == 25
    assert table.attrs["provenance"]["scores_per_video"] == pytest.approx(
        25 / np.e, rel=0.15
    )
    assert companions(table)["fold"].isna().all()


def test_a_hold_out_scores_only_its_videos(noise, memoriser):
    videos, y, groups = noise(0)
    table = out_of_fold_scores(
        [memoriser()], videos, y, groups=groups, resampling="holdout"
    )
    assert 8 <= len(table) <= 16
    assert len(memoriser.fits) == 1


def test_missing_groups_are_pointed_out(noise, memoriser):
    videos, y, _ = noise(0)
    with pytest.warns(UserWarning, match="enable_metadata_routing"):
        out_of_fold_scores([memoriser()], videos, y, resampling=2)


def test_groups_and_weights_reach_those_who_take_them(noise):
    videos, y, groups = noise(0)
    got = []

    class Taking(CallableDetector):
        def fit(self, videos, y, groups=None, sample_weight=None):
            got.append((len(groups), sample_weight.sum()))
            return super().fit(videos, y)

    out_of_fold_scores(
        [Taking(lambda videos: [0.5] * len(videos))],
        videos,
        y,
        groups=groups,
        sample_weight=np.full(40, 2.0),
        resampling=4,
    )
    assert got == [(30, 60.0)] * 4


def test_seeds_are_filled_in_by_name_and_deep_down():
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(RandomForestClassifier())
    place = "randomforestclassifier__random_state"
    first = prepare(pipeline, "a", 0).get_params()[place]
    assert first == prepare(pipeline, "a", 0).get_params()[place]
    assert first != prepare(pipeline, "b", 0).get_params()[place]
    assert first != prepare(pipeline, "a", 1).get_params()[place]
    assert prepare(clone(HEAD).set_params(random_state=5), "a", 0).random_state == 5


@pytest.mark.parametrize(
    ("n_jobs", "n_cores", "expected"), [(None, 8, 1), (4, 8, 4), (8, 8, 4), (8, 1, 1)]
)
def test_jobs_times_threads_stay_within_the_cores(n_jobs, n_cores, expected):
    two = clone(HEAD).set_params(n_threads=2, device="cpu")
    assert jobs_that_fit([HEAD, two], n_jobs, n_cores) == expected


FOUR = clone(HEAD).set_params(n_threads=4, device="cpu")


@pytest.mark.parametrize(
    "detector",
    [
        LSTMDetector("test_resnet", "frame", n_threads=4, device="cpu"),
        LSTMDetector(features=FOUR, n_threads=1, device="cpu"),
        LSTMDetector(features=FrozenEstimator(FOUR), n_threads=1, device="cpu"),
        CompressionRouter({"c23": FOUR, "c40": HEAD}),
        FrozenEstimator(FOUR),
    ],
    ids=["lstm", "its features", "its fitted features", "router", "frozen"],
)
def test_every_detector_that_uses_threads_is_asked_how_many(detector):
    assert jobs_that_fit([HEAD, detector], 8, 16) == 4


def test_detectors_without_threads_take_one_core_each():
    assert jobs_that_fit([FrequencyDetector(), CallableDetector(len)], 8, 16) == 8


def test_a_network_inside_an_ensemble_fit_takes_no_step_for_an_estimate_of_time(
    toy_videos, tmp_path, monkeypatch
):
    asked = []

    def seconds(*args):
        asked.append(args)
        return 1e-3

    monkeypatch.setattr(network, "seconds_per_step", seconds)
    detector = FrameDetector(
        "mesonet4", "frame", image_size=32, n_frames=1, epochs=1, frames_per_epoch=1,
        n_threads=1, device="cpu", store=tmp_path,
    )  # fmt: skip
    videos, y, groups = toy_videos
    out_of_fold_scores([detector], videos, y, groups, resampling=2, store=tmp_path)
    assert len(asked) == 1  # for all fits together
    detector.fit(videos, y)
    assert len(asked) == 2  # by itself


def test_the_time_of_a_fit_is_that_of_what_trains_on_the_cpu(monkeypatch):
    monkeypatch.setattr(network, "seconds_per_step", lambda *args: 1.0)
    whole = FrameDetector(
        "mesonet4", "frame", image_size=32, epochs=3, frames_per_epoch=1,
        batch_size=10, device="cpu",
    )  # fmt: skip
    assert whole.estimate_fit_seconds(40) == 12
    assert LSTMDetector(features=whole).estimate_fit_seconds(40) == 12
    levels = CompressionRouter({"c23": whole, "c40": whole})
    assert levels.estimate_fit_seconds(40) == 12
    for nothing in (
        HEAD,
        LSTMDetector("mesonet4"),
        clone(whole).set_params(train="head"),
    ):
        assert nothing.estimate_fit_seconds(40) == 0
