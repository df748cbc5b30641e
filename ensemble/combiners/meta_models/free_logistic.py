"""Logistic regression whose weights may have either sign, on pairs too if asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from ensemble.combiners.parts.scales import fit_scale, to_scale

_ALL = slice(None)
_MOST_PAIRED = 30  # inputs that are multiplied: 465 products
_C, _C_OF_PAIRS = 1.0, 0.1  # inverse strength of the ridge on standardised inputs


def fit_free_logistic(
    inputs: np.ndarray, is_fake: np.ndarray, weight: np.ndarray, pairs: bool = False
) -> dict[str, Any]:
    """Fit a ridge logistic regression on standardised inputs.

    Parameters
    ----------
    inputs : ndarray of shape (n_rows, n_inputs)
        Without missing ones.
    is_fake, weight : ndarray of shape (n_rows,)
    pairs : bool, default=False
        Whether squares and products of pairs, standardised too, are inputs as well: a
        detector can then be right where another one is high and wrong where it is low.
        Of more than 30 inputs those 30 are multiplied that correlate most with the
        label.

    Returns
    -------
    model : dict
        "scale" of the inputs, "coefficients", "intercept"; with pairs also "paired",
        the inputs multiplied, and "products", the scale of the products.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> inputs = draw.normal(size=(400, 2))
    >>> is_fake = (inputs[:, 0] * inputs[:, 1] > 0).astype(int)
    >>> plain, paired = (
    ...     fit_free_logistic(inputs, is_fake, np.ones(400), pairs)
    ...     for pairs in (False, True)
    ... )
    >>> [
    ...     bool(np.mean((free_log_odds(model, inputs) > 0) == is_fake) > 0.8)
    ...     for model in (plain, paired)
    ... ]
    [False, True]
    """
    model = {"scale": fit_scale("standard", inputs, _ALL, weight)}
    if pairs:
        standard = to_scale(model["scale"], inputs, _ALL)
        share = weight / weight.sum()
        tells = np.abs((share * (is_fake - share @ is_fake)) @ standard)
        most = np.argsort(-np.round(tells, 12), kind="stable")[:_MOST_PAIRED]
        model["paired"] = np.sort(most)
        products = _products(standard[:, model["paired"]])
        model["products"] = fit_scale("standard", products, _ALL, weight)
    fitted = LogisticRegression(C=_C_OF_PAIRS if pairs else _C, max_iter=2000)
    fitted.fit(_features(model, inputs), is_fake, sample_weight=weight)
    model["coefficients"] = fitted.coef_[0]
    model["intercept"] = float(fitted.intercept_[0])
    return model


def free_log_odds(model: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
    """Return the log-odds of fake that a model gives.

    Parameters
    ----------
    model : dict
        From `fit_free_logistic`.
    inputs : ndarray of shape (n_rows, n_inputs)

    Returns
    -------
    log_odds : ndarray of shape (n_rows,)
    """
    return _features(model, inputs) @ model["coefficients"] + model["intercept"]


def _features(model, inputs):
    standard = to_scale(model["scale"], inputs, _ALL)
    if "products" not in model:
        return standard
    products = _products(standard[:, model["paired"]])
    return np.hstack([standard, to_scale(model["products"], products, _ALL)])


def _products(standard):
    one, other = np.triu_indices(standard.shape[1])
    return standard[:, one] * standard[:, other]
