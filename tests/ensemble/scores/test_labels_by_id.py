"""Labels, groups and weights with ids of their own are taken by these, not by place."""

import numpy as np
import pandas as pd
import pytest

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, ScorePipeline
from ensemble.combiners import Stacking

IDS = [f"video_{row}" for row in range(80)]


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    y = pd.Series(np.arange(80) % 2, IDS)
    scores = np.clip(
        0.35 + 0.3 * y.to_numpy()[:, None] + draw.normal(0, 0.2, (80, 2)), 0, 1
    )
    groups = pd.Series(np.arange(80) // 2, IDS)
    weight = pd.Series(draw.uniform(1, 2, 80), IDS)
    return pd.DataFrame(scores.clip(0, 1), IDS, ["a", "b"]), y, groups, weight


@pytest.mark.parametrize(
    "make", [lambda: ScorePipeline("logistic", n_boot=0), Stacking]
)
def test_an_order_of_their_own_changes_nothing(make, table):
    scores, y, groups, weight = table
    other = np.random.default_rng(1).permutation(80)
    plain = make().fit(scores, y, groups=groups, sample_weight=weight)
    mixed = make().fit(
        scores, y.iloc[other], groups=groups.iloc[other], sample_weight=weight[::-1]
    )
    by_place = make().fit(
        scores, y.to_numpy(), groups=groups.to_numpy(), sample_weight=weight.to_numpy()
    )
    for rule in (mixed, by_place):
        np.testing.assert_array_equal(
            rule.predict_proba(scores), plain.predict_proba(scores)
        )


def test_labels_of_other_videos_are_refused(table):
    scores, y, _, _ = table
    strangers = y.set_axis([f"film_{row}" for row in range(80)])
    for fitted in (ScorePipeline(n_boot=0), Stacking()):
        with pytest.raises(ValueError, match="y must be of the same videos"):
            fitted.fit(scores, strangers)
    counted = y.reset_index(drop=True)  # no ids: the same order
    Stacking().fit(scores, counted)


def test_an_ensemble_takes_labels_by_the_index_of_its_videos(toy_videos):
    videos, y, groups = toy_videos
    ids = IDS[: len(y)]
    labels, people = pd.Series(y, ids), pd.Series(groups, ids)

    def bright(videos):
        return [video.mean() / 255 for video in videos]

    def fitted(labels, people):
        model = DeepfakeEnsemble(
            [("bright", CallableDetector(bright))], combiner="logistic", verbose=False
        )
        given = pd.Series(list(videos), ids)
        return model.fit(given, labels, groups=people).fake_score(videos)

    np.testing.assert_array_equal(
        fitted(labels[::-1], people[::-1]), fitted(labels, people)
    )
