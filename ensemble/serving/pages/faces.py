"""What pages show of each face, and what they say of several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ensemble.choices import FAKE, REAL, TRACES, UNSURE
from ensemble.inspection.member_words import NOT_THE_LARGEST
from ensemble.serving.pages.in_words import (
    as_sentence,
    figure,
    score_name,
)
from ensemble.serving.pages.reasons import clock, reason_in_words
from ensemble.verdicts.card_words import single_doubts

_KINDS = {FAKE: "fake", TRACES: "fake", REAL: "real", UNSURE: "unsure"}
_MOST_NAMED = 4  # faces in a sentence


@dataclass(frozen=True)
class Moment:
    """A time in a video, for a link to it."""

    seconds: float

    @property
    def at(self) -> str:
        """As players write it."""
        return clock(self.seconds)


@dataclass(frozen=True)
class FaceView:
    """One face.

    Attributes
    ----------
    face : int
    verdict, kind : str
        ``kind`` is ``fake``, ``real``, ``unsure`` or ``none``.
    p_fake : float or None
    first, last : float
        Seconds.
    main, is_largest : bool
        Whether the score of the file is about it, and for its size.
    why : list of str
        What speaks against a verdict on it.
    members : dict of str to float
    alone : str
        What members say that look at nothing but this face; empty where all do.
    picture : str
        Address, empty where there is none.
    """

    face: int
    verdict: str
    kind: str
    p_fake: float | None
    first: float
    last: float
    main: bool
    is_largest: bool
    why: list[str]
    members: dict[str, float | None]
    alone: str
    picture: str

    @property
    def start(self) -> Moment:
        """When it is first seen."""
        return Moment(self.first)


def difference_of(faces: list[FaceView]) -> str:
    """Say in a few words what is said of faces that differ."""
    if len({face.verdict for face in faces}) == 1:  # what doubts made of them
        return "their scores lie on both sides of the threshold"
    if len(faces) <= _MOST_NAMED:
        said = [f"face {face.face} {face.verdict or 'no verdict'}" for face in faces]
    else:
        counts = Counter(face.verdict or "without a verdict" for face in faces)
        said = [f"{n} {verdict}" for verdict, n in counts.most_common()]
    return ", ".join(said)


def about_faces(faces: list[FaceView], name: str, whole: bool = False) -> str:
    """Say of which face a score is, and where another has a higher one.

    Parameters
    ----------
    faces : list of FaceView
    name : str
        What the score is called.
    whole : bool, default=False
        Whether members look at whole pictures, too.

    Returns
    -------
    str
        A sentence or two; empty where the score is of no single face.
    """
    main = [face for face in faces if face.main]
    if len(main) != 1:
        return ""
    too = " What is around it counts in it, too." if whole else ""
    if len(faces) == 1:
        return (
            f"This {name} is about the one face that was scored, and about nobody else "
            f"whom you may see.{too}"
        )
    largest = ", the largest," if main[0].is_largest else ""
    said = f"This {name} is about face {main[0].face}{largest} and no other"
    highest = max(faces, key=lambda face: face.p_fake or 0)
    if highest is not main[0] and (highest.p_fake or 0) > (main[0].p_fake or 0):
        said += f"; face {highest.face} has {figure(highest.p_fake)}"
    return f"{said}.{too}"


def faces_said(scan: dict[str, Any], faces: list[FaceView]) -> str:
    """What a list says of the faces of a file, in a line."""
    if not faces:
        return "" if scan["p_fake"] is None else "No face was found."
    if len(faces) == 1:
        return "One face was scored, and nobody else."
    said = [about_faces(faces, score_name(scan))]
    if scan["faces_disagree"]:
        said.insert(0, f"The faces differ: {difference_of(faces)}.")
    elif len({face.verdict for face in faces}) > 1:
        said.insert(0, as_sentence(difference_of(faces)))
    return " ".join(filter(None, said))


def whole_frame_members(scan: dict[str, Any]) -> list[str]:
    """Return the members that look at whole frames, and so say one thing of all faces.

    Parameters
    ----------
    scan : dict
        As `ensemble.inspection.scan.ScanResult.to_dict` gives it.
    """
    of_faces = {row["detector"] for row in scan["timeline"] if row["face"]}
    names = dict.fromkeys(row["detector"] for row in scan["timeline"])
    return [name for name in names if name not in of_faces] if of_faces else []


def _alone(face, whole):
    """What is said of a face by members that look at nothing but it."""
    own = {n: score for n, score in face["members"].items() if n not in whole}
    known = {n: score for n, score in own.items() if score is not None}
    if not whole or not known:
        return ""
    scores = ", ".join(f"{figure(score)} ({name})" for name, score in known.items())
    return f"By what looks at this face alone: {scores}."


def face_views(
    scan: dict[str, Any], pictures: dict[int, str], thing: str
) -> list[FaceView]:
    """Return the faces of a scan as pages show them.

    Parameters
    ----------
    scan : dict
        As `ensemble.inspection.scan.ScanResult.to_dict` gives it.
    pictures : dict of int to str
        Address of the picture of each face.
    thing : str
        "video" or "picture".
    """
    of_all = set(single_doubts(scan.get("doubts") or "")) | {scan.get("reason")}
    whole = whole_frame_members(scan)
    looks = " ".join(member.get("looks_at", "") for member in scan["members"])
    by_size = not any(words in looks for words in NOT_THE_LARGEST.values())
    return [
        _face(face, pictures, of_all, whole, thing, by_size, _apart(scan, face))
        for face in scan["faces"]
    ]


def _in_words(reasons, thing):
    return [reason_in_words(reason, thing) for reason in reasons]


def _apart(scan, face):
    """Say that a face has a verdict where the file has none."""
    if scan["verdict"] != UNSURE or face["verdict"] in ("", None, UNSURE):
        return ""
    if scan["faces_disagree"]:
        return ""
    return (
        "This is about this face alone: of the whole file the model is UNSURE, for "
        "what is said above."
    )


def _face(face, pictures, of_all, whole, thing, by_size, apart):
    reasons = [face.get("reason") or "", *single_doubts(face.get("doubts") or "")]
    reasons = [reason for reason in reasons if reason not in of_all]
    return FaceView(
        face=face["face"],
        verdict=face["verdict"] or "",
        kind=_KINDS.get(face["verdict"], "none"),
        p_fake=face["p_fake"],
        first=face["first"],
        last=face["last"],
        main=face["main"],
        is_largest=face["main"] and by_size,
        why=[as_sentence(r) for r in (apart, *_in_words(reasons, thing)) if r],
        members=face["members"],
        alone=_alone(face, whole),
        picture=pictures.get(face["face"], ""),
    )
