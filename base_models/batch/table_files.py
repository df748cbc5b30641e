"""The files of a table of videos, each read in the version that was looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

from base_models.addresses import public_name, remote_address
from base_models.errors import ScoreTableError, VideoReadError
from base_models.limits import check_file
from base_models.runtime.file_digest import file_sha256
from base_models.runtime.remote.facts import RemoteFacts, remote_facts
from base_models.runtime.remote.reading import RemoteReader, with_version


@dataclass(frozen=True)
class TableFile:
    """A file in the version that was there when it was looked at.

    Attributes
    ----------
    place : str
        On this machine, or an address: with all that it takes to read it, never to be
        shown.
    version : str
        On this machine the hash of its content; of an address what its server changes
        with every content, or else the hash of it all.
    facts : RemoteFacts or None
        Of an address.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from base_models.batch.table_files import look_at
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place = Path(folder) / "t.csv"
    ...     _ = place.write_text("path")
    ...     file = look_at(str(place))
    ...     with file.open() as opened:
    ...         print(opened.read())
    ...     _ = place.write_text("path,label")
    ...     try:
    ...         file.check()
    ...     except ValueError as error:
    ...         print(str(error).split(":")[0].replace(folder, ""))
    b'path'
    /t.csv has changed since it was looked at
    """

    place: str = field(repr=False)
    version: str
    facts: RemoteFacts | None = None

    @property
    def name(self) -> str:
        """The place without what grants access."""
        return public_name(self.place)

    def open(self) -> Any:
        """Return it as a file of bytes, of this version only.

        Raises
        ------
        ValueError
            If another version is there now.
        """
        self.check()
        if self.facts is None:
            return open(self.place, "rb")
        return RemoteReader(self.facts)  # which reads nothing of another version

    def check(self) -> None:
        """Refuse to go on where another version is there now.

        Raises
        ------
        ValueError
        """
        try:
            if self.facts is None:
                is_same = _content(self.place) == self.version
            else:
                now = remote_facts(self.facts.address)
                is_same = now.size == self.facts.size and (
                    _is_hash(self.facts.version)  # whoever reads it hashes it
                    or now.version == self.facts.version
                )
        except FileNotFoundError:
            is_same = False
        except VideoReadError as error:
            raise unreadable(self.place, error) from None
        if not is_same:
            raise ScoreTableError(
                f"{self.name} has changed since it was looked at: rows of two tables "
                "would be mixed. Parts that are written are of the table as it was; "
                "put that one back to go on, or begin anew in another folder"
            )


def look_at(place: str) -> TableFile:
    """Return a file in the version that is there now.

    Parameters
    ----------
    place : str
        In full, or an address.

    Raises
    ------
    ScoreTableError
        If a server does not give it, or it is a pipe or a device.
    """
    address = remote_address(place)
    if address is None:
        check_file(place, ScoreTableError)
        return TableFile(place, _content(place))
    try:
        facts = remote_facts(address)
        if (facts.version or "").startswith("modified "):
            # It counts only some time after the change: the same table would have one
            # version when a run begins, and another when it goes on.
            facts = replace(facts, version=None)
        facts = with_version(facts)
    except VideoReadError as error:
        raise unreadable(place, error) from None
    # Not by its signature: one that is signed anew is the same table.
    return TableFile(address, f"{facts.size} {facts.version}", facts)


def unreadable(place: str | os.PathLike, error: VideoReadError) -> ScoreTableError:
    """Return what is raised where a server does not give a table.

    Parameters
    ----------
    place : str or Path
    error : VideoReadError
    """
    advice = f"; {error.advice}" if error.advice else ""
    return ScoreTableError(
        f"the table {public_name(place)} cannot be read: {error.reason}{advice}"
    )


def _is_hash(version):
    return version.startswith("sha256 ")


def _content(place):
    return f"sha256 {file_sha256(place)}"
