import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from score_tables import NAMES, make_whole_scores as make_scores
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import ensemble
from ensemble import CheckpointError, ScorePipeline
from ensemble.calibration import Calibrator, cross_fitted_scores
from ensemble.combiners import AutoCombiner, Combiner, Stacking, Voting
from ensemble.scores import score_table


@pytest.fixture(scope="module")
def rule():
    return ScorePipeline("logistic").fit(*make_scores())


@pytest.mark.filterwarnings("ignore:.*outside 0 to 1:UserWarning")
@parametrize_with_checks([ScorePipeline("log_odds", n_boot=5)])
def test_keeps_the_sklearn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*outside 0 to 1:UserWarning")
@parametrize_with_checks(
    [ScorePipeline(name, n_boot=5) for name in ("logistic", "auto")]
)
def test_keeps_the_sklearn_contract_with_a_combiner_that_learns(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_is_combiner_then_calibration_on_scores_of_unseen_groups(rule):
    scores, y, groups = make_scores()
    combiner = Stacking().fit(scores, y, groups=groups)
    unseen = cross_fitted_scores(Stacking(), scores, y, groups)
    calibrator = Calibrator("platt").fit(unseen, y, groups=groups)
    expected = calibrator(combiner.fake_score(scores))
    # rows are ordered otherwise inside, so the folds are others
    assert np.abs(rule.fake_score(scores) - expected).max() < 0.03
    assert np.abs(rule.oof_fake_score_ - unseen).mean() < 0.03
    in_sample = combiner.fake_score(scores)
    assert np.abs(rule.oof_fake_score_ - in_sample).max() > 1e-3


def test_no_row_is_scored_by_what_saw_its_group():
    class ByHeart(Combiner):
        def __init__(self, scale=None, clip=1e-6, fake_label=None):
            self.scale, self.clip, self.fake_label = scale, clip, fake_label

        def _fit(self, rows):
            groups = rows.groups
            self.seen_ = dict(zip(rows.scores[:, 0], groups, strict=True))

        def _fake_score(self, scores):
            return np.array([0.9 if x in self.seen_ else 0.3 for x in scores[:, 0]])

    scores, y, groups = make_scores()
    scores = scores.assign(xception=groups / 100)
    rule = ScorePipeline(ByHeart(), calibration=None, n_boot=0)
    assert set(rule.fit(scores, y, groups).oof_fake_score_) == {0.3}


@pytest.mark.slow
def test_order_repetition_and_weights_mean_the_same():
    scores, y, groups = make_scores(80)
    first = ScorePipeline("logistic", n_boot=20).fit(scores, y, groups)
    order = np.random.default_rng(1).permutation(80)
    shuffled = ScorePipeline("logistic", n_boot=20).fit(
        scores.iloc[order], y[order], groups[order]
    )
    pd.testing.assert_frame_equal(first.judge(scores), shuffled.judge(scores))
    weight = np.where(np.arange(80) < 20, 3.0, 1.0)
    weighted = ScorePipeline("logistic").fit(scores, y, groups, sample_weight=weight)
    times = np.repeat(np.arange(80), weight.astype(int))
    repeated = ScorePipeline("logistic").fit(
        scores.to_numpy()[times], y[times], groups[times]
    )
    np.testing.assert_allclose(
        weighted.judge(scores)[["p_fake", "lower", "upper"]].to_numpy(),
        repeated.judge(scores.to_numpy())[["p_fake", "lower", "upper"]].to_numpy(),
        atol=1e-9,
    )


def test_judge_says_what_is_known_and_what_is_not(rule):
    scores = make_scores(12, seed=5)[0]
    scores.iloc[0, 1] = np.nan
    scores.iloc[1] = np.nan
    table = score_table(
        scores.to_numpy(),
        scores.index,
        NAMES,
        reasons={"resnet": {"0000.mp4": "no face found"}},
    )
    judged = rule.judge(table)
    assert judged.index.equals(table.index)
    np.testing.assert_array_equal(judged["p_fake"], rule.fake_score(table))
    known = judged.drop(index="0001.mp4")
    assert (known["lower"] <= known["p_fake"]).all()
    assert (known["p_fake"] <= known["upper"]).all()
    expected = np.where(known["p_fake"] > 0.5, "FAKE", "REAL")
    assert known["verdict"].tolist() == expected.tolist()
    assert judged.loc["0000.mp4", ["status", "missing", "reason"]].tolist() == [
        "partial",
        "resnet",
        "1 of 3 detectors is missing: rates and interval are of videos that all "
        "scored; resnet: no face found",
    ]
    none = judged.loc["0001.mp4"]
    assert none[["verdict", "status", "missing", "reason"]].tolist() == [
        "UNSURE",
        "unscorable",
        ", ".join(NAMES),
        "no member has a score",
    ]
    assert none[["p_fake", "lower", "upper"]].isna().all()
    moved = judged[[f"contribution_{name}" for name in NAMES]].to_numpy()
    np.testing.assert_allclose(moved, rule.combiner_.contributions(scores))
    assert moved[0, 1] == 0
    assert "contribution_xception" not in rule.judge(table, contributions=False)


def test_a_member_that_was_never_seen_is_no_ground():
    scores, y, groups = make_scores()
    rule = ScorePipeline("log_odds", n_boot=5)
    rule.fit(scores.assign(resnet=np.nan), y, groups)
    judged = rule.judge(pd.DataFrame([[np.nan, 0.1, np.nan]], columns=NAMES))
    assert judged["p_fake"].isna().all()
    assert judged["verdict"].tolist() == ["UNSURE"]
    assert judged["reason"][0].startswith("only resnet has a score, and it had none")


@pytest.mark.slow
def test_columns_on_scales_of_their_own_are_scaled_in_every_fold():
    scores, y, groups = make_scores()
    raw = scores.assign(xception=300 + 40 * logit(scores["xception"]))
    rule = ScorePipeline("logistic", n_boot=5)
    with pytest.warns(UserWarning, match="xception .*: standardised"):
        rule.fit(raw, y, groups)
    unscaled = clone(rule).fit(scores, y, groups)
    assert abs(rule.auc_.estimate - unscaled.auc_.estimate) < 0.03
    assert np.abs(rule.oof_fake_score_ - unscaled.oof_fake_score_).mean() < 0.1


def test_a_score_outside_of_what_training_held_counts_as_missing(rule):
    odd = pd.DataFrame([[0.9, 7.0, 0.8], [3.0, 7.0, -1.0]], columns=NAMES)
    # One by one: beside the second row the first is on a scale that nobody knows.
    judged = pd.concat([rule.judge(odd[:1]), rule.judge(odd[1:])])
    without = rule.judge(odd.mask((odd > 1) | (odd < 0)))
    pd.testing.assert_frame_equal(
        judged.drop(columns="reason"), without.drop(columns="reason")
    )
    assert judged["missing"].tolist() == ["resnet", ", ".join(NAMES)]
    assert judged["verdict"][1] == "UNSURE"
    assert "resnet is outside 0 to 1" in judged["reason"][0]


def test_members_without_weight_decide_nothing():
    rule = ScorePipeline(Voting("soft", weights=[1, 0, 0]), n_boot=5)
    rule.fit(*make_scores())
    judged = rule.judge(pd.DataFrame([[np.nan, 0.1, 0.1]], columns=NAMES))
    assert judged["verdict"].tolist() == ["UNSURE"]
    assert "next to no weight" in judged["reason"][0]


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(
    "combiner",
    ["free_logistic", "pairs", "small_trees", "lightgbm", "dynamic"]
    + [pytest.param(one, marks=pytest.mark.slow) for one in ("mlp", "forest")],
)
def test_noise_alone_decides_nothing_whatever_combines(combiner):
    scores, y, groups = make_scores(400)
    noise = np.random.default_rng(1).random(400)
    noise[np.random.default_rng(2).random(400) < 0.1] = np.nan
    scores = scores.assign(mesonet=noise)
    scores.iloc[:20, :2] = np.nan  # here noise is all there is
    rule = ScorePipeline(combiner, n_boot=0).fit(scores, y, groups)
    cells = [[np.nan, np.nan, 0.95], [0.95, np.nan, np.nan], [np.nan, 0.9, 0.1]]
    judged = rule.judge(pd.DataFrame(cells, columns=NAMES), contributions=False)
    assert judged["verdict"][0] == "UNSURE"
    first = judged["reason"][0]
    assert first.startswith("only mesonet has a score, and next to no weight; 2 of 3")
    assert not judged["reason"][1:].str.contains("next to no weight").any()


@pytest.mark.slow
def test_a_light_candidate_does_not_decide_who_has_weight(tmp_path):
    """Of a mixture, the weights of a greedy selection were taken for the whole."""
    scores, y, groups = make_scores(400, skill=(2.0, 2.0, 2.0))
    scores["resnet"] = scores["xception"]  # a selection takes one of the two
    rule = ScorePipeline(AutoCombiner(["forest", "greedy"]), n_boot=0)
    rule.fit(scores, y, groups)
    rule.combiner_.weights_ = np.array([1.0, 0.0, 0.0])
    rule.save(tmp_path / "rule.dfe")
    new = pd.DataFrame([[np.nan, 0.95, 0.95]], columns=NAMES)
    loaded = ScorePipeline.load(tmp_path / "rule.dfe").judge(new)
    assert "weight" not in loaded["reason"][0]
    del rule.shares_  # a file of before
    rule.save(tmp_path / "rule.dfe")
    before = ScorePipeline.load(tmp_path / "rule.dfe").judge(new)
    assert "next to no weight" in before["reason"][0]


def test_a_rule_at_chance_calls_nothing():
    scores, _, groups = make_scores()
    y = np.random.default_rng(0).permutation(np.arange(240) % 2)
    rule = ScorePipeline("log_odds", n_boot=5).fit(scores, y, groups)
    judged = rule.judge(scores)
    assert (judged["verdict"] == "UNSURE").all()
    assert judged["reason"].str.contains("not shown to beat chance").all()


@pytest.mark.slow
def test_noise_stays_at_chance():
    values = []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        scores, y = draw.random((200, 4)), draw.permutation(np.arange(200) % 2)
        rule = ScorePipeline("logistic", n_boot=0).fit(scores, y, np.arange(200) // 4)
        values.append(rule.auc_.estimate)
    assert abs(np.mean(values) - 0.5) < 0.03


def test_abstaining_is_unsure_where_the_threshold_lies_in_the_interval(rule):
    scores = make_scores(200, seed=3)[0]
    careful = clone(rule).set_params(abstain=True).fit(*make_scores())
    judged = careful.judge(scores)
    torn = (judged["lower"] <= 0.5) & (judged["upper"] > 0.5)
    assert 0 < torn.sum() < 100
    assert ((judged["verdict"] == "UNSURE") == torn).all()
    with pytest.raises(ValueError, match="abstain=True needs intervals"):
        ScorePipeline(calibration=None, abstain=True).fit(*make_scores())


@pytest.mark.slow
def test_thresholds_keep_what_they_promise_and_change_after_the_fit(rule):
    scores, y, groups = make_scores()
    p_fake = rule.to_probability(rule.oof_fake_score_)
    rule = clone(rule).fit(scores, y, groups).set_params(threshold="fpr=0.1")
    assert (p_fake[y == 0] > rule.threshold_).mean() <= 0.1
    assert (p_fake[y == 0] > rule.threshold_).mean() > 0.08
    rule.set_params(threshold="three-way=0.2,confidence=0.8")
    with pytest.raises(ValueError, match="leaves videos unsure"):
        rule.predict(scores)
    verdict = rule.judge(scores)["verdict"]
    assert set(verdict) == {"REAL", "UNSURE", "FAKE"}
    low, high = rule.thresholds_.low, rule.thresholds_.high
    assert (p_fake[y == 0] > high).mean() <= 0.2
    assert (p_fake[y == 1] < low).mean() <= 0.2
    rates = rule.rates_
    assert rates.loc["false alarm", "rate"] == (p_fake[y == 0] > high).mean()
    with pytest.raises(ValueError, match=r"threshold='fpr=0.001'"):
        ScorePipeline("log_odds", threshold="fpr=0.001").fit(scores, y, groups)


@pytest.mark.slow
def test_a_prior_moves_probability_and_interval(rule):
    scores = make_scores(20, seed=7)[0]
    rule = clone(rule).fit(*make_scores())
    before = rule.judge(scores)
    after = rule.set_params(prior=0.01).judge(scores)
    for name in ("p_fake", "lower", "upper"):
        expected = logit(before[name]) + logit(0.01)  # half of training is fake
        np.testing.assert_allclose(logit(after[name]), expected)


def test_labels_of_any_name():
    scores, y, groups = make_scores()
    names = np.array(["clean", "altered"])[y]
    rule = ScorePipeline("log_odds", fake_label="altered", n_boot=5)
    rule.fit(scores, names, groups)
    assert rule.classes_.tolist() == ["altered", "clean"]
    p_fake = rule.fake_score(scores)
    np.testing.assert_array_equal(rule.predict_proba(scores)[:, 0], p_fake)
    expected = np.where(p_fake > 0.5, "altered", "clean")
    assert rule.predict(scores).tolist() == expected.tolist()
    assert p_fake[y == 1].mean() > 0.6


@pytest.mark.slow
def test_is_the_last_step_of_a_pipeline():
    scores, y, _ = make_scores()
    steps = make_pipeline(
        FunctionTransformer(lambda X: X.clip(0.01, 0.99)), ScorePipeline("log_odds")
    )
    assert steps.fit(scores, y).score(scores, y) > 0.8
    steps.set_params(scorepipeline__combiner="soft").fit(scores, y)
    assert steps[-1].combiner_.kind == "soft"


def test_columns_out_of_order_and_rows_without_a_score_are_refused(rule):
    scores = make_scores()[0]
    for ask in (rule.fake_score, rule.predict):
        with pytest.raises(ValueError, match=r"reorder with X\[rule.feature_names_in_"):
            ask(scores[NAMES[::-1]])
    pd.testing.assert_frame_equal(
        rule.judge(scores.assign(video="a")[["video", *NAMES[::-1]]]),
        rule.judge(scores),
    )
    with pytest.raises(ValueError, match="resnet"):
        rule.judge(scores.drop(columns="resnet"))
    with pytest.raises(ValueError, match="a name of its own"):
        rule.judge(scores[[*NAMES, "resnet"]])
    scores.iloc[3] = np.nan
    with pytest.raises(ValueError, match="1 of 240 videos have none: '0003.mp4'"):
        rule.predict(scores)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"calibration": "plat"}, "did you mean 'platt'"),
        ({"threshold": "fpr"}, "takes a share"),
        ({"prior": 1.0}, "prior must be a share"),
        ({"level": 1.5}, "level"),
        ({"n_boot": -1}, "n_boot must be a whole number, 0 or more; got -1"),
        ({"abstain": "no"}, "abstain must be True or False; got 'no'"),
        ({"combiner": "logistik"}, "did you mean 'logistic'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ScorePipeline(**settings).fit(*make_scores())


def test_a_class_in_one_group_leaves_every_verdict_open():
    scores, y, _ = make_scores(40)
    groups = np.where(y == 1, 0, np.arange(40))
    with pytest.warns(UserWarning, match="a class is in one group"):
        rule = ScorePipeline("log_odds").fit(scores, y, groups)
    assert rule.calibrator_ is None
    assert np.isnan(rule.oof_fake_score_).all()
    assert (rule.judge(scores)["verdict"] == "UNSURE").all()
    with pytest.raises(ValueError, match="is set on scores of unseen groups"):
        rule.set_params(threshold="cost=10").predict(scores)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "combiner",
    [
        "log_odds",
        "logistic",
        "lightgbm",
        LogisticRegression(),
        pytest.param("mlp", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_saved_rule_says_the_same(combiner, tmp_path):
    scores, y, groups = make_scores()
    scores.iloc[5, 1] = np.nan
    rule = ScorePipeline(combiner, threshold="fpr=0.1", n_boot=10)
    rule.fit(scores, y, groups).save(tmp_path / "rule.dfe")
    for load in (ensemble.load, ScorePipeline.load):
        again = load(tmp_path / "rule.dfe")
        pd.testing.assert_frame_equal(again.judge(scores), rule.judge(scores))
        assert repr(again) == repr(rule)
        pd.testing.assert_frame_equal(again.rates_, rule.rates_)
        assert again.auc_ == rule.auc_
    again.set_params(threshold="cost=3")  # the out-of-fold scores are in the file
    assert again.threshold_ == rule.set_params(threshold="cost=3").threshold_
    clone(again).fit(scores, y, groups)


def test_a_combiner_of_ones_own_is_given_to_load(tmp_path):
    class Mine(Voting):
        pass

    scores, y, groups = make_scores()
    rule = ScorePipeline(Mine("soft"), n_boot=0).fit(scores, y, groups)
    rule.save(tmp_path / "rule.dfe")
    with pytest.raises(CheckpointError, match="cannot hold the code of its combiner"):
        ensemble.load(tmp_path / "rule.dfe")
    name = Mine.__qualname__
    again = ensemble.load(tmp_path / "rule.dfe", combiners={name: Mine()})
    np.testing.assert_array_equal(again.fake_score(scores), rule.fake_score(scores))


def test_what_cannot_be_saved_is_told_at_the_fit(tmp_path):
    forest = RandomForestClassifier(3, random_state=0)
    for combiner in (forest, Stacking(forest), "plain_lightgbm"):
        with pytest.warns(UserWarning, match="`save` will refuse this fit") as told:
            rule = ScorePipeline(combiner, n_boot=0).fit(*make_scores())
        assert [one.filename for one in told] == [__file__]
        with pytest.raises(CheckpointError, match="Classifier cannot be saved"):
            rule.save(tmp_path / "rule.dfe")
        scores = make_scores()[0]
        again = pickle.loads(pickle.dumps(rule))
        pd.testing.assert_frame_equal(again.judge(scores), rule.judge(scores))


@pytest.mark.slow
@pytest.mark.parametrize(
    "combiner", ["logistic", pytest.param("mlp", marks=pytest.mark.slow)]
)
def test_a_rule_is_loaded_without_what_scores_videos(combiner, tmp_path):
    path = tmp_path / "rule.dfe"
    scores, y, groups = make_scores()
    ScorePipeline(combiner, n_boot=5).fit(scores.to_numpy(), y, groups).save(path)
    code = (
        "import sys, numpy as np\nimport ensemble\n"
        f"rule = ensemble.load({str(path)!r})\n"
        "rule.judge(np.array([[0.2, 0.3, np.nan]]))\n"
        "rule.describe()\n"
        "heavy = ('torch', 'cv2', 'dlib', 'av', 'timm')\n"
        "print([module for module in heavy if module in sys.modules])\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert run.stdout == "[]\n", run.stderr


def test_damaged_and_other_files_are_refused(rule, tmp_path):
    path = tmp_path / "rule.dfe"
    rule.save(path)
    content = path.read_bytes()
    for name, changed in (
        ("short", content[: len(content) // 2]),
        ("empty", b""),
        ("other", b"video,p\n"),
    ):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(CheckpointError):
            ScorePipeline.load(tmp_path / name)
    flipped = bytearray(content)
    flipped[content.index(b"arrays.safetensors") + 200] ^= 1
    (tmp_path / "flipped").write_bytes(flipped)
    with pytest.raises(CheckpointError):
        ScorePipeline.load(tmp_path / "flipped")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    del manifest["manifest_sha256"]  # a forger leaves it out, or makes it anew
    for changes, message in (
        ({"rule": None}, "no rule is in it"),
        ({"rule": {"own": "Voting", "params": {"dict": []}}}, "no rule is in it"),
        ({"rule": {"own": "ScorePipeline"}}, "damaged, forged, or of another release"),
        ({"format": 99}, "has format 99"),
    ):
        parts["manifest.json"] = json.dumps(manifest | changes)
        with zipfile.ZipFile(tmp_path / "forged", "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        with pytest.raises(CheckpointError, match=message):
            ScorePipeline.load(tmp_path / "forged")


def test_a_failed_save_leaves_the_old_file(rule, tmp_path):
    class Foreign:
        pass

    path = tmp_path / "rule.dfe"
    rule.save(path)
    before = path.read_bytes()
    broken = ScorePipeline.load(path)
    broken.combiner_ = Foreign()
    with pytest.raises(CheckpointError, match="cannot be saved"):
        broken.save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["rule.dfe"]


@pytest.mark.slow
def test_announced_shift_is_held_out_of_every_fold():
    """A detector that knows one method only is worth what it is on the others."""
    draw = np.random.default_rng(0)
    n = 300
    y, groups = np.arange(n) % 2, np.arange(n) // 2
    method = np.where(y == 1, 1 + groups % 3, 0)
    knows = np.stack([(method == one) for one in (1, 2, 3)], axis=1)
    scores = expit(draw.normal(4.0 * knows - 1.0, 1.0))
    seen, unseen = (
        ScorePipeline("free_logistic", n_boot=5).fit(scores, y, groups, shift=shift)
        for shift in (None, method)
    )
    assert unseen.auc_.estimate < 0.6 < 0.9 < seen.auc_.estimate
    assert (unseen.judge(scores)["verdict"] == "UNSURE").all()
    assert "nor its method or source" in unseen.describe()
    inside = ScorePipeline(AutoCombiner(["soft", "logistic"]), n_boot=5)
    inside.fit(scores, y, groups, shift=method)
    assert "unseen values of shift" in inside.combiner_.reason_
