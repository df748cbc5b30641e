"""``scale="detect"``: columns of any numbers beside P(fake)."""

import warnings

import numpy as np
import pandas as pd
import pytest
from family import FAMILY, make_scores
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve

from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    DynamicSelection,
    GreedySelection,
    OptimizedWeights,
    Stacking,
    Voting,
)
from ensemble.persistence.codec import Reader, Writer
from ensemble.scores import companions, read_scores, score_table
from ensemble.scores.looks import Distribution, looks_of
from ensemble.scores.provenance import stated

DETECTING = [
    name
    for name, combiner in FAMILY.items()
    if getattr(combiner, "scale", "detect") == "detect" and "rank" not in name
]
detecting = pytest.mark.parametrize("name", DETECTING)
quiet = pytest.mark.filterwarnings("ignore:columns with values outside 0 to 1")


def mixed_table(n=60, seed=0):
    """P(fake), log-likelihood ratios, heavy-tailed numbers, and a constant."""
    scores, y, groups = make_scores(n, 3, seed)
    ratio = 3 * logit(scores[:, 1]) - 7
    heavy = np.exp(1.5 * logit(scores[:, 2]))
    columns = [scores[:, 0], ratio, heavy, np.full(n, 40.0)]
    names = ["p", "ratio", "heavy", "constant"]
    return pd.DataFrame(np.column_stack(columns), columns=names), y, groups


def by_hand(table):
    """What candidates see of `mixed_table`."""
    ratio = table["ratio"].to_numpy()
    found = Distribution(np.sort(ratio), np.ones(len(ratio))).mean_and_spread()
    np.testing.assert_allclose(found, (ratio.mean(), ratio.std()), rtol=1e-12)
    mean, spread = found  # to the last bit, which decides the order of rows
    return np.column_stack(
        [
            table["p"],
            expit((ratio - mean) / spread),
            (rankdata(table["heavy"]) - 0.5) / len(table),
            np.full(len(table), 0.5),
        ]
    )


@quiet
@detecting
def test_columns_become_what_is_worked_out_by_hand(name):
    table, y, groups = mixed_table()
    combiner = clone(FAMILY[name]).fit(table, y, groups=groups)
    expected = clone(FAMILY[name]).fit(by_hand(table), y, groups=groups)
    np.testing.assert_allclose(
        combiner.fake_score(table), expected.fake_score(by_hand(table)), rtol=1e-6
    )
    np.testing.assert_allclose(
        combiner.contributions(table),
        expected.contributions(by_hand(table)),
        rtol=1e-6,
        atol=1e-8,
    )


@detecting
def test_columns_outside_are_named_in_one_warning(name):
    table, y, groups = mixed_table()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clone(FAMILY[name]).fit(table, y, groups=groups)
    messages = [str(one.message) for one in caught if "outside" in str(one.message)]
    (message,) = messages
    assert message.index("ratio (-") < message.index(
        "constant (40 to 40): standardised"
    )
    assert message.index("standardised") < message.index("heavy (")
    assert "ranked, as heavy-tailed" in message
    assert "p (" not in message
    assert caught[0].filename == __file__


def test_p_fake_is_left_as_it_is():
    scores, y, groups = make_scores()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        combiner = Stacking().fit(scores, y, groups=groups)
    stated_scale = Stacking(scale="log_odds").fit(scores, y, groups=groups)
    assert combiner.maps_ is None
    np.testing.assert_array_equal(
        combiner.fake_score(scores), stated_scale.fake_score(scores)
    )


@quiet
def test_labels_and_the_order_of_rows_play_no_part():
    table, y, groups = mixed_table()
    order = np.random.default_rng(0).permutation(len(y))
    first = Voting().fit(table, y).maps_
    for other in (
        Voting().fit(table, y[order]),
        Voting().fit(table.iloc[order], y[order]),
        Voting().fit(table, np.where(y == 1, "REAL", "FAKE")),
        Stacking(shrinkage=9.0).fit(table, y, groups=groups),
    ):
        for one, two in zip(first, other.maps_, strict=True):
            if one is None:
                assert two is None
                continue
            for key in one:
                np.testing.assert_array_equal(one[key], two[key])


@pytest.mark.slow_after(6)
@quiet
@pytest.mark.parametrize("weighted", [[0, 1, 2], [0.3, 0.6, 1.2]])
@pytest.mark.parametrize("name", ["log_odds", "logistic", "greedy on log loss", "auto"])
def test_a_weight_is_worth_as_much_as_repetition(name, weighted):
    table, y, groups = mixed_table()
    times = np.random.default_rng(0).integers(0, 3, len(y))
    table.loc[times == 0, ["p", "ratio"]] = 1e6  # of rows that take no part
    unit = weighted[1]
    weight = np.array(weighted)[times] if unit == 1 else unit * times
    by_weight = clone(FAMILY[name]).fit(table, y, groups=groups, sample_weight=weight)
    repeated = np.repeat(np.arange(len(y)), times)
    again = clone(FAMILY[name]).fit(
        table.iloc[repeated],
        y[repeated],
        groups=groups[repeated],
        sample_weight=np.full(len(repeated), unit),
    )
    assert by_weight.maps_[0] is None
    here = table[times > 0]
    np.testing.assert_array_equal(by_weight.fake_score(here), again.fake_score(here))


def test_what_is_decided_depends_on_spread_and_middle_half():
    draw = np.random.default_rng(0)
    normal = draw.normal(size=1000)
    bimodal = np.concatenate([normal[:500] - 5, normal[500:] + 5])
    rare = np.concatenate([normal[:980], normal[980:] + 20])  # few, far above the rest
    table = np.column_stack([normal, bimodal, rare, normal**3, 9 + 0 * normal])
    assert looks_of(table) == [
        "any scale",
        "any scale",
        "any scale, heavy-tailed",
        "any scale, heavy-tailed",
        "any scale",
    ]
    # quartiles are -1 and 1, so the limit is a spread of 2 * 2 / 1.349 = 2.965
    for far, spread, look in (
        (6.0, 2.828, "any scale"),
        (7.0, 3.256, "any scale, heavy-tailed"),
    ):
        values = np.repeat([-far, -1.0, 1.0, far], [10, 40, 40, 10])
        assert values.std() == pytest.approx(spread, abs=1e-3)
        assert looks_of(values[:, None]) == [look]


@quiet
def test_a_missing_score_stays_missing_and_is_not_looked_at():
    table, y, _ = mixed_table()
    table.loc[3, "ratio"] = table.loc[5, "heavy"] = np.nan
    combiner = Voting("soft").fit(table, y)
    here = table["ratio"].dropna()
    assert combiner.maps_[1]["mean"] == pytest.approx(here.mean())
    assert combiner.maps_[1]["spread"] == pytest.approx(here.std(ddof=0))
    row = table.loc[[3]]
    ranked = combiner.maps_[2]
    rank = np.interp(row["heavy"].item(), ranked["values"], ranked["ranks"])
    expected = (row["p"].item() + rank + 0.5) / 3
    assert combiner.fake_score(row)[0] == pytest.approx(expected)


@quiet
@pytest.mark.parametrize("name", ["soft", "logistic", "bagging", "two layers", "auto"])
def test_p_fake_outside_later_counts_as_missing(name):
    table, y, groups = mixed_table()
    combiner = clone(FAMILY[name]).fit(table, y, groups=groups)
    later = table.head(3).copy()
    later.loc[0, "p"], later.loc[1, "p"] = 1.2, -0.5
    later.loc[2, "ratio"] = 1e6  # any number may stand there
    with pytest.warns(UserWarning, match="count as missing") as caught:
        score = combiner.fake_score(later)
    (message,) = [str(one.message) for one in caught]
    assert caught[0].filename == __file__
    assert message.startswith("2 scores outside 0 to 1")
    assert message.endswith("p (-0.5 to 1.2)")  # and no row that has nothing left
    later.loc[:1, "p"] = np.nan
    np.testing.assert_array_equal(score, combiner.fake_score(later))


def test_a_row_with_nothing_left_is_nan_and_the_warning_says_so():
    scores, y, _ = make_scores()
    combiner = Voting().fit(scores, y)
    with pytest.warns(UserWarning, match="1 videos have no other score and get NaN"):
        score = combiner.fake_score([[2.0, np.nan, 9.0, -1.0], [0.3, 5.0, 0.4, 0.1]])
    np.testing.assert_array_equal(np.isnan(score), [True, False])


def test_features_beside_the_scores_are_no_columns_to_look_at():
    scores, y, groups = make_scores()
    table = pd.DataFrame(scores).add_prefix("p_").assign(length=np.arange(60) * 10.0)
    combiner = Stacking(LogisticRegression(), passthrough=["length"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        combiner.fit(table, y, groups=groups).fake_score(table)


@quiet
def test_it_is_kept_in_a_file(tmp_path):
    table, y, groups = mixed_table()
    for combiner in (Stacking(), Bagging("soft", n_replicas=3), AutoCombiner(["soft"])):
        score = combiner.fit(table, y, groups=groups).fake_score(table)
        writer = Writer()
        manifest = {"format": 1, "combiner": writer.encode(combiner)}
        writer.write(manifest, tmp_path / "saved")
        reader = Reader(tmp_path / "saved")
        again = reader.decode(reader.manifest["combiner"])
        np.testing.assert_array_equal(again.fake_score(table), score)


@quiet
def test_offsets_of_refitted_detectors_come_onto_the_scale():
    table, y, groups = mixed_table(12)
    seen = {}

    class Looking(Voting):
        def _fit(self, rows):
            seen["offsets"] = self._to_table_order(rows.offsets)
            super()._fit(rows)

    facts = stated(refit_offsets={"p": 0.1, "ratio": 6.0, "heavy": 0.0})
    given = score_table(
        table.to_numpy(),
        list("abcdefghijkl"),
        list(table),
        provenance=facts,
        probabilities=False,
    )
    Looking().fit(given, y, groups=groups)
    middle = table["p"].mean()
    by_hand = [
        logit(middle + 0.1) - logit(middle),
        6 / table["ratio"].std(ddof=0),  # of log-odds that are (x - mean) / spread
        0,
        0,
    ]
    np.testing.assert_allclose(seen["offsets"], by_hand, atol=1e-9)


@pytest.mark.slow_after(3)
@quiet
@pytest.mark.parametrize(
    "combiner",
    [Voting(), Stacking(), OptimizedWeights(), AutoCombiner(["log_odds", "logistic"])],
)
def test_log_likelihood_ratios_are_as_good_as_their_probabilities(combiner):
    draw = np.random.default_rng(0)
    y = np.arange(3000) % 2
    spreads = np.array([4.0, 2.0, 1.0])  # well-calibrated: mean spread**2 / 2
    ratios = (2 * y[:, None] - 1) * spreads**2 / 2 + spreads * draw.normal(
        size=(3000, 3)
    )
    train, test = np.arange(1500), np.arange(1500, 3000)
    areas = [
        roc_auc_score(
            y[test], clone(combiner).fit(X[train], y[train]).fake_score(X[test])
        )
        for X in (ratios, expit(ratios), 12 * ratios - 300)
    ]
    optimal = roc_auc_score(y[test], ratios[test].sum(axis=1))
    if not isinstance(combiner, Voting):  # equal weights are right for ratios alone
        assert areas[1] == pytest.approx(areas[0], abs=0.003)
    assert areas[0] > optimal - 0.01
    assert areas[2] == pytest.approx(areas[0], abs=1e-6)


@pytest.mark.slow_after(4)
@quiet
@pytest.mark.parametrize(
    "combiner",
    [
        Stacking(),
        OptimizedWeights(),
        GreedySelection(),
        DynamicSelection(),
        AutoCombiner(),
    ],
)
def test_raw_match_scores_are_not_brought_to_chance(combiner):
    """Faces in [50, 90], fingers from 0 to 300, 5 % genuine: incomparable scales."""
    draw = np.random.default_rng(0)
    y = (np.arange(2000) % 20 == 0).astype(int)
    face = 62 + 3 * draw.normal(size=2000) + 12 * y
    left = np.where(y == 1, draw.gamma(4, 25, 2000), draw.gamma(4, 2, 2000)).round()
    right = np.where(y == 1, draw.gamma(4, 25, 2000), draw.gamma(4, 2, 2000)).round()
    scores = np.column_stack([face, left, right])
    train, test = np.arange(1000), np.arange(1000, 2000)
    score = clone(combiner).fit(scores[train], y[train]).fake_score(scores[test])
    wrong, right_, _ = roc_curve(y[test], score)
    equal_error_rate = wrong[np.argmin(np.abs(wrong - (1 - right_)))]
    plain = LogisticRegression(max_iter=10_000).fit(scores[train], y[train])
    assert roc_auc_score(y[test], plain.predict_proba(scores[test])[:, 1]) > 0.99
    assert equal_error_rate < 0.02


@quiet
def test_public_criteria_on_scales_of_their_own_are_combined(shared):
    frame = pd.read_csv(shared / "data/scores/fastdetectgpt_whitebox.csv.gz")
    table = read_scores(frame.iloc[::5], scores="p_*", probabilities=False)
    beside = companions(table)
    assert set(table.attrs["looks"].values()) == {"any scale"}  # no tail is that heavy
    held_out = beside.group.str.contains(":[0-4]$").to_numpy()
    for combiner, least in ((Voting(), 0.98), (Stacking(shrinkage=9.0), 0.99)):
        combiner.fit(table[~held_out], beside.label[~held_out])
        score = combiner.fake_score(table[held_out])
        assert roc_auc_score(beside.label[held_out], score) > least
