"""SHA-256 of files, each read once."""

import hashlib
import os

from base_models.runtime.caches import cached


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content.

    Parameters
    ----------
    path : str or Path
        It is read again only when its size or time of change is another.

    Returns
    -------
    str
        Hexadecimal.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    status = os.stat(path)
    return _sha256(os.path.realpath(path), status.st_size, status.st_mtime_ns)


@cached(maxsize=65536)
def _sha256(path, size, mtime_ns):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
