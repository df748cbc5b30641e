"""The contract, over the whole family."""

import pickle

import numpy as np
import pandas as pd
import pytest
from family import FAMILY, fitted, make_scores
from hypothesis import given, settings, strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.utils.estimator_checks import parametrize_with_checks

from ensemble.combiners import (
    Stacking,
    Voting,
)
from ensemble.persistence.codec import Reader, Writer
from ensemble.resampling import GroupBootstrap, GroupHoldout, StratifiedGroupFolds

# The rest learns smoothly or not at all; trees and nets multiply tiny differences.
QUICK = [name for name in FAMILY if name not in ("lightgbm", "mlp")]
# Of each of these another one of the same class, in another setting, is quick.
VARIANTS = {
    "logistic on probabilities", "logistic on ranks", "bagging of ranks",
    "greedy in bags", "greedy on log loss", "dynamic, union", "standardised mean",
}  # fmt: skip
each, each_quick = (
    pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.slow) if name in VARIANTS else name
            for name in names
        ],
    )
    for names in (FAMILY, QUICK)
)


# What is told to expect P(fake) refuses the numbers that scikit-learn's checks feed.
TAKES_ANY_NUMBERS = [
    combiner
    for combiner in FAMILY.values()
    if getattr(combiner, "scale", None) not in ("probability", "log_odds")
]


OF_EACH_CLASS = list({type(one): one for one in TAKES_ANY_NUMBERS[::-1]}.values())


@pytest.mark.filterwarnings("ignore:.*outside 0 to 1:UserWarning")
@parametrize_with_checks(OF_EACH_CLASS)
def test_keeps_the_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*outside 0 to 1:UserWarning")
@parametrize_with_checks([one for one in TAKES_ANY_NUMBERS if one not in OF_EACH_CLASS])
def test_other_settings_keep_the_sklearn_contract(estimator, check):
    check(estimator)


@each
def test_has_no_transform(name):
    assert not hasattr(FAMILY[name], "transform")
    assert not hasattr(FAMILY[name], "fit_transform")


@each
def test_permuting_rows_changes_nothing_else(name):
    scores, y, groups = make_scores(missing=0.15)
    order = np.random.default_rng(1).permutation(len(y))
    straight = fitted(name, scores, y, groups).fake_score(scores)
    shuffled = fitted(name, scores[order], y[order], groups[order]).fake_score(scores)
    np.testing.assert_array_equal(shuffled, straight)


@pytest.mark.slow_after(29)
@each
@pytest.mark.parametrize("with_groups", [True, False])
def test_permuting_detectors_changes_nothing_else(name, with_groups):
    scores, y, groups = make_scores(missing=0.15)
    groups = groups if with_groups else None
    order = np.array([2, 0, 3, 1])
    straight = fitted(name, scores, y, groups).fake_score(scores)
    permuted = fitted(name, scores[:, order], y, groups).fake_score(scores[:, order])
    np.testing.assert_array_equal(permuted, straight)


@each_quick
@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    decimals=st.sampled_from([0, 1, 6]),
    n_detectors=st.integers(1, 5),
)
def test_order_never_matters(name, seed, decimals, n_detectors):
    scores, y, groups = make_scores(24, n_detectors, seed, missing=0.1)
    scores = scores.round(decimals)
    if np.isnan(scores).all(axis=0).any():
        return
    draw = np.random.default_rng(seed)
    rows, columns = draw.permutation(24), draw.permutation(n_detectors)
    straight = fitted(name, scores, y, groups).fake_score(scores)
    moved = fitted(name, scores[rows][:, columns], y[rows], groups[rows])
    np.testing.assert_allclose(
        moved.fake_score(scores[:, columns]), straight, rtol=1e-9, atol=1e-12
    )


@each
def test_no_split_inside_divides_a_group(name, monkeypatch):
    scores, y, groups = make_scores(90)  # 30 groups
    shared, n_groups = [], []
    for splitter in (StratifiedGroupFolds, GroupHoldout, GroupBootstrap):

        def watched(self, X, y, groups=None, original=splitter.split):
            n_groups.append(len(np.unique(groups)))
            for train, test in original(self, X, y, groups):
                shared.extend(set(groups[train]) & set(groups[test]))
                yield train, test

        monkeypatch.setattr(splitter, "split", watched)
    fitted(name, scores, y, groups)
    assert shared == []
    assert max(n_groups, default=0) <= 30  # and the groups are those given


@pytest.mark.slow_after(29)
@each
@pytest.mark.parametrize("with_groups", [True, False])
def test_weights_mean_repetition(name, with_groups):
    scores, y, groups = make_scores(30)
    groups = groups if with_groups else np.arange(30)
    weight = np.random.default_rng(2).integers(0, 4, 30)
    weight[:6] = 1
    weighted = fitted(name, scores, y, groups, sample_weight=weight)
    times = [values.repeat(weight, axis=0) for values in (scores, y, groups)]
    repeated = fitted(name, *times)
    np.testing.assert_allclose(
        repeated.fake_score(scores), weighted.fake_score(scores), rtol=1e-9
    )


@pytest.mark.slow_after(58)
@each
@pytest.mark.parametrize(
    ("names", "fake_label"),
    [
        (["REAL", "FAKE"], None),
        (["real", "fake"], None),
        (["a", "b"], None),
        (["z", "a"], "a"),
        ([1, 0], 0),
        ([False, True], None),
    ],
)
def test_renaming_labels_changes_nothing_else(name, names, fake_label):
    scores, y, groups = make_scores()
    plain = fitted(name, scores, y, groups)
    labels = np.array(names)[y]
    renamed = clone(FAMILY[name]).set_params(fake_label=fake_label)
    renamed.fit(scores, labels, groups=groups)
    np.testing.assert_array_equal(renamed.classes_, np.unique(labels))
    np.testing.assert_array_equal(renamed.fake_score(scores), plain.fake_score(scores))
    fake = list(renamed.classes_).index(names[1])
    np.testing.assert_array_equal(
        renamed.predict_proba(scores)[:, fake], plain.fake_score(scores)
    )
    np.testing.assert_array_equal(
        renamed.predict(scores), np.array(names)[plain.predict(scores)]
    )


@pytest.mark.slow_after(24)
@each
def test_a_detector_without_scores_changes_nothing(name):
    scores, y, groups = make_scores(missing=0.1)
    wider = np.insert(scores, 1, np.nan, axis=1)
    straight = fitted(name, scores, y, groups).fake_score(scores)
    combiner = fitted(name, wider, y, groups)
    np.testing.assert_array_equal(combiner.fake_score(wider), straight)
    wider[:, 1] = 0.9  # nothing is known of it, so nothing is made of it
    np.testing.assert_array_equal(combiner.fake_score(wider), straight)


@pytest.mark.slow_after(20)
@each
def test_a_video_without_scores_gets_nan_and_no_label(name):
    scores, y, groups = make_scores()
    frame = pd.DataFrame(scores, index=[f"v{i}" for i in range(60)]).add_prefix("d")
    combiner = fitted(name, frame, y, groups)
    frame.iloc[[4, 7]] = np.nan
    probabilities = combiner.predict_proba(frame)
    assert np.isnan(probabilities[[4, 7]]).all()
    assert np.isfinite(np.delete(probabilities, [4, 7], axis=0)).all()
    with pytest.raises(ValueError, match="2 of 60 videos have none: 'v4', 'v7'; drop"):
        combiner.predict(frame)
    as_list = fitted(name, scores, y, groups)
    with pytest.raises(ValueError, match="1 of 2 videos have none: 1; drop"):
        as_list.predict([[0.5] * 4, [np.nan] * 4])


@each
def test_missing_scores_leave_the_others_in_force(name):
    scores, y, groups = make_scores(300, missing=0.3)
    scores[np.isnan(scores).all(axis=1), 0] = 0.5
    combiner = fitted(name, scores, y, groups)
    probabilities = combiner.predict_proba(scores)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    fresh, y, _ = make_scores(300, seed=1, missing=0.3)
    scored = ~np.isnan(fresh).all(axis=1)
    assert roc_auc_score(y[scored], combiner.fake_score(fresh)[scored]) > 0.65


@each
def test_rows_that_teach_nothing_are_left_out(name):
    scores, y, groups = make_scores()
    straight = fitted(name, scores, y, groups).fake_score(scores)
    padded = np.vstack([scores, np.full((5, 4), np.nan)])
    more_y, more_groups = np.append(y, [0, 1, 0, 1, 0]), np.append(groups, [90] * 5)
    combiner = fitted(name, padded, more_y, more_groups)
    np.testing.assert_array_equal(combiner.fake_score(scores), straight)


@each
def test_noise_in_gives_chance_out(name):
    """Mean AUC on fresh videos over 10 seeds; sources of three videos, one label."""
    values = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        scores = draw.random((90, 3))
        scores[:45] = scores[:15].repeat(3, axis=0)
        groups = np.append(np.arange(15).repeat(3), 15 + np.arange(15).repeat(3))
        y = draw.permutation(30)[groups] % 2
        fresh = draw.random((1000, 3))
        combiner = fitted(name, scores, y, groups)
        values.append(roc_auc_score(np.arange(1000) % 2, combiner.fake_score(fresh)))
    assert abs(np.mean(values) - 0.5) < 3 * 0.0183 / np.sqrt(10)  # as of 50 times 200


@each
def test_columns_keep_their_names(name):
    scores, y, groups = make_scores()
    frame = pd.DataFrame(scores, columns=["a", "b", "c", "d"])
    combiner = fitted(name, frame, y, groups)
    assert combiner.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="'a' in column 0, got 'b'; reorder"):
        combiner.predict_proba(frame[["b", "a", "c", "d"]])
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- z\n"):
        combiner.predict_proba(frame.rename(columns={"a": "z"}))


@each
def test_parameters_are_unchanged_by_fit(name):
    scores, y, groups = make_scores()
    combiner = clone(FAMILY[name])
    before = {key: repr(value) for key, value in combiner.get_params().items()}
    combiner.fit(scores, y, groups=groups)
    after = {key: repr(value) for key, value in combiner.get_params().items()}
    assert after == before


@each
def test_a_pickled_combiner_gives_the_same_scores(name):
    scores, y, groups = make_scores()
    combiner = fitted(name, scores, y, groups)
    again = pickle.loads(pickle.dumps(combiner))
    np.testing.assert_array_equal(again.fake_score(scores), combiner.fake_score(scores))


@pytest.mark.slow_after(4)
@each
def test_a_saved_combiner_gives_the_same_scores(name, tmp_path):
    scores, y, groups = make_scores(missing=0.1)
    combiner = fitted(name, scores, y, groups)
    writer = Writer()
    writer.write({"format": 1, "combiner": writer.encode(combiner)}, tmp_path / "saved")
    reader = Reader(tmp_path / "saved")
    again = reader.decode(reader.manifest["combiner"])
    np.testing.assert_array_equal(again.fake_score(scores), combiner.fake_score(scores))


@pytest.mark.slow_after(24)
@each
def test_fitting_twice_gives_the_same(name):
    scores, y, groups = make_scores(missing=0.1)
    first = fitted(name, scores, y, groups).fake_score(scores)
    np.testing.assert_array_equal(
        fitted(name, scores, y, groups).fake_score(scores), first
    )


@pytest.mark.slow_after(28)
@each
def test_four_videos_are_enough_not_to_fail(name):
    scores = np.array([[0.9, 0.7], [0.2, 0.4], [0.8, 0.3], [0.1, 0.6]])
    for groups in (None, [0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 2]):
        combiner = fitted(name, scores, [1, 0, 1, 0], groups)
        assert np.isfinite(combiner.predict_proba(scores)).all()


@each
def test_contributions_push_towards_the_side_of_the_score(name):
    scores, y, groups = make_scores(90)
    combiner = fitted(name, scores, y, groups)
    frame = pd.DataFrame(
        [[0.95] * 4, [0.05] * 4, [0.95, np.nan, 0.95, 0.95]],
        index=["high", "low", "gap"],
    )
    moved = combiner.contributions(frame)
    assert moved.index.tolist() == ["high", "low", "gap"]
    assert moved.loc["gap", 1] == 0
    if name in (
        *("mlp", "any classifier", "told what is missing", "dynamic, eliminate"),
        *("soft of any numbers", "median", "trimmed"),
    ):
        return  # not rising in all, neutral elsewhere, or moved by no single detector
    assert (moved.loc["high"].sum() > 0) == (name != "max")
    assert (moved.loc["low"].sum() < 0) == (name != "min")


def test_contributions_of_a_linear_combiner_add_up():
    scores, y, groups = make_scores(90)
    combiner = fitted("logistic", scores, y, groups)
    score = combiner.fake_score(scores)
    total = combiner.contributions(scores).sum(axis=1) + combiner.intercept_
    np.testing.assert_allclose(total, np.log(score / (1 - score)), atol=1e-9)


def test_a_video_without_scores_has_no_contributions():
    combiner = fitted("log_odds", *make_scores())
    assert not combiner.contributions(np.full((2, 4), np.nan)).any()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"X": np.array([[np.inf, 0.5]] * 4)}, "infinity"),
        ({"y": [1, 1, 1, 1]}, "one class only"),
        ({"y": [0, 1, 2, 0]}, "Only binary classification is supported"),
        ({"y": [0, 1]}, "y must have one entry per video; got 2 for 4"),
        ({"y": None}, "requires y to be passed"),
        ({"groups": [1, 2]}, "got 2 groups for 4 videos"),
        ({"sample_weight": [1, 1]}, "sample_weight must have one entry"),
        ({"sample_weight": [1, -1, 1, 1]}, "got -1.0 at row 1"),
        ({"sample_weight": [0, 0, 0, 0]}, "zero for all"),
        ({"sample_weight": [0, 1, 0, 1]}, "got 0 real and 2 fake of 4"),
        ({"X": np.full((4, 2), np.nan)}, "got 0 real and 0 fake of 4"),
    ],
)
def test_bad_input_is_refused(kwargs, message):
    scores = [[0.1, 0.2], [0.8, 0.7], [0.3, 0.2], [0.6, 0.9]]
    whole = {"X": scores, "y": [0, 1, 0, 1], **kwargs}
    for combiner in (Voting(), Stacking()):
        with pytest.raises(ValueError, match=message):
            combiner.fit(**whole)


def test_groups_are_routed():
    scores, y, groups = make_scores()
    seen = []

    class Spy(Voting):
        def fit(self, X, y, groups=None, sample_weight=None):
            seen.append(groups)
            return super().fit(X, y, groups, sample_weight)

    with config_context(enable_metadata_routing=True):
        cross_validate(Spy(), scores, y, cv=GroupKFold(3), params={"groups": groups})
        Stacking().set_fit_request(groups=False, sample_weight=True)
    assert sorted(len(np.unique(part)) for part in seen) == [13, 13, 14]
