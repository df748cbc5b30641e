"""The API of a real server, asked by a real client."""

import io
import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from serving_models import open_squares, squares

from base_models import iter_frames, probe_video, write_video
from ensemble import scan_video
from ensemble.serving.settings import ServedModel

MODEL = ServedModel(("",), "serving_models:open_squares")


@pytest.fixture(scope="module")
def server(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "files"
    with serving(MODEL, folder=folder) as served:
        yield served


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two people, one of whom looks forged."""
    path = tmp_path_factory.mktemp("clips") / "two people.mp4"
    return write_video(path, squares(60, 230), fps=10)


@pytest.fixture(scope="module")
def done(server, clip):
    return server.scan(clip, "../../two <script>people.mp4")


@pytest.mark.slow
def test_a_scan_is_that_of_scan_video_but_for_where_the_file_lies(server, done, clip):
    expected = scan_video(open_squares(), clip).to_dict()
    expected["video"] = "../../two <script>people.mp4"
    expected = json.loads(json.dumps(expected))
    assert done["status"] == "done"
    assert done["result"] == expected
    answer = server.client.get(done["links"]["scan"])
    assert answer.json() == expected
    assert done["name"] == expected["video"]
    assert (done["progress"], done["doing"], done["reason"]) == (1.0, "", "")
    assert [face["face"] for face in done["result"]["faces"]] == [1, 2]


@pytest.mark.slow
def test_there_is_a_picture_of_each_face_and_of_frames(server, done, clip):
    frames = list(iter_frames(clip))
    links = done["links"]
    assert list(links["faces"]) == ["1", "2"]
    for number, red in (("1", 60), ("2", 230)):
        answer = server.client.get(links["faces"][number])
        assert answer.headers["content-type"] == "image/jpeg"
        picture = np.asarray(Image.open(io.BytesIO(answer.content)))
        height, width = picture.shape[:2]
        middle = picture[height // 2 - 4 : height // 2 + 4, width // 2 - 4 :][:, :8]
        assert abs(middle[..., 0].mean() - red) < 12
    scored = {row["frame"] for row in done["result"]["timeline"]}
    assert {int(number) for number in links["frames"]} == scored
    for number, link in links["frames"].items():
        picture = Image.open(io.BytesIO(server.client.get(link).content))
        shown = np.asarray(picture).astype(int)
        assert abs(shown - frames[int(number)]).mean() < 6


def test_the_video_is_given_in_parts(server, done, clip):
    whole = clip.read_bytes()
    answer = server.client.get(done["links"]["video"])
    assert (answer.content, answer.headers["content-type"]) == (whole, "video/mp4")
    part = server.client.get(done["links"]["video"], headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])


@pytest.mark.slow
def test_a_plot_a_page_and_a_video_are_made(server, done):
    plot = Image.open(io.BytesIO(server.client.get(done["links"]["timeline"]).content))
    assert plot.format == "PNG"
    page = server.made(done["links"]["evidence"])
    assert page.headers["content-type"].startswith("text/html")
    assert "sandbox" in page.headers["content-security-policy"]
    assert "two &lt;script&gt;people.mp4" in page.text
    assert "<script" not in page.text
    assert str(server.app.state.files.folder) not in page.text
    video = server.made(done["links"]["annotated"])
    assert video.headers["content-type"] == "video/mp4"


def test_an_image_is_a_video_of_one_frame(server, tmp_path):
    Image.fromarray(squares(230)[0]).save(tmp_path / "face.png")
    found = server.scan(tmp_path / "face.png", "portrait.of.somebody")
    assert (found["status"], found["media"]) == ("done", "image")
    assert found["links"]["video"] is None
    assert list(found["links"]["faces"]) == ["1"]
    assert {row["frame"] for row in found["result"]["timeline"]} == {0}


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"just some words " * 99, "clip.mp4", "it cannot be read as a video or an"),
        (b"<!doctype html><p>no", "a.mp4", "it is a web page (HTML) and no video"),
        (b"PK\3\4" + bytes(500), "folder.zip", "it cannot be read as a video or"),
        (b"\xff\xd8\xff" + bytes(99), "a.jpg", ""),
    ],
)
def test_what_is_no_video_fails_with_a_reason(server, tmp_path, content, name, reason):
    (tmp_path / name).write_bytes(content)
    found = server.scan(tmp_path / name)
    assert found["status"] == "failed"
    assert found["reason"]
    assert reason in found["reason"]
    assert str(server.app.state.files.folder) not in json.dumps(found)
    assert found["links"]["scan"] is None
    assert server.client.get(f"{found['links']['self']}/scan.json").status_code == 409


@pytest.mark.slow
def test_two_uploads_at_once_are_two_scans(server, clip, tmp_path):
    other = write_video(tmp_path / "b.mp4", squares(100), fps=10)
    found = {}

    def send(path):
        found[path] = server.scan(path)

    threads = [threading.Thread(target=send, args=(path,)) for path in (clip, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found[path]["result"]["faces"]) for path in (clip, other)] == [2, 1]
    listed = [scan["id"] for scan in server.client.get("/v1/scans").json()]
    assert {found[clip]["id"], found[other]["id"]} <= set(listed)


@pytest.mark.slow
def test_of_a_video_that_browsers_do_not_play_there_is_a_copy(server, tmp_path):
    frames = squares(60, 230)
    with av.open(str(tmp_path / "old.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = frames.shape[1:3]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    scan, end = server.scan(tmp_path / "old.avi"), time.monotonic() + 30
    while scan["links"]["video"] is None:
        assert time.monotonic() < end
        scan = server.client.get(scan["links"]["self"]).json()
    answer = server.client.get(scan["links"]["video"])
    assert answer.headers["content-type"] == "video/mp4"
    (tmp_path / "copy.mp4").write_bytes(answer.content)
    info = probe_video(tmp_path / "copy.mp4")
    assert (info.codec, info.n_frames, info.seconds) == ("h264", 20, 2.0)
    copy = np.array(list(iter_frames(tmp_path / "copy.mp4"))).astype(int)
    assert abs(copy - frames).mean() < 6


def test_what_is_deleted_is_gone_from_the_disk(server, clip):
    found = server.scan(clip)
    job = server.app.state.jobs.get(found["id"])
    folder = server.app.state.files.job(job.folder)
    assert folder.is_dir()
    assert server.client.delete(found["links"]["self"]).status_code == 204
    assert not folder.exists()
    for link in (found["links"]["self"], found["links"]["scan"]):
        answer = server.client.get(link)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert server.client.delete(found["links"]["self"]).status_code == 404


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"files": {"other": ("a.mp4", b"1")}}, 422, "field file"),
        ({"files": {"file": ("a.mp4", b"")}}, 422, "a.mp4 is empty (0 bytes)"),
        ({"files": [("file", ("a", b"1")), ("file", ("b", b"2"))]}, 422, "1 file at"),
        ({"data": {"file": "text"}}, 415, "multipart/form-data"),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400, ""),
        ({"json": {"url": "https://example.org/a.mp4"}}, 403, "--allow-urls"),
        ({"json": {"uri": 3}}, 422, "url"),
    ],
)
def test_a_request_that_is_none_is_refused_in_words(server, sent, status, words):
    jobs = server.app.state.files.folder / "jobs"
    before = set(jobs.iterdir())
    answer = server.client.post("/v1/scans", **sent)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert words in answer.json()["detail"]
    assert set(jobs.iterdir()) == before


def test_the_server_says_what_its_model_is_and_how_it_is(server, done):
    model = server.client.get("/v1/model").json()
    assert model["members"] == ["face", "frame"]
    assert model["threshold"] == done["result"]["threshold"]
    assert model["card"] == done["result"]["card"]
    assert server.client.get("/ready").json() == {"status": "ready"}
    lines = server.client.get("/metrics").text.splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(figures['deepfake_tasks_total{outcome="done",task="scan"}']) >= 1
    assert float(figures["deepfake_worker_memory_bytes"]) > 2**26


def test_no_file_of_the_server_is_open_to_others(server, done):
    folder = server.app.state.files.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in (*folder.glob("jobs/**/*"), folder / "jobs.sqlite"):
        assert not path.stat().st_mode & 0o077, path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_lines_for_curl_of_the_page_do_what_it_says(server, clip, tmp_path):
    page = Path(__file__).parents[3] / "examples/docs/guide/serving.md"
    lines = re.findall(r"^curl .*$", page.read_text("utf-8"), re.M)
    shutil.copy(clip, tmp_path / "clip.mp4")
    token = server.client.headers["Authorization"].split()[1]
    names = {**os.environ, "TOKEN": token, "ID": ""}
    said = []
    for line in lines:
        line = line.replace("http://127.0.0.1:8000", server.url)
        run = subprocess.run(
            ["sh", "-c", f"{line} -s --fail"], env=names, cwd=tmp_path,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        said.append(run.stdout)
        if not names["ID"]:
            names["ID"] = json.loads(run.stdout)["id"]
            server.wait(names["ID"])
    added, found, deleted = said
    assert json.loads(added)["status"] == "queued"
    assert len(json.loads(found)["result"]["faces"]) == 2
    assert deleted == ""
    assert server.client.get(f"/v1/scans/{names['ID']}").status_code == 404
