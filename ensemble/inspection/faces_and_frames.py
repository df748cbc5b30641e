"""What an ensemble says of each face of a scanned video, and of single frames."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from ensemble.choices import FAKE, P_FAKE, REAL, SUSPICION, TRACES, UNSURE
from ensemble.scores.table import score_table
from ensemble.verdicts.asked import NOT_ASKED

if TYPE_CHECKING:
    from base_models.scoring.per_face import CloseLook
    from ensemble.deepfake_ensemble import DeepfakeEnsemble

_EVEN = 0.5  # what a member says that knows nothing


def every_member(model: "DeepfakeEnsemble") -> list[tuple[str, Any]]:
    """Name the detectors, one by one where several are averaged.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    list of (str, detector)
        The name is that of the ensemble and a number.
    """
    return [
        (f"{name} {number}", member)
        for name, found in model.detectors_.items()
        for number, member in enumerate(found if isinstance(found, list) else [found])
    ]


def _averaged(columns):
    """Return the ensemble's name of each column that `every_member` named."""
    return [column.rpartition(" ")[0] for column in columns]


def faces_said(
    model: "DeepfakeEnsemble",
    look: "CloseLook | None",
    members: pd.DataFrame,
    video: Any = None,
    doubts: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lay out when each face is there, and what the ensemble and members say of it.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    look : CloseLook or None
        None, or one without faces, gives empty tables.
    members : DataFrame
        As `ScanResult.members`.
    video : str, Path or ndarray, optional
    doubts : bool, default=True
        As for ``model.judge``.

    Returns
    -------
    faces, face_scores : DataFrame
        As in `ScanResult`.
    """
    names = list(model.detectors_)
    columns = ["face", "first", "last", "p_fake", "verdict", "reason", "doubts", "main"]
    if look is None or not look.faces:
        return pd.DataFrame(columns=columns), pd.DataFrame(columns=names)
    scores = look.scores.T.groupby(_averaged(look.scores)).mean().T
    why = look.reasons.set_axis(_averaged(look.reasons), axis=1)
    why = why.loc[:, ~why.columns.duplicated()]
    scores = scores.reindex(columns=names)  # nobody looked for who was not asked
    why = why.reindex(columns=names, fill_value="")
    for name, reason in members["reason"].items():
        if reason.startswith(NOT_ASKED):
            why[name] = reason
    given = members["p_fake"].to_dict()
    looked = set(_averaged(look.timeline["detector"].unique()))
    for name in names:
        if name not in looked and scores[name].isna().all() and not why[name].any():
            scores[name] = given[name]  # it gives no timeline: all faces alike
    numbers = range(1, len(look.faces) + 1)
    table = score_table(
        scores[names].to_numpy(),
        [f"face {number}" for number in numbers],
        names,
        reasons=why[names].to_numpy(dtype=object),
    )
    judged = model.judge_scores(table, [video] * len(table), doubts)
    judged = judged.rename(columns={SUSPICION: P_FAKE})
    judged = judged[[P_FAKE, "verdict", "reason", "doubts"]].reset_index(drop=True)
    own = [name for name in names if name in _that_look_at_faces(look)]
    if len(own) < len(names):
        for row, why in _of_the_whole_picture(judged, scores[own]).items():
            judged.loc[row, "doubts"] = "; ".join(
                filter(None, [judged.loc[row, "doubts"], why])
            )
            if doubts:
                judged.loc[row, "verdict"] = UNSURE
    decided = set(look.timeline.loc[look.timeline["decided"].astype(bool), "face"])
    beside = pd.DataFrame(
        {
            "face": numbers,
            "first": [look.times[face.frames[0]] for face in look.faces],
            "last": [look.times[face.frames[-1]] for face in look.faces],
            "main": [number - 1 in decided for number in numbers],
        }
    )
    faces = pd.concat([beside, judged], axis=1)[columns]
    return faces, scores[names].set_axis(pd.Index(numbers, name="face"), axis=0)


def _that_look_at_faces(look):
    """Return the members that say something of each face by itself."""
    return set(_averaged(look.timeline.loc[look.timeline["face"] >= 0, "detector"]))


def _of_the_whole_picture(judged, alone):
    """Say of which faces the verdict is against all that looks at nothing but them."""
    found = {}
    for row, verdict in enumerate(judged["verdict"]):
        known = alone.iloc[row].dropna()
        against = known < _EVEN if verdict in (FAKE, TRACES) else known > _EVEN
        if verdict in (FAKE, TRACES, REAL) and len(known) and against.all():
            said = ", ".join(f"{name} {score:.2f}" for name, score in known.items())
            found[row] = (
                "the whole picture makes this score, and what looks at the face alone "
                f"says the contrary ({said})"
            )
    return found


def timeline_of(model: "DeepfakeEnsemble", look: "CloseLook | None") -> pd.DataFrame:
    """Lay out what detectors say of single frames, as in `ScanResult.timeline`."""
    columns = ["detector", "frame", "seconds", "face", "score", "decided", "pooled"]
    if look is None or look.timeline.empty:
        return pd.DataFrame(columns=columns)
    frames = look.timeline.assign(
        detector=_averaged(look.timeline["detector"]), face=look.timeline["face"] + 1
    )
    by = ["detector", "face", "frame", "seconds"]
    frames = frames.groupby(by, sort=True, as_index=False).agg(
        score=("score", "mean"), decided=("decided", "any"), pooled=("pooled", "any")
    )
    order = {name: place for place, name in enumerate(model.detectors_)}
    frames["place"] = frames["detector"].map(order)
    frames = frames.sort_values(["place", "face", "frame"], ignore_index=True)
    return frames[columns]
