"""Members that were fitted before the ensemble is."""

import warnings

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from base_models import (
    CallableDetector,
    CheckpointError,
    FrameDetector,
    PrefitDetector,
)
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble import DeepfakeEnsemble, LeakError, load, out_of_fold_scores
from ensemble.scores import companions

unwarned = pytest.mark.filterwarnings("ignore:.*was trained on")


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
    training = model.fit_record_.training
    expected = dict(zip(training.ids, brightness(training.videos), strict=True))
    for row, score in table["theirs"].items():
        assert score == pytest.approx(expected[row])
    assert table.attrs["provenance"]["prefit"] == ["theirs"]
    assert (len(table) < len(videos)) == (strategy == "blending")


@pytest.mark.slow
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
            warnings.filterwarnings("ignore", ".* ranks? real videos above fake")
            DeepfakeEnsemble(members, combiner=combiner, verbose=False).fit(
                videos, y, groups=groups
            )


@pytest.mark.slow
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
        n_threads=1,
    )
    with pytest.warns(UserWarning, match="child was trained on their videos"):
        DeepfakeEnsemble({"child": child}, verbose=False).fit(videos, y, groups=groups)


@pytest.mark.slow
def test_it_survives_saving_and_comes_back_the_same(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    theirs = make_prefit([])
    model = DeepfakeEnsemble({"theirs": theirs}, verbose=False)
    model.fit(videos, y, groups=groups)
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    assert again.detectors_["theirs"].card_ == theirs.card_


@pytest.mark.slow
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


@unwarned
@pytest.mark.parametrize("strategy", ["stacking", "bagging"])
def test_scikit_learns_frozen_estimator_is_one_too(strategy, toy_videos):
    videos, y, groups = toy_videos
    counting = Counting()
    frozen = FrozenEstimator(counting)
    model = DeepfakeEnsemble([("frozen", frozen)], strategy, verbose=False)
    model = clone(model).fit(videos, y, groups=groups)
    assert len(counting.scored) == len(videos)
    assert model.detectors_["frozen"] is frozen
    assert model.oof_scores_.attrs["provenance"]["prefit"] == ["frozen"]


@pytest.mark.slow
@unwarned
def test_it_stays_the_same_object_through_processes_and_a_store(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    for options in ({"n_jobs": 2}, {"store": tmp_path}, {"store": tmp_path}):
        members = {"theirs": Counting(), "network": make_prefit([])}
        model = DeepfakeEnsemble(members, "voting", verbose=False, **options)
        model.fit(videos, y, groups=groups)
        for name, member in members.items():
            assert model.detectors_[name] is member


def test_its_scores_are_found_again(toy_videos, tmp_path, monkeypatch):
    videos, y, groups = toy_videos
    looks = []
    original = PrefitDetector.score_views
    monkeypatch.setattr(
        PrefitDetector,
        "score_views",
        lambda *given: looks.append(1) or original(*given),
    )
    for resampling in (5, 3):  # it does not depend on the folds
        table = out_of_fold_scores(
            {"theirs": make_prefit([])},
            videos,
            y,
            groups=groups,
            resampling=resampling,
            store=tmp_path,
        )
        assert len(looks) == len(videos)
    expected = make_prefit([]).fake_score(videos)
    np.testing.assert_allclose(table["theirs"], expected, rtol=1e-6)


@pytest.mark.slow
@unwarned
def test_a_grid_search_keeps_it(toy_videos):
    videos, y, groups = toy_videos
    counting, other = Counting(), Counting()
    model = DeepfakeEnsemble([("theirs", counting)], resampling=2, verbose=False)
    grid = {"combiner": ["soft", "logistic"], "theirs": [counting, other]}
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, grid, cv=GroupKFold(2), scoring="roc_auc")
        search.fit(videos, y, groups=groups)
    best = search.best_estimator_
    assert best.detectors_["theirs"] is search.best_params_["theirs"]
    assert other.scored
    assert best.get_params()["theirs"] in (counting, other)


def test_one_warning_names_all_who_may_have_seen_the_videos(toy_videos):
    videos, y, groups = toy_videos
    ours = CallableDetector(brightness).fit(videos, y)
    loose = Counting()
    loose.card_ = {"trained_on": "my own"}
    members = {
        "loose": loose,
        "known": make_prefit(["A train", "B"]),
        "untold": FrozenEstimator(ours),
        "clean": make_prefit([]),
    }
    with pytest.warns(UserWarning, match="was trained on") as told:
        model = DeepfakeEnsemble(members, verbose=False).fit(videos, y, groups=groups)
    (message,) = (str(w.message) for w in told if "was trained on" in str(w.message))
    assert "loose was trained on my own; known was trained on A train, B; " in message
    assert "untold was trained on unknown" in message
    assert "clean" not in message
    assert "the combiner takes" in message
    seen = {"loose": ["my own"], "known": ["A train", "B"], "untold": None, "clean": []}
    assert model.oof_scores_.attrs["provenance"]["trained_on"] == seen


@pytest.mark.slow
def test_what_is_learned_later_is_warned_of_as_well(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    members = {"ours": CallableDetector(brightness)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".* ranks? real videos above fake")
        model = DeepfakeEnsemble(members, "voting", verbose=False)
        model.fit(videos, y, groups=groups)
        model.add_detector("theirs", make_prefit(["A"]))
        provenance = model.oof_scores_.attrs["provenance"]
        model.add_detector("clean", make_prefit([]))
    assert provenance["prefit"] == ["theirs"]
    assert provenance["out_of_fold"]
    provenance = model.oof_scores_.attrs["provenance"]
    assert provenance["prefit"] == ["theirs", "clean"]
    assert provenance["trained_on"] == {"theirs": ["A"], "clean": []}
    with pytest.warns(UserWarning, match="theirs was trained on A: .* the combiner"):
        model.refit_combiner("logistic")
    with pytest.warns(UserWarning, match="theirs was trained on A: .* the calibration"):
        model.set_params(calibration="platt").refit_combiner("soft")
    model.save(tmp_path / "model.dfe")
    again = load(
        tmp_path / "model.dfe", detectors={"ours": CallableDetector(brightness)}
    )
    with pytest.warns(UserWarning, match="theirs was trained on A"):
        again.refit_combiner("weighted")


def test_a_users_own_is_given_to_load_as_it_is(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    path = tmp_path / "model.dfe"
    counting = Counting()
    counting.card_ = {"trained_on": []}
    frozen = FrozenEstimator(Fitted().fit(videos, y))
    model = DeepfakeEnsemble([("one", counting), ("two", frozen)], "voting")
    model.set_params(verbose=False).fit(videos, y, groups=groups).save(path)
    with pytest.raises(CheckpointError, match=r"'one', a Counting; pass it as it is"):
        load(path)
    with pytest.raises(CheckpointError, match=r"'two', a Fitted; pass it as it is"):
        load(path, detectors={"one": counting})
    again = load(path, detectors={"one": counting, "two": frozen})
    assert again.detectors_["one"] is counting
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))


@pytest.mark.slow_after(1)
@unwarned
@pytest.mark.parametrize("kind", ["network", "scikit-learn"])
def test_a_frozen_one_of_known_kind_is_in_the_file(kind, toy_videos, tmp_path):
    videos, y, groups = toy_videos
    if kind == "network":
        inner = FrameDetector(
            "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1
        )
    else:
        videos = [np.array([video.mean(), video.std()]) for video in videos]
        inner = make_pipeline(FunctionTransformer(), LogisticRegression())
    frozen = FrozenEstimator(inner.fit(videos, y))
    model = DeepfakeEnsemble({"frozen": frozen}, verbose=False)
    model.fit(videos, y, groups=groups).save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe")
    assert isinstance(again.detectors_["frozen"], FrozenEstimator)
    assert again.detectors[0][1] is again.detectors_["frozen"]
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))
    again.add_detector("again", frozen, videos=videos)
    np.testing.assert_array_equal(
        again.oof_scores_["again"], again.oof_scores_["frozen"]
    )


@unwarned
def test_the_others_still_see_no_group_that_they_judge(noise, memoriser):
    videos, y, groups = noise(0)
    members = {"theirs": Counting(), "ours": memoriser()}
    table = out_of_fold_scores(members, videos, y, groups=groups, resampling=4)
    alone = out_of_fold_scores(
        {"ours": memoriser()}, videos, y, groups=groups, resampling=4
    )
    np.testing.assert_array_equal(table["ours"], alone["ours"])
    assert companions(table).equals(companions(alone))
    group_of = {
        video[..., 0].mean(): group for video, group in zip(videos, groups, strict=True)
    }
    fold = companions(table)["fold"].to_numpy()
    for number, means in enumerate(memoriser.fits[:4]):
        assert not {group_of[m] for m in means} & set(groups[fold == number])
    with pytest.raises(LeakError):
        out_of_fold_scores(
            {"theirs": Counting()},
            videos,
            y,
            groups=groups,
            resampling=[(np.arange(39), np.array([39]))],
        )


@pytest.mark.slow
@unwarned
@pytest.mark.parametrize(
    "strategy",
    [
        "stacking",
        pytest.param("blending", marks=pytest.mark.slow),
        pytest.param("bagging", marks=pytest.mark.slow),
    ],
)
def test_one_that_knows_nothing_lets_no_label_through(strategy, noise, memoriser):
    """Mean AUC on fresh noise over 10 seeds: its standard error is about 0.015."""
    areas = []
    for seed in range(10):
        videos, y, groups = noise(seed, 160)
        fresh, fresh_y, _ = noise(1000 + seed, 160)
        members = [("theirs", Counting()), ("ours", memoriser(n_neighbors=3))]
        model = DeepfakeEnsemble(members, strategy, random_state=seed, verbose=False)
        if strategy == "bagging":
            model.set_params(combiner="logistic", resampling="bootstrap")
        model.fit(videos, y, groups=groups)
        areas.append(roc_auc_score(fresh_y, model.fake_score(fresh)))
    assert abs(np.mean(areas) - 0.5) < 0.045


class Fitted(BaseEstimator):
    """Of a user's own making: what it learned is in it alone."""

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        self.mean_ = np.mean([video.mean() for video in videos])
        return self

    def predict_proba(self, videos):
        score = np.array([video.mean() / (self.mean_ + 255) for video in videos])
        return np.column_stack([1 - score, score])


def test_an_ensemble_of_fitted_members_says_why_it_needs_labels(noise, memoriser):
    videos, y, _ = noise(0)
    with pytest.raises(ValueError, match="the target y is None: give the label"):
        DeepfakeEnsemble([memoriser()]).fit(videos)
    frozen = FrozenEstimator(memoriser().fit(videos, y))
    with pytest.raises(ValueError, match="score without them: base_models.score_vid"):
        DeepfakeEnsemble([("one", frozen)]).fit(videos)
