"""Asks the members of an ensemble in turn, video by video, until it is settled."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import Videos, as_videos
from base_models.scoring.in_steps import WHOLE, FrameStep
from ensemble.cascade.settling import Settling
from ensemble.out_of_fold.training_set import row_ids
from ensemble.verdicts.asked import (
    Profiles,
    named_by_frames,
    settled_after,
    settled_by_part,
)
from ensemble.verdicts.member_scores import (
    each_table,
    face_scores,
    fitted_pooling,
    members_table,
    named_members,
    whole_table,
)
from ensemble.verdicts.table_verdicts import VerdictRows

if TYPE_CHECKING:
    import pandas as pd

    from base_models.batch.job import Row


def asked_table(
    model: Any, videos: Videos, doubts: bool, by_frames: bool = True
) -> pd.DataFrame:
    """Return the members' scores of videos, of those that the cascade asks.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted. Without ``cascade``, or where it settles nothing, everybody is asked.
    videos : sequence of length n_videos
    doubts : bool
        Whether videos in doubt are UNSURE.
    by_frames : bool, default=True
        Whether members may look at a part of their frames first.

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it; the reason of a score that
        nobody asked for says so, and that of one by a part of the frames.
        ``attrs["profiles"]`` has what is known of videos by their place.
    """
    settling = _settling(model, doubts, by_frames=by_frames)
    videos = as_videos(videos)
    if settling is None or not len(videos):
        return whole_table(model, videos)
    text = "scoring videos" if model.verbose else None
    members, profiles = named_members(model), Profiles()
    rows = list(asked_rows(settling, members, videos, text, profiles))
    scores, reasons, faces = zip(*rows, strict=True)
    table = members_table(
        model, row_ids(videos), np.stack(scores), np.stack(reasons), faces
    )
    table.attrs["profiles"] = profiles
    return table


def each_asked_table(
    model: Any, videos: Videos, doubts: bool
) -> Iterator[pd.DataFrame]:
    """Yield the rows of `asked_table` one by one, each when it is there.

    Parameters
    ----------
    model, videos, doubts
        As for `asked_table`.

    Yields
    ------
    DataFrame of shape (1, n_detectors)
    """
    settling = _settling(model, doubts)
    videos = as_videos(videos)
    if settling is None:
        yield from each_table(model, videos)
        return
    text = "scoring videos" if model.verbose else None
    profiles: dict[int, Any] = {}
    rows = asked_rows(settling, named_members(model), videos, text, profiles)
    for number, (name, row) in enumerate(zip(row_ids(videos), rows, strict=True)):
        scores, reasons, faces = row
        table = members_table(model, [name], scores[None], reasons[None], [faces])
        if number in profiles:
            table.attrs["profiles"] = Profiles({0: profiles.pop(number)})
        yield table


def asked_rows(
    settling: Settling,
    members: Sequence[tuple[str, Any]],
    videos: Sequence[Any],
    text: str | None = None,
    profiles: dict[int, Any] | None = None,
) -> Iterator[Row]:
    """Yield what members say of one video after another, as long as they are asked.

    Parameters
    ----------
    settling : Settling
    members : sequence of (name, detector)
        Those of the model, one by one, or copies of them.
    videos : sequence
    text : str or None, default=None
        Before a progress bar; None shows none.
    profiles : dict or None, default=None
        Gets the profile of each video that was looked at for it, by its place.

    Yields
    ------
    scores, reasons : ndarray of shape (n_members,)
    faces : (scores, reasons) or None
        As of `ensemble.verdicts.member_scores.face_scores`.
    """
    from base_models.scoring.in_turn import iter_in_turn
    from base_models.video.paths import hashed_once

    model, asked = settling.model, _Turns(settling, members)
    looks = _Looks(settling, members, videos, {} if profiles is None else profiles)

    def enough(row, scores, n_turns):
        by_name = asked.by_name(scores, n_turns)
        with hashed_once([videos[row]]):
            settled = settling.is_settled(by_name, n_turns, lambda: looks.profile(row))
            return settled and not looks.several_faces(row)

    turns = asked.turns
    scored = iter_in_turn(asked.detectors, videos, turns, enough, model.store, text)
    for row, (scores, reasons, n_turns) in enumerate(scored):
        scores, reasons = asked.by_member(scores, reasons, n_turns)
        faces = None
        if n_turns == len(turns):
            with hashed_once([videos[row]]):
                faces = face_scores(model, members, videos[row], scores, reasons)
        yield scores, reasons, faces


class _Turns:
    """What is asked in each turn of a cascade: members, or steps of their frames."""

    def __init__(self, settling, members):
        self._cascade, names = settling.cascade, list(settling.model.detectors_)
        self._own = dict(zip(names, _places(settling.model), strict=True))
        self._n_members = len(members)
        in_steps = {t.name for t in self._cascade.turns if t.quarters != WHOLE}
        self.detectors, self.turns = [], []
        for name, quarters in self._cascade.turns:
            first = len(self.detectors)
            for place in self._own[name]:
                title, member = members[place]
                if name in in_steps:
                    member = FrameStep(member, quarters)
                self.detectors.append((title, member))
            self.turns.append(list(range(first, len(self.detectors))))

    def _last(self, n_turns):
        """Return where the last word of each name that was asked stands."""
        turns = self._cascade.turns[:n_turns]
        return {turn.name: at for turn, at in zip(turns, self.turns, strict=False)}

    def by_name(self, scores, n_turns):
        """Return the score of each name, NaN of those not asked."""
        last = self._last(n_turns)
        return np.array(
            [_mean(scores[last[n]]) if n in last else np.nan for n in self._own]
        )

    def by_member(self, scores, reasons, n_turns):
        """Return what each member says, or why nobody asked it."""
        asked, last = self._cascade.asked_after(n_turns), self._last(n_turns)
        found = np.full(self._n_members, np.nan)
        why = np.full(self._n_members, "", dtype=object)
        settled = settled_after([named_by_frames(*one) for one in asked.items()])
        for name, own in self._own.items():
            if name not in asked:
                why[own] = settled
                continue
            found[own], why[own] = scores[last[name]], reasons[last[name]]
            if asked[name] != WHOLE:
                for place in own:
                    if not np.isnan(found[place]):
                        why[place] = settled_by_part(asked[name], why[place])
        return found, why


class CascadeRows(VerdictRows):
    """What an ensemble says of videos of a table, its members asked in turn.

    Parameters
    ----------
    model, doubts
        As for `ensemble.verdicts.table_verdicts.VerdictRows`.
    """

    def each(self, videos: list[str]) -> Iterator[Row]:
        """Yield what the members say of one video after another."""
        from base_models.batch.detector_scores import copies

        settling = _settling(self._model, self._doubts, warn=False)
        if settling is None:
            yield from super().each(videos)
            return
        yield from asked_rows(settling, copies(self._members), videos)


class _Looks:
    """Looks at a video as a whole, once, where something depends on it."""

    def __init__(self, settling, members, videos, profiles):
        from base_models.store.store import resolve_store

        self._store, self._videos = resolve_store(settling.model.store), videos
        self._members = [copy.copy(member) for _, member in members]
        self._profiles = profiles

    def profile(self, row):
        from ensemble.verdicts.video_profile import profile_video

        if row not in self._profiles:
            self._profiles[row] = profile_video(
                self._videos[row], self._members, self._store
            )
        return self._profiles[row]

    def several_faces(self, row):
        from base_models.scoring.several_faces import faces_of

        return bool(faces_of(self._videos[row], self._members, self._store))


def _settling(model, doubts, warn=True, by_frames=True):
    """Return what settles videos; None where everybody is asked."""
    check_is_fitted(model)
    if model.cascade is None:
        return None
    fitted_pooling(model)  # another one was set? before any work
    settling = Settling(model, doubts, by_frames)
    if settling.problem:
        if warn:
            warnings.warn(settling.problem, DeepfakeEnsembleWarning, stacklevel=4)
        return None
    return settling


def _places(model):
    """Return the places of the members that stand for each name."""
    lengths = [
        len(found) if isinstance(found, list) else 1
        for found in model.detectors_.values()
    ]
    ends = np.cumsum(lengths)
    return [list(range(end - n, end)) for end, n in zip(ends, lengths, strict=True)]


def _mean(scores):
    """Average the members of one name, as `members_table` does."""
    known = ~np.isnan(scores)
    return np.where(known, scores, 0).sum() / known.sum() if known.any() else np.nan
