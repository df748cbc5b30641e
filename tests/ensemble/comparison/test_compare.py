"""Comparing strategies: what is compared, what is kept, what is refused."""

import logging

import joblib
import numpy as np
import pandas as pd
import pytest
from made_scores import QUICK, some_scores

from base_models.store import fingerprint
from ensemble import compare_strategies
from ensemble.combiners import Stacking, Voting
from ensemble.combiners.registry import named_strategies
from ensemble.combiners.strategies import CHOSEN_MEMBER
from ensemble.metrics import auc
from ensemble.scores import score_table


@pytest.mark.slow
def test_inverted_members_are_named_and_nothing_at_chance_is_praised():
    scores, y, groups, _ = some_scores()
    with pytest.warns(UserWarning, match="a, b rank real videos above fake ones"):
        found = compare_strategies(
            1 - scores[["a", "b"]], y, groups, ["stacking", "weighted"], n_boot=200
        )
    assert found.how["look inverted"] == ["a", "b"]
    first, *_ = found.verdict.split("\n")
    assert first.startswith("No ensemble is shown to be better than guessing")
    assert "look inverted: real videos score above fake ones" in found.verdict
    assert " beats " not in found.verdict
    good = compare_strategies(
        scores[["a", "b"]], y, groups, ["stacking", "weighted"], n_boot=200
    )
    assert "guessing" not in good.verdict
    assert "inverted" not in good.verdict


class Spy(Voting):
    """Keeps the scores it was fitted on and those it was asked for."""

    seen = []  # noqa: RUF012

    def fit(self, X, y, groups=None, sample_weight=None):
        self.seen.append([set(X["a"]), None])
        return super().fit(X, y, groups, sample_weight)

    def fake_score(self, X):
        self.seen[-1][1] = set(X["a"])
        return super().fake_score(X)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("protocol", ["group-kfold", "leave-method-out"])
def test_no_strategy_learns_from_the_groups_or_methods_it_is_judged_on(protocol):
    scores, y, groups, metadata = some_scores()
    Spy.seen = []
    compare_strategies(
        scores, y, groups, {"spy": Spy()}, metadata, protocol, n_boot=10, n_folds=3
    )
    row_of = {value: row for row, value in enumerate(scores["a"])}
    assert len(Spy.seen) == (3 if protocol == "group-kfold" else 9)
    for learned, judged in Spy.seen[:6]:
        learned, judged = ([row_of[v] for v in s] for s in (learned, judged))
        assert not set(groups[learned]) & set(groups[judged])
        if protocol != "group-kfold":
            shared = set(metadata["method"][learned]) & set(metadata["method"][judged])
            assert shared == {"none"}


@pytest.mark.slow
def test_all_are_judged_on_the_same_videos_and_coverage_is_told():
    scores, y, groups, metadata = some_scores(missing=0.1)
    found = compare_strategies(scores, y, groups, QUICK, metadata, n_boot=20, n_folds=3)
    whole = scores.notna().all(axis=1).to_numpy()
    fold = found.panels[0].fold
    for name in ("a", "b", "c"):
        expected = auc(y[whole], scores[name][whole], fold=fold[whole])
        assert np.isclose(found.table.loc[name, "auc"], expected)
        assert found.table.loc[name, "coverage"] == scores[name].notna().mean()
        of_swap = whole & (metadata["method"] != "lips").to_numpy()
        expected = auc(y[of_swap], scores[name][of_swap], fold=fold[of_swap])
        assert np.isclose(found.by_group_of["method"].loc[name, "swap"], expected)
    assert found.how["coverage"] == whole.mean()
    assert f"on the {whole.mean():.1%} of the videos that everyone" in found.verdict
    some = scores.notna().any(axis=1).mean()
    assert found.table.loc["stacking", "coverage"] == some


def test_how_it_was_made_travels_with_its_tables():
    scores, y, groups, _ = some_scores()
    before = dict(scores.attrs)
    found = compare_strategies(scores, y, groups, ["soft"], n_boot=10, n_folds=3)
    for table in (found.table, found.members):
        said = table.attrs["comparison"]
        assert said == found.how
        assert said["protocol"] == "group-kfold"
        assert said["hash of the scores"]
    assert scores.attrs == before


def test_a_member_without_scores_for_one_class_is_named():
    scores, y, groups, _ = some_scores()
    scores.loc[y == 1, "c"] = np.nan
    with pytest.raises(ValueError, match="no fake video has a score.*'c', 33%"):
        compare_strategies(scores, y, groups, ["median"], n_boot=10, n_folds=3)


@pytest.mark.slow
def test_one_data_set_is_trained_on_and_another_judged():
    scores, y, groups, metadata = some_scores()
    metadata = metadata.assign(dataset=np.where(groups < 35, "one", "two"))
    found = compare_strategies(
        scores, y, groups, QUICK, metadata, "leave-dataset-out", hold_out=["two"],
        n_boot=10,
    )  # fmt: skip
    ((panel),) = found.panels
    one, two = (np.flatnonzero(metadata["dataset"] == name) for name in ("one", "two"))
    assert (panel.name, panel.rows.tolist()) == ("two", two.tolist())
    combiner = Stacking().fit(scores.iloc[one], y[one], groups=groups[one])
    expected = combiner.fake_score(scores.iloc[two])
    np.testing.assert_allclose(panel.scores["stacking"], expected)
    assert "On data sets and groups that no strategy was fitted on" in found.verdict


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "protocol", ["leave-source-out", "leave-dataset-out", "time-holdout"]
)
def test_every_protocol_gives_a_table_and_a_verdict(protocol):
    scores, y, groups, metadata = some_scores()
    metadata = metadata.assign(
        source=groups // 20, dataset=groups // 30, time=groups + 1990
    )
    found = compare_strategies(
        scores, y, groups, QUICK, metadata, protocol, n_boot=30, n_folds=3
    )
    assert len(found.table) == 7
    assert found.how["protocol"] == protocol
    assert "stacking" in found.verdict
    assert found.how["n_videos_judged"] == len(np.unique(found.panels[0].rows)) * len(
        found.panels
    )


@pytest.mark.slow
def test_jobs_labels_and_order_change_nothing():
    scores, y, groups, _ = some_scores()
    found = compare_strategies(scores, y, groups, QUICK, n_boot=20, n_folds=3)
    order = np.random.default_rng(1).permutation(180)
    with joblib.parallel_config("threading"):
        other = compare_strategies(
            scores.iloc[order],
            np.where(y == 1, "FAKE", "REAL")[order],
            np.array([f"g{group:03}" for group in groups])[order],
            QUICK,
            n_boot=20,
            n_folds=3,
            n_jobs=2,
        )
    pd.testing.assert_frame_equal(found.table, other.table)
    assert found.verdict == other.verdict


@pytest.mark.slow
def test_every_named_strategy_is_compared():
    scores, y, groups, _ = some_scores(60)
    found = compare_strategies(scores, y, groups, n_boot=10, n_folds=2)
    assert set(found.table.index) == {"a", "b", "c", *named_strategies()}
    assert (
        found.table.notna()
        .loc[:, "auc":"coverage"]
        .drop(columns=[c for c in found.table if c.startswith("p_")])
        .all(axis=None)
    )
    kinds = ["median", "trimmed", "maximum", "minimum", "majority", "rank", "weighted"]
    for part in [*kinds, "bagging", "blending", "stacking", "AutoCombiner"]:
        assert any(part in name for name in named_strategies()), part


@pytest.mark.slow
def test_one_strategy_or_a_dict_of_them_will_do():
    scores, y, groups, _ = some_scores(90)
    base = {"a", "b", "c", "mean", CHOSEN_MEMBER}
    for strategies, names in (
        ("stacking", {"stacking"}),
        ("log_odds", {"log-odds mean"}),
        (["soft", "Log odds", "log-odds mean", Voting("soft")], {"log-odds mean"}),
        (Voting("max"), {"Voting(kind='max')"}),
        ({"mine": Voting("min"), "other": "median"}, {"mine", "other"}),
        ([], set()),
    ):
        found = compare_strategies(scores, y, groups, strategies, n_boot=10, n_folds=2)
        assert set(found.table.index) == base | names


class Noted(Voting):
    """Says when it is fitted; what a class counts itself would be part of its key."""

    def fit(self, X, y, groups=None, sample_weight=None):
        logging.getLogger("noted").warning("fit")
        return super().fit(X, y, groups, sample_weight)


class Counter(logging.Handler):
    """Counts fits, and stops the comparison at one of them, as a user would."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.fits, self.stop_at = 0, stop_at

    def emit(self, record):
        self.fits += 1
        if self.fits == self.stop_at:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(tmp_path):
    scores, y, groups, _ = some_scores(90)
    logger = logging.getLogger("noted")

    def run(stop_at=None, **options):
        counter = Counter(stop_at)
        logger.addHandler(counter)
        try:
            found = compare_strategies(
                scores, y, groups, {"mine": Noted()}, n_boot=10, n_folds=5, **options
            )
        finally:
            logger.removeHandler(counter)
        return found, counter.fits

    with pytest.raises(KeyboardInterrupt):
        run(stop_at=3, store=tmp_path)
    resumed, n_fits = run(store=tmp_path)
    assert n_fits == 3  # two of five were done
    again, n_fits = run(store=tmp_path)
    assert n_fits == 0
    fresh, _ = run()
    pd.testing.assert_frame_equal(resumed.table, fresh.table)
    pd.testing.assert_frame_equal(again.table, fresh.table)


@pytest.mark.slow
def test_other_scores_or_another_strategy_are_not_taken_for_what_is_kept(tmp_path):
    scores, y, groups, _ = some_scores(90)

    def areas(scores, combiner):
        found = compare_strategies(
            scores, y, groups, {"mine": combiner}, n_boot=10, n_folds=3, store=tmp_path
        )
        return found.table.loc["mine", "auc"]

    first = areas(scores, Voting("max"))
    assert areas(scores, Voting("min")) != first
    assert areas(1 - scores, Voting("max")) != first
    assert areas(scores, Voting("max")) == first


@pytest.mark.slow
def test_every_strategy_is_known_again_so_that_a_stopped_comparison_goes_on():
    keys = [fingerprint(strategy) for strategy in named_strategies().values()]
    np.random.random()  # noqa: NPY002  (NumPy's own generator is not in them)
    assert keys == [fingerprint(strategy) for strategy in named_strategies().values()]
    assert len(set(keys)) == len(keys)


class Broken(Voting):
    def fit(self, X, y, groups=None, sample_weight=None):
        raise ZeroDivisionError("no such luck")


def test_a_strategy_that_fails_is_named():
    scores, y, groups, _ = some_scores(90)
    with pytest.raises(RuntimeError, match="strategy 'mine' failed.*no such luck"):
        compare_strategies(scores, y, groups, {"mine": Broken()}, n_folds=3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": [0, 1]}, ValueError, "y must have 90 labels; got 2"),
        ({"y": None}, ValueError, "no labels beside it"),
        ({"y": np.ones(90)}, ValueError, "one class only"),
        ({"groups": [1, 2]}, ValueError, "one entry per video"),
        ({"nesting": "both"}, ValueError, "'stored' or 'exact'; got 'both'"),
        ({"protocol": "k"}, ValueError, "protocol must be one of"),
        ({"metadata": pd.DataFrame({"m": [1]})}, ValueError, "one row per video, 90"),
        (
            {"strategies": ["stakking"]},
            ValueError,
            "unknown strategy 'stakking'.* mean 'stacking'",
        ),
        ({"strategies": {"a": Voting()}}, ValueError, "both called 'a'"),
        ({"videos": ["a.mp4"]}, TypeError, "a table of scores, or detectors"),
        ({"table": [1, 2]}, TypeError, "got list without videos"),
        ({"table": np.full((90, 2), np.inf)}, ValueError, "finite.* got inf at row 0"),
        ({"table": pd.DataFrame({"a": ["x"] * 90})}, ValueError, "holds no numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(change, error, message):
    scores, y, groups, _ = some_scores(90)
    given = {"y": y, "groups": groups, "strategies": ["median"], "n_folds": 3}
    given |= change
    with pytest.raises(error, match=message):
        compare_strategies(given.pop("table", scores), **given)


@pytest.mark.slow
def test_an_array_and_a_table_with_companions_give_the_same():
    scores, y, groups, _ = some_scores(90)
    table = score_table(scores, range(90), list("abc"), y, groups)
    beside = compare_strategies(table, strategies=QUICK, n_boot=20, n_folds=3)
    plain = compare_strategies(
        scores.to_numpy(), y, groups, QUICK, n_boot=20, n_folds=3
    )
    np.testing.assert_array_equal(
        beside.table.select_dtypes("number"), plain.table.select_dtypes("number")
    )


@pytest.mark.slow
def test_a_notebook_shows_the_verdict_and_the_table(found):
    html = found._repr_html_()
    assert "<table" in html
    assert "log-odds mean" in html


def _scored(y):
    draw = np.random.default_rng(0)
    columns = {
        name: np.clip(0.3 * y + 0.5 * draw.random(len(y)), 0, 1) for name in "ab"
    }
    return columns


@pytest.mark.parametrize("column", ["label", "group"])
def test_one_missing_entry_does_not_make_the_whole_column_vanish(column):
    y = np.arange(24) % 2
    beside = {"label": y.tolist(), "group": [f"p{row // 4}" for row in range(24)]}
    beside[column][5] = None
    table = score_table(
        pd.DataFrame(_scored(y)), [f"v{row}" for row in range(24)], ["a", "b"], **beside
    )
    with pytest.raises(ValueError, match=f"1 of 24 videos have no {column}: 'v5'; "):
        compare_strategies(table, strategies=["soft"], n_boot=20, n_folds=2)


def test_groups_in_two_spellings_give_the_figures_of_one():
    y = np.arange(24) % 2
    table = pd.DataFrame(_scored(y))
    groups = [f"p{row // 4}" for row in range(24)]
    spelled = [f" {name}" if row % 3 else name for row, name in enumerate(groups)]
    options = {"strategies": ["soft"], "n_boot": 20, "n_folds": 2}
    expected = compare_strategies(table, y, groups, **options)
    with pytest.warns(UserWarning, match="taken for one"):
        found = compare_strategies(table, y, spelled, **options)
    assert found.how["n_groups"] == 6
    pd.testing.assert_frame_equal(found.table, expected.table)


@pytest.mark.slow
def test_the_best_of_many_guesses_is_seldom_called_better_than_guessing():
    """An interval by itself is above 0.5 for some strategy in a table of eight."""
    by_itself = told = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        y, groups = draw.integers(0, 2, 200), np.arange(200) // 4
        scores = pd.DataFrame(draw.random((200, 4)), columns=list("abcd"))
        found = compare_strategies(
            scores, y, groups=groups, n_boot=200, random_state=0,
            strategies=["soft", "hard", "median", "max", "min", "rank", "logistic"],
        )  # fmt: skip
        strategies = found.table[found.table["kind"] == "strategy"]
        by_itself += (strategies["auc_low"] > 0.5).any()
        told += strategies["above_chance"].any()
        assert (found.winner() is None) == (not strategies["above_chance"].any())
    assert told <= 3 <= by_itself  # 2.5 % of 40 is 1
