"""A full disk, files that vanish, another model: no answer is wrong or lost for it."""

import json
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
from page_server import FACTS, a_scan
from starlette.testclient import TestClient

from base_models import write_video
from ensemble.serving.app import create_app
from ensemble.serving.files import ServerFiles
from ensemble.serving.jobs import JobStore
from ensemble.serving.pages.in_words import errors_in_words, score_name
from ensemble.serving.scanner import Scanner
from ensemble.serving.scanning.products import _plays
from ensemble.serving.settings import ServedModel, ServerSettings

OLD, NEW = ("old.dfe", "1"), ("new.dfe", "2")


@pytest.fixture
def app(tmp_path):
    app = create_app("new.dfe", ServerSettings(folder=tmp_path / "serve"))
    facts = {"key": NEW[1], "file": {"name": NEW[0], "sha256": None}}
    app.state.scanner.model_facts = FACTS | facts
    yield app
    app.state.jobs.close()


@pytest.fixture
def client(app):
    headers = {"Authorization": f"Bearer {app.state.settings.token}"}
    return TestClient(app, "http://127.0.0.1", headers=headers)


@pytest.fixture
def add(app):
    """``add(model, scan)`` puts a scan that is done beside the others."""

    def added(model=NEW, **found):
        folder, jobs = app.state.files.make_folder(), app.state.jobs
        job = jobs.add("clip.mp4", folder, session="token")
        path = app.state.files.job(folder)
        (path / "upload.mp4").write_bytes(b"pixels")
        (path / "scan.json").write_text(json.dumps(a_scan(**found)))
        jobs.claim()
        jobs.finish(job.id, model=model)
        return jobs.get(job.id)

    return added


def test_a_scan_of_another_model_gets_nothing_of_the_one_that_is_loaded(
    client, add, app
):
    job, jobs = add(OLD), app.state.jobs
    for kind in ("evidence", "annotated"):
        answer = client.get(
            f"/v1/scans/{job.id}/{kind}.{'html' if kind == 'evidence' else 'mp4'}"
        )
        assert answer.status_code == 409
        assert "scanned by old.dfe, and the server runs new.dfe now" in answer.text
        assert client.post(f"/scans/{job.id}/{kind}").status_code == 409
        assert jobs.task(job.id, kind) is None
    page = client.get(f"/scans/{job.id}").text
    assert "runs new.dfe now" in page
    assert "Show these pictures" not in page
    assert "The card of this model" not in page
    assert "by another model: old.dfe" in client.get("/").text
    assert "Show these pictures" in client.get(f"/scans/{add().id}").text


def test_what_was_made_before_of_its_own_model_is_still_there(client, add, app):
    job = add(OLD)
    app.state.jobs.ask(job.id, "evidence")
    app.state.jobs.finish(job.id, "evidence")
    (app.state.files.job(job.folder) / "evidence.html").write_text("<p>old</p>")
    answer = client.get(f"/v1/scans/{job.id}/evidence.html")
    assert (answer.status_code, answer.text) == (200, "<p>old</p>")


def test_scans_of_two_models_are_not_called_those_of_one(client, add):
    unknown = a_scan()["card"] | {"n_real": 0, "n_fake": 0, "rates": None}
    old, other, new = add(OLD, card=unknown), add(OLD, card=unknown), add()
    both = client.get(f"/compare?ids={old.id}&ids={new.id}").text
    assert "not all scanned by the same model" in both
    assert "All by the same model" not in both
    assert "By old.dfe. The miss rate is unknown" in both
    assert "By new.dfe. Of 20 real videos" in both
    one = client.get(f"/compare?ids={old.id}&ids={other.id}").text
    assert "All by the same model. The miss rate is unknown" in one


def test_a_scan_whose_files_are_gone_says_so_everywhere(client, add, app):
    job, kept = add(), add()
    app.state.files.delete(job.folder)
    gone = "its files are gone from the server"
    for page in ("/", f"/compare?ids={job.id}&ids={kept.id}", f"/scans/{job.id}"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert gone[1:] in answer.text
    found = client.get(f"/v1/scans/{job.id}").json()
    assert (found["status"], found["result"]) == ("failed", None)
    assert gone in found["reason"]
    assert client.get("/v1/scans").json()[1]["status"] == "failed"
    assert gone in client.get(f"/v1/scans/{job.id}/report.html").json()["detail"]


def test_a_scan_that_is_deleted_while_a_page_is_made_is_left_out(
    client, add, app, monkeypatch
):
    job, kept = add(), add()
    jobs, files = app.state.jobs, app.state.files
    listed = jobs.of_session("token")
    jobs.delete(job.id)
    files.delete(job.folder)
    monkeypatch.setattr(jobs, "of_session", lambda session: listed)
    page = client.get("/")
    assert page.status_code == 200
    assert (job.id in page.text, kept.id in page.text) == (False, True)
    assert [row["id"] for row in client.get("/v1/scans").json()] == [kept.id]


class Process:
    """Stands for the process that scans."""

    is_alive, facts = True, {"key": NEW[1], "file": {"name": NEW[0]}}

    def __init__(self, error=None):
        self.error, self.made = error, []

    def make(self, kind, *how):
        self.made.append(kind)
        if self.error is not None:
            raise self.error
        return {"done": {}}

    def end(self):
        pass


@pytest.fixture
def scanner(tmp_path, monkeypatch):
    """A scanner whose process is none."""
    settings = ServerSettings(folder=tmp_path / "serve")
    files = ServerFiles(settings.files, settings.disk_bytes)
    jobs = JobStore(files.database)
    scanner = Scanner(ServedModel(("",)), settings, jobs, files)
    scanner.files, scanner.jobs, scanner.process = files, jobs, Process()
    monkeypatch.setattr(scanner, "_begun", lambda: scanner.process)
    yield scanner
    scanner.stop()
    jobs.close()


def _added(scanner):
    folder = scanner.files.make_folder()
    (scanner.files.job(folder) / "upload.mp4").touch()
    return scanner.jobs.add("a.mp4", folder).id


def _until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_was_asked_for_before_a_model_changed_is_not_made_by_another(scanner):
    job = _added(scanner)
    scanner.jobs.claim()
    scanner.jobs.finish(job, model=OLD)
    for kind in ("evidence", "playable"):  # a copy is of the file alone
        scanner.jobs.ask(job, kind)
    scanner.start()
    _until(lambda: scanner.jobs.task(job, "playable")["status"] == "done")
    assert scanner.jobs.task(job, "evidence") is None
    assert scanner.process.made == ["playable"]
    later = _added(scanner)
    scanner.wake()
    _until(lambda: scanner.jobs.get(later).status == "done")
    job = scanner.jobs.get(later)
    assert (job.model_name, job.model_key) == NEW


def test_what_ran_when_the_disk_was_full_fails_once_it_no_longer_is(
    scanner, monkeypatch
):
    full = sqlite3.OperationalError("database or disk is full")
    real, n_tries = scanner.jobs.fail, []

    def fail(*how, **more):
        n_tries.append(how)
        if len(n_tries) < 3:
            raise full
        real(*how, **more)

    monkeypatch.setattr(scanner.jobs, "fail", fail)
    monkeypatch.setattr("ensemble.serving.scanner._IDLE", 0.01)
    job = _added(scanner)
    scanner.process.error = full
    scanner.start()
    _until(lambda: scanner.jobs.get(job).status == "failed")
    assert "disk of the server was full" in scanner.jobs.get(job).reason
    assert scanner.jobs.get(job).finished is not None


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_database_without_room_takes_no_file_and_keeps_none(client, app, accept):
    database = app.state.jobs._database
    (n_pages,) = database.execute("pragma page_count").fetchone()
    database.execute(f"pragma max_page_count = {n_pages}")
    path = "/v1/scans" if "json" in accept else "/scans"
    files = {"file": ("a" * 100 + ".mp4", b"pixels" * 100)}
    for _ in range(100):
        answer = client.post(
            path, files=files, headers={"Accept": accept}, follow_redirects=False
        )
        if answer.status_code not in (202, 303):
            break
    assert answer.status_code == 507
    assert "disk space is used up" in answer.text
    folders = {path.name for path in (app.state.files.folder / "jobs").iterdir()}
    assert folders == app.state.jobs.folders()
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("name", ["jobs", "temporary", "lock"])
def test_a_folder_of_somebody_s_own_is_not_taken_for_one_of_a_server(tmp_path, name):
    own = tmp_path / "mine" / name / "2024"
    own.mkdir(parents=True)
    (own / "cv.txt").write_text("precious")
    (tmp_path / "mine").chmod(0o700)
    with pytest.raises(ValueError, match="needs a folder of its own"):
        ServerFiles(tmp_path / "mine", 2**30)
    assert (own / "cv.txt").read_text() == "precious"
    assert [path.name for path in Path(tmp_path / "mine").iterdir()] == [name]


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "jobs.sqlite").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(ValueError, match=r"jobs\.sqlite is no database.*move it away"):
        JobStore(tmp_path / "jobs.sqlite")


def test_a_database_of_an_earlier_server_is_read_on(tmp_path):
    jobs = JobStore(tmp_path / "jobs.sqlite")
    job = jobs.add("a.mp4", "1")
    for name in ("model_name", "model_key"):
        jobs._database.execute(f"alter table jobs drop column {name}")
    jobs.close()
    jobs = JobStore(tmp_path / "jobs.sqlite")
    assert jobs.get(job.id).model_key == ""
    jobs.close()


@pytest.mark.parametrize(("begins", "plays"), [(0.0, True), (0.3, False)])
def test_a_video_whose_picture_begins_later_plays_as_a_copy(tmp_path, begins, plays):
    frames, times = np.zeros((10, 48, 64, 3), np.uint8), np.arange(10) / 25
    path = write_video(tmp_path / "a.mp4", frames, 25, times=begins + times)
    look = SimpleNamespace(times=times, fps=25.0)
    assert _plays(path, SimpleNamespace(look=look)) is plays


def test_addresses_that_an_earlier_server_took_are_not_fetched_by_one_that_takes_none(
    app,
):
    jobs, files = app.state.jobs, app.state.files
    address = "https://example.org/a.mp4"
    job = jobs.add("a.mp4", files.make_folder(), address=address)
    app.state.submissions.start()
    found = jobs.get(job.id)
    assert found.status == "failed"
    assert "takes no addresses" in found.reason
    app.state.submissions.stop()


def test_a_request_of_two_lengths_is_refused(client):
    two = {"Content-Length": "4", "Transfer-Encoding": "chunked"}
    answer = client.post("/v1/scans", headers=two, content=b"0\r\n\r\n")
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")


def test_rates_of_the_files_that_a_threshold_was_set_on_are_said_to_be():
    card = a_scan()["card"]
    assert "set on these same files" not in " ".join(errors_in_words(card))
    same = errors_in_words(card | {"set_on_the_same": True})
    assert "set on these same files: on others it errs more" in " ".join(same)
    reals = a_scan(card=card | {"n_fake": 0})
    assert (score_name(a_scan()), score_name(reals)) == ("P(fake)", "Suspicion")


def test_no_other_model_takes_the_place_of_the_first(scanner, monkeypatch, caplog):
    monkeypatch.setattr("ensemble.serving.scanner._AGAIN", 0.01)
    scanner.start()
    facts, others = scanner.process.facts, Process()
    others.facts = {**facts, "key": "of another model"}
    monkeypatch.setattr(scanner, "_begun", lambda: others)
    scanner.process.is_alive = False
    _until(lambda: scanner.is_stuck)
    assert scanner.model_facts == facts
    assert "holds another model than when the server was started" in caplog.text
    first = Process()
    first.facts = facts
    monkeypatch.setattr(scanner, "_begun", lambda: first)
    _until(lambda: not scanner.is_stuck)  # where the first one is put back


def test_a_model_that_cannot_be_loaded_any_more_is_said_to_who_waits(
    client, app, scanner, monkeypatch
):
    def gone():
        raise ValueError("no file")

    monkeypatch.setattr("ensemble.serving.scanner._AGAIN", 0.01)
    scanner.start()
    monkeypatch.setattr(scanner, "_begun", gone)
    scanner.process.is_alive = False
    _until(lambda: scanner.is_stuck)
    app.state.scanner.is_stuck = True
    job = app.state.jobs.add("a.mp4", app.state.files.make_folder())
    assert "cannot be loaded any more" in client.get(f"/scans/{job.id}").text
    assert "cannot be loaded" in client.get(f"/v1/scans/{job.id}").json()["doing"]
    assert "cannot be loaded any more" in client.get("/ready").json()["detail"]
