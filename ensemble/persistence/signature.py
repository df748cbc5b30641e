"""Signs saved models with a secret key, and says whether one is signed with it.

A saved model's checksums tell damage. They do not tell who wrote it, as whoever changes
a part can write its checksum anew: that is what a key is for.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from pathlib import Path

from base_models.errors import ArtifactError
from base_models.limits import check_file

KEY_VARIABLE = "DEEPFAKE_ENSEMBLE_KEY"
_SHORTEST = 16  # bytes
_LONGEST = 2**16
_NAME = "hmac-sha256"
_FORM = re.compile(rb'\{"hmac-sha256": "[0-9a-f]{64}"\}')


def secret(key: bytes | str | Path | None) -> bytes | None:
    """Return the secret bytes that a ``key`` parameter means.

    Parameters
    ----------
    key : bytes, str, Path or None
        The secret itself, or the path of a file that holds it. None is the file that
        the environment variable ``DEEPFAKE_ENSEMBLE_KEY`` names, if it does.

    Returns
    -------
    bytes or None

    Raises
    ------
    ValueError
        For a key of less than 16 bytes.
    OSError
        If its file cannot be read.

    Examples
    --------
    >>> from ensemble.persistence.signature import secret
    >>> secret(b"sixteen bytes or more")
    b'sixteen bytes or more'
    """
    given = key
    if key is None:
        given = os.environ.get(KEY_VARIABLE)
        if not given:
            return None
    if isinstance(given, bytes):
        found, where = given, "key"
    elif isinstance(given, (str, os.PathLike)):
        by = f", which {KEY_VARIABLE} names," if key is None else ""
        check_file(given)
        try:
            with open(given, "rb") as file:
                found, where = file.read(_LONGEST), f"the key in {given}"
        except OSError as error:
            raise type(error)(
                f"the key's file {given}{by} cannot be read: {error.strerror or error}"
            ) from error
    else:
        raise TypeError(
            f"key must be bytes or the path of a file; got {type(key).__name__}"
        )
    if len(found) < _SHORTEST:
        raise ValueError(
            f"{where} must have at least {_SHORTEST} bytes; got {len(found)}. Make one "
            "with secrets.token_bytes(32)"
        )
    return found


def signature(manifest: bytes, key: bytes) -> bytes:
    """Return what is written to a file beside a manifest that is signed with a key."""
    digest = hmac.new(key, manifest, "sha256").hexdigest()
    return json.dumps({_NAME: digest}).encode()


def is_signature(comment: bytes) -> bool:
    """Whether what stands beside a manifest is of the form of a signature.

    Examples
    --------
    >>> from ensemble.persistence.signature import is_signature, signature
    >>> is_signature(signature(b"{}", b"sixteen bytes or more")), is_signature(b"hello")
    (True, False)
    """
    return _FORM.fullmatch(comment) is not None


def check_signature(
    path: str | Path, manifest: bytes, comment: bytes, key: bytes
) -> None:
    """Refuse a manifest that nobody signed, or somebody who has another key.

    Parameters
    ----------
    path : str or Path
        The file, for the message.
    manifest : bytes
        It lists the checksums of all other parts.
    comment : bytes
        What stands beside it: of `signature`, or anything.
    key : bytes

    Raises
    ------
    ArtifactError
        If it is not what this key signs.
    """
    if not comment:
        raise ArtifactError(
            f"{path} is not signed, and a key was given; have it saved with "
            "save(path, key=...), or load it without a key if you trust its origin "
            f"(the environment variable {KEY_VARIABLE} is one)"
        )
    if not hmac.compare_digest(comment, signature(manifest, key)):
        raise ArtifactError(
            f"{path} was not signed with this key, or was changed since; do not use "
            "it, and get it again from who made it"
        )
