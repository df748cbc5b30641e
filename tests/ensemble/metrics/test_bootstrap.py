import numpy as np
import pytest

from ensemble import metrics
from ensemble.metrics.bootstrap import METRICS, drawn_metrics, group_draws

REFERENCE = {
    "auc": metrics.auc,
    "average_precision": metrics.average_precision,
    "log_loss": lambda y, s: metrics.log_loss(y, np.clip(s, 1e-6, 1 - 1e-6)),
    "brier": metrics.brier,
    "equal_error_rate": metrics.equal_error_rate,
    "tpr_at_fpr_1": lambda y, s: metrics.tpr_at_fpr(y, s, 0.01),
    "tpr_at_fpr_5": lambda y, s: metrics.tpr_at_fpr(y, s, 0.05),
    "tpr_at_fpr_10": lambda y, s: metrics.tpr_at_fpr(y, s, 0.10),
    "balanced_accuracy": metrics.balanced_accuracy,
    "expected_calibration_error": metrics.expected_calibration_error,
}


def some_scores(decimals, n=80):
    draw = np.random.default_rng(decimals)
    y = draw.integers(0, 2, n)
    return y, draw.normal(0.4 + 0.2 * y, 0.25).clip(0, 1).round(decimals)


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("name", METRICS)
def test_a_draw_is_measured_as_the_videos_repeated(name, decimals):
    y, score = some_scores(decimals)
    codes = np.arange(80) // 4
    times = group_draws(20, 12, np.random.RandomState(0))[:, codes].astype(int)
    times[-1] = 1  # the videos as they are
    drawn = drawn_metrics(y, score, times, [name])[name]
    for weight, value in zip(times, drawn, strict=True):
        rows = np.repeat(np.arange(80), weight)
        expected = REFERENCE[name](y[rows], score[rows])
        assert np.isclose(value, expected, equal_nan=True)


def test_a_draw_without_one_class_has_no_curve():
    y, score = some_scores(8)
    told = drawn_metrics(y, score, np.array([y, 1 - y, 0 * y]))
    for name in METRICS:
        both_needed = name in METRICS[:2] or "rate" in name or "tpr" in name
        if both_needed or name == "balanced_accuracy":
            assert np.isnan(told[name]).all(), name
    assert np.isfinite(told["log_loss"][:2]).all()
    assert np.isnan(told["log_loss"][2])


def test_many_draws_come_in_parts(monkeypatch):
    y, score = some_scores(2)
    times = group_draws(80, 50, np.random.RandomState(0))
    whole = drawn_metrics(y, score, times)
    monkeypatch.setattr("ensemble.metrics.bootstrap._AT_ONCE", 400)
    for name, values in drawn_metrics(y, score, times).items():
        np.testing.assert_allclose(values, whole[name])


def test_groups_are_drawn_evenly():
    times = group_draws(10, 4000, np.random.RandomState(0))
    assert (times.sum(axis=1) == 10).all()
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.07)
    assert abs((times == 0).mean() - 0.9**10) < 0.01
