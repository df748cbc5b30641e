"""How a training went, drawn."""

from typing import Any

from sklearn.utils.validation import check_is_fitted

_AUCS = {
    "validation_auc": "AUC, held-back groups",
    "validation_pseudo_auc": "AUC, pseudo-fakes of held-back reals",
}


def plot_curves(detector: Any, ax: Any = None) -> Any:
    """Plot loss and metrics of each epoch of a detector's training.

    Losses belong to the left axis, the AUC on held-back groups, where some were held
    back, to the right one; a vertical line marks the epoch that was taken.

    Parameters
    ----------
    detector : VideoDetector
        Fitted, with a ``history_`` that is not empty.
    ax : matplotlib.axes.Axes or None, default=None
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        That with the losses.

    Raises
    ------
    ImportError
        If matplotlib, of the extra ``report``, is not installed.
    ValueError
        If the detector was not trained in epochs.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector
    >>> from base_models.export.training_curves import plot_curves
    >>> videos = [np.full((4, 32, 32, 3), shade, np.uint8) for shade in (40, 200)]
    >>> detector = FrameDetector(
    ...     "test_resnet", view="frame", weights=None, image_size=32, n_frames=2,
    ...     epochs=2, random_state=0,
    ... )
    >>> ax = plot_curves(detector.fit(videos, [0, 1]))
    >>> ax.get_xlabel(), ax.get_title()
    ('epoch', 'test_resnet_frame')
    """
    check_is_fitted(detector)
    history = getattr(detector, "history_", [])
    if not history:
        raise ValueError(
            f"{detector} has no curves: it was not trained in epochs (train='head' and "
            "train='none' are not)"
        )
    if ax is None:
        ax = _new_axes()
    epochs = [entry["epoch"] for entry in history]
    lines = ax.plot(epochs, _column(history, "loss"), "o-", color="C0", label="loss")
    if "validation_loss" in history[0]:
        held = _column(history, "validation_loss")
        label = "loss, held-back groups"
        lines += ax.plot(epochs, held, "s--", color="C1", label=label)
        best = epochs[held.index(min(held))]
        ax.axvline(best, color="0.8", zorder=0)
    for name, label in _AUCS.items():
        if name in history[0]:
            right = ax.twinx()
            area = _column(history, name)
            lines += right.plot(epochs, area, "^:", color="C2", label=label)
            right.set_ylim(0, 1.02)
            right.set_ylabel("AUC")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.set_title(str(detector), parse_math=False)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(lines, [line.get_label() for line in lines], loc="best")
    return ax


def _column(history, name):
    return [entry[name] for entry in history]


def _new_axes():
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "curves are drawn by matplotlib: pip install 'deepfake-ensemble[report]'; "
            "the figures themselves are in detector.history_"
        ) from error
    return pyplot.subplots()[1]
