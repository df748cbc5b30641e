import asyncio
import os

import pytest

pytest.importorskip("fastapi")

from starlette.requests import Request

from ensemble.serving.files import FullDisk, ServerFiles
from ensemble.serving.problems import Refused
from ensemble.serving.uploads import look_at, receive

BEFORE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n'


@pytest.fixture
def files(tmp_path):
    return ServerFiles(tmp_path / "files", 2**30)


def _read(files, body, size=2**16, most_bytes=100, most_files=2, take=None):
    """Read a body that comes in pieces of so many bytes."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    kind = b"multipart/form-data; boundary=x"

    async def come():
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}
    how = most_bytes, most_files, take or (lambda n_bytes: None), "upload"
    return asyncio.run(receive(Request(scope, come), files, *how))


def _left(files):
    return list((files.folder / "jobs").iterdir())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_file_is_whole_however_its_pieces_are_cut(files, size):
    content = b"\r\n--x\r\n-\r\n--y" * 3  # much like the boundary
    content = content.replace(b"--x", b"--z")
    body = BEFORE % b"a.mp4" + content + b"\r\n"
    body += b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n--x--\r\n'
    form = _read(files, body, size)
    (upload,) = form.uploads
    assert upload.path.read_bytes() == content
    assert (upload.name, upload.n_bytes, form.fields) == (
        "a.mp4", len(content), {"note": "hi"}
    )  # fmt: skip
    assert os.stat(upload.path).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"../../etc/passwd", "../../etc/passwd"),
        ("Süßes Vidéo 视频.mp4".encode(), "Süßes Vidéo 视频.mp4"),
        (b"caf\xe9.mp4", "caf\N{REPLACEMENT CHARACTER}.mp4"),
        (b"a\x00b\x1b[31m.mp4", "a b [31m.mp4"),
        (b"x" * 300, "x" * 255),
        (b"a%22b.mp4", "a%22b.mp4"),
    ],
)
def test_a_name_is_text_and_never_a_path(files, name, shown):
    (upload,) = _read(files, BEFORE % name + b"1\r\n--x--\r\n").uploads
    assert upload.name == shown
    assert upload.path.parent == files.job(upload.folder)
    assert upload.path.name.startswith("upload.")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no form", 400),
        (BEFORE % b"a" + b"1", 400),  # cut off
        (BEFORE % b"a" + b"1\r\n--x", 400),
        ((BEFORE % b"a" + b"1\r\n") * 3 + b"--x--\r\n", 422),  # one too many
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", 400),
        (b"--x\r\nA: b\r\n\r\n1\r\n--x--\r\n", 400),
        (b"--x\r\n" + b"A: b\r\n" * 20 + b"\r\n1\r\n--x--\r\n", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 51
            + b"--x--\r\n",
            400,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
            + bytes(2**16 + 1)
            + b"\r\n--x--\r\n",
            422,
        ),
    ],
)
@pytest.mark.parametrize("size", [10, 10**6])
def test_what_is_no_form_is_refused_and_nothing_of_it_is_left(
    files, body, status, size
):
    with pytest.raises(Refused) as refused:
        _read(files, body, size)
    assert refused.value.status_code == status
    assert _left(files) == []


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 422), (bytes(101), 413), (bytes(1001), 413)]
)
@pytest.mark.parametrize("size", [10, 10**6])
def test_a_file_that_is_empty_or_too_large_costs_only_itself(
    files, content, status, size
):
    odd = BEFORE % b"odd" + content + b"\r\n"
    good = BEFORE % b"good" + b"1" * 100 + b"\r\n"
    with pytest.raises(Refused) as refused:
        _read(files, odd + b"--x--\r\n", size, most_files=1)
    assert refused.value.status_code == status
    assert _left(files) == []
    form = _read(files, odd + good + odd + b"--x--\r\n", size, most_files=3)
    assert [upload.name for upload in form.uploads] == ["good"]
    assert form.uploads[0].path.read_bytes() == b"1" * 100
    assert [(n, r.status_code) for n, r in form.refused] == [("odd", status)] * 2
    assert len(_left(files)) == 1


def test_nothing_is_left_when_the_disk_is_full(files):
    def take(n_bytes):
        raise FullDisk

    with pytest.raises(FullDisk):
        _read(files, BEFORE % b"a" + b"1\r\n--x--\r\n", take=take)
    assert _left(files) == []


def test_two_uploads_do_not_share_one_room(files):
    files.most_bytes = 2**26 + 2**20
    with files.coming(lambda: 0) as one, files.coming(lambda: 0) as other:
        one.add(600_000)
        with pytest.raises(FullDisk):
            other.add(600_000)
    with files.coming(lambda: 0) as other:
        other.add(600_000)


@pytest.mark.parametrize(
    ("start", "name", "expected"),
    [
        (b"\xff\xd8\xff\xe0", "a.mp4", ("image", ".jpg")),
        (b"\x89PNG\r\n\x1a\nIHDR", "a", ("image", ".png")),
        (b"\x89PNG\r\n\x1a\nIHDR....acTL", "a", ("video", ".png")),
        (b"RIFF....WEBPVP8 ", "a", ("image", ".webp")),
        (b"RIFF....WEBPVP8X....\2", "a", ("video", ".webp")),
        (b"\0\0\0\x18ftypmp42", "../a.MOV", ("video", ".mov")),
        (b"\0\0\0\x18ftypmp42", "a.exe", ("video", ".video")),
        (b"text", "a.jpg", ("video", ".video")),
    ],
)
def test_a_file_is_what_it_looks_like(tmp_path, start, name, expected):
    (tmp_path / "coming").write_bytes(start + bytes(50))
    assert look_at(tmp_path / "coming", name) == expected
