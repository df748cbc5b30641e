"""A small neural network as a meta-model, which hears doubtful detectors less."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from ensemble.combiners.meta_models.any_classifier import fit_classifier
from ensemble.combiners.meta_models.shrunk_logistic import Pull
from ensemble.combiners.parts.rows import Rows
from ensemble.combiners.parts.scales import fit_scale, to_scale

_ALL = slice(None)


def fit_network(
    inputs: np.ndarray, rows: Rows, pull: Pull, n_heard: float, random_state: Any
) -> tuple[dict[str, Any], MLPClassifier]:
    """Fit one hidden layer of 16 units on standardised inputs.

    Parameters
    ----------
    inputs : ndarray of shape (n_rows, n_inputs)
        Scores first, without missing ones.
    rows : Rows
    pull : Pull
        The doubt about each detector: its input is the smaller for it. Inputs behind
        the scores are as they are.
    n_heard : float
        Videos that the pull was measured on.
    random_state : int, RandomState or None

    Returns
    -------
    features : dict
        Scale of the inputs.
    network : MLPClassifier
    """
    features = fit_scale("standard", inputs, _ALL, rows.weight)
    heard = 1 / (1 + 4 * pull.to_zero / (pull.spread * n_heard))
    features["spread"][: len(heard)] /= heard
    mlp = MLPClassifier((16,), solver="lbfgs", alpha=3.0, max_iter=300)
    standard = to_scale(features, inputs, _ALL)
    with warnings.catch_warnings():  # to stop early is meant
        warnings.simplefilter("ignore", ConvergenceWarning)
        return features, fit_classifier(mlp, standard, rows, random_state)
