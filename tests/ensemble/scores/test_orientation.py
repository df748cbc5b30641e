"""Detectors that point the wrong way are named, and turned round when asked only."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import ensemble
from ensemble import compare_strategies, invert_scores, read_scores, write_scores
from ensemble.cli.app import app
from ensemble.combiners import Stacking
from ensemble.combiners.parts.detector_skill import looks_inverted
from ensemble.scores import companions


@pytest.fixture
def frame():
    draw = np.random.default_rng(0)
    y = np.arange(80) % 2
    scores = expit(draw.normal(2 * y[:, None] - 1, 1.5, (80, 2)))
    scores[:, 1] = 1 - scores[:, 1]
    table = pd.DataFrame(scores, columns=["p_good", "p_real"])
    ids = [f"v{row}" for row in range(80)]
    return table.assign(label=y, group=np.arange(80) // 2, video=ids)


def test_turned_scores_keep_what_lies_beside_them(frame, tmp_path):
    plain = read_scores(frame, scores="p_*", out_of_fold=True)
    turned = read_scores(frame, scores="p_*", invert=["p_real"], out_of_fold=True)
    np.testing.assert_allclose(turned["p_real"], 1 - plain["p_real"])
    np.testing.assert_array_equal(turned["p_good"], plain["p_good"])
    assert companions(turned).equals(companions(plain))
    provenance = turned.attrs["provenance"]
    assert provenance == {"out_of_fold": True, "inverted": ["p_real"]}
    assert plain.attrs["provenance"] == {"out_of_fold": True}
    write_scores(turned, tmp_path / "turned.csv")
    again = read_scores(tmp_path / "turned.csv")
    np.testing.assert_allclose(again["p_real"], turned["p_real"])
    back = invert_scores(turned, "p_real")
    assert back.attrs["provenance"]["inverted"] == []
    np.testing.assert_allclose(back["p_real"], plain["p_real"])


def test_any_numbers_change_their_sign(frame):
    scores = 10 * frame[["p_good", "p_real"]].to_numpy() - 3
    turned = invert_scores(scores, [1], probabilities=False)
    np.testing.assert_array_equal(turned, scores * [1, -1])


@pytest.mark.parametrize(
    ("names", "message"),
    [(["p_rael"], "got 'p_rael' beside"), (["p_real", "p_real"], "each once")],
)
def test_names_that_are_no_columns_are_refused(names, message, frame):
    with pytest.raises(ValueError, match=message):
        invert_scores(frame[["p_good", "p_real"]], names)


def test_other_numbers_are_no_probabilities():
    with pytest.raises(ValueError, match=r"got 3.0 in column 0, row 1: pass prob"):
        invert_scores([[0.2], [3.0]], 0)


@pytest.mark.slow
def test_a_comparison_names_what_looks_inverted_and_turns_nothing(frame):
    table = read_scores(frame, scores="p_*")
    given = {"strategies": ["stacking"], "n_boot": 20}
    with pytest.warns(UserWarning, match="^p_real ranks real .*--invert p_real;"):
        found = compare_strategies(table, **given)
    assert found.table.loc["p_real", "auc"] < 0.3
    mended = compare_strategies(invert_scores(table, "p_real"), **given)
    assert mended.table.loc["p_real", "auc"] > 0.7
    assert mended.table.loc["stacking", "auc"] > found.table.loc["stacking", "auc"]


def test_the_command_line_turns_round_what_it_is_told_to(frame, tmp_path):
    path, out = tmp_path / "scores.csv", tmp_path / "found.csv"
    frame.to_csv(path, index=False)
    given = ["compare", str(path), "--strategies", "soft", "--draws", "10", "--quiet",
             "--csv", str(out)]  # fmt: skip
    result = CliRunner().invoke(app, [*given, "--invert", "p_real"])
    assert result.exit_code == 0, result.output
    assert pd.read_csv(out, index_col=0).loc["p_real", "auc"] > 0.7
    result = CliRunner().invoke(app, [*given, "--invert", "p_rael", "--overwrite"])
    assert result.exit_code != 0
    assert "got 'p_rael' beside" in str(result.exception)


def test_the_inverted_criterion_of_a_public_table_is_named(shared):
    table = pd.read_csv(shared / "data/scores/fastdetectgpt_llm.csv.gz")
    scores, y = table.filter(like="p_"), table["label"].to_numpy()
    groups = np.unique(table["group"], return_inverse=True)[1]
    found = scores.columns[looks_inverted(scores.to_numpy(), y, None, groups)]
    expected = [name for name in scores if roc_auc_score(y, scores[name]) < 0.45]
    assert len(expected) == 1
    assert found.tolist() == expected
    with pytest.warns(UserWarning, match=f"^{expected[0]} ranks real"):
        Stacking(scale="standard").fit(scores, y, groups=groups)
    turned = ensemble.invert_scores(scores, expected, probabilities=False)
    fitted = Stacking(scale="standard").fit(turned, y, groups=groups)
    assert fitted.fake_score(turned)[y == 1].mean() > 0.7
