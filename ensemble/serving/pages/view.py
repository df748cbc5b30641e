"""What the templates show of a file: the scan and how far it is, with addresses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ensemble.serving.pages.faces import (
    FaceView,
    about_faces,
    difference_of,
    face_views,
    faces_said,
    whole_frame_members,
)
from ensemble.serving.pages.in_words import (
    ScanInWords,
    errors_in_words,
    scan_in_words,
    score_name,
    with_one_name,
)
from ensemble.serving.pages.reasons import advice, of_a_picture, reason_in_words
from ensemble.serving.pages.timeline import (
    Line,
    TimelinePanel,
    last_second,
    looked_in_words,
    ticks,
    timeline_panels,
)
from ensemble.verdicts.card_words import single_doubts

_MOST_PANELS = 6  # that are seen at once
_NO_TASK = {"status": "", "progress": 0.0, "doing": "", "reason": ""}


@dataclass(frozen=True)
class ScanView:
    """A scan that is done, as its page shows it.

    Attributes
    ----------
    thing : str
        "video" or "picture".
    said : ScanInWords
    name : str
        Of the score.
    score : float or None
    threshold, model : dict
    faces : list of FaceView
    faces_disagree : bool
    faces_are_a_doubt : bool
        Whether that keeps it from having a verdict.
    looked : str
        At how many moments of a video the model looked; empty of a picture.
    members, steps : list of dict
    pull : str
        Why the score stands far from its members'; empty where it does not.
    card : dict or None
    summary : str
        What the model learned from and how often it errs.
    panels, more_panels : list of TimelinePanel
        Of the timeline; the second of all but some faces, where there are many.
    lines : list of Line
        One of each member in it.
    looks_at : dict of str to str
        What each member looks at, in words.
    whole : list of str
        Members that look at whole frames, where others look at faces.
    times : list of (float, str)
        Below the timeline.
    media : str
        Address of what a browser plays or shows.
    poster : str
        Address of what stands there before it plays; empty where there is nothing.
    plays : bool
    copy, evidence, annotated : dict
        How far what is made on demand is: ``status``, empty where nobody asked.
    other_model : str
        That another model is loaded now, which can make nothing of this scan; empty
        where it is the same.
    """

    thing: str
    said: ScanInWords
    name: str
    score: float | None
    threshold: dict[str, float | None]
    model: dict[str, str | None]
    faces: list[FaceView]
    faces_disagree: bool
    faces_are_a_doubt: bool
    looked: str
    members: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    pull: str
    card: dict[str, Any] | None
    summary: str
    panels: list[TimelinePanel]
    more_panels: list[TimelinePanel]
    lines: list[Line]
    looks_at: dict[str, str]
    whole: list[str]
    times: list[tuple[float, str]]
    media: str = ""
    poster: str = ""
    plays: bool = False
    copy: dict[str, Any] = field(default_factory=lambda: dict(_NO_TASK))
    evidence: dict[str, Any] = field(default_factory=lambda: dict(_NO_TASK))
    annotated: dict[str, Any] = field(default_factory=lambda: dict(_NO_TASK))
    other_model: str = ""

    @property
    def difference(self) -> str:
        """What is said of its faces, in a few words."""
        return difference_of(self.faces)

    @property
    def about(self) -> str:
        """Of which face its score is, where there are several."""
        return about_faces(self.faces, self.name, bool(self.whole))


def scan_view(
    scan: dict[str, Any],
    thing: str = "video",
    pictures: dict[int, str] | None = None,
    **made: Any,
) -> ScanView:
    """Bring a scan into the form that its page shows.

    Parameters
    ----------
    scan : dict
        As `ensemble.inspection.scan.ScanResult.to_dict` gives it.
    thing : str, default="video"
        "video" or "picture".
    pictures : dict of int to str or None, default=None
        Address of the picture of each face.
    **made
        Further fields of `ScanView`.

    Returns
    -------
    ScanView
    """
    scan = with_one_name(scan)
    panels = timeline_panels(scan)
    first = _first(panels, scan)
    how = scan.get("how") or {"members": [], "steps": []}
    lines = {line.member: line for panel in panels for line in panel.lines}
    order = dict.fromkeys(row["detector"] for row in scan["timeline"])
    looks_at = {m["detector"]: m.get("looks_at", "") for m in scan["members"]}
    grounds = scan.get("grounds") or []
    return ScanView(
        thing=thing,
        said=scan_in_words(scan, thing),
        name=score_name(scan),
        score=scan["p_fake"],
        threshold=_finite(scan["threshold"]),
        model=scan["model"],
        faces=face_views(scan, pictures or {}, thing),
        faces_disagree=scan["faces_disagree"],
        faces_are_a_doubt=_faces_are_a_doubt(scan),
        looked=looked_in_words(scan) if thing == "video" else "",
        members=_members(scan, how["members"], thing),
        steps=how["steps"],
        pull=how.get("pull") or "",
        card=scan.get("card"),
        summary=grounds[2] if len(grounds) > 2 else "",
        panels=first,
        more_panels=[panel for panel in panels if panel not in first],
        lines=[lines[name] for name in order if name in lines],
        looks_at=looks_at,
        whole=whole_frame_members(scan),
        times=ticks(last_second(scan)),
        **made,
    )


@dataclass(frozen=True)
class JobView:
    """A file of the history, or one of several side by side.

    Attributes
    ----------
    id, name, status, doing, reason : str
        As in `ensemble.serving.jobs.ScanJob`.
    progress : float
    is_over : bool
    when : str
        When it was sent.
    picture : str
        Address, empty where there is none.
    said : ScanInWords or None
        None before it is done.
    score : float or None
    score_name : str
    threshold : dict
    faces : list of FaceView
    faces_said : str
        That its faces differ, or that there is none, and of which its score is.
    model, model_key : str
        What scanned it, and what tells that from others.
    is_of_other : bool
        Whether another model is loaded now.
    until : str
        When it is deleted; empty while that is not known.
    errors : list of str
        How often its model errs.
    """

    id: str
    name: str
    status: str
    doing: str
    reason: str
    progress: float
    is_over: bool
    thing: str
    when: str
    picture: str = ""
    said: ScanInWords | None = None
    score: float | None = None
    score_name: str = ""
    threshold: dict[str, float | None] = field(default_factory=dict)
    faces: list[FaceView] = field(default_factory=list)
    faces_said: str = ""
    model: str = ""
    model_key: str = ""
    is_of_other: bool = False
    until: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def advice(self) -> str:
        """What to do where it failed."""
        return advice(self.reason, self.thing, self.name)


def job_view(
    job: Any,
    scan: dict[str, Any] | None = None,
    picture: str = "",
    pictures: dict[int, str] | None = None,
    is_of_other: bool = False,
    until: str = "",
) -> JobView:
    """Bring a job into the form that lists show.

    Parameters
    ----------
    job : ScanJob
    scan : dict or None, default=None
        None before it is done.
    picture : str, default=""
        Address of one of its frames.
    pictures : dict of int to str or None, default=None
        Address of the picture of each face.
    is_of_other : bool, default=False
        Whether another model is loaded now than the one that scanned it.
    until : str, default=""
        When it is deleted.

    Returns
    -------
    JobView
    """
    found: dict[str, Any] = {}
    if scan is not None:
        scan = with_one_name(scan)
        faces = face_views(scan, pictures or {}, thing_of(job))
        found = {
            "said": scan_in_words(scan, thing_of(job)),
            "score": scan["p_fake"],
            "score_name": score_name(scan),
            "threshold": _finite(scan["threshold"]),
            "faces": faces,
            "faces_said": faces_said(scan, faces),
            "model": job.model_name or "a model without a file",
            "model_key": job.model_key,
            "is_of_other": is_of_other,
            "errors": errors_in_words(scan.get("card")),
        }
    return JobView(
        id=job.id,
        name=job.name,
        status=job.status,
        doing=doing_of(job) or "waiting for its turn",
        reason=job.reason,
        progress=job.progress,
        is_over=job.status in ("done", "failed"),
        thing=thing_of(job),
        when=moment(job.created),
        picture=picture,
        until=until,
        **found,
    )


def doing_of(job: Any) -> str:
    """What is being done with a file; empty while it waits for its turn."""
    if job.doing == "waiting":
        return "beginning" if job.status == "running" else ""
    return of_a_picture(job.doing) if thing_of(job) == "picture" else str(job.doing)


def thing_of(job: Any) -> str:
    """What a job's file is called in sentences."""
    return "picture" if job.media == "image" else "video"


def moment(seconds: float) -> str:
    """Write when something was, in UTC; the script of a page brings it to its zone.

    Parameters
    ----------
    seconds : float
        Since 1970.

    Examples
    --------
    >>> moment(1796000000.0)
    '2026-11-30 00:53 UTC'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def stem_of(name: str) -> str:
    """Return how files that are kept of a scan begin: harmless on any system.

    Examples
    --------
    >>> stem_of("../a b.mp4"), stem_of("<b>.mp4"), stem_of("...")
    ('a b', '_b_', 'scan')
    """
    base = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
    kept = re.sub(r'[^\w .()+-]|["\']', "_", base[0] or base[2]).strip(" .")
    return kept[:100] or "scan"


def _faces_are_a_doubt(scan):
    doubts = single_doubts(scan.get("doubts") or "")
    return any(doubt.startswith("its faces dis") for doubt in doubts)


def _first(panels, scan):
    """Panels that are seen at once: those the verdict is about, and the most fake."""
    if len(panels) <= _MOST_PANELS:
        return panels
    order = {
        face["face"]: (not face["main"], -(face["p_fake"] or 0))
        for face in scan["faces"]
    }
    ranked = sorted(panels, key=lambda panel: order.get(panel.face, (False, 0)))
    first = ranked[:_MOST_PANELS]
    return [panel for panel in panels if panel in first]


def _members(scan, rows, thing):
    """Rows of the table of members, with the share of each in the score."""
    rows = {row["detector"]: row for row in rows}
    empty = {"frames": 0, "low": None, "high": None, "moved": None, "looks_at": ""}
    members = [empty | rows.get(row["detector"], {}) | row for row in scan["members"]]
    moved = {m["detector"]: m["moved"] for m in members if m["moved"] is not None}
    whole = sum(abs(by) for by in moved.values())
    for member in members:
        by = moved.get(member["detector"])
        member["share"] = "" if by is None or not whole else _share(by, whole)
        member["reason"] = reason_in_words(member["reason"] or "", thing)
    return members


def _share(moved, whole):
    share = round(100 * abs(moved) / whole)
    if not share:
        return "0 %"
    return f"{share} % {'towards' if moved > 0 else 'away from'} fake"


def _finite(threshold):
    """A threshold that no score reaches is drawn nowhere."""
    return {
        end: value if value is not None and math.isfinite(value) else None
        for end, value in threshold.items()
    }
