"""What a comparison says first: four questions, answered in order, in plain words."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_summary_text import FACTS, row, table_of, told

from ensemble import compare_strategies, read_scores
from ensemble.combiners.strategies import (
    CHOSEN_MEMBER,
    MEAN,
    simplest_of_the_highest,
)
from ensemble.comparison.wording.advice import advice_on
from ensemble.comparison.wording.lead import lead_of


def lead(facts=None, **ours):
    return lead_of(told(table_of(**ours)), replace(FACTS, **(facts or {})))


def sentences(text):
    return re.split(r"(?<=[.])\s+", text)


def test_a_strategy_that_beats_all():
    said = lead(stacking=row(0.97, 0.02, 0.03, p=0.001))
    assert sentences(said) == [
        "Stacking has the highest AUC of all ensembles, 0.970 (95% interval 0.960 to "
        "0.980), on 400 videos it was not fitted on.",
        "It beats the plain mean (0.950) and the best single detector, xception "
        "(0.940).",
        "Forgery methods unseen in training were not tested (--protocol "
        "leave-method-out does that).",
    ]


def test_what_is_not_shown_may_be_luck():
    said = lead(stacking=row(0.955, 0.005, 0.015, p=0.3), voting=row(0.94, p=0.9))
    assert (
        "It is not shown to beat the plain mean (0.950) or the best single detector, "
        "xception (0.940): after correction for 2 tests, the difference may be chance."
        in said
    )
    said = lead(stacking=row(0.955, 0.001, 0.02, p=0.01))
    assert (
        "It beats the best single detector, xception (0.940), but is not shown to beat "
        "the plain mean (0.950): the difference may be chance." in said
    )


def test_the_plain_mean_is_set_beside_the_best_detector():
    table = table_of().drop(index=["best member, chosen in training"])
    table.loc[MEAN, ["over_best_member", "over_best_member_low"]] = 0.01, -0.002
    table.loc[MEAN, "over_best_member_high"] = 0.02
    said = lead_of(told(table), FACTS)
    assert said.startswith("The plain mean has the highest AUC of all ensembles, 0.950")
    assert "not shown to beat the best single detector, xception (0.940)" in said
    assert "beat the plain mean" not in said


def test_the_plain_mean_is_named_where_it_is_highest():
    said = lead(stacking=row(0.949, -0.01, 0.008, p=0.7))
    assert said.startswith("The plain mean has the highest AUC of all ensembles, 0.950")
    assert "stacking" not in said


MEAN_WILL_DO = "The plain mean is simpler and may be as good."
ALONE = "The best single detector is simpler and may be as good."


@pytest.mark.parametrize(
    ("winner", "ahead", "alone", "advice", "n_to_take"),
    [
        ("stacking", 0.001, 0.02, MEAN_WILL_DO, 2),
        ("stacking", 0.02, 0.02, None, 1),
        ("stacking", 0.001, 0.001, ALONE, 2),
        (MEAN, 0.001, 0.02,
         "No strategy is above the plain mean, the simplest: take it.", 1),
        (CHOSEN_MEMBER, 0.001, 0.001,
         "No ensemble is above the best single detector: take it alone.", 1),
        (None, 0.001, 0.001, None, 0),
    ],
)  # fmt: skip
def test_what_is_simpler_and_would_do_is_said(winner, ahead, alone, advice, n_to_take):
    table = table_of(stacking=row(0.97, ahead, alone, p=0.001))
    for end in ("", "_low", "_high"):
        table[f"over_chosen_member{end}"] = table[f"over_best_member{end}"]
    table["p_chosen_member"] = table["p_best_member"]
    if alone == 0.001:  # the single one is then above the mean
        table.loc[CHOSEN_MEMBER, "auc"] = 0.96
    if winner in (MEAN, CHOSEN_MEMBER):
        table.loc["stacking", "auc"] = 0.9
    said, to_take = advice_on(winner, told(table), FACTS)
    assert (said, len(to_take)) == (advice, n_to_take)
    assert to_take[:1] == (() if winner is None else (winner,))


def test_a_guess_that_is_higher_is_not_what_the_lead_speaks_of():
    table = table_of(stacking=row(0.97, 0.02, 0.03, p=0.001))
    table.loc["stacking", ["auc_low", "auc_high"]] = 0.45, 0.999
    said = lead_of(told(table), FACTS)
    assert said.startswith("The plain mean reaches an AUC of 0.950")
    assert "stacking, which is higher, is not shown to be better than guessing" in said
    advice, to_take = advice_on(MEAN, told(table), FACTS)
    assert advice.startswith("Of those shown to be better than guessing no strategy is")
    assert to_take == (MEAN,)


def test_what_may_be_a_guess_is_not_recommended_for_being_simple():
    table = table_of(stacking=row(0.97, 0.001, 0.02, p=0.5))
    table.loc[[MEAN, CHOSEN_MEMBER], "auc_low"] = 0.45
    assert advice_on("stacking", told(table), FACTS) == (None, ("stacking",))


def test_of_equals_the_simplest_is_taken():
    table = table_of(stacking=row(0.95, 0.0, 0.01, p=0.7))
    assert simplest_of_the_highest(table["auc"]) == MEAN
    assert lead_of(told(table), FACTS).startswith("The plain mean has the highest AUC")


def test_nothing_is_praised_that_may_be_a_guess():
    table = table_of(stacking=row(0.51, 0.2, 0.2, p=0.001))
    table.loc[[MEAN, "xception"], ["auc", "auc_low", "auc_high"]] = 0.4, 0.3, 0.5
    table = table.sort_values("auc", ascending=False)
    said = lead_of(told(table), FACTS)
    assert said == (
        "No ensemble is shown to be better than guessing on 400 videos (stacking: AUC "
        "0.510, 95% interval 0.500 to 0.520)."
    )
    table.loc["xception", ["auc", "auc_low", "auc_high"]] = 0.7, 0.6, 0.8
    assert lead_of(told(table), FACTS).endswith("Alone, xception is.")
    table[["auc_low", "auc_high"]] = np.nan
    assert "nobody can tell" in lead_of(told(table), FACTS)


def test_of_what_weakens_it_the_worst_is_said_and_no_more():
    good = {"stacking": row(0.97, 0.02, 0.03, p=0.001)}
    cases = {
        "xception scores real videos above fakes": {"look_inverted": ["xception"]},
        "xception was trained on some of these": {"seen_in_training": {"xception": 9}},
        "No groups were given": {"groups_given": False},
        "With only 12 groups": {"n_groups_judged": 12},
        "What xception was trained on is not known": {
            "fitted_beforehand": ["xception"]
        },
        "What the detectors were trained on is not stated": {"nesting": "unstated"},
        "slightly too good": {"nesting": "stored"},
        "Only 75.0% of the videos": {"coverage": 0.75},
    }
    everything = {}
    for words, facts in reversed(cases.items()):
        everything |= facts
        for given in (facts, everything):
            said = lead(given, **good)
            assert words in said
            assert len(sentences(said)) == 4


def test_unseen_methods_are_said_with_the_hardest():
    table = table_of(stacking=row(0.97, 0.02, 0.03, p=0.001))
    table["worst"], table["worst_at"] = 0.8, "neuraltextures"
    said = lead_of(told(table), replace(FACTS, protocol="leave-method-out"))
    assert (
        "Each method was tested with strategies that had not seen it; the hardest is "
        "neuraltextures (AUC 0.800)." in said
    )


def test_what_the_reader_has_in_hand_is_spoken_of():
    table = table_of(
        **{"this ensemble": row(0.96, 0.005, 0.015, p=0.001), "stacking": row(0.97)}
    ).sort_values("auc", ascending=False)
    said = lead_of(told(table), FACTS, "this ensemble")
    assert sentences(said)[:2] == [
        "This ensemble is better than guessing on 400 videos that it was not fitted on "
        "(AUC 0.960, 95% interval 0.950 to 0.970); the highest of the other strategies "
        "is stacking, 0.970.",
        "It beats the plain mean (0.950) and the best single detector, xception "
        "(0.940).",
    ]
    table.loc["this ensemble", ["auc", "auc_low", "auc_high"]] = 0.52, 0.44, 0.6
    said = lead_of(told(table), FACTS, "this ensemble")
    assert said.startswith("This ensemble is not shown to be better than guessing on")
    assert "stacking, 0.970" in said
    assert "It beats" not in said


@pytest.mark.parametrize("strategies", [["log_odds", "logistic", "soft"]])
def test_real_scores_are_led_by_few_words(shared, strategies):
    table = read_scores(shared / "data" / "scores" / "ffpp_4detectors.csv")
    found = compare_strategies(table, strategies=strategies, n_boot=50, random_state=0)
    assert len(found.lead.split()) <= 80
    assert len(sentences(found.lead)) <= 4
    assert found.verdict == "\n".join([found.lead, *found.details])
    page = found._repr_html_()
    assert page.index(found.lead[:40]) < page.index("<table") < page.index("<details>")
    assert pd.isna(found.table.loc[MEAN, "p_mean"])
