"""A real server on a free port, for real clients."""

import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest

TOKEN = "a-token-for-tests-of-the-server"


class Served:
    """A server that runs, and a client that may use it.

    Attributes
    ----------
    app : FastAPI
    url : str
    client : httpx.Client
        With the token.
    """

    def __init__(self, app, url):
        import httpx

        self.app, self.url = app, url
        self.client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )

    def send(self, path, name=None):
        """Upload a file; return the answer."""
        with open(path, "rb") as file:
            files = {"file": (name or path.name, file)}
            return self.client.post("/v1/scans", files=files)

    def scan(self, path, name=None):
        """Upload a file and wait for what becomes of it."""
        answer = self.send(path, name)
        assert answer.status_code == 202, answer.text
        return self.wait(answer.json()["id"])

    def wait(self, scan, *statuses, seconds=60):
        """Return a scan once it has one of some statuses: done or failed, if none."""
        statuses, end = statuses or ("done", "failed"), time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.client.get(f"/v1/scans/{scan}").json()
            if found["status"] in statuses:
                return found
            time.sleep(0.05)
        raise AssertionError(f"it is still {found}")

    def made(self, link, seconds=60):
        """Return the answer of what is made on demand, once it is made."""
        end = time.monotonic() + seconds
        while (answer := self.client.get(link)).status_code == 202:
            assert answer.headers["Retry-After"]
            assert time.monotonic() < end
            time.sleep(0.1)
        return answer


@contextmanager
def _serving(model, **settings):
    import uvicorn

    from ensemble.serving.app import create_app
    from ensemble.serving.settings import ServerSettings

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = {"token": TOKEN, "scans_per_minute": 1000, **settings}
        app = create_app(model, ServerSettings(port=port, **settings))
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        served = Served(app, f"http://127.0.0.1:{port}")
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.05)
            yield served
        finally:
            served.client.close()
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def serving():
    """What serves a model within limits, in a ``with`` block."""
    for name in ("fastapi", "httpx"):
        pytest.importorskip(name)
    return _serving


@pytest.fixture
def app(tmp_path):
    """An app without a process that scans."""
    from page_server import FACTS

    from ensemble.serving.app import create_app
    from ensemble.serving.settings import ServerSettings

    settings = ServerSettings(folder=tmp_path / "serve", token="t" * 32)
    app = create_app("model.dfe", settings)
    app.state.scanner.model_facts = FACTS
    yield app
    app.state.jobs.close()


@pytest.fixture
def client(app):
    from starlette.testclient import TestClient

    headers = {"Authorization": f"Bearer {app.state.settings.token}"}
    return TestClient(app, "http://127.0.0.1", headers=headers)


@pytest.fixture
def add(app):
    """``add(scan, name=...)`` puts a scan that is done beside the others."""

    def added(scan=None, name="clip.mp4", media="video", session="token"):
        folder = app.state.files.make_folder()
        job = app.state.jobs.add(name, folder, media=media, session=session)
        path = app.state.files.job(folder)
        (path / "upload.mp4").write_bytes(b"pixels")
        app.state.jobs.claim()
        if scan is not None:
            for kind, number in (("faces", 1), ("frames", 0)):
                (path / kind).mkdir()
                (path / kind / f"{number}.jpg").write_bytes(b"jpeg")
            (path / "scan.json").write_text(json.dumps(scan))
            app.state.jobs.finish(job.id)
        return job.id

    return added
