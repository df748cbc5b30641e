"""A logistic regression on a frozen network's features, as the network's head."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from base_models.networks.tuning.features import NormalisedHead


def head_inputs(head: torch.nn.Linear, features: NDArray) -> NDArray:
    """Return features (n_images, n_features) as a head of its kind takes them in."""
    if not isinstance(head, NormalisedHead):
        return features
    return head.prepared(torch.from_numpy(features)).numpy()


def fit_logistic_head(
    head: torch.nn.Linear,
    features: NDArray,
    is_fake: NDArray,
    weight: NDArray,
    C: float,
) -> None:
    """Fit a class-balanced logistic regression; leave it in a layer of two logits.

    Parameters
    ----------
    head : torch.nn.Linear
        Written to.
    features : ndarray of shape (n_images, n_features)
    is_fake, weight : ndarray of shape (n_images,)
    C : float
        Inverse regularisation.
    """
    features = head_inputs(head, features)
    scaler = StandardScaler().fit(features, sample_weight=weight)
    model = LogisticRegression(C=C, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(features), is_fake, sample_weight=weight)
    slope = model.coef_[0] / scaler.scale_
    offset = model.intercept_[0] - slope @ scaler.mean_
    with torch.no_grad():
        head.weight[0], head.bias[0] = 0, 0
        head.weight[1], head.bias[1] = torch.from_numpy(slope), float(offset)
