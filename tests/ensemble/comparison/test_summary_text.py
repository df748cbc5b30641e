from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ensemble.combiners.strategies import CHOSEN_MEMBER, MEAN
from ensemble.comparison.result import ComparisonFacts
from ensemble.comparison.wording.summary_text import put_in_words

AUTO = "my choice"  # its type counts, not its name
FACTS = ComparisonFacts(
    protocol="group-kfold",
    compared="scores",
    nesting="exact",
    n_videos=400,
    n_fakes=200,
    n_groups=100,
    n_videos_held_out=400,
    n_videos_judged=400,
    n_groups_judged=100,
    groups_given=True,
    n_folds=5,
    repeats=1,
    n_boot=1000,
    level=0.95,
    random_state=0,
    best_member="xception",
    look_inverted=[],
    coverage=1.0,
    ranked=1.0,
    folds_of_the_table=False,
    share_of_fakes_learned_from=0.5,
    share_of_fakes_judged=0.5,
    fitted_beforehand=[],
    chosen_anew={},
)


def row(auc, over_mean=0.0, over_best=0.0, p=np.nan, kind="strategy", spread=0.003):
    """One line of a table; intervals reach `spread` to both sides."""
    line = {"kind": kind, "auc": auc, "auc_low": auc - 0.01, "auc_high": auc + 0.01}
    for rival, ahead in (("mean", over_mean), ("best_member", over_best)):
        line |= {
            f"over_{rival}": ahead,
            f"over_{rival}_low": ahead - spread,
            f"over_{rival}_high": ahead + spread,
            f"p_{rival}": p,
            f"p_{rival}_alone": p,
        }
    loss = {"": 0.95 - auc, "_low": 0.94 - auc, "_high": 0.96 - auc}
    line |= {f"log_loss_over_mean{end}": value for end, value in loss.items()}
    return line | {"log_loss": 1 - auc}


def with_change(table, **changes):
    """Add what unseen methods cost; intervals reach 0.002 to both sides."""
    for end, reach in (("", 0), ("_low", -0.002), ("_high", 0.002)):
        table[f"over_seen{end}"] = 0.0
        for name, change in changes.items():
            table.loc[name, f"over_seen{end}"] = change + reach
    return table


def table_of(**ours):
    lines = {
        **ours,
        MEAN: row(0.95),
        "xception": row(0.94, kind="member"),
        CHOSEN_MEMBER: row(0.93),
    }
    table = pd.DataFrame(lines).T.infer_objects()
    return table.sort_values("auc", ascending=False)


def told(table):
    """Say what is above chance by each interval, as if nothing had been picked."""
    return table.assign(above_chance=table["auc_low"] > 0.5)


def words(table, by_value=None, seen=None, ablation=None, **changes):
    inverted = table.index[(table["kind"] == "member") & (table["auc_high"] < 0.5)]
    automatic = [name for name in table.index if name == AUTO]
    changes = {"look_inverted": list(inverted), "automatic": automatic} | changes
    facts = replace(FACTS, **changes)
    seen = None if seen is None else told(seen)
    return put_in_words(told(table), facts, by_value, seen, ablation)


def test_a_clear_lead_is_a_lead():
    said = words(table_of(stacking=row(0.954, 0.004, 0.014, p=0.01)))
    assert "stacking reaches an AUC of 0.9540 (95% interval 0.9440 to 0.9640)" in said
    assert "It beats the plain mean by 0.0040 AUC (+0.0010 to +0.0070; p 0.01" in said
    assert "It beats the best member by 0.0140 AUC" in said
    assert "That is xception, 0.9400, picked on these very videos" in said
    assert "picked in training, as one would, a member reaches 0.9300" in said


@pytest.mark.parametrize(
    ("ahead", "p", "expected"),
    [
        (0.002, 0.2, "not shown to differ from the plain mean: +0.0020"),
        (0.002, 0.01, "not shown to differ"),  # the interval holds 0
        (0.004, 0.2, "p is corrected for so many comparisons, the interval"),
        (-0.004, 0.01, "It is worse than the plain mean by 0.0040"),
        (-0.004, 0.2, "not shown to differ from the plain mean: -0.0040"),
    ],
)
def test_what_is_not_clear_is_not_called_a_lead(ahead, p, expected):
    said = words(table_of(stacking=row(0.95 + ahead, ahead, 0.01, p=p)))
    assert expected in said
    assert "beats the plain mean" not in said


def test_the_level_decides_what_is_clear():
    table = table_of(stacking=row(0.954, 0.004, 0.014, p=0.04))
    assert "beats the plain mean" in words(table)
    assert "beats the plain mean" not in words(table, level=0.99)


def test_a_member_above_all_is_not_hidden():
    table = table_of(stacking=row(0.93, -0.02, -0.01, p=0.3))
    said = words(table)
    assert "No ensemble is above the best member, xception." in said
    assert "reaches an AUC of 0.9300" in said  # neither the mean nor a single member


def test_with_the_mean_alone_it_is_the_mean_that_is_judged():
    said = words(table_of())
    assert f"{MEAN} reaches an AUC of 0.9500" in said
    assert "plain mean" not in said


def test_automatic_choice_and_the_price_of_choosing_are_told():
    table = table_of(
        stacking=row(0.954, 0.004, 0.014, p=0.4),
        **{AUTO: row(0.953, 0.003, 0.013, p=0.02)},
    )
    anew = {"auc": 0.951, "over_mean": 0.0012, "most often": "stacking", "share": 0.4}
    said = words(table, chosen_anew=anew)
    assert f"{AUTO} chooses in training" in said
    assert "0.9530, +0.0030 over the mean (+0.0000 to +0.0060; p 0.02)" in said
    assert "+0.0130 over the best member" in said
    assert "over the member chosen in training" not in said
    table[["over_chosen_member", "p_chosen_member_alone"]] = [0.02, 0.001]
    table[["over_chosen_member_low", "over_chosen_member_high"]] = [0.01, 0.03]
    said = words(table, chosen_anew=anew)
    assert "+0.0200 over the member chosen in training (+0.0100 to +0.0300; p" in said
    assert "Picking the best of 2 by this table flatters the pick" in said
    assert "it reaches 0.9510, +0.0012 over the mean; stacking is picked in 40%" in said


def guess(auc, **kwargs):
    """A line whose interval holds .5."""
    loss = {f"log_loss_over_mean{end}": -0.4 for end in ("", "_low", "_high")}
    return row(auc, **kwargs) | {"auc_low": auc - 0.08, "auc_high": auc + 0.08} | loss


def chance_table(**members):
    lines = {
        "stacking": guess(0.5, over_mean=0.41, over_best=0.2, p=0.001),
        AUTO: guess(0.49, over_mean=0.4, over_best=0.19, p=0.001),
        **members,
        MEAN: row(0.09),
        "xception": row(0.3, kind="member"),
        CHOSEN_MEMBER: row(0.2),
    }
    table = pd.DataFrame(lines).T.infer_objects()
    return table.sort_values("auc", ascending=False)


def test_a_strategy_at_chance_is_never_praised():
    ablation = pd.DataFrame(
        {"adds": [0.2, -0.2], "adds_low": [0.1, -0.3], "adds_high": [0.3, -0.1]},
        index=["kept", "harmful"],
    )
    said = words(chance_table(), ablation=ablation)
    first, *_ = said.split("\n")
    assert first.startswith("No strategy is shown to be better than guessing")
    assert "no interval of their AUC lies above 0.5 (95%)" in first
    assert "reaches down to" not in said  # one lies wholly below
    assert "Nor is any member." in first
    assert " beats " not in said
    assert "does best" not in said
    assert "shown to add" not in said
    assert "shown to take AUC from it harmful" in said
    assert "It is ahead of the plain mean by 0.4100 AUC" in said
    assert "is itself not shown to be better than guessing" in said
    (automatic,) = [line for line in said.split("\n") if "chooses in train" in line]
    assert automatic.endswith("it is not shown to be better than guessing.")
    (loss,) = [line for line in said.split("\n") if "log loss" in line]
    assert "a constant score near the share of fakes can do it" in loss
    assert loss.endswith("stacking is not shown to be better than guessing.")


def test_a_guess_under_unseen_methods_beats_nothing():
    table = with_change(chance_table(), stacking=-0.1)
    methods = by_method(0.4, 0.4)
    seen = chance_table()
    said = words(table, methods, seen, protocol="leave-method-out")
    assert "stacking is not shown to beat the mean" in said
    assert "under unseen methods neither" in said


def test_a_member_better_than_guessing_is_named_where_no_strategy_is():
    said = words(
        chance_table(good=row(0.8, kind="member"), fine=row(0.7, kind="member"))
    )
    assert "Of the members good, fine are, each by itself." in said.split("\n")[0]


def test_whether_it_is_a_guess_cannot_be_told_without_intervals():
    table = chance_table()
    table["auc_low"] = np.nan
    first, *_ = words(table).split("\n")
    assert first.startswith("Whether any strategy is better than guessing cannot be")


@pytest.mark.parametrize(
    ("source", "way_out"),
    [("scores", "--invert"), ("detectors", "let the detector return 1 less the score")],
)
def test_members_that_look_inverted_are_named_with_the_way_out(source, way_out):
    ours = table_of(stacking=row(0.954, 0.004, 0.014, p=0.01))
    assert "inverted" not in words(ours)
    both = {"worst": row(0.1, kind="member"), "bad": row(0.4, kind="member")}
    maybe = {"maybe": guess(0.45, kind="member")}
    table = pd.concat([ours, pd.DataFrame(both | maybe).T.infer_objects()])
    said = words(table, compared=source)
    assert "worst (AUC 0.1000, 0.0900 to 0.1100), bad (AUC 0.4000" in said
    assert "look inverted: real videos score above fake ones" in said
    assert way_out in said
    assert "maybe (" not in said
    assert "It beats the plain mean" in said  # stacking is no guess


def by_method(*leads):
    lines = [
        {
            "axis": "held out", "value": f"m{number}", "strategy": "stacking",
            "auc": 0.9 - number / 100, "auc_low": 0.8, "auc_high": 0.95,
            "over_mean": lead, "over_mean_low": lead - 0.003,
            "over_mean_high": lead + 0.003,
        }
        for number, lead in enumerate(leads)
    ]  # fmt: skip
    return pd.DataFrame(lines)


@pytest.mark.parametrize(
    ("seen", "unseen", "expected"),
    [
        (0.004, 0.0, "stacking beats the mean, +0.0040 AUC (+0.0010 to +0.0070); under "
         "unseen methods it does not, +0.0000"),
        (0.004, 0.004, "under unseen methods it does so too"),
        (0.0, 0.004, "is not shown to beat the mean, +0.0000 AUC (-0.0030 to +0.0030); "
         "under unseen methods it does,"),
        (0.0, 0.0, "under unseen methods neither"),
        (0.004, -0.004, "under unseen methods it does not, and is worse"),
    ],
)  # fmt: skip
def test_seen_and_unseen_methods_are_set_against_each_other(seen, unseen, expected):
    table = table_of(stacking=row(0.95 + unseen, unseen, 0.01, p=0.01))
    said = words(
        with_change(table, stacking=-0.001),
        by_method(unseen, unseen),
        table_of(stacking=row(0.95 + seen, seen, 0.01, p=0.01)),
        protocol="leave-method-out",
    )
    assert expected in said
    change = "On the same videos the change is -0.0010 (-0.0030 to +0.0010)."
    assert change in said


def test_what_learns_nothing_is_not_praised_for_holding():
    ours = {
        "rule": row(0.954, 0.004, 0.014, p=0.2),
        "stacking": row(0.953, 0.003, 0.013, p=0.2),
    }
    table = with_change(table_of(**ours), stacking=-0.001)
    methods = by_method(0.004).assign(strategy="rule")
    said = words(table, methods, table_of(**ours), protocol="leave-method-out")
    assert "Rule ranks videos without having learned anything, so that unseen" in said
    assert "On methods seen in training stacking is not shown" in said
    assert "On methods seen in training rule" not in said


def test_each_method_held_out_is_told_and_the_hardest_named():
    said = words(
        table_of(stacking=row(0.951, 0.001, 0.01, p=0.5)),
        by_method(0.004, -0.005, 0.0),
        protocol="leave-method-out",
    )
    assert "On methods and groups that no strategy was fitted on" in said
    assert "m0 0.9000, +0.0040 (+0.0010 to +0.0070); m1 0.8900, -0.0050" in said
    assert "Of 3 intervals, each by itself, 1 lie above 0 and 1 below" in said
    assert "The members may have been fitted on the methods held out" in said
    from_detectors = words(
        table_of(stacking=row(0.951, 0.001, 0.01, p=0.5)),
        by_method(0.004),
        protocol="leave-method-out",
        compared="detectors",
    )
    assert "On methods and groups that nothing was fitted on" in from_detectors
    assert "may have been fitted" not in from_detectors


@pytest.mark.parametrize(
    ("axis", "n_fakes", "expected"),
    [
        ("held out", 80, "Hardest is m2, where stacking reaches 0.8800 (0.8000 to"),
        ("method", 80, "Hardest is method m2, where stacking reaches"),
        ("method", 4, "(0.8000 to 0.9500, of 4 fakes)."),
    ],
)
def test_the_hardest_is_named(axis, n_fakes, expected):
    table = table_of(stacking=row(0.951, 0.001, 0.01, p=0.5)).assign(worst_at="m2")
    methods = by_method(0.004, -0.005, 0.0).assign(axis=axis, n_fakes=n_fakes)
    assert expected in words(table, methods)


def test_what_members_add_is_told():
    ablation = pd.DataFrame(
        {
            "adds": [0.003, 0.0, -0.002, 0.004],
            "adds_low": [0.001, -0.001, -0.003, 0.002],
            "adds_high": [0.005, 0.001, -0.001, 0.006],
        },
        index=["good", "idle", "bad", "best"],
    )
    said = words(table_of(stacking=row(0.951)), ablation=ablation)
    assert "add AUC best +0.0040 (+0.0020 to +0.0060), good +0.0030" in said
    assert "shown to take from it bad -0.0020 (-0.0030 to -0.0010)" in said
    assert "not shown to add any idle." in said
    said = words(table_of(stacking=row(0.951)), ablation=ablation[1:2])
    assert "one by one" not in said  # one member cannot be left out


@pytest.mark.parametrize(
    ("auc", "expected"),
    [
        (0.97, "As a probability stacking does best; its log loss differs from the "
         "mean's by -0.0200 (-0.0300 to -0.0100, uncorrected for the pick: 0.0300 "
         "against 0.0500)"),
        (0.955, "As a probability none is shown to do better than the mean"),
    ],
)  # fmt: skip
def test_probabilities_are_not_flattered_either(auc, expected):
    assert expected in words(table_of(stacking=row(auc)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"fitted_beforehand": ["net"]},
            "Fitted beforehand, on videos that are not known here: net.",
        ),
        ({"fitted_beforehand": ["net"]}, "On groups that no strategy was fitted on"),
        (
            {"share_of_fakes_learned_from": 0.8},
            "Fakes are 80% of what is learned from and 50% of what is tested",
        ),
        ({"nesting": "stored"}, "Approximate"),
        ({"nesting": "stored"}, "On groups that no strategy was fitted on"),
        ({"nesting": "unstated"}, "Where the scores come from is not stated"),
        ({"ranked": 0.9}, "10.0% of the videos are in folds without a video of the"),
        ({"coverage": 0.913}, "on the 91.3% of the videos that everyone has scored"),
        ({"not_judged": {"lab": "no real to judge"}}, "Not tested: lab."),
        ({"left_aside": 7}, "7 earlier videos were left aside"),
        ({"n_groups_judged": 12}, "With 12 groups to test on, intervals and p-values"),
        ({"groups_given": False}, "No groups were given"),
        (
            {"protocol": "time-holdout", "first_judged": "2021"},
            "On videos from 2021 on",
        ),
    ],
)
def test_what_weakens_it_is_said(changes, expected):
    table = table_of(stacking=row(0.954, 0.004, 0.014, p=0.01))
    assert expected in words(table, **changes)
    assert expected not in words(table)


def test_videos_that_not_everyone_has_scored_are_not_judged():
    lines = words(table_of(), n_videos_judged=240, coverage=0.6).splitlines()
    assert "(240 of 400 videos, 100 groups)" in lines[0]
    assert lines[1].endswith("everyone has scored, 240 of 400.")


def test_what_cannot_be_told_is_not():
    line = row(0.954, 0.004, 0.014, p=np.nan)
    line |= {"over_mean_low": np.nan, "over_mean_high": np.nan}
    said = words(table_of(stacking=line))
    assert "Whether stacking beats the plain mean cannot be told" in said
