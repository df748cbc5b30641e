"""The line that the server writes of each request."""

import re

import pytest

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

from ensemble.cli.commands.running.serve import requests_noted
from ensemble.serving.app import create_app
from ensemble.serving.settings import ServerSettings

TOKEN = "t0ken/of+the=server"


@pytest.fixture
def app(tmp_path):
    app = create_app("m.dfe", ServerSettings(folder=tmp_path / "s", token=TOKEN))
    app.state.scanner.wake = lambda: None
    yield app
    app.state.jobs.close()


def test_each_request_is_a_line_without_tokens_and_names(app, tmp_path):
    log = tmp_path / "requests.log"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    stranger = TestClient(app, "http://127.0.0.1")
    client = TestClient(app, "http://127.0.0.1", headers=headers)
    with requests_noted(log, quiet=False):
        stranger.get("/health")
        stranger.get("/v1/model")
        stranger.get("/", params={"token": TOKEN}, follow_redirects=False)
        files = {"file": ("my holiday.mp4", b"x")}
        scan = client.post("/v1/scans", files=files).json()["id"]
        client.get(f"/v1/scans/{scan}")
        client.get("/t0ken%2Fof%2Bthe%3Dserver")
        client.get("/a%0Ab" + "c" * 1000)
    text = log.read_text()
    rows = [line.split(" ", 3) for line in text.splitlines()]
    assert [row[1:3] for row in rows[:5]] == [
        ["GET", "/health"], ["GET", "/v1/model"], ["GET", "/"], ["POST", "/v1/scans"],
        ["GET", f"/v1/scans/{scan}"],
    ]  # fmt: skip
    statuses = [line.split()[-2] for line in text.splitlines()]
    assert statuses == ["200", "401", "303", "202", "200", "404", "404"]
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]+ .+ \d{3} \d+\.\d{3}"
    assert all(re.fullmatch(pattern, line) for line in text.splitlines())
    assert "hidden" in text
    assert "t0ken" not in text
    assert "holiday" not in text
    assert max(map(len, text.splitlines())) < 300
    assert log.stat().st_mode & 0o777 == 0o600
    client.get("/health")
    assert log.read_text() == text  # nothing after it
    assert 'deepfake_answers_total{status="401"} 1.0' in client.get("/metrics").text


def test_it_goes_to_standard_error_unless_that_is_to_be_quiet(app, capsys):
    client = TestClient(app, "http://127.0.0.1")
    with requests_noted(None, quiet=False):
        client.get("/health")
    assert " GET /health 200 " in capsys.readouterr().err
    with requests_noted(None, quiet=True):
        client.get("/health")
    assert capsys.readouterr().err == ""
