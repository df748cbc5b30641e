"""What a server does with files that hang, kill, or want too much."""

import time

import pytest
from PIL import Image
from serving_models import squares

from ensemble.serving.settings import ServedModel

psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.slow

ODD = ServedModel(("",), "serving_models:open_odd")


@pytest.fixture(scope="module")
def server(serving, tmp_path_factory):
    with serving(
        ODD,
        folder=tmp_path_factory.mktemp("server") / "files",
        scan_seconds=5,
        worker_bytes=5 * 2**28,
        queue_length=3,
    ) as served:
        yield served


@pytest.fixture
def file(tmp_path):
    """Return a function: a word -> an image with that at its end."""

    def make(word):
        path = tmp_path / f"{word}.png"
        Image.fromarray(squares(230)[0]).save(path)
        with open(path, "ab") as file:
            file.write(word.encode().rjust(8))
        return path

    return make


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("kill", "it ended the process that scanned it (SIGKILL)"),
        ("hang", "it took longer than the 5 seconds allowed, and was stopped"),
        ("eat", "it took more than the 1.25 GiB of memory allowed, and was stopped"),
    ],
)
def test_a_file_that_ends_its_process_fails_alone(server, file, word, reason):
    before = server.app.state.scanner.n_replaced
    bad, good = server.send(file(word)), server.send(file("good"))
    found = server.wait(bad.json()["id"])
    assert (found["status"], found["reason"]) == ("failed", reason)
    job = server.app.state.jobs.get(found["id"])
    assert not server.app.state.files.job(job.folder).exists()
    assert server.wait(good.json()["id"])["status"] == "done"
    assert server.app.state.scanner.n_replaced == before + 1


def test_a_process_that_ended_between_scans_is_no_scan_s_fault(server, file):
    before = server.app.state.scanner.n_replaced
    for process in psutil.Process().children():
        process.kill()
    end = time.monotonic() + 60
    while server.app.state.scanner.n_replaced == before:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert server.scan(file("good"))["status"] == "done"
    assert server.client.get("/ready").status_code == 200


def test_a_page_that_cannot_be_made_leaves_the_scan(server, file):
    scan = server.scan(file("good"))
    answer = server.made(scan["links"]["evidence"])
    assert answer.status_code == 409
    assert "it ended the process that scanned it (SIGKILL)" in answer.json()["detail"]
    found = server.client.get(scan["links"]["self"]).json()
    assert (found["status"], found["result"]) == ("done", scan["result"])
    assert scan["links"]["annotated"] is None  # a picture
    assert server.client.get(scan["links"]["report"]).status_code == 200


def test_a_full_queue_is_said_and_keeps_nothing(server, file):
    sent = [server.send(file("slow")) for _ in range(4)]
    assert [answer.status_code for answer in sent] == [202, 202, 202, 503]
    assert "3 scans wait already, as many as may" in sent[-1].json()["detail"]
    assert sent[-1].headers["Retry-After"]
    known = server.app.state.jobs.folders()
    there = {path.name for path in (server.app.state.files.folder / "jobs").iterdir()}
    assert there <= known
    for answer in sent[:3]:
        server.client.delete(answer.json()["links"]["self"])


def test_a_scan_that_runs_is_broken_off_when_it_is_deleted(server, file):
    scan = server.send(file("hang")).json()
    server.wait(scan["id"], "running")
    job = server.app.state.jobs.get(scan["id"])
    begin = time.monotonic()
    assert server.client.delete(scan["links"]["self"]).status_code == 204
    assert server.client.get(scan["links"]["self"]).status_code == 404
    folder = server.app.state.files.job(job.folder)
    while folder.exists():
        assert time.monotonic() < begin + 3
        time.sleep(0.05)
    assert server.scan(file("good"))["status"] == "done"


def test_files_go_when_they_are_kept_no_longer(serving, tmp_path, file):
    with serving(ODD, folder=tmp_path / "files", keep_seconds=1.5) as server:
        scan = server.scan(file("good"))
        assert scan["expires"] > scan["finished"]
        end = time.monotonic() + 10
        while list((tmp_path / "files" / "jobs").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert server.client.get(scan["links"]["self"]).status_code == 404


def test_a_file_that_is_too_large_and_a_full_disk(serving, tmp_path, file):
    padded = file("good")
    limits = {"upload_bytes": 2**20, "disk_bytes": 2**26 + 2**20}
    with serving(ODD, folder=tmp_path / "files", **limits) as server:
        with open(padded, "r+b") as stream:
            stream.truncate(5 * 2**18)
        answer = server.send(padded)
        assert (answer.status_code, answer.headers.get("Retry-After")) == (413, None)
        assert "1 MiB" in answer.json()["detail"]
        with open(padded, "r+b") as stream:
            stream.truncate(3 * 2**18)
        first = server.scan(padded)
        assert first["status"] == "done"
        answer = server.send(padded)
        assert (answer.status_code, answer.headers["Retry-After"]) == (507, "60")
        assert len(list((tmp_path / "files" / "jobs").iterdir())) == 1
        server.client.delete(first["links"]["self"])
        assert server.scan(padded)["status"] == "done"
