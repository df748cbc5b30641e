"""Opens the file of a saved model: its parts, each of them the one that was saved."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from base_models.addresses import public_name
from base_models.errors import ArtifactError, refusing, said
from base_models.limits import check_file, check_zip
from base_models.runtime.file_digest import json_digest, strict_json
from ensemble.persistence.signature import check_signature, is_signature
from ensemble.persistence.wrong_files import what_it_is

MANIFEST = "manifest.json"
OWN_DIGEST = "manifest_sha256"  # in a manifest: of all else that it says
_END, _END_BYTES = b"PK\5\6", 22  # of an archive, before its comment
_HEADER_BYTES, _LENGTHS = 30, struct.Struct("<HH")  # before the name of a part
_LARGE_BYTES = 20  # more, before a part of 2 GiB
_SIZES, _IN_THE_EXTRA = struct.Struct("<3L"), 2**32 - 1  # checksum, packed, unpacked
_SIZES_FOLLOW = 8  # the flag of a part whose sizes stand behind it
_UNDATED, _UNDATED_BYTES = (1980, 1, 1, 0, 0, 0), b"\0\0\x21\0"


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
        With ``is_signed``, whether there is a signature, by whatever key, and
        ``is_whole``, whether it has its own checksum: those of earlier
        releases have none.
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
            dated = _check_nothing_beside(path, archive)
        text = parts.pop(MANIFEST)
        manifest = strict_json(text)
    except FileNotFoundError as error:
        raise ArtifactError(f"no saved ensemble at {public_name(path)}") from error
    except PermissionError as error:
        raise ArtifactError(f"{path} may not be read: {error.strerror}") from error
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
    _check_kind(path, manifest, formats)
    if key is not None:
        check_signature(path, text, comment, key)
        if dated:  # of which a signature says nothing
            raise ArtifactError(
                f"{path} was changed since it was signed: {dated} has a date, and is "
                "written without; get it again from who made it"
            )
    _check_whole(path, manifest.get("sha256"), parts)
    is_whole = _has_its_checksum(path, manifest)
    return {**manifest, "is_signed": bool(comment), "is_whole": is_whole}, parts


def _check_kind(path, manifest, formats):
    """Refuse a manifest of another kind, or of a format that is not read."""
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


def _has_its_checksum(path, manifest):
    """Take the checksum out of a manifest, if there is one; refuse a wrong one."""
    own = manifest.pop(OWN_DIGEST, None)
    with reading_part(path, f"its {MANIFEST}"):
        is_right = own is None or own == json_digest(manifest)
    if not is_right:
        raise ArtifactError(
            f"{path} is damaged, or was changed since: its settings, in {MANIFEST}, "
            "are not what was saved; get it again"
        )
    return own is not None


def _check_nothing_beside(path, archive):
    """Refuse bytes that are of no part, over which zipfile reads.

    Returns
    -------
    str
        The first part that has a date, which we never write; empty where none has.
    """
    if archive.comment and not is_signature(archive.comment):
        raise zipfile.BadZipFile("it has a comment, which is no signature")
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    place, dated = 0, ""
    with open(path, "rb") as file:
        file.seek(-_END_BYTES - len(archive.comment), os.SEEK_END)
        if file.read(len(_END)) != _END:
            raise zipfile.BadZipFile("there is something else behind its parts")
        for entry in entries:
            if entry.header_offset != place:
                where = "between" if place else "before"
                raise zipfile.BadZipFile(f"there is something else {where} its parts")
            file.seek(place)
            header = file.read(_HEADER_BYTES)
            n_name, n_more = _LENGTHS.unpack(header[-_LENGTHS.size :])
            if n_more > _LARGE_BYTES or entry.comment:
                raise zipfile.BadZipFile(f"{entry.filename!r} has a remark")
            if not _is_said_alike(header, entry):
                raise zipfile.BadZipFile(f"{entry.filename!r} is said twice, not alike")
            place += _HEADER_BYTES + n_name + n_more + entry.compress_size
            bare = entry.date_time == _UNDATED and header[10:14] == _UNDATED_BYTES
            dated = dated or ("" if bare else entry.filename)
    if place != archive.start_dir:
        raise zipfile.BadZipFile("there is something else behind its parts")
    return dated


def _is_said_alike(header, entry):
    """Whether a part's own header has the sizes that the list at the end has."""
    if entry.flag_bits & _SIZES_FOLLOW:
        return True
    told = _SIZES.unpack(header[14 : 14 + _SIZES.size])
    listed = entry.CRC, entry.compress_size, entry.file_size
    return all(
        one == other or (place and one == _IN_THE_EXTRA)
        for place, (one, other) in enumerate(zip(told, listed, strict=True))
    )


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
