"""Verdicts on all videos of a table, as the rows of a batch run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from ensemble.verdicts.member_scores import (
    face_scores,
    fitted_pooling,
    members_table,
    named_members,
)
from ensemble.verdicts.suspicion import score_column
from ensemble.verdicts.video_verdicts import verdict_table

if TYPE_CHECKING:
    from base_models.batch.job import Row

_TEXTS = ("verdict", "status", "reason", "doubts")


class VerdictRows:
    """What an ensemble says of videos, as `base_models.batch` writes it.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    doubts : bool, default=True
        As for `DeepfakeEnsemble.judge`.
    """

    def __init__(self, model: Any, doubts: bool = True) -> None:
        from base_models.batch.detector_scores import wants_gpu

        fitted_pooling(model)  # another one was set? before any work
        _ = model.thresholds_
        self._model, self._doubts = model, doubts
        self._members = named_members(model)
        self.names = [name for name, _ in self._members]
        self.store = model.store
        self.wants_gpu = any(wants_gpu(member) for _, member in self._members)

    def detectors(self) -> list[Any]:
        """Return the members."""
        return [member for _, member in self._members]

    def columns(self) -> list[tuple[str, str]]:
        """Return name and type of what is written."""
        columns = [(score_column(self._model), "double")]
        columns += [(name, "string") for name in _TEXTS]
        if self._model.fit_record_.unlabelled:
            columns.append(("calibration", "string"))
        if self._model.cascade is not None:
            columns.append(("members_asked", "string"))
        return columns + [(name, "double") for name in self._model.detectors_]

    def digest(self) -> str:
        """Return what stands for the ensemble and how it decides."""
        from base_models.batch.detector_scores import detector_digest
        from base_models.store.code import code_digest
        from base_models.store.versions import is_own_module

        model, card = self._model, self._model.card_
        decides = [
            model.combiner_,
            model.calibrator_,
            model.unscorable,
            model.prior,
            model.prior_,
            fitted_pooling(model),
            self._doubts,
            model.fit_record_.unlabelled,
            model.oof_scores_.to_numpy(),
            [card.doubt, None if card.profile is None else card.profile.to_dict()],
            repr(model.thresholds_),
        ]
        if model.cascade is not None:
            learned = model.cascade_.to_state() | {"limits": None}
            decides.append([model.cascade, learned])
        for part in (model.combiner_, model.calibrator_):
            if not is_own_module(type(part).__module__):
                decides.append(code_digest(type(part), in_full=False))
        members = [(name, detector_digest(member)) for name, member in self._members]
        return joblib.hash([decides, members], "sha1")[:16]

    def each(self, videos: list[str]) -> Iterator[Row]:
        """Yield what the members say of one video after another."""
        from base_models.batch.detector_scores import copies
        from base_models.scoring.together import iter_scores

        model, members = self._model, copies(self._members)
        scored = iter_scores(members, videos, model.store)
        for video, (scores, reasons) in zip(videos, scored, strict=True):
            faces = face_scores(model, members, video, scores, reasons)
            yield scores, reasons, faces

    def written(self, videos: list[str], rows: list[Row]) -> dict[str, list]:
        """Return the columns of some videos."""
        scores = np.stack([row[0] for row in rows])
        reasons = np.stack([row[1] for row in rows])
        ids = [str(number) for number in range(len(rows))]
        table = members_table(
            self._model, ids, scores, reasons, [row[2] for row in rows]
        )
        # Those without a score are not opened again: they may have ended a process.
        seen = [
            None if np.isnan(row[0]).all() else video
            for video, row in zip(videos, rows, strict=True)
        ]
        found = verdict_table(self._model, table, seen, self._doubts)
        return {name: found[name].tolist() for name, _ in self.columns()}
