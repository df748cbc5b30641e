"""Scan: a verdict on one video, how sure it is, and all there is to see behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ensemble.cascade.asking import asked_table
from ensemble.choices import NO_VERDICT, P_FAKE, SUSPICION, UNSCORABLE, UNSURE
from ensemble.inspection.faces_and_frames import every_member, faces_said, timeline_of
from ensemble.inspection.member_words import looks_at
from ensemble.inspection.scanned_model import model_file
from ensemble.inspection.score_steps import ScoreSteps, score_steps
from ensemble.verdicts.asked import not_asked
from ensemble.verdicts.card import ModelCard
from ensemble.verdicts.card_words import single_doubts
from ensemble.verdicts.member_scores import deciding_faces
from ensemble.verdicts.suspicion import column_in, renamed
from ensemble.verdicts.threshold_and_prior import grounds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ensemble.deepfake_ensemble import DeepfakeEnsemble

_READING = "reading the video and following its faces"
_NO_FILE = {"name": None, "sha256": None}


@dataclass(frozen=True)
class ScanResult:
    """What an ensemble says of one video.

    Attributes
    ----------
    video : str
        Its full path, or a name made of its content.
    p_fake : float
        P(fake), a suspicion where the model learned from reals alone; NaN where no
        detector could score it.
    verdict : str
        REAL, FAKE, UNSURE, FAKE TRACES (after reals alone), or empty.
    status, reason : str
        As in `DeepfakeEnsemble.judge`.
    members : DataFrame
        By detector: ``p_fake``, the ``reason`` where it is NaN, and what it
        ``looks_at`` in words.
    faces : DataFrame
        One row a followed face: ``face`` (from 1), ``first`` and ``last`` (seconds),
        ``p_fake``, ``verdict``, ``reason``, ``doubts`` and ``main`` (whether the
        verdict on the video is about it).
    face_scores : DataFrame of shape (n_faces, n_detectors)
        Each detector's P(fake) of each face. Detectors that look at whole frames say
        the same of all.
    timeline : DataFrame
        ``detector``, ``frame``, ``seconds``, ``face`` (from 1; 0 for whole frames),
        ``score``, ``decided`` (whether the frame decided what the detector says of the
        video) and ``pooled`` (whether that is made of the frame's score at all).
    grounds : list of str
        What the ensemble learned from and how often it errs, where fake is said, what
        that was set on, and what P(fake) means.
    threshold : Thresholds
    look : base_models.scoring.per_face.CloseLook or None
        Times, size, and boxes of the faces; None for a video that cannot be read.
    source : str, Path or ndarray
        The video.
    detectors : dict of str to detector
        By name; the first, where several are averaged.
    how : ScoreSteps or None
        How `p_fake` comes about; None for a video that cannot be looked at.
    model_file : dict
        ``name`` and ``sha256`` of the file that the ensemble was loaded from or saved
        to; both None where there is none.
    doubts : str
        Why the score is no ground for a verdict, as in `DeepfakeEnsemble.judge`.
    card : ModelCard or None
        What the ensemble learned from and how often it errs.
    content : str or None
        What stands for the content that was looked at; pictures are made of no other.
        None of an array.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector
    >>> from ensemble import DeepfakeEnsemble, scan_video
    >>> shades = np.repeat([40, 200], 8)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None, image_size=32,
    ...     n_frames=2,
    ... )
    >>> model = DeepfakeEnsemble([("resnet18_frame", detector)], resampling=2)
    >>> model = model.fit(videos, shades > 100, groups=np.arange(16) % 8)
    >>> result = scan_video(model, np.full((8, 48, 48, 3), 199, np.uint8))
    >>> result.verdict, result.status, len(result.timeline)
    ('FAKE', 'scored', 2)
    """

    video: str
    p_fake: float
    verdict: str
    status: str
    reason: str
    members: pd.DataFrame
    faces: pd.DataFrame
    face_scores: pd.DataFrame
    timeline: pd.DataFrame
    grounds: list
    threshold: object
    look: object = field(repr=False)
    source: object = field(repr=False)
    detectors: dict = field(repr=False, default_factory=dict)
    how: ScoreSteps | None = field(repr=False, default=None)
    model_file: dict = field(repr=False, default_factory=lambda: dict(_NO_FILE))
    doubts: str = ""
    card: ModelCard | None = field(repr=False, default=None)
    content: str | None = field(repr=False, default=None)

    @property
    def faces_disagree(self) -> bool:
        """Whether the threshold says of one face what it does not say of another."""
        p_fake = self.faces["p_fake"].to_numpy(float)
        return len({said for said in self.threshold.verdicts(p_fake) if said}) > 1

    @property
    def spread(self) -> dict[str, float]:
        """Lowest, highest and standard deviation of the members' P(fake)."""
        scores = self.members["p_fake"].dropna()
        return {
            "low": float(scores.min()) if len(scores) else np.nan,
            "high": float(scores.max()) if len(scores) else np.nan,
            "std": float(scores.std()) if len(scores) > 1 else np.nan,
        }

    def to_dict(self) -> dict:
        """Return everything but pixels, ready for JSON.

        Returns
        -------
        dict
            NaN is None. Of a model that learned from real videos alone the keys are
            called ``suspicion`` and not ``p_fake``.
        """
        found = {
            "video": self.video,
            "p_fake": self.p_fake,
            "verdict": self.verdict,
            "status": self.status,
            "reason": self.reason,
            "doubts": self.doubts,
            **self._calibration(),
            "card": None if self.card is None else self.card.to_dict(),
            "spread": self.spread,
            "threshold": {"low": self.threshold.low, "high": self.threshold.high},
            "grounds": self.grounds,
            "how": None if self.how is None else self.how.to_dict(),
            "model": self.model_file,
            "faces_disagree": self.faces_disagree,
            "members": self.members.reset_index().to_dict("records"),
            "faces": [
                face | {"members": scores}
                for face, scores in zip(
                    self.faces.to_dict("records"),
                    self.face_scores.to_dict("records"),
                    strict=True,
                )
            ],
            "timeline": self.timeline.to_dict("records"),
        }
        return self._named(_plain(found))

    def _named(self, found):
        """Call the score of a model of reals alone what it is."""
        if self.card is None or not self.card.of_reals_alone:
            return found
        return renamed(found, P_FAKE, SUSPICION)

    def _calibration(self):
        """What to say beside a score that is not known to be a probability."""
        unknown = self.card is not None and self.card.unlabelled
        return {"calibration": "unknown"} if unknown else {}

    @property
    def score_name(self) -> str:
        """What to call its score: see `ensemble.verdicts.card.ModelCard`."""
        return "P(fake)" if self.card is None else self.card.score_name

    def plot_timeline(self, path: str | PathLike | None = None) -> "Figure":
        """Plot the score of each frame.

        See `ensemble.inspection.timeline.plot_timeline`.

        Parameters
        ----------
        path : str, Path or None, default=None
            Where to save it: .png, .svg or .pdf.

        Returns
        -------
        matplotlib Figure
        """
        from ensemble.inspection.timeline import plot_timeline

        return plot_timeline(self, path)

    def annotate(self, path: str | PathLike) -> Path:
        """Write the video with boxes, scores and verdict.

        See `ensemble.inspection.annotate`.

        Parameters
        ----------
        path : str or Path
            Ends in .mp4.

        Returns
        -------
        Path
        """
        from ensemble.inspection.annotate import annotate_video

        return annotate_video(self, path)

    def to_html(self, path: str | PathLike) -> Path:
        """Write what speaks for the verdict as a page.

        See `ensemble.inspection.evidence_page`.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path
        """
        from ensemble.inspection.evidence_page import write_evidence

        return write_evidence(self, path)

    def without_pixels(self) -> "ScanResult":
        """Return the same without what takes memory: no more pictures of it."""
        return replace(self, look=None, source=None, detectors={})


def scan_video(
    model: "DeepfakeEnsemble",
    video: str | PathLike | np.ndarray,
    looks_per_second: float = 4.0,
    doubts: bool = True,
    on_step: Callable[[float, str], None] | None = None,
    cascade: bool = False,
) -> ScanResult:
    """Inspect one video: the verdict, and the scores of its faces and frames.

    The verdict is that of ``model.judge``, to the last digit: without a cascade, unless
    that is asked for.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    video : str, Path or ndarray of shape (T, H, W, 3)
    looks_per_second : float, default=4.0
        How often faces are looked for, to follow them through the video.
    doubts : bool, default=True
        As for ``model.judge``.
    on_step : callable or None, default=None
        Called as the work goes on, with the share that is done, 0 to 1, and what is
        being done; while the video is read, after each frame.
    cascade : bool, default=False
        Ask members one after another, as ``model.cascade`` says, until the verdict is
        settled. Those that were not asked have no scores, and say so; those that are
        look at all of their frames, which a scan shows (`judge` may do with a part of
        them). Without, and where the model has no cascade, everybody is asked.

    Returns
    -------
    ScanResult
    """
    from base_models.errors import VideoReadError
    from base_models.runtime.file_digest import REPLACED, held_contents, same_file
    from base_models.video.hashing import content_mark
    from base_models.video.paths import hashed_once

    with held_contents(), hashed_once([video]), same_file():
        begun = content_mark(video)
        try:
            result = _scanned(
                model, video, looks_per_second, doubts, on_step or _tell_nobody, cascade
            )
        except VideoReadError as error:
            if error.reason != REPLACED:
                raise
            return failed_scan(model, video, REPLACED)
        if content_mark(video) != begun:
            return failed_scan(model, video, REPLACED)
    return replace(result, content=None if begun is None else begun[0])


def _scanned(model, video, looks_per_second, doubts, tell, cascade):
    from base_models.errors import VideoReadError
    from base_models.scoring.following import follow_video
    from base_models.scoring.per_face import asked_of, look_closely

    members = [(n, asked_of(d, video)) for n, d in every_member(model)]
    tell(0.0, _READING)
    try:  # first, since the views that it makes lie in the store for the scores
        followed = follow_video(
            [d for _, d in members],
            video,
            model.store,
            looks_per_second,
            lambda share: tell(0.5 * share, _READING),
        )
    except VideoReadError:  # the verdict says why
        followed = None
    tell(0.5, f"scoring the video with {len(members)} detectors")
    if cascade:
        table = asked_table(model, [video], doubts, by_frames=False)  # it shows all
        skipped = table.columns[not_asked(table)[0]]
        members = [m for m in members if m[0].rpartition(" ")[0] not in set(skipped)]
    else:
        table = model.detector_scores([video])
    scores = _members(table, model)
    look = None
    if followed is not None:
        about = deciding_faces(model, table, video)
        tell(0.8, "scoring each face and frame by itself")
        look = look_closely(
            members, video, model.store, looks_per_second, about, followed
        )
        table.attrs["beside"] = {table.index[0]: look.unscored} if look.unscored else {}
    (verdict,) = model.judge_scores(table, [video], doubts).to_dict("records")
    timeline = timeline_of(model, look)
    faces, face_scores = faces_said(model, look, scores, video, doubts)
    _doubt_with_its_face(verdict, faces, doubts)
    return ScanResult(
        video=table.index[0],
        p_fake=verdict[column_in(verdict)],
        verdict=verdict["verdict"],
        status=verdict["status"],
        reason=verdict["reason"],
        members=scores,
        faces=faces,
        face_scores=face_scores,
        timeline=timeline,
        grounds=grounds(model),
        threshold=model.thresholds_,
        look=look,
        source=video,
        detectors={
            name.rpartition(" ")[0]: detector
            for name, detector in members
            if name.endswith(" 0")
        },
        how=score_steps(model, table, timeline),
        model_file=model_file(model),
        doubts=verdict["doubts"],
        card=model.card_,
    )


def _doubt_with_its_face(verdict, faces, doubts):
    """Doubt a verdict that stands on the score of one face as that face is doubted."""
    main = faces[faces["main"].astype(bool)]
    if len(main) != 1 or np.isnan(main["p_fake"].iloc[0]):
        return
    known = verdict["doubts"]
    if (why := main["doubts"].iloc[0]) and why not in known:
        new = [text for text in single_doubts(why) if text not in known]
        verdict["doubts"] = "; ".join(filter(None, [known, *new]))
        if doubts:
            verdict["verdict"] = UNSURE


def _members(table, model):
    """What each detector says of the one video of a table, and why it says nothing."""
    reasons, name = table.attrs.get("reason", {}), table.index[0]
    return pd.DataFrame(
        {
            "p_fake": table.iloc[0].to_numpy(float),
            "reason": [reasons.get(c, {}).get(name, "") for c in table.columns],
            "looks_at": [looks_at(model.detectors_[c]) for c in table.columns],
        },
        index=pd.Index(table.columns, name="detector"),
    )


def _tell_nobody(share, what):
    pass


def failed_scan(
    model: "DeepfakeEnsemble", video: str | PathLike | np.ndarray, reason: str
) -> ScanResult:
    """Return the scan of a video that could not be looked at.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    video : str, Path or ndarray
    reason : str
        What went wrong.

    Returns
    -------
    ScanResult
        Unscorable, with nothing but the reason.
    """
    from base_models.video.paths import video_id

    name = video_id(video)
    table = pd.DataFrame(np.nan, [name], list(model.detectors_))
    table.attrs["reason"] = {column: {name: reason} for column in table}
    members = _members(table, model)
    faces, face_scores = faces_said(model, None, members)
    return ScanResult(
        video=name,
        p_fake=np.nan,
        verdict=NO_VERDICT,
        status=UNSCORABLE,
        reason=reason,
        members=members,
        faces=faces,
        face_scores=face_scores,
        timeline=timeline_of(model, None),
        grounds=grounds(model),
        threshold=model.thresholds_,
        look=None,
        source=video,
        card=model.card_,
    )


def scans_table(results: list[ScanResult]) -> pd.DataFrame:
    """Return scans as one table, for a CSV: a row a face, or a video without one.

    Returns
    -------
    DataFrame
        ``video``, ``p_fake`` (or ``suspicion``: see `ScanResult.to_dict`), ``verdict``,
        ``status``, ``reason`` and ``doubts`` of the video;
        ``face``, ``first``, ``last`` (seconds), ``face_p_fake``, ``face_verdict`` of
        each face; then as ``p_<name>`` each detector's score, of the face where there
        is one.
    """
    rows = []
    for result in results:
        video = {
            "video": result.video,
            "p_fake": result.p_fake,
            "verdict": result.verdict,
            "status": result.status,
            "reason": result.reason,
            "doubts": result.doubts,
            **result._calibration(),
        }
        scores = [result.members["p_fake"].to_dict()]
        faces = [dict.fromkeys(("face", "first", "last", "p_fake", "verdict"))]
        if len(result.faces):
            faces = result.faces.to_dict("records")
            scores = result.face_scores.to_dict("records")
        for face, given in zip(faces, scores, strict=True):
            found = {name: face[name] for name in ("face", "first", "last")}
            found["face_p_fake"] = face["p_fake"]
            found["face_verdict"] = face["verdict"]
            given = {f"p_{name}": score for name, score in given.items()}
            rows.append(result._named(video | found) | given)
    table = pd.DataFrame(rows)
    return table.astype({"face": "Int64"})


def _plain(thing):
    """Return what JSON can hold: NaN is None, NumPy's numbers are Python's."""
    if isinstance(thing, dict):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    if isinstance(thing, np.generic):
        thing = thing.item()
    return None if isinstance(thing, float) and np.isnan(thing) else thing
