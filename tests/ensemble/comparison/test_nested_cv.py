import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ensemble import compare_strategies, out_of_fold_scores
from ensemble.comparison.inputs import ComparisonSettings, check_input
from ensemble.comparison.nested_cv import nested_scores
from ensemble.protocols import PROTOCOLS, protocol_splits

METHOD = np.tile(["none", "none", "swap", "lips"], 12)


def some_videos():
    """24 groups of two videos, each video a number: its row."""
    y = np.tile([0, 0, 1, 1], 12)
    groups = np.arange(48) // 2 // 2  # two reals and both fakes of one person
    return [np.array([row]) for row in range(48)], y, groups


class Numbered(ClassifierMixin, BaseEstimator):
    """Scores every video by the number of its fit, from which the fit is known."""

    fits = []  # noqa: RUF012
    stop_at = None

    def fit(self, videos, y):
        if len(type(self).fits) + 1 == type(self).stop_at:
            raise KeyboardInterrupt
        type(self).fits.append(sorted(int(video[0]) for video in videos))
        self.classes_ = np.unique(y)
        self.number_ = len(type(self).fits) - 1
        return self

    def predict_proba(self, videos):
        score = np.full(len(videos), (self.number_ + 1) / 1000)
        return np.column_stack([1 - score, score])


@pytest.fixture(autouse=True)
def _count_anew():
    Numbered.fits, Numbered.stop_at = [], None


def nested(protocol, nesting, n_folds=3, **kwargs):
    videos, y, groups = some_videos()
    metadata = pd.DataFrame(
        {
            "method": METHOD,
            "source": groups // 4,
            "dataset": groups // 6,
            "family": METHOD,
            "compression": groups % 2,
            "time": groups // 2 + np.arange(48) % 4 // 3,
        }
    )
    splits, _ = protocol_splits(protocol, y, groups, metadata, n_folds, 1, 0)
    detectors = kwargs.pop("detectors", [Numbered()])
    settings = ComparisonSettings(n_folds=n_folds, **kwargs)
    data = check_input(detectors, y, groups, videos=videos, nesting=nesting)
    return splits, *nested_scores(data, splits, settings)


def learned_from(score):
    """Rows that the fit behind a score was fitted on."""
    return np.array(Numbered.fits[round(float(score) * 1000) - 1])


@pytest.mark.parametrize(
    "protocol",
    PROTOCOLS,
)
def test_exact_nesting_sees_nothing_of_what_is_judged(protocol):
    _, _, groups = some_videos()
    splits, _, learned, judged, _ = nested(protocol, "exact")
    for split, table, scores in zip(splits, learned, judged, strict=True):
        assert not np.isnan(table).any()
        for row, score in zip(split.train, table[:, 0], strict=True):
            fitted_on = learned_from(score)
            assert set(fitted_on) <= set(split.train)  # nothing of what is judged
            assert groups[row] not in groups[fitted_on]  # and out of fold
        for score in scores[:, 0]:
            assert learned_from(score).tolist() == sorted(split.train)
        if protocol == "leave-method-out":
            assert split.name not in METHOD[split.train]


def test_stored_nesting_saw_judged_labels_and_is_still_out_of_fold():
    _, _, groups = some_videos()
    splits, _, learned, _, _ = nested("group-kfold", "stored")
    saw = 0
    for split, table in zip(splits, learned, strict=True):
        for row, score in zip(split.train, table[:, 0], strict=True):
            fitted_on = learned_from(score)
            assert groups[row] not in groups[fitted_on]
            saw += bool(set(fitted_on) & set(split.test))
    assert saw == sum(len(split.train) for split in splits)


@pytest.mark.parametrize(
    ("protocol", "nesting", "n_folds", "n_fits"),
    [
        ("group-kfold", "stored", 4, 4),
        ("group-kfold", "exact", 4, 4 + 4 * 3 // 2),
        ("leave-method-out", "stored", 3, 2 * 3),
        ("leave-method-out", "exact", 3, 2 * (3 + 3)),
        ("group-holdout", "stored", 3, 3 + 1),
        ("leave-source-out", "exact", 3, 3 * (3 + 1)),
    ],
)
def test_detectors_are_fitted_as_often_as_said(protocol, nesting, n_folds, n_fits):
    *_, told = nested(protocol, nesting, n_folds)
    assert told == n_fits == len(Numbered.fits)
    assert len({tuple(rows) for rows in Numbered.fits}) == n_fits


def test_judged_scores_are_those_of_out_of_fold_scores(noise, memoriser):
    videos, y, groups = noise(0)
    splits, _ = protocol_splits("group-kfold", y, groups, pd.DataFrame(), 4, 1, 0)
    detectors = {"one": memoriser(0), "two": memoriser(1)}
    data = check_input(detectors, y, groups, videos=videos, nesting="exact")
    members, _, judged, _ = nested_scores(data, splits, ComparisonSettings())
    expected = out_of_fold_scores(
        {"one": memoriser(0), "two": memoriser(1)}, videos, y, groups,
        resampling=[(split.train, split.test) for split in splits],
    )  # fmt: skip
    np.testing.assert_array_equal(members, expected)
    for split, scores in zip(splits, judged, strict=True):
        np.testing.assert_array_equal(scores, expected.to_numpy()[split.test])


class Counting(Numbered):
    asked = 0

    def predict_proba(self, videos):
        type(self).asked += len(videos)
        return super().predict_proba(videos)


def test_a_prefit_detector_scores_each_video_once():
    videos, y, _ = some_videos()
    prefit = FrozenEstimator(Counting().fit(videos, y))
    detectors = {"mine": Numbered(), "theirs": prefit}
    _, members, learned, _, n_fits = nested("group-kfold", "exact", detectors=detectors)
    assert Counting.asked == 48
    assert n_fits == 6
    assert (members["theirs"] == 0.001).all()
    assert all((table[:, 1] == 0.001).all() for table in learned)


def test_comparing_prefit_detectors_fits_none_and_is_exact():
    videos, y, groups = some_videos()
    prefit = FrozenEstimator(Counting().fit(videos, y))
    found = compare_strategies(
        {"theirs": prefit}, y, groups, [], videos=videos, n_boot=10, n_folds=3
    )
    assert found.how["fits of each detector"] == 0
    assert found.how["nesting"] == "exact"


class Gappy(Numbered):
    """Cannot look at every fifth video."""

    def predict_proba(self, videos):
        scores = super().predict_proba(videos)
        scores[[int(video[0]) % 5 == 0 for video in videos]] = np.nan
        return scores


def test_missing_scores_stay_missing():
    _, members, learned, judged, _ = nested(
        "group-kfold", "exact", detectors={"gappy": Gappy()}
    )
    missing = np.arange(48) % 5 == 0
    np.testing.assert_array_equal(members["gappy"].isna(), missing)
    assert sum(np.isnan(table).sum() for table in judged) == missing.sum()
    assert sum(np.isnan(table).sum() for table in learned) == 2 * missing.sum()


def test_too_few_groups_for_pairs_of_folds_is_said():
    videos, y, _ = some_videos()
    y = np.array(y)
    groups = np.where(y == 1, np.arange(48) % 2 + 100, np.arange(48))
    splits, _ = protocol_splits("group-kfold", y, groups, pd.DataFrame(), 2, 1, 0)
    data = check_input([Numbered()], y, groups, videos=videos, nesting="exact")
    with pytest.raises(ValueError, match="two folds of groups no fake is left"):
        nested_scores(data, splits, ComparisonSettings(n_folds=2))


@pytest.mark.slow
def test_a_comparison_of_detectors_that_was_stopped_goes_on(tmp_path):
    videos, y, groups = some_videos()

    def run(store):
        return compare_strategies(
            [Numbered()], y, groups, ["median"], videos=videos, nesting="exact",
            n_boot=10, n_folds=3, store=store,
        )  # fmt: skip

    Numbered.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "one")
    assert len(Numbered.fits) == 4
    Numbered.stop_at = None
    resumed = run(tmp_path / "one")
    assert len(Numbered.fits) == 6  # 3 folds and 3 pairs: none was fitted twice
    assert resumed.how["fits of each detector"] == 6
    Numbered.fits = []
    fresh = run(tmp_path / "two")
    np.testing.assert_array_equal(resumed.members, fresh.members)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("protocol", "nesting", "kind", "words"),
    [
        ("group-kfold", None, "stored", "On groups that no strategy was fitted on"),
        ("group-kfold", "exact", "exact", "On groups that nothing was fitted on"),
        ("group-holdout", None, "exact", "On groups that nothing was fitted on"),
        ("leave-method-out", "stored", "stored", "Approximate"),
        ("leave-method-out", "exact", "exact", "methods and groups that nothing was"),
    ],
)
def test_the_degree_of_nesting_is_told(memoriser, protocol, nesting, kind, words):
    _, y, groups = some_videos()
    draw = np.random.default_rng(0)
    videos = list(draw.integers(0, 256, (48, 2, 2, 2, 3), np.uint8))
    found = compare_strategies(
        {"one": memoriser(0), "two": memoriser(1)}, y, groups, ["stacking"],
        pd.DataFrame({"method": METHOD}), protocol, nesting, videos=videos,
        n_boot=10, n_folds=3,
    )  # fmt: skip
    assert found.how["nesting"] == kind
    assert words in found.verdict
    assert ("pproximate" in found.verdict) == (kind == "stored")
    assert found.seen is None
    assert list(found.members) == ["one", "two"]


@pytest.mark.slow
def test_repeats_of_folds_fit_detectors_anew(memoriser, noise):
    videos, y, groups = noise(0)
    found = compare_strategies(
        [memoriser()], y, groups, ["median"], videos=videos, repeats=2, n_boot=10,
        n_folds=3,
    )  # fmt: skip
    assert found.how["fits of each detector"] == 6
    assert [panel.repeat for panel in found.panels] == [0, 1]


def test_labels_videos_and_detectors_must_fit_together(memoriser, noise):
    videos, y, groups = noise(0)
    with pytest.raises(ValueError, match="y is needed"):
        compare_strategies([memoriser()], videos=videos)
    with pytest.raises(ValueError, match="y must have 40 labels; got 3"):
        compare_strategies([memoriser()], [0, 1, 1], videos=videos)
    with warnings.catch_warnings(), pytest.raises(TypeError, match="without videos"):
        compare_strategies([memoriser()], y, groups)


class OnPixels(ClassifierMixin, BaseEstimator):
    """A classifier of the first pixels, which learns them by heart."""

    def __init__(self, classifier):
        self.classifier = classifier

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        self.fitted_ = clone(self.classifier).fit(self._features(videos), y)
        return self

    def predict_proba(self, videos):
        return self.fitted_.predict_proba(self._features(videos))

    def _features(self, videos):
        return np.array([video.ravel()[:3] for video in videos], float)


@pytest.mark.slow
def test_noise_is_chance_with_exact_nesting_and_reads_better_with_stored(noise):
    """Mean of per-fold AUC over 60 seeds; its standard error is about 0.01."""
    detectors = {
        "neighbours": OnPixels(KNeighborsClassifier(3)),
        "linear": OnPixels(LogisticRegression()),
    }
    strategies = ["stacking", "stacking, plain logistic"]
    means = {}
    for nesting in ("exact", "stored"):
        runs = []
        for seed in range(60):
            videos, y, groups = noise(seed, 80)
            found = compare_strategies(
                detectors, y, groups, strategies, videos=videos, nesting=nesting,
                n_boot=2, random_state=seed,
            )  # fmt: skip
            runs.append(found.fold_aucs().mean(axis=1))
        means[nesting] = pd.concat(runs, axis=1).mean(axis=1)
    table = pd.DataFrame(means)
    print(table.round(3).to_string())
    assert ((table["exact"] - 0.5).abs() < 0.035).all(), table
    plain = table.loc["stacking, plain logistic"]
    assert plain["stored"] > 0.53
    assert plain["stored"] > plain["exact"] + 0.02
