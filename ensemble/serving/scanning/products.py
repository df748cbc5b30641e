"""What is made of a file: the scan, and on demand a page, videos with it."""

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ensemble.serving.scanning.pictures import write_pictures

SCAN_FILE, STORE = "scan.json", "store"
STORE_BYTES = 2**29  # of a job, for what is computed of its frames
# What can be made of a scan: its file, and who writes it.
EVIDENCE, ANNOTATED, PLAYABLE = "evidence", "annotated", "playable"
FILES = {
    EVIDENCE: "evidence.html",
    ANNOTATED: "annotated.mp4",
    PLAYABLE: "playable.mp4",
}
BY_MODEL = (EVIDENCE, ANNOTATED)  # say what a model says, and not what the file is
TIMELINE = "timeline.png"
HEAT_MAPS = "heat-maps.json"  # what the page of the evidence shows
_PLAYED = {  # codecs that browsers play, by how files begin that hold them
    "mp4": ("h264", "vp9", "av1"),
    "webm": ("vp8", "vp9", "av1"),
}

Tell = Callable[[float, str], None]


class Unreadable(Exception):
    """A file is no video or image that can be looked at; the text says why."""


class Products:
    """Makes what is asked of files with one model, the latest scan kept at hand.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted. Its store is another one for each job, which goes with the job. With
        ``cascade`` its members are asked in turn.
    """

    def __init__(self, model: Any) -> None:
        self.model, self._latest = model, ("", None)

    def make(self, kind: str, upload: Path, name: str, tell: Tell) -> dict:
        """Make one thing.

        Parameters
        ----------
        kind : str
            "scan", or one of `FILES`.
        upload : Path
            The file, in the job's folder.
        name : str
            As it was uploaded.
        tell : function of a share and words
            Is called as the work goes on.

        Returns
        -------
        dict
            What is to be known of it.

        Raises
        ------
        Unreadable
        """
        folder = upload.parent
        if kind == "scan":
            return self._scan(upload, name, tell)
        result = self._result(upload, name, tell)
        if kind == EVIDENCE:
            tell(0.5, "drawing what the networks saw")
            _write_evidence(result, folder)
        elif kind == ANNOTATED:
            tell(0.3, "drawing boxes and scores into the video")
            result.annotate(folder / FILES[kind])
        else:
            tell(0.3, "making a copy that browsers play")
            _write_playable(result, folder / FILES[kind])
        return {}

    def _scan(self, upload, name, tell):
        from base_models.runtime.file_writing import write_text
        from ensemble.inspection.timeline import plot_timeline

        self._latest = "", None
        result = self._result(upload, name, lambda share, what: tell(0.8 * share, what))
        folder = upload.parent
        tell(0.8, "drawing pictures")
        write_pictures(result, folder)
        if not result.timeline.empty:
            plot_timeline(result, folder / TIMELINE)
        found = without_path(result.to_dict(), upload, name)
        write_text(folder / SCAN_FILE, json.dumps(found, indent=1) + "\n")
        return {"plays": _plays(upload, result)}

    def _result(self, upload, name, tell):
        """Return the scan of a file, the latest one without another look."""
        from base_models.store.store import Store
        from ensemble.inspection.scan import scan_video

        place, result = self._latest
        if place == os.fspath(upload):
            return result
        self._latest = "", None  # two in memory are too many
        store = upload.parent / STORE
        self.model.store = Store(store, size_limit=STORE_BYTES)
        os.environ["DEEPFAKE_ENSEMBLE_STORE"] = os.fspath(store)  # of members without
        result = scan_video(self.model, upload, on_step=tell, cascade=True)
        if result.look is None:
            reason = without_path(result.reason, upload, name)
            raise Unreadable(f"it cannot be read as a video or an image: {reason}")
        result = replace(result, video=name)
        self._latest = os.fspath(upload), result
        return result


def without_path(found: Any, upload: Path, name: str) -> Any:
    """Return what was found with the name of a file in place of where it lies.

    Examples
    --------
    >>> from ensemble.serving.scanning.products import without_path
    >>> without_path({"reason": ["/jobs/8f/upload.mp4: odd"]},
    ...              Path("/jobs/8f/upload.mp4"), "clip.mp4")
    {'reason': ['clip.mp4: odd']}
    """
    if isinstance(found, dict):
        return {
            without_path(key, upload, name): without_path(value, upload, name)
            for key, value in found.items()
        }
    if isinstance(found, list):
        return [without_path(value, upload, name) for value in found]
    if not isinstance(found, str):
        return found
    for path in (os.path.realpath(upload), os.path.abspath(upload), os.fspath(upload)):
        found = found.replace(path, name)
    return found.replace(os.fspath(upload.parent), "")


def _write_evidence(result, folder):
    """Write the page to keep, and what the server's own page shows of it."""
    from base_models.runtime.file_writing import write_text
    from ensemble.inspection.evidence_page import evidence_sections, write_evidence

    sections = evidence_sections(result)
    shown = [
        {
            "face": 0 if section["face"] is None else int(section["face"]["face"]),
            "has_maps": section["has_maps"],
            "pictures": section["pictures"],
        }
        for section in sections
    ]
    text = json.dumps(shown, default=float)  # of scores
    write_text(folder / HEAT_MAPS, text)
    write_evidence(result, folder / FILES[EVIDENCE], sections)


def _plays(upload, result):
    """Say whether browsers play a file by our times: None of an image."""
    from base_models.video.reading import iter_frames, probe_video

    if result.look.times is None or len(result.look.times) < 2:
        return None
    with open(upload, "rb") as file:
        start = file.read(64)
    with closing(iter_frames(upload, return_times=True, at=())) as frames:
        begins = next(frames)[1] or 0.0
    if abs(begins) > min(0.5 / result.look.fps, 0.05):
        return False  # players count from the sound, or from 0: links would be off
    kind = "mp4" if start[4:8] == b"ftyp" else "webm" if b"webm" in start else ""
    return probe_video(upload).codec in _PLAYED.get(kind, ())


def _write_playable(result, path):
    from base_models.video.reading import iter_frames
    from base_models.video.writing import write_video

    look = result.look
    write_video(path, iter_frames(result.source), look.fps, preset="veryfast",
                times=look.times - look.times[0])  # fmt: skip
