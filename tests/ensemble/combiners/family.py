"""Every combiner, in several settings, and scores for them."""

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    Blending,
    DynamicSelection,
    GreedySelection,
    OptimizedWeights,
    SpreadLogOdds,
    Stacking,
    Voting,
)

FAMILY = {
    "log_odds": Voting(),
    "soft": Voting("soft"),
    "soft, learned weights": Voting("soft", weights="learned", shrinkage=1.0),
    "log_odds, learned weights": Voting("log_odds", weights="learned"),
    "rank": Voting("rank"),
    "hard": Voting("hard"),
    "median": Voting("median"),
    "max": Voting("max"),
    "min": Voting("min"),
    "trimmed": Voting("trimmed"),
    "soft of any numbers": Voting("soft", scale=None),
    "standardised mean": Voting("soft", scale="standard"),
    "logistic": Stacking(),
    "logistic on probabilities": Stacking(scale="probability"),
    "logistic on ranks": Stacking(scale="rank"),
    "lightgbm": Stacking("lightgbm"),
    "mlp": Stacking("mlp"),
    "any classifier": Stacking(LogisticRegression()),
    "spread log-odds": SpreadLogOdds(),
    "spread log-odds, learned": SpreadLogOdds("learned", shrinkage=1.0),
    "optimized for log loss": OptimizedWeights(),
    "optimized for AUC": OptimizedWeights("auc"),
    "greedy on log loss": GreedySelection(n_rounds=30),
    "greedy on AUC": GreedySelection("auc", n_rounds=30, scale="log_odds"),
    "greedy in bags": GreedySelection(n_rounds=10, n_bags=5),
    "dynamic": DynamicSelection(),
    "dynamic, union": DynamicSelection("union", n_neighbors=9),
    "dynamic, eliminate": DynamicSelection("eliminate", n_neighbors=5),
    "two layers": Stacking(
        shrinkage=3.0, layers=[["log_odds", "best_single", Stacking(shrinkage=9.0)]]
    ),
    "blending": Stacking(
        shrinkage=3.0, layers=[["soft", "calibrated"]], resampling="holdout"
    ),
    "told what is missing": Stacking(LogisticRegression(), missing_indicator=True),
    "on a hold-out": Blending(Stacking(shrinkage=10.0)),
    "bagging": Bagging("soft", n_replicas=5),
    "bagging of logistic": Bagging(Stacking(shrinkage=10.0), n_replicas=5),
    "bagging of ranks": Bagging("rank", n_replicas=5),
    "auto": AutoCombiner(["log_odds", "weighted", "calibrated"]),
}


def make_scores(n=60, n_detectors=4, seed=0, missing=0.0):
    draw = np.random.default_rng(seed)
    groups = np.arange(n) // 3
    y = groups % 2
    skill = np.linspace(2, 0, n_detectors)
    log_odds = skill * (y[:, None] - 0.5) * 2 + draw.normal(0, 2, (n, n_detectors))
    scores = 1 / (1 + np.exp(-log_odds))
    scores[draw.random(scores.shape) < missing] = np.nan
    return scores, y, groups


def fitted(name, scores, y, groups=None, **kwargs):
    return clone(FAMILY[name]).fit(scores, y, groups=groups, **kwargs)
