"""DeLong's variance of a difference of AUCs, where videos come in groups and sets."""

import numpy as np


def difference_variance(sets: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """Return the variance of a difference of AUCs, averaged over sets of videos.

    With one set this is Obuchowski's, and DeLong's where each video is its own group.
    A group may have videos in several sets, and one video may be in several, as a real
    that serves beside every held-out method: the sets' errors are not independent.

    Parameters
    ----------
    sets : list of (is_fake, away, codes)
        For each set its labels, how each video sets the two scores apart
        (`ensemble.metrics.within_folds.auc_difference`), and its group's number.

    Returns
    -------
    variance : float
        NaN where it cannot be told, with one group only of a class.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; Obuchowski (1997), Biometrics
    53, for groups.

    Examples
    --------
    >>> y, codes = np.array([0, 0, 1, 1]), np.arange(4)
    >>> away = np.array([0.25, -0.25, -0.25, 0.25])
    >>> difference_variance([(y, away, codes)])
    0.125
    """
    n_groups = max(codes.max() for *_, codes in sets) + 1
    by_class = {label: np.zeros(n_groups) for label in (0, 1)}
    for is_fake, away, codes in sets:
        for label, total in by_class.items():
            own = is_fake == label
            total += np.bincount(codes[own], away[own], n_groups) / own.sum()
    reals, fakes = (total / len(sets) for total in by_class.values())
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (
            _inflation(sets, 1) * (fakes @ fakes)
            + _inflation(sets, 0) * (reals @ reals)
            + 2 * _inflation(sets, None) * (fakes @ reals)
        )
    if abs(variance) < 1e-15:
        return 0.0
    return float(variance) if 0 <= variance < np.inf else np.nan


def _inflation(sets, label):
    """Return n / (n - 1) for n groups: their mean was estimated too."""
    codes = [c if label is None else c[is_fake == label] for is_fake, _, c in sets]
    n_groups = np.float64(len(np.unique(np.concatenate(codes))))
    return n_groups / (n_groups - 1)
