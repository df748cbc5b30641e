"""Files that are uploaded: written to folders as they come, never beyond limits."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from base_models.video.paths import VIDEO_SUFFIXES
from ensemble.serving.files import ServerFiles
from ensemble.serving.problems import Refused

_MOST_FIELD = 2**16  # bytes of a field that is no file
_MOST_PARTS = 50
_MOST_NAME = 255  # characters
_IMAGES = (  # how still images begin, and their ending
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
_BEGINNING = 4096  # bytes
COMING = "coming"  # what a file is called until it is there


@dataclass(frozen=True)
class Upload:
    """A file as it came.

    Attributes
    ----------
    name : str
        As its sender calls it: a text, never a path.
    folder : str
        Of its job.
    path : Path
        Where it lies.
    media : {"video", "image"}
        As it looks; whether it can be read is seen when it is scanned.
    n_bytes : int
    """

    name: str
    folder: str
    path: Path
    media: str
    n_bytes: int


@dataclass
class Form:
    """What a form held.

    Attributes
    ----------
    uploads : list of Upload
    fields : dict of str to str
    refused : list of (str, Refused)
        Names of files of a form of several that were not taken, and why.
    """

    uploads: list[Upload] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, Refused]] = field(default_factory=list)


def shown_name(name: str) -> str:
    """Return a name as it is kept: text of one line that any program can write.

    Examples
    --------
    >>> from ensemble.serving.uploads import shown_name
    >>> shown_name("../<b>a\\n.mp4"), shown_name(" ")
    ('../<b>a .mp4', 'file')
    """
    text = name.encode("utf-8", "replace").decode("utf-8")
    text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text[:_MOST_NAME] or "file"


def look_at(path: Path, name: str) -> tuple[str, str]:
    """Say by how a file begins whether it is an image, and which ending it should have.

    Parameters
    ----------
    path : Path
    name : str
        As it was uploaded; a video's ending counts where the file says nothing.

    Returns
    -------
    media : {"video", "image"}
    ending : str
    """
    with open(path, "rb") as file:
        start = file.read(_BEGINNING)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        is_animated = start[12:16] == b"VP8X" and len(start) > 20 and start[20] & 2
        return ("video" if is_animated else "image"), ".webp"
    for begin, ending in _IMAGES:
        if start.startswith(begin):
            return ("video" if b"acTL" in start else "image"), ending
    own = os.path.splitext(name)[1].lower()
    return "video", own if own in VIDEO_SUFFIXES else ".video"


async def receive(
    request: Request,
    server_files: ServerFiles,
    most_bytes: int,
    most_files: int,
    take: Callable[[int], None],
    stem: str,
) -> Form:
    """Read a multipart form; its files go to folders of their own as they come.

    Where it raises, none of these folders is left.

    Parameters
    ----------
    request : Request
    server_files : ServerFiles
    most_bytes : int
        Of one file.
    most_files : int
        With several, one that is empty or too large costs no other one.
    take : function of a number of bytes
        Called before they are written; what it raises ends the reading.
    stem : str
        What each file is called, before its ending.

    Raises
    ------
    Refused
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Refused(415, "send a form of the type multipart/form-data")
    if not options.get(b"boundary"):
        raise Refused(400, "the form has no boundary in its content type")
    reader = _Reader(server_files, most_bytes, most_files, take, stem)
    try:
        parser = MultipartParser(options[b"boundary"], reader.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
        if not reader.is_whole:
            raise Refused(400, "the form ends before its last boundary")
        return reader.form
    except FormParserError as error:
        reader.discard()
        raise Refused(400, f"the form cannot be read: {error}") from None
    except ClientDisconnect:
        reader.discard()
        raise Refused(400, "the sender broke off") from None
    except BaseException:
        reader.discard()
        raise


class _Reader:
    """Takes what the parser finds."""

    def __init__(self, files, most_bytes, most_files, take, stem):
        self._files = files
        self._most_bytes, self._most_files = most_bytes, most_files
        self._take, self._stem = take, stem
        self.form, self.is_whole = Form(), False
        self._folders: list[str] = []
        self._n_parts = 0
        self._file: BinaryIO | None = None
        self._begin_part()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_content,
            "on_part_data": self._content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def discard(self):
        """Leave nothing of what came."""
        if self._file is not None:
            self._file.close()
        for folder in self._folders:
            self._files.delete(folder)

    def _begin_part(self):
        self._header = [b"", b""]
        self._disposition, self._name, self._file_name = b"", "", None
        self._value, self._n_bytes = bytearray(), 0
        self._is_left = False  # it is read on and dropped

    def _header_name(self, data, start, end):
        self._header[0] += data[start:end]

    def _header_value(self, data, start, end):
        self._header[1] += data[start:end]

    def _end_header(self):
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _begin_content(self):
        self._n_parts += 1
        if self._n_parts > _MOST_PARTS:
            raise Refused(400, f"the form has more than {_MOST_PARTS} parts")
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise Refused(400, "a part of the form has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        if b"filename" not in options:
            return
        self._file_name = options[b"filename"].decode("utf-8", "replace")
        if self._name == "file":
            if len(self._folders) >= self._most_files:
                files = "file" if self._most_files == 1 else "files"
                raise Refused(422, f"send {self._most_files} {files} at most at once")
            self._folders.append(self._files.make_folder())
            self._file = self._files.create(self._folders[-1], COMING)

    def _content(self, data, start, end):
        self._n_bytes += end - start
        if self._is_left:
            return
        if self._file is None:
            if self._n_bytes > _MOST_FIELD:
                raise Refused(
                    422, f"send the file in the field 'file'; a long one came in the "
                    f"field {shown_name(self._name)!r}"
                )  # fmt: skip
            self._value += data[start:end]
            return
        if self._n_bytes > self._most_bytes:
            self._refuse(too_large(self._most_bytes))
            return
        self._take(end - start)
        self._file.write(data[start:end])

    def _refuse(self, refused):
        """Take no more of a file: of the whole form, where it has no other one."""
        if self._most_files == 1:
            raise refused
        if self._file is not None:
            self._file.close()
            self._file = None
            self._files.delete(self._folders[-1])
        if not self._is_left:
            self._is_left = True
            self.form.refused.append((shown_name(self._file_name), refused))

    def _end_part(self):
        if self._is_left:
            return
        if self._file is None:
            if self._file_name is None:
                text = self._value.decode("utf-8", "replace")
                self.form.fields[self._name] = text
            return
        self._file.close()
        self._file = None
        folder, name = self._folders[-1], shown_name(self._file_name)
        if not self._n_bytes:
            self._folders.pop()
            self._files.delete(folder)
            if not self._file_name:  # a browser's form without a file
                return
            self._refuse(Refused(422, f"the file {name} is empty (0 bytes)"))
            return
        path, media = settled(self._files.job(folder) / COMING, name, self._stem)
        self.form.uploads.append(Upload(name, folder, path, media, self._n_bytes))

    def _end(self):
        self.is_whole = True


def settled(path: Path, name: str, stem: str) -> tuple[Path, str]:
    """Give a file that has come the name under which it is scanned.

    Returns
    -------
    path : Path
    media : {"video", "image"}
    """
    media, ending = look_at(path, name)
    return path.rename(path.with_name(f"{stem}{ending}")), media


def too_large(most_bytes: int) -> Refused:
    """Return the error of a file above the limit."""
    return Refused(
        413, f"the file is larger than the {most_bytes / 2**20:.4g} MiB that this "
        "server takes; cut it or compress it"
    )  # fmt: skip
