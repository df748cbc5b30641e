"""What is kept and for how long, and what is said of models that are much alike."""

import sqlite3
import time
from dataclasses import replace

import pytest

pytest.importorskip("fastapi")
from page_server import CARD, a_scan

from ensemble.serving.pages.in_words import errors_in_words
from ensemble.serving.pages.view import scan_view


def test_what_is_kept_no_longer_is_not_shown_before_it_is_deleted(client, add, app):
    job = add(a_scan())
    assert client.get(f"/v1/scans/{job}").status_code == 200
    app.state.settings = replace(app.state.settings, keep_seconds=0.001)
    time.sleep(0.01)
    assert client.get(f"/v1/scans/{job}").status_code == 404
    assert client.get(f"/scans/{job}").status_code == 404
    assert client.get("/v1/scans").json() == []
    assert "clip.mp4" not in client.get("/").text


def test_a_full_disk_keeps_nobody_from_deleting(client, add, app, monkeypatch):
    job = add(a_scan())
    folder = app.state.files.job(app.state.jobs.get(job).folder)
    forget = app.state.jobs.delete

    def with_room(id):
        if (folder / "upload.mp4").exists():
            raise sqlite3.OperationalError("database or disk is full")
        return forget(id)

    monkeypatch.setattr(app.state.jobs, "delete", with_room)
    assert client.delete(f"/v1/scans/{job}").status_code == 204
    assert client.get(f"/v1/scans/{job}").status_code == 404


def test_two_models_of_one_name_are_told_apart(client, add, app):
    jobs = [add(a_scan()), add(a_scan())]
    for job, key in zip(jobs, ("a" * 64, "b" * 64), strict=True):
        app.state.jobs.finish(job, model=("m.dfe", key))
    page = client.get("/compare", params={"ids": jobs}).text
    assert "By m.dfe (version aaaaaa)." in page
    assert "By m.dfe (version bbbbbb)." in page


def test_faces_that_doubts_made_alike_are_not_said_to_differ_in_words():
    scan = a_scan()
    for face in scan["faces"]:
        face["verdict"] = "UNSURE"
    said = scan_view({**scan, "faces_disagree": True}).difference
    assert said == "their scores lie on both sides of the threshold"


def test_a_toy_says_so_wherever_its_errors_are_said():
    said = errors_in_words({**CARD, "toy": True})
    assert said[0].startswith("This model is a toy")
    assert said[1:] == errors_in_words(CARD)
