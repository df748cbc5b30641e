"""What speaks for the verdict on one video, as a page with pictures."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble._version import __version__
from ensemble.choices import ACCUSING, SUSPICION
from ensemble.reporting.html import image_url, write_page
from ensemble.reporting.plain_text import in_plot, printable
from ensemble.reporting.svg import inline_svg
from ensemble.verdicts.card_words import single_doubts

_MOST_FACES = 6  # that are shown with pictures
_MOST_FRAMES = 4  # of each, those that look most like a forgery
_PICTURE = (208, 208)  # pixels, at most
_MARKS = "os^DvPX"


def write_evidence(
    result: Any, path: str | PathLike, sections: list[dict] | None = None
) -> Path:
    """Write what a scan found, with the most suspicious pictures, as one HTML file.

    Each picture stands beside heat maps of the members that are networks, see
    `base_models.export.heat_maps`. Nothing is loaded from anywhere, no script runs.

    Parameters
    ----------
    result : ScanResult
        From `ensemble.scan_video`.
    path : str or Path
        Folders that are missing are made.
    sections : list of dict or None, default=None
        As `evidence_sections` gives them, where they are at hand.

    Raises
    ------
    ImportError
        If jinja2, matplotlib or captum is not installed.
    """
    sections = evidence_sections(result) if sections is None else sections
    content = {
        "result": result,
        "name": printable(str(result.video).replace("\\", "/").rpartition("/")[2]),
        "doubts": single_doubts(result.doubts),
        "suspicion": result.score_name == SUSPICION,
        "spread": result.spread,
        "members": _members(result),
        "steps": [] if result.how is None else result.how.steps,
        "start": np.nan if result.how is None else result.how.start,
        "pull": "" if result.how is None else result.how.pull,
        "notes": {name: _note(d) for name, d in result.detectors.items()},
        "faces": result.faces,
        "face_scores": result.face_scores,
        "sections": sections,
        "version": __version__,
    }
    return write_page("evidence.html", content, path)


def evidence_sections(result: Any) -> list[dict[str, Any]]:
    """Return what there is to see of each face, and of whole frames.

    Parameters
    ----------
    result : ScanResult
        From `ensemble.scan_video`.

    Returns
    -------
    list of dict
        ``title``, ``face`` (its row of ``ScanResult.faces``, None of whole frames),
        ``plot`` (SVG), ``lead``, ``has_maps`` and ``pictures``: by frame its
        ``seconds``, addresses (``data:``) of the picture and of its heat maps, and
        the members' scores.

    Raises
    ------
    ImportError
        If matplotlib or captum is not installed.
    VideoReadError
        If the content of the video is another by now.
    """
    from base_models.video.hashing import held_to

    with held_to(result.source, result.content):
        sections = [_section(result, face) for face in _shown_faces(result)]
    return [section for section in sections if section]


def decisive_frames(
    timeline: pd.DataFrame, is_fake: bool, n_frames: int = _MOST_FRAMES
) -> list[int]:
    """Return the frames that decided what the members say, the clearest first.

    Parameters
    ----------
    timeline : DataFrame
        Rows of one face, or of whole frames, of ``ScanResult.timeline``.
    is_fake : bool
        Towards which side: whether the highest scores come first or the lowest.
    n_frames : int, default=4

    Returns
    -------
    list of int
        Those that decided for most members, then by the mean of the members' scores.

    Examples
    --------
    >>> import pandas as pd
    >>> timeline = pd.DataFrame({
    ...     "frame": [0, 5, 9], "score": [0.1, 0.9, 0.5], "decided": [True, False, True]
    ... })
    >>> decisive_frames(timeline, is_fake=False)
    [0, 9]
    """
    by_frame = timeline.groupby("frame").agg({"decided": "sum", "score": "mean"})
    by_frame = by_frame[by_frame["decided"] > 0]
    by_frame["score"] *= 1 if is_fake else -1
    order = by_frame.sort_values(["decided", "score"], ascending=False, kind="stable")
    return order.index[:n_frames].tolist()


def suspicious_frames(
    timeline: pd.DataFrame, n_frames: int = _MOST_FRAMES
) -> list[int]:
    """Return the frames that look most like a forgery to the members together.

    Parameters
    ----------
    timeline : DataFrame
        Rows of one face, or of whole frames, of ``ScanResult.timeline``.
    n_frames : int, default=4

    Returns
    -------
    list of int
        By the mean of the members' scores, highest first.

    Examples
    --------
    >>> import pandas as pd
    >>> timeline = pd.DataFrame(
    ...     {"frame": [0, 5, 9, 0, 5], "score": [0.1, 0.9, 0.5, 0.2, 0.8]}
    ... )
    >>> suspicious_frames(timeline, 2)
    [5, 9]
    """
    means = timeline.groupby("frame")["score"].mean()
    return means.sort_values(ascending=False, kind="stable").index[:n_frames].tolist()


def _shown_faces(result):
    """Faces by number, those the verdict is about first; then 0, whole frames."""
    faces = result.faces.sort_values(
        ["main", "p_fake"], ascending=False, kind="stable", na_position="last"
    )
    return [*faces["face"].iloc[:_MOST_FACES].tolist(), 0]


def _section(result, face):
    """Title, plot and pictures of one face, or of whole frames; None without any."""
    timeline = result.timeline
    rows = timeline[timeline["face"] == face]
    if rows.empty:
        return None
    seen = {}  # detector -> (view, {frame: image row})
    for name in rows["detector"].unique():
        view = result.look.views.get((f"{name} 0", face - 1))
        if view is not None and len(view.images):
            seen[name] = view
    maps = {
        name: heat
        for name, view in seen.items()
        if (heat := _maps(result.detectors.get(name), view)) is not None
    }
    pictures = [
        picture
        for frame in _shown_frames(result, rows)
        if (picture := _picture(result, rows, frame, seen, maps, face))
    ]
    title = f"Face {face}" if face else "Whole frames"
    said = "; ".join(
        f"{name} from {own['score'].min():.3f} to {own['score'].max():.3f}"
        for name, own in rows.groupby("detector", sort=False)
    )
    plot = inline_svg(
        f"timeline-{face}",
        lambda ax: _plot(rows, ax),
        f"{title}: each member's score of frames over time",
        f"{said}.",
        (7.2, 2.6),
    )
    row = None
    if face:
        (row,) = result.faces[result.faces["face"] == face].to_dict("records")
    lead = "These frames count most in what the members say of the video."
    if not rows["decided"].astype(bool).any():
        lead = ("The verdict is not about this face. These frames look most like a "
                "forgery to the members together.")  # fmt: skip
    elif result.verdict not in ACCUSING:
        lead = ("These frames count most in what the members say of the video, or look "
                "most like a forgery to them.")  # fmt: skip
    return {"title": title, "face": row, "plot": plot, "pictures": pictures,
            "lead": lead,
            "has_maps": any(picture["heated"] for picture in pictures)}  # fmt: skip


def _shown_frames(result, rows):
    """The frames that decided; of a face beside the verdict the most suspicious."""
    if not rows["decided"].astype(bool).any():
        return suspicious_frames(rows)
    accused = result.verdict in ACCUSING
    frames = decisive_frames(rows, accused or result.p_fake > 0.5)
    # Others fill up, or say what speaks against a verdict that is not FAKE.
    n_more = max(_MOST_FRAMES - len(frames), 0 if accused else 2)
    more = [f for f in suspicious_frames(rows, len(rows)) if f not in frames]
    return [*frames, *more[:n_more]]


def _members(result):
    """What each member says, by name, and of what that is made."""
    members = result.members.join(
        result.how.members.drop(columns="p_fake")
        if result.how is not None
        else pd.DataFrame(index=result.members.index)
    )
    empty = {"frames": 0, "low": np.nan, "high": np.nan, "pooling": "",
             "weight": np.nan, "moved": np.nan}  # fmt: skip
    return members.assign(**{k: v for k, v in empty.items() if k not in members})


def _maps(detector, view):
    from base_models.export.heat_maps import heat_maps

    return None if detector is None else heat_maps(detector, view.images)


def _picture(result, rows, frame, seen, maps, face):
    """One frame: the picture, then what each member sees in it."""
    from base_models.export.heat_maps import overlay

    here = rows[rows["frame"] == frame]
    plain, shown = None, []
    for name, view in seen.items():
        places = np.flatnonzero(np.asarray(view.frames) == frame)
        if not len(places):
            continue
        at = places[0]
        image = view.stills[at]
        if plain is None or image.shape[0] > plain.shape[0]:
            plain = image
        if name in maps:
            heated = overlay(image, maps[name][at])
            score = here.loc[here["detector"] == name, "score"]
            shown.append((name, score.iloc[0], _url(heated, result, face)))
    if plain is None:
        return None
    return {
        "frame": int(frame),
        "seconds": float(here["seconds"].iloc[0]),
        "plain": _url(plain, result, face),
        "heated": shown,
        "others": [
            (row.detector, row.score)
            for row in here.itertuples()
            if row.detector not in maps
        ],
        "highest": int(frame) == suspicious_frames(rows, 1)[0],
        "decided": sorted(here.loc[here["decided"].astype(bool), "detector"]),
    }


def _url(image, result, face):
    """A crop as it is; a whole frame, which was squeezed, in its own shape."""
    if not face:
        from PIL import Image

        height = image.shape[0]
        width = max(1, round(height * result.look.width / result.look.height))
        image = np.asarray(Image.fromarray(image).resize((width, height)))
    return image_url(image, _PICTURE, quality=85)


def _plot(rows, ax):
    for place, (name, own) in enumerate(rows.groupby("detector", sort=False)):
        own = own.sort_values("seconds")
        colour, mark = f"C{place % 7}", _MARKS[place % len(_MARKS)]
        ax.plot(own["seconds"], own["score"], "-", lw=1, color=colour, alpha=0.6)
        for decided, filled in ((True, colour), (False, "none")):
            part = own[own["decided"].astype(bool) == decided]
            is_named = decided == own["decided"].any()  # once, in the list of names
            label = in_plot(name) if is_named else None
            ax.plot(part["seconds"], part["score"], mark, ms=5, color=colour,
                    markerfacecolor=filled, label=label)  # fmt: skip
    ax.set(ylim=(-0.03, 1.03), xlabel="Seconds", ylabel="Member's score of a frame")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.2,
              ncols=3, frameon=False)  # fmt: skip


def _note(detector):
    """Why there is no map of a member; empty where there is one."""
    from base_models.detectors.bases.network import NetworkDetector

    if isinstance(detector, NetworkDetector):
        return ""
    return "no map: it does not score images by a network"
