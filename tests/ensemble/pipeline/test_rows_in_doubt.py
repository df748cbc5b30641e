"""Which rows a rule on scores leaves open, and which files it leaves alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from score_tables import NAMES, make_whole_scores as make_scores

from ensemble import ScorePipeline


@pytest.fixture(scope="module")
def rule():
    return ScorePipeline("logistic", n_boot=0).fit(*make_scores())


@pytest.mark.slow
def test_scores_far_outside_those_of_training_are_unsure(rule, tmp_path):
    scores, y, groups = make_scores()
    wide = scores.assign(resnet=500 * scores["resnet"] - 520)
    own_scale = ScorePipeline("logistic", n_boot=0).fit(wide, y, groups)
    low, high = own_scale.score_range_[1]
    new = wide.iloc[[0] * 5].reset_index(drop=True)
    new["resnet"] = [
        low,
        high,
        low - 0.6 * (high - low),
        high + 0.4 * (high - low),
        1e6,
    ]
    judged = own_scale.judge(new)
    unsure = judged["verdict"] == "UNSURE"
    assert unsure.tolist() == [False, False, True, False, True]
    said = f"resnet gives 1e+06, in training {low:.4g} to {high:.4g}"
    assert judged["reason"][4] == said
    assert (judged["reason"][~unsure] == "").all()
    near = scores.clip(0.4, 0.6)  # from 0 to 1 the width is of log-odds, .81 here
    rule = ScorePipeline("log_odds", n_boot=0).fit(near, y, groups)
    cells = pd.DataFrame(expit([[logit(0.6) + beyond] * 3 for beyond in (0.45, 0.55)]))
    verdicts = rule.judge(cells.set_axis(NAMES, axis=1))["verdict"]
    assert verdicts.tolist() == ["FAKE", "UNSURE"]


def test_few_detectors_are_no_ground_unless_training_held_such_rows(tmp_path):
    scores, y, groups = make_scores(400, skill=(2.0, 2.0, 2.0))
    new = pd.DataFrame([[0.99, np.nan, np.nan], [0.99, 0.99, np.nan]], columns=NAMES)
    rule = ScorePipeline("log_odds", n_boot=0).fit(scores, y, groups)
    rule.save(tmp_path / "rule.dfe")
    for one in (rule, ScorePipeline.load(tmp_path / "rule.dfe")):
        judged = one.judge(new)
        assert judged["verdict"].tolist() == ["UNSURE", "FAKE"]
        assert judged["reason"][0] == (
            "2 of 3 detectors are missing, and the others carry 33% of what the rule "
            "knows: rates and interval are of videos that all scored"
        )
    assert "Of 400 training videos none lacked a score" in rule.describe()
    scores.iloc[:12, 1:] = np.nan
    known = ScorePipeline("log_odds", n_boot=0).fit(scores, y, groups)
    judged = known.judge(new)
    assert judged["verdict"].tolist() == ["FAKE", "FAKE"]
    assert judged["reason"][0] == (
        "2 of 3 detectors are missing, as in 12 of 400 training videos: rates and "
        "interval are of all these"
    )
    assert "Of 400 training videos 12 lacked a score" in known.describe()


def test_a_file_of_others_is_replaced_only_when_asked(rule, tmp_path):
    table = tmp_path / "scores.csv"
    for write in (rule.save, rule.to_onnx):
        table.write_text("video,p_one")
        with pytest.raises(
            ValueError,
            match=r"scores.csv exists, and is not .* saved|"
            "exported .* of this library",
        ):
            write(table)
        assert table.read_text() == "video,p_one"
        write(table, overwrite=True)
        write(table)  # it is one of ours now
