import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from base_models import CallableDetector, FrameDetector, PrefitDetector
from base_models.backbones import build_network
from base_models.detectors.checkpoint import make_card
from ensemble import DeepfakeEnsemble, load


def brightness(videos):
    return [video.mean() / 255 for video in videos]


def make_prefit(trained_on=None):
    """A network that says what its random weights say."""
    torch.manual_seed(3)
    network = build_network("test_resnet", weights=None)
    torch.nn.init.normal_(network.head.weight)
    card = make_card(
        "test_resnet", "frame", 32, source="theirs.pth", trained_on=trained_on
    )
    return PrefitDetector(card, n_frames=2, n_threads=1).with_network(network)


class Counting(BaseEstimator):
    """Fitted already; counts what it is asked."""

    prefit = True

    def __init__(self):
        self.classes_ = np.array([0, 1])
        self.scored = []

    def __sklearn_clone__(self):
        return self

    def fit(self, videos, y):
        raise AssertionError("it is fitted already")

    def predict_proba(self, videos):
        self.scored.extend(len(video) and video.mean() for video in videos)
        score = np.array(brightness(videos))
        return np.column_stack([1 - score, score])


@pytest.mark.parametrize("strategy", ["voting", "stacking", "blending", "bagging"])
def test_it_scores_every_video_once_and_is_never_fitted(strategy, toy_videos):
    videos, y, groups = toy_videos
    counting = Counting()
    model = DeepfakeEnsemble(
        [("theirs", counting), ("ours", CallableDetector(brightness))],
        strategy,
        verbose=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(videos, y, groups=groups)
    assert len(counting.scored) == len(videos)
    assert model.detectors_["theirs"] is counting
    table = model.oof_scores_
    expected = dict(
        zip(model._training.ids, brightness(model._training.videos), strict=True)
    )
    for row, score in table["theirs"].items():
        assert score == pytest.approx(expected[row])
    assert table.attrs["provenance"]["prefit"] == ["theirs"]


def test_a_learning_combiner_warns_of_what_a_member_may_have_seen(toy_videos):
    videos, y, groups = toy_videos
    ours = CallableDetector(brightness)
    for trained_on, text in (
        (["FaceForensics++ train"], "FaceForensics"),
        (None, "unknown data"),
    ):
        members = {"theirs": make_prefit(trained_on), "ours": ours}
        with pytest.warns(UserWarning, match=f"theirs was trained on {text}"):
            DeepfakeEnsemble(members, verbose=False).fit(videos, y, groups=groups)
    for combiner, trained_on in (("logistic", []), ("soft", None)):
        members = {"theirs": make_prefit(trained_on), "ours": ours}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            DeepfakeEnsemble(members, combiner=combiner, verbose=False).fit(
                videos, y, groups=groups
            )


def test_what_was_trained_on_from_a_checkpoint_inherits_its_past(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    make_prefit(["their videos"]).save(tmp_path)
    child = FrameDetector(
        "test_resnet",
        "frame",
        train="head",
        weights=tmp_path,
        image_size=32,
        n_frames=2,
    )
    with pytest.warns(UserWarning, match="child was trained on their videos"):
        DeepfakeEnsemble({"child": child}, verbose=False).fit(videos, y, groups=groups)


def test_it_survives_saving_and_comes_back_the_same(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    theirs = make_prefit([])
    model = DeepfakeEnsemble({"theirs": theirs}, verbose=False)
    model.fit(videos, y, groups=groups)
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    assert again.detectors_["theirs"].card_ == theirs.card_


def test_clones_and_added_members_keep_it(toy_videos):
    videos, y, groups = toy_videos
    theirs = make_prefit([])
    model = clone(DeepfakeEnsemble({"theirs": theirs}, verbose=False))
    assert model.detectors["theirs"] is theirs
    model.fit(videos, y, groups=groups)
    model.add_detector("bright", CallableDetector(brightness))
    model.add_detector("again", make_prefit([]))
    np.testing.assert_array_equal(
        model.oof_scores_["theirs"], model.oof_scores_["again"]
    )


def test_scikit_learns_frozen_estimator_serves_too(toy_videos):
    videos, y, groups = toy_videos
    frozen = FrozenEstimator(CallableDetector(brightness).fit(videos, y))
    model = DeepfakeEnsemble([("frozen", frozen)], verbose=False)
    model.fit(videos, y, groups=groups)
    expected = dict(
        zip(model._training.ids, brightness(model._training.videos), strict=True)
    )
    for row, score in model.oof_scores_["frozen"].items():
        assert score == pytest.approx(expected[row])


def test_noise_stays_noise():
    """Labels at random, a prefit member that knows nothing: AUC 0.5 on fresh videos."""
    draw = np.random.default_rng(0)
    areas = []
    for _ in range(50):
        videos = list(draw.integers(0, 256, (60, 1, 4, 4, 3), np.uint8))
        y = draw.permutation(np.arange(60) % 2)
        model = DeepfakeEnsemble(
            [("theirs", Counting()), ("ours", CallableDetector(brightness))],
            resampling=3,
            verbose=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(videos[:40], y[:40], groups=np.arange(40))
        areas.append(roc_auc_score(y[40:], model.fake_score(videos[40:])))
    assert abs(np.mean(areas) - 0.5) < 0.05
