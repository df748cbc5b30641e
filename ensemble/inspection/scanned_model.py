"""Which model scanned a video: its file, to tell it from others."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ensemble.deepfake_ensemble import DeepfakeEnsemble


def model_file(model: "DeepfakeEnsemble") -> dict:
    """Return which file an ensemble was loaded from, to tell it from others.

    Returns
    -------
    dict
        ``name`` and ``sha256``, both None where it was fitted in this process and not
        saved since, or changed after it was loaded. Of checkpoints that were put
        together ``name`` has the name and SHA-256 of each.
    """
    record = getattr(model, "fit_record_", None)
    path = getattr(record, "file", None)
    if record is None or path is None:
        return {"name": _sources(model), "sha256": None}
    if record.file_sha256 is None:
        record.file_sha256 = _digest(path, record.file_stamp)
    return {"name": os.path.basename(path), "sha256": record.file_sha256}


def _digest(path, stamp):
    """Return the SHA-256 of a file; None where another one is there by now, or none."""
    from base_models.errors import VideoReadError
    from base_models.video.paths import video_digest
    from ensemble.out_of_fold.record import file_of

    try:
        digest = video_digest(path)
    except VideoReadError:
        return None
    return digest if file_of(path)["file_stamp"] == stamp else None


def _sources(model):
    """Name the files of members that were put together; None where there are none."""
    record = getattr(model, "fit_record_", None)
    if record is None or not record.unlabelled:
        return None
    members = [
        member
        for found in model.detectors_.values()
        for member in (found if isinstance(found, list) else [found])
    ]
    cards = [getattr(member, "card_", None) or {} for member in members]
    if not all(card.get("source_sha256") for card in cards):
        return None
    return " and ".join(
        f"{card['source']} (sha256 {card['source_sha256'][:12]})" for card in cards
    )
