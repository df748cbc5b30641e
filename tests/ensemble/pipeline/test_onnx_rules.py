"""Linear rules as ONNX files, run by ONNX Runtime."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from score_tables import NAMES, make_scores

from ensemble import ScorePipeline
from ensemble.combiners import Stacking, Voting


def run(path, scores):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (p_fake,) = session.run(["p_fake"], {"scores": np.asarray(scores, float)})
    return p_fake, session.get_modelmeta().custom_metadata_map


def new_scores():
    draw = np.random.default_rng(9)
    new = pd.DataFrame(draw.random((60, 3)), columns=NAMES)
    new.iloc[:10] **= 8  # beyond what training held
    new.iloc[10:14, 0] = np.nan
    new.iloc[14, :2] = np.nan
    new.iloc[15] = np.nan
    new.iloc[16] = [0.0, 1.0, 1.0]
    new.iloc[17, 1] = 7.0  # counts as missing
    new.iloc[18] = [-3.0, 2.0, 1.5]
    new.iloc[19, 2] = 1 + 1e-7
    return new


RULES = [
    ScorePipeline("log_odds", threshold="fpr=0.1"),
    ScorePipeline("logistic", prior=0.02),
    ScorePipeline("calibrated", "temperature"),
    ScorePipeline(Stacking(scale="probability", shrinkage=1.0), "beta"),
    ScorePipeline("soft", None),
    ScorePipeline(Voting("soft", weights=[0, 1, 2])),
    ScorePipeline("weighted"),
    ScorePipeline("greedy", "beta"),
]


@pytest.mark.slow_after(1)
@pytest.mark.filterwarnings("ignore:.*outside 0 to 1:UserWarning")
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_onnx_runtime_says_what_the_rule_says(rule, tmp_path):
    pytest.importorskip("onnx")
    rule = rule.set_params(n_boot=0).fit(*make_scores())
    path = tmp_path / "rule.onnx"
    rule.to_onnx(path)
    p_fake, metadata = run(path, new_scores())
    np.testing.assert_allclose(p_fake, rule.fake_score(new_scores()), atol=1e-9)
    assert np.isnan(p_fake[[15, 18]]).all()
    assert json.loads(metadata["columns"]) == NAMES
    assert float(metadata["fake_above"]) == rule.threshold_


@pytest.mark.slow_after(1)
@pytest.mark.filterwarnings("ignore:columns with values outside 0 to 1")
@pytest.mark.parametrize("scale", ["standard", "detect"])
def test_columns_on_scales_of_their_own(scale, tmp_path):
    pytest.importorskip("onnx")
    scores, y, groups = make_scores()
    raw = scores.assign(xception=3 + 2 * logit(scores["xception"]), mesonet=np.nan)
    rule = ScorePipeline(Stacking(scale=scale), n_boot=0).fit(raw, y, groups)
    rule.to_onnx(tmp_path / "rule.onnx")
    p_fake, _ = run(tmp_path / "rule.onnx", raw)
    np.testing.assert_allclose(p_fake, rule.fake_score(raw), atol=1e-9)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (ScorePipeline("median"), "combiner cannot be written as ONNX: a vote of kind"),
        (ScorePipeline("lightgbm"), "stacking by lightgbm is no weighted sum"),
        (ScorePipeline("rank"), "the scale of xception, resnet, mesonet cannot be"),
        (ScorePipeline("soft", "isotonic"), "calibration='isotonic' cannot be written"),
    ],
    ids=str,
)
def test_what_has_no_graph_is_named(rule, message, tmp_path):
    rule = rule.set_params(n_boot=0).fit(*make_scores())
    with pytest.raises(ValueError, match=message):
        rule.to_onnx(tmp_path / "rule.onnx")
    assert not list(tmp_path.iterdir())
