import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax
from scipy.stats import rankdata, trim_mean
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from ensemble.combiners import Voting
from ensemble.scores import companions, read_scores

SCORES = np.array(
    [
        [0.9, 0.6, 0.7, 0.4],
        [0.2, 0.1, 0.6, 0.3],
        [0.8, np.nan, 0.4, 0.9],
        [0.3, 0.5, np.nan, np.nan],
        [0.5, 0.5, 0.5, 0.5],
    ]
)
Y = [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("soft", lambda row: np.mean(row)),
        ("log_odds", lambda row: expit(np.mean(logit(row)))),
        ("median", lambda row: np.median(row)),
        ("max", lambda row: np.max(row)),
        ("min", lambda row: np.min(row)),
        ("trimmed", lambda row: trim_mean(row, 0.25)),
        ("hard", lambda row: np.mean(np.where(row == 0.5, 0.5, row > 0.5))),
    ],
)
def test_each_kind_over_the_scores_a_row_has(kind, expected):
    by_hand = [expected(row[~np.isnan(row)]) for row in SCORES]
    combiner = Voting(kind).fit(SCORES, Y)
    np.testing.assert_allclose(combiner.fake_score(SCORES), by_hand)


def test_ranks_are_those_of_the_training_scores():
    draw = np.random.default_rng(0)
    scores = draw.random((50, 3)).round(1)
    combiner = Voting("rank").fit(scores, np.arange(50) % 2)
    middle = (rankdata(scores, axis=0) - 0.5) / 50
    np.testing.assert_allclose(combiner.fake_score(scores), middle.mean(axis=1))


def test_ranks_of_many_values_are_kept_closely():
    draw = np.random.default_rng(0)
    scores = draw.random((20_000, 2)) ** 5
    combiner = Voting("rank").fit(scores, np.arange(20_000) % 2)
    assert sum(len(values) for values in combiner.scale_["values"]) < 2500
    middle = (rankdata(scores, axis=0) - 0.5) / 20_000
    np.testing.assert_allclose(
        combiner.fake_score(scores), middle.mean(axis=1), atol=1e-3
    )


@pytest.mark.parametrize("kind", ["soft", "log_odds", "hard", "rank"])
def test_weights_are_those_given(kind):
    scores = SCORES[[0, 1, 4]]
    combiner = Voting(kind, weights=[4, 2, 1, 1]).fit(scores, [1, 0, 0])
    np.testing.assert_allclose(combiner.weights_, [0.5, 0.25, 0.125, 0.125])
    inner = {
        "soft": scores,
        "log_odds": logit(scores),
        "hard": np.heaviside(scores - 0.5, 0.5),
        "rank": (rankdata(scores, axis=0) - 0.5) / 3,
    }[kind]
    expected = np.average(inner, axis=1, weights=[4, 2, 1, 1])
    if kind == "log_odds":
        expected = expit(expected)
    np.testing.assert_allclose(combiner.fake_score(scores), expected)


def test_a_missing_score_hands_its_weight_to_the_others():
    combiner = Voting("soft", weights=[4, 2, 1, 1]).fit(SCORES, Y)
    score = combiner.fake_score(SCORES)
    assert np.isclose(score[2], np.average([0.8, 0.4, 0.9], weights=[4, 1, 1]))
    assert np.isclose(score[3], np.average([0.3, 0.5], weights=[4, 2]))


def test_where_only_weightless_detectors_have_scores_they_count_alike():
    combiner = Voting("soft", weights=[1, 0, 0, 0]).fit(SCORES, Y)
    row = [[np.nan, 0.2, 0.6, np.nan]]
    np.testing.assert_allclose(combiner.fake_score(row), [0.4])


def test_weights_by_name_follow_the_columns():
    frame = pd.DataFrame(SCORES, columns=list("abcd"))
    named = Voting("soft", weights={"d": 4, "c": 3, "b": 2, "a": 1}).fit(frame, Y)
    listed = Voting("soft", weights=[1, 2, 3, 4]).fit(frame, Y)
    np.testing.assert_array_equal(named.fake_score(frame), listed.fake_score(frame))
    np.testing.assert_allclose(named.weights_, [0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    "threshold", [[0.8, 0.5, 0.6, 0.2], {"a": 0.8, "b": 0.5, "c": 0.6, "d": 0.2}]
)
def test_each_detector_may_have_its_threshold(threshold):
    frame = pd.DataFrame(SCORES[:2], columns=list("abcd"))
    combiner = Voting("hard", threshold=threshold).fit(frame, [1, 0])
    # above, above, above, above; below, below, at, above
    np.testing.assert_allclose(combiner.fake_score(frame), [1, (0.5 + 1) / 4])


def test_a_tie_is_real_whatever_the_labels():
    scores = [[0.9, 0.1], [0.8, 0.9], [0.2, 0.1]]
    for labels in ([0, 1, 0], ["REAL", "FAKE", "REAL"]):
        combiner = Voting("hard").fit(scores, labels)
        assert combiner.fake_score(scores)[0] == 0.5
        assert combiner.predict(scores)[0] == labels[0]


def test_soft_and_hard_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    y = np.arange(80) % 2
    X = draw.normal(size=(80, 3)) + y[:, None]
    members = [
        ("a", LogisticRegression()),
        ("b", GaussianNB()),
        ("c", DecisionTreeClassifier(max_depth=2, random_state=0)),
    ]
    for kind in ("soft", "hard"):
        theirs = VotingClassifier(members, voting=kind, weights=[3, 1, 1]).fit(X, y)
        scores = np.column_stack(
            [member.predict_proba(X)[:, 1] for member in theirs.estimators_]
        )
        ours = Voting(kind, weights=[3, 1, 1]).fit(scores, y)
        np.testing.assert_array_equal(ours.predict(scores), theirs.predict(X))
        if kind == "soft":
            np.testing.assert_allclose(
                ours.predict_proba(scores), theirs.predict_proba(X)
            )


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(
    "kind", ["soft", "log_odds", "median", "max", "trimmed", "hard"]
)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(scores=arrays(float, (6, 4), elements=st.floats(0, 1)))
def test_no_score_lowers_the_vote_by_rising(kind, scores):
    combiner = Voting(kind).fit(SCORES, Y)
    raised = scores.copy()
    raised[:, 1] = (raised[:, 1] + 1) / 2
    assert (combiner.fake_score(raised) >= combiner.fake_score(scores) - 1e-12).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(scores=arrays(float, (6, 4), elements=st.floats(0, 1)))
def test_swapping_real_and_fake_turns_every_vote_around(scores):
    for kind in ("soft", "log_odds", "median", "trimmed", "hard"):
        combiner = Voting(kind).fit(SCORES, Y)
        np.testing.assert_allclose(
            combiner.fake_score(1 - scores),
            1 - combiner.fake_score(scores),
            atol=1e-9,
        )


def test_a_detector_counted_twice_weighs_twice():
    scores = np.random.default_rng(0).random((20, 2))
    y = np.arange(20) % 2
    twice = Voting().fit(scores[:, [0, 0, 1]], y).fake_score(scores[:, [0, 0, 1]])
    weighted = Voting(weights=[2, 1]).fit(scores, y).fake_score(scores)
    np.testing.assert_allclose(twice, weighted)


def learned_by_hand(votes, y, weight, shrinkage, kind):
    def loss(free):
        w = softmax(free)
        mean = votes @ w
        p = np.clip(mean if kind == "soft" else expit(mean), 1e-6, 1 - 1e-6)
        losses = -np.log(np.where(y == 1, p, 1 - p))
        return weight @ losses - shrinkage * np.log(w * len(w)).mean()

    best = minimize(
        loss,
        np.zeros(votes.shape[1]),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000},
    )
    return softmax(best.x)


@pytest.mark.parametrize("kind", ["soft", "log_odds"])
@pytest.mark.parametrize("shrinkage", [1.0, 30.0])
def test_learned_weights_have_the_least_penalised_log_loss(kind, shrinkage):
    draw = np.random.default_rng(0)
    y = np.arange(100) % 2
    scores = expit(draw.normal(0, 1.5, (100, 3)) + np.outer(y - 0.5, [3, 1, 0]))
    weight = draw.integers(1, 4, 100)
    combiner = Voting(kind, weights="learned", shrinkage=shrinkage)
    combiner.fit(scores, y, sample_weight=weight)
    votes = scores if kind == "soft" else logit(scores)
    expected = learned_by_hand(votes, y, weight, shrinkage, kind)
    np.testing.assert_allclose(combiner.weights_, expected, atol=1e-4)
    assert np.isclose(combiner.weights_.sum(), 1)


def test_learned_weights_come_to_equal_ones_under_shrinkage():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 2
    scores = expit(draw.normal(0, 1.5, (60, 3)) + np.outer(y - 0.5, [3, 1, 0]))
    away = [
        np.abs(
            Voting(weights="learned", shrinkage=s).fit(scores, y).weights_ - 1 / 3
        ).max()
        for s in (0.1, 10, 1e3, 1e6)
    ]
    assert away == sorted(away, reverse=True)
    assert away[-1] < 1e-3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kind": "sofft"}, "did you mean 'soft'"),
        ({"weights": [1, 2]}, r"shape \(4,\), one per detector; got \(2,\)"),
        ({"weights": [1, -1, 1, 1]}, ">= 0"),
        ({"weights": [0, 0, 0, 0]}, "not all 0"),
        ({"weights": [1, 1, 1, np.inf]}, "finite"),
        ({"weights": "lerned"}, "numbers, None or 'learned'; got 'lerned'"),
        ({"weights": {"a": 1}}, "needs a DataFrame"),
        ({"kind": "max", "weights": [1, 1, 1, 1]}, "'?max\"? has no weights"),
        ({"kind": "rank", "scale": "probability"}, 'use kind="soft"'),
        (
            {"kind": "hard", "threshold": [0.5, 0.5]},
            r"threshold must have shape \(4,\)",
        ),
        ({"kind": "trimmed", "trim": 0.5}, "trim must be a share"),
        ({"weights": "learned", "shrinkage": -1}, "shrinkage must be >= 0"),
    ],
)
def test_bad_parameters_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Voting(**kwargs).fit(SCORES, Y)


def test_weights_by_wrong_names_are_refused():
    frame = pd.DataFrame(SCORES, columns=list("abcd"))
    with pytest.raises(ValueError, match=r"missing \['d'\], unknown \['e'\]"):
        Voting(weights={"a": 1, "b": 1, "c": 1, "e": 1}).fit(frame, Y)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("kind", "area", "loss"),
    [("log_odds", 0.9915, 0.092), ("soft", 0.9904, 0.103), ("hard", 0.9790, None)],
)
def test_public_set_gives_the_known_figures(shared, kind, area, loss):
    table = read_scores(shared / "data/scores/ffpp_4detectors.csv", scores="p_*")
    beside = companions(table)
    y, groups = beside.label.to_numpy(), beside.group.to_numpy()
    areas, losses = [], []
    for seed in range(10):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        score = np.empty(len(y))
        for train, test in folds.split(table, y, groups):
            combiner = Voting(kind, clip=1e-6).fit(
                table.iloc[train], y[train], groups[train]
            )
            score[test] = combiner.fake_score(table.iloc[test])
        areas.append(roc_auc_score(y, score))
        losses.append(log_loss(y, score))
    assert abs(np.mean(areas) - area) < 1e-4
    if loss is not None:
        assert abs(np.mean(losses) - loss) < 5e-4
