"""Events of a fit for TensorBoard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from base_models.callbacks.events import ENSEMBLE_END, EPOCH, TrainingEvent


class TensorBoardCallback:
    """Write the events of a fit for TensorBoard. Needs the extra ``tensorboard``.

    Each fit of each detector is a run of its own, with its scalars per epoch; the
    ensemble is one with the out-of-fold AUC of each detector, and its card as text. See
    them with ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    folder : str or Path
        Where the runs go.

    Raises
    ------
    ImportError
        If TensorBoard is not installed.

    Examples
    --------
    >>> from base_models.callbacks import TensorBoardCallback
    >>> model.fit(videos, y, callbacks=[TensorBoardCallback("runs")])  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoardCallback needs TensorBoard: pip install "
                f"'deepfake-ensemble[tensorboard]' ({error})"
            ) from error
        self.folder = Path(folder)
        self._writer_of = SummaryWriter
        self._writers: dict[Path, Any] = {}

    def __call__(self, event: TrainingEvent) -> None:
        """Write one event."""
        writer = self._writer(event)
        if event.kind == EPOCH:
            for name, value in event.metrics.items():
                writer.add_scalar(f"{event.network}/{name}", value, event.epoch)
        elif event.kind == ENSEMBLE_END:
            for name, value in event.metrics.items():
                writer.add_scalar(f"out-of-fold auc/{name}", value)
            writer.add_text("card", str(event.artifacts["model"].card_))
        writer.flush()

    def close(self) -> None:
        """Close its files; they are whole after each event, too."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, event):
        run = self.folder / (_file_name(event.detector) or "ensemble")
        run = run / _file_name(event.fold)
        if run not in self._writers:
            self._writers[run] = self._writer_of(str(run))
        return self._writers[run]


def _file_name(text):
    return "".join(letter if letter.isalnum() else "_" for letter in text)
