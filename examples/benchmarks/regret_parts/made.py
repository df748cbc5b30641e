"""Tables of scores for `regret.py` made on scikit-learn's data, anew for each seed.

Members learn from rows that the table does not hold, so that their scores are honest;
each sees some of the features and half of those rows, so that they differ.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from regret_parts.tables import ScoreTable, folds_of, some_rows
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

MEMBERS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "naive_bayes": GaussianNB(var_smoothing=1e-2),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(9)),
    "tree": DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, random_state=0),
    "forest": RandomForestClassifier(40, max_depth=6, random_state=0),
    "extra_trees": ExtraTreesClassifier(40, max_depth=6, random_state=0),
    "svc": make_pipeline(StandardScaler(), SVC()),
    "mlp": make_pipeline(
        StandardScaler(),
        MLPClassifier((8,), solver="lbfgs", alpha=1.0, max_iter=200, random_state=0),
    ),
}


@dataclass
class Data:
    """Features to learn from, which rows are fakes, and from what class they come."""

    features: np.ndarray
    is_fake: np.ndarray
    source: np.ndarray

    def __getitem__(self, rows):
        return Data(self.features[rows], self.is_fake[rows], self.source[rows])


@lru_cache
def _data(name):
    if name == "digits":
        features, source = load_digits(return_X_y=True)
        return Data(features, source % 2, source)
    if name == "cancer":
        features, benign = load_breast_cancer(return_X_y=True)
        return Data(features, 1 - benign, 1 - benign)
    features, source = load_wine(return_X_y=True)
    return Data(features, (source == 1).astype(int), source)


def _rooms(data, seed):
    """Split rows into those that members learn from and those of the table."""
    learn, table = train_test_split(
        np.arange(len(data.is_fake)),
        train_size=0.42,
        stratify=data.source,
        random_state=seed,
    )
    return data[learn], data[table]


def _member_scores(learn, table, seed, n_features, members=None, taught=None):
    """Fit members; return what they say of the table, as P(fake).

    Parameters
    ----------
    taught : list of ndarray or None, default=None
        Rows of `learn` that each member may see; None is all of them.
    """
    columns = []
    for model, seen, rows in _pupils(learn, seed, n_features, members, taught):
        _fit(model, learn.features[np.ix_(rows, seen)], learn.is_fake[rows])
        columns.append(_p_fake(model, table.features[:, seen]))
    return np.column_stack(columns)


def _pupils(learn, seed, n_features, members=None, taught=None):
    """Draw features and rows for each member; yield (model, features, rows)."""
    draw = np.random.default_rng([seed, n_features])
    varies = np.flatnonzero(learn.features.std(axis=0) > 0.5)
    if len(varies) < n_features:
        varies = np.arange(learn.features.shape[1])
    for place, name in enumerate(members or MEMBERS):
        seen = draw.choice(varies, n_features, replace=False)
        rows = np.arange(len(learn.is_fake)) if taught is None else taught[place]
        half = train_test_split(
            rows,
            train_size=0.5,
            stratify=learn.is_fake[rows],
            random_state=int(draw.integers(2**31)),
        )[0]
        yield clone(MEMBERS[name]), seen, half


def _fit(model, features, is_fake):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose
        model.fit(features, is_fake)


def _p_fake(model, features):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(features)[:, 1]
    return expit(model.decision_function(features))


def _raw_scores(learn, table, seed, n_features):
    """What the same members say in their own units: no two columns are alike."""
    columns = []
    for name, (model, seen, rows) in zip(
        MEMBERS, _pupils(learn, seed, n_features), strict=True
    ):
        features, is_fake = learn.features[np.ix_(rows, seen)], learn.is_fake[rows]
        of_table = table.features[:, seen]
        if name == "neighbours":  # distance to the nearest reals
            nearest = NearestNeighbors(n_neighbors=3).fit(features[is_fake == 0])
            columns.append(nearest.kneighbors(of_table)[0].mean(axis=1))
            continue
        _fit(model, features, is_fake)
        if hasattr(model, "decision_function"):
            columns.append(model.decision_function(of_table))
        elif name == "naive_bayes":  # log-likelihood ratio, in the hundreds
            real, fake = model.predict_joint_log_proba(of_table).T
            columns.append(fake - real)
        elif name == "mlp":
            columns.append(logit(np.clip(_p_fake(model, of_table), 1e-12, 1 - 1e-12)))
        else:  # per cent, votes, and a probability
            times = {"forest": 40, "extra_trees": 100}.get(name, 1)
            columns.append(times * _p_fake(model, of_table))
    return np.column_stack(columns)


def _plain(data_name, n_features, change=None, *, name, about, seed, max_rows):
    """Members of all kinds on one data set; `change` does something to the scores."""
    learn, table = _rooms(_data(data_name), seed)
    scores = _member_scores(learn, table, seed, n_features)
    if change is not None:
        scores = change(scores, table, np.random.default_rng([seed, 1]))
    return _made(name, about, scores, table, seed, max_rows)


def _made(name, about, scores, table, seed, max_rows):
    rows = some_rows(np.arange(len(scores)), table.is_fake, max_rows, seed)
    is_fake = table.is_fake[rows]
    return ScoreTable(name, about, scores[rows], is_fake, folds_of(is_fake, None, seed))


def _invert_best(scores, table, _draw):
    """Turn the best member round: it says P(real)."""
    scores = scores.copy()
    best = np.argmax(_apart(scores, table))
    scores[:, best] = 1 - scores[:, best]
    return scores


def _constant(scores, _table, _draw):
    return np.column_stack([scores[:, 1:], np.full(len(scores), 0.97)])


def _noise(scores, _table, draw):
    """One member answers at random, and very surely."""
    return np.column_stack([scores[:, 1:], expit(draw.normal(0, 6, len(scores)))])


def _four_times_the_worst(scores, table, _draw):
    worst = scores[:, [np.argmin(_apart(scores, table))]]
    return np.hstack([scores, worst, worst, worst])


def _missing(scores, _table, draw):
    return np.where(draw.random(scores.shape) < 0.3, np.nan, scores)


def _missing_by_source(scores, table, _draw):
    """Four members have nothing to say of digits from 5 on, such as without a face."""
    without = np.outer(table.source >= 5, np.arange(scores.shape[1]) < 4)
    return np.where(without, np.nan, scores)


def _apart(scores, table):
    """How far each member's mean rises from reals to fakes, in standard deviations."""
    fakes = table.is_fake == 1
    risen = scores[fakes].mean(axis=0) - scores[~fakes].mean(axis=0)
    return risen / scores.std(axis=0)


def _weak(*, name, about, seed, max_rows):
    learn, table = _rooms(_data("digits"), seed)
    kinds = ["tree", "logistic", "naive_bayes"] * 4
    scores = _member_scores(learn, table, seed, 2, kinds)
    return _made(name, about, scores, table, seed, max_rows)


def _near_chance(*, name, about, seed, max_rows):
    learn, table = _rooms(_data("digits"), seed)
    edge = np.arange(64)[np.arange(64) % 8 == 1]  # hardly anything is written there
    learn, table = (
        Data(part.features[:, edge[:4]], part.is_fake, part.source)
        for part in (learn, table)
    )
    kinds = ["logistic", "naive_bayes", "tree"]
    scores = _member_scores(learn, table, seed, 1, kinds)
    return _made(name, about, scores, table, seed, max_rows)


def _scales(data_name, n_features, *, name, about, seed, max_rows):
    learn, table = _rooms(_data(data_name), seed)
    scores = _raw_scores(learn, table, seed, n_features)
    return _made(name, about, scores, table, seed, max_rows)


def _rare(*, name, about, seed, max_rows):
    """The digit 8 among all others, thinned out to 2 % of the table."""
    data = _data("digits")
    data = Data(data.features, (data.source == 8).astype(int), data.source)
    learn, table = _rooms(data, seed)
    scores = _member_scores(learn, table, seed, 8)
    reals = np.flatnonzero(table.is_fake == 0)
    fakes = np.flatnonzero(table.is_fake == 1)[: round(len(reals) / 49)]
    kept = np.sort(np.concatenate([reals, fakes]))
    return _made(name, about, scores[kept], table[kept], seed, max_rows)


def _experts(mixture=False, announced=False, *, name, about, seed, max_rows):
    """Half of the members know only digits up to 4, the others only those from 5 on.

    Each is right about its own and guesses about the others. With `mixture` four of
    five training rows are up to 4, and four of five test rows from 5 on.
    """
    learn, table = _rooms(_data("digits"), seed)
    low = learn.source < 5
    taught = [np.flatnonzero(low == (place % 2 == 0)) for place in range(8)]
    scores = _member_scores(learn, table, seed, 16, taught=taught)
    made = _made(name, about, scores, table, seed, None)
    if mixture:
        made.same_prior = True
        draw, is_low = np.random.default_rng([seed, 2]), table.source < 5
        thinned = [draw.random(len(is_low)) < 0.75 for _ in range(2)]
        made.splits = [
            (
                train[is_low[train] | ~thinned[0][train]],
                test[~is_low[test] | ~thinned[1][test]],
            )
            for train, test in made.splits
        ]
    if announced:
        made.groups = made.shift = table.source
    return _thinned(made, max_rows)


def _new_digit(announced=False, *, name, about, seed, max_rows):
    """An odd digit that neither members nor combiner have seen; another each seed."""
    data = _data("digits")
    held = 1 + 2 * (seed % 5)
    learn, table = _rooms(data, seed)
    learn = learn[learn.source != held]
    made = _made(name, about, _member_scores(learn, table, seed, 10), table, seed, None)
    made.same_prior, is_held = True, table.source == held
    made.splits = [
        (train[~is_held[train]], test[is_held[test] | (table.is_fake[test] == 0)])
        for train, test in made.splits
    ]
    if announced:
        made.groups = made.shift = table.source
    return _thinned(made, max_rows)


def _thinned(table, max_rows):
    """Leave rows out of the splits, so that a table of shift has at most so many."""
    if max_rows is not None and len(table.scores) > max_rows:
        kept = some_rows(np.arange(len(table.scores)), table.is_fake, max_rows, seed=0)
        table.splits = [
            (np.intersect1d(train, kept), np.intersect1d(test, kept))
            for train, test in table.splits
        ]
    return table


_MADE = {
    "digits": ("odd digits among even ones", partial(_plain, "digits", 10)),
    "cancer": ("malignant tumours", partial(_plain, "cancer", 4)),
    "wine_tiny": ("100 rows", partial(_plain, "wine", 3)),
    "digits_weak": ("twelve members of two pixels each", _weak),
    "digits_near_chance": ("three members that know next to nothing", _near_chance),
    "digits_rare": ("2 % fakes", _rare),
    "digits_scales": (
        "log-odds, distances, votes, per cent",
        partial(_scales, "digits", 10),
    ),
    "cancer_scales": (
        "log-odds, distances, votes, per cent",
        partial(_scales, "cancer", 4),
    ),
    "digits_inverted": (
        "the best member says P(real)",
        partial(_plain, "digits", 10, _invert_best),
    ),
    "cancer_constant": ("one member is stuck", partial(_plain, "cancer", 4, _constant)),
    "digits_noise": (
        "one member is sure at random",
        partial(_plain, "digits", 10, _noise),
    ),
    "digits_duplicated": (
        "the worst member is there four times",
        partial(_plain, "digits", 10, _four_times_the_worst),
    ),
    "digits_missing": (
        "30 % of scores missing",
        partial(_plain, "digits", 10, _missing),
    ),
    "digits_missing_by_source": (
        "half of the members silent about half of the digits",
        partial(_plain, "digits", 10, _missing_by_source),
    ),
    "digits_experts": ("members right about one source only", _experts),
    "digits_mixture": (
        "the same, sources change",
        partial(_experts, mixture=True),
    ),
    "digits_mixture_announced": (
        "the same, sources change, announced",
        partial(_experts, mixture=True, announced=True),
    ),
    "digits_new_digit": ("an unseen kind of fake", _new_digit),
    "digits_new_digit_announced": (
        "an unseen kind of fake, announced",
        partial(_new_digit, announced=True),
    ),
}


def made_tables() -> dict[str, Callable]:
    """Return name -> ``build(seed, max_rows)`` of the tables made here."""

    def builder(name, about, build):
        return lambda seed, max_rows=None: build(
            name=name, about=about, seed=seed, max_rows=max_rows
        )

    return {name: builder(name, *entry) for name, entry in _MADE.items()}
