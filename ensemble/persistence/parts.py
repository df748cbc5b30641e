"""Opens the file of a saved model: its parts, each of them the one that was saved."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from base_models.addresses import public_name
from base_models.errors import ArtifactError, refusing, said
from base_models.limits import check_file, check_zip
from ensemble.persistence.signature import check_signature
from ensemble.persistence.wrong_files import what_it_is

MANIFEST = "manifest.json"
_END, _END_BYTES = b"PK\5\6", 22  # of an archive, before its comment


def read_parts(
    path: str | Path, formats: tuple[int, ...], key: bytes | None = None
) -> tuple[dict, dict]:
    """Read a saved model's manifest and its other parts.

    Parameters
    ----------
    path : str or Path
    formats : tuple of int
        That this release reads.
    key : bytes or None, default=None
        With which the file must be signed; None asks for no signature.

    Returns
    -------
    manifest : dict
        With ``is_signed``, whether there is a signature, by whatever key.
    parts : dict of str to bytes
        Those that the manifest lists and no others, each with its SHA-256.

    Raises
    ------
    ArtifactError
        If there is no such file, or it is a pipe or a device, damaged, of another kind
        or of a later format, or would unpack to more than is allowed.
    """
    check_file(path, ArtifactError)
    is_ours = False
    try:
        with zipfile.ZipFile(path) as archive:
            is_ours = MANIFEST in archive.namelist()
            check_zip(archive)
            packed = [e.filename for e in archive.infolist() if e.compress_type]
            if packed:  # nothing that is written here is
                raise zipfile.BadZipFile(f"its part {packed[0]!r} is compressed")
            parts = {name: archive.read(name) for name in archive.namelist()}
            comment = archive.comment
            _check_nothing_beside(path, archive)
        text = parts.pop(MANIFEST)
        manifest = json.loads(text)
    except FileNotFoundError as error:
        raise ArtifactError(f"no saved ensemble at {public_name(path)}") from error
    except Exception as error:  # whatever damage raises: zipfile has many kinds
        if is_ours:
            raise ArtifactError(
                f"{path} is damaged, or was made to harm ({said(error)}); get it again"
            ) from error
        what = what_it_is(path) or (
            f"or cut short or damaged ({said(error)}); get it again, or give a file "
            "that DeepfakeEnsemble.save or ScorePipeline.save wrote"
        )
        raise ArtifactError(f"{path} is not a saved ensemble, {what}") from error
    if not isinstance(manifest, dict):
        raise ArtifactError(
            f"{path} is not a saved ensemble: its {MANIFEST} is no list of parts"
        )
    if manifest.get("format") not in formats:
        versions = manifest.get("versions")
        by = versions.get("deepfake-ensemble") if isinstance(versions, dict) else None
        raise ArtifactError(
            f"{path} has format {str(manifest.get('format'))[:50]}, this release reads "
            f"{', '.join(map(str, formats))}; it was written by deepfake-ensemble "
            f"{str(by)[:50]}"
        )
    if not isinstance(manifest.get("versions", {}), dict):
        raise ArtifactError(f"{path} is damaged: its versions are no table")
    if key is not None:
        check_signature(path, text, comment, key)
    _check_whole(path, manifest.get("sha256"), parts)
    return {**manifest, "is_signed": bool(comment)}, parts


def _check_nothing_beside(path, archive):
    """Refuse bytes before or behind an archive, over which zipfile reads."""
    with open(path, "rb") as file:
        file.seek(-_END_BYTES - len(archive.comment), os.SEEK_END)
        ends = file.read(len(_END)) == _END
    first = min(entry.header_offset for entry in archive.infolist())
    if first or not ends:
        where = "before" if first else "behind"
        raise zipfile.BadZipFile(f"there is something else {where} its parts")


def _check_whole(path, digests, parts):
    """Refuse a part that is not in the list, or is not what the list says."""
    if not isinstance(digests, dict):
        raise ArtifactError(f"{path} is damaged: its {MANIFEST} lists no parts")
    for name, digest in digests.items():
        if hashlib.sha256(parts.get(name, b"")).hexdigest() != digest:
            raise ArtifactError(f"{path} is damaged: {name} is not what was saved")
    unknown = sorted(parts.keys() - digests.keys())
    if unknown:
        raise ArtifactError(
            f"{path} is damaged or forged: {unknown[0]} is in it, and not in its "
            f"{MANIFEST}"
        )


@contextmanager
def reading_part(path: str | Path, part: str) -> Iterator[None]:
    """Turn whatever a damaged or forged part may raise into an `ArtifactError`.

    Parameters
    ----------
    path : str or Path
        The file.
    part : str
        Of the file, in words: "its combiner".

    Raises
    ------
    ArtifactError
        Naming both, and what was found.

    Examples
    --------
    >>> from ensemble.persistence.parts import reading_part
    >>> with reading_part("model.dfe", "its combiner"):
    ...     {}["params"]
    Traceback (most recent call last):
    base_models.errors.ArtifactError: model.dfe: its combiner cannot be read \
(KeyError: 'params'); the file is damaged, forged, or of another release
    """
    advice = "the file is damaged, forged, or of another release"
    with refusing(ArtifactError, path, part, advice):
        yield
