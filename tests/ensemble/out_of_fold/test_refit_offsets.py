"""What a detector fitted on all videos says of every video is known to the combiner."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import ensemble
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Bagging, Stacking
from ensemble.out_of_fold.refit_offsets import offset_between


class Drifting(ClassifierMixin, BaseEstimator):
    """Scores by brightness, around a middle that depends on how many videos it saw."""

    def __init__(self, spread=1e-4, drift=3e-4, full=48):
        self.spread = spread
        self.drift = drift
        self.full = full

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        self.middle_ = 0.5 + self.drift * (len(videos) == self.full)
        return self

    def predict_proba(self, videos):
        shade = np.array([video.mean() for video in videos]) / 128 - 1
        fake = np.clip(self.middle_ + self.spread * shade, 0, 1)
        return np.column_stack([1 - fake, fake])


@pytest.fixture(scope="module")
def toy():
    draw = np.random.default_rng(1)
    y = np.arange(48) % 2
    shades = np.clip(draw.normal(110 + 30 * y, 30), 1, 254)
    videos = [np.full((2, 4, 4, 3), shade, np.uint8) for shade in shades]
    for number, video in enumerate(videos):
        video[0, 0, 0, 0] = number  # no two alike
    return videos, y, np.arange(48) // 2


def fitted(toy, **params):
    videos, y, groups = toy
    model = DeepfakeEnsemble([("net", Drifting(**params))], resampling=3, verbose=False)
    return model.fit(videos, y, groups=groups)


def test_offset_is_that_of_both_classes_less_what_having_seen_them_may_explain():
    y = np.arange(40) % 2
    before = np.random.default_rng(0).normal(0.5, 0.01, 40)
    assert offset_between(before + 0.2, before, y) == pytest.approx(0.2, abs=0.01)
    assert offset_between(before - 0.2, before, y) == pytest.approx(-0.2, abs=0.01)
    surer = np.where(y == 1, 0.99, 0.02)  # as a network that knows them by heart
    assert offset_between(surer, before, y) == 0


def test_an_offset_of_the_refitted_detector_makes_no_sure_verdicts(toy):
    moved, same = fitted(toy), fitted(toy, drift=0.0)
    offsets = moved.oof_scores_.attrs["provenance"]["refit_offsets"]
    assert offsets["net"] == pytest.approx(3e-4, abs=5e-5)
    assert same.oof_scores_.attrs["provenance"]["refit_offsets"]["net"] == 0
    videos = toy[0]
    assert abs(moved.fake_score(videos).mean() - 0.5) < 0.1
    spread = [np.ptp(model.fake_score(videos)) for model in (moved, same)]
    assert spread[0] < 0.3 * spread[1]  # a true detector, but of unknown offset
    order = [np.argsort(model.fake_score(videos)) for model in (moved, same)]
    assert np.array_equal(*order)


@pytest.mark.slow
def test_offsets_are_kept_in_the_file_and_of_added_detectors(toy, tmp_path):
    model = fitted(toy)
    model.add_detector("more", Drifting(drift=-1e-3), videos=toy[0])
    offsets = model.oof_scores_.attrs["provenance"]["refit_offsets"]
    assert set(offsets) == {"net", "more"}
    assert offsets["more"] < 0 < offsets["net"]
    model.save(tmp_path / "model.dfe")
    given = {"net": Drifting(), "more": Drifting()}
    again = ensemble.load(tmp_path / "model.dfe", detectors=given)
    assert again.oof_scores_.attrs["provenance"]["refit_offsets"] == offsets
    again.refit_combiner("logistic")
    np.testing.assert_allclose(again.weights_, model.weights_)


@pytest.mark.parametrize("combiner", [Stacking(), Bagging(n_replicas=5)])
def test_combiners_heed_stated_offsets(combiner):
    draw = np.random.default_rng(0)
    y = np.arange(80) % 2
    scores = 0.5 + 1e-3 * (2 * y[:, None] + draw.normal(size=(80, 2)))
    table = pd.DataFrame(scores, columns=["a", "b"])
    before = combiner.fit(table, y).weights_
    table.attrs["provenance"] = {"refit_offsets": {"b": 0.05}}
    after = combiner.fit(table, y).weights_
    assert before[1] > 0.3 * before[0]
    assert after[1] < 0.1 * after[0]
