"""Whether a folder lies on a file system that several machines share."""

from __future__ import annotations

import re
from pathlib import Path

_SHARED = re.compile(
    r"(nfs\d*|cifs|smb\d*|smbfs|lustre|gpfs|beegfs.*|ceph|afs|panfs|wekafs|gfs2|ocfs2|"
    r"pvfs2|orangefs|glusterfs|"
    r"fuse\.(sshfs|.*gluster.*|ceph.*|.*s3fs.*|gcsfuse|rclone|juicefs|.*lustre.*))"
)
_MOUNTS = Path("/proc/self/mountinfo")


def is_shared(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Say whether a folder is on a network's file system, such as NFS or Lustre.

    Parameters
    ----------
    folder : Path
        Resolved; it need not exist.
    mounts : Path, default="/proc/self/mountinfo"

    Returns
    -------
    bool
        False where this cannot be told, as on systems other than Linux.
    """
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    found: tuple[int, str] = (-1, "")
    for line in lines:
        left, _, right = line.partition(" - ")
        if len(left.split()) < 5 or not right:
            continue
        point = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), left.split()[4])
        if folder == Path(point) or Path(point) in folder.parents:
            depth = len(Path(point).parts)
            if depth >= found[0]:  # of several at one place the last one is seen
                found = depth, right.split()[0]
    return _SHARED.fullmatch(found[1]) is not None
