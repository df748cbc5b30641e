"""Addresses that are given to a real server, which fetches them from a real one."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from served import Served

pytest.importorskip("fastapi")
pytestmark = pytest.mark.slow


class _Clips(BaseHTTPRequestHandler):
    """A clip, at once or drop by drop."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            if self.path.startswith("/slow") and not self.server.hurries:
                for _ in range(300):
                    self.wfile.write(self.server.clip[:1])
                    time.sleep(0.1)
            self.wfile.write(self.server.clip)

    def log_message(self, *_):
        pass


@pytest.fixture
def clips(tmp_path):
    from base_models import write_video

    frames = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Clips)
    listening.daemon_threads = True
    listening.clip = write_video(tmp_path / "clip.mp4", frames).read_bytes()
    listening.asked, listening.hurries = [], False
    listening.at = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield listening
    listening.shutdown()
    listening.server_close()
    thread.join()


def _submit(served, url):
    body = json.dumps({"url": url}).encode()
    status, answer = served.ask(
        "POST", "/v1/scans", body, Content_Type="application/json"
    )
    assert status == 202, answer
    return json.loads(answer)["id"]


def _until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_address_is_fetched_and_scanned(clips, tmp_path):
    with Served(tmp_path, reached="127.0.0.1", allow_urls=True) as served:
        scan = served.scanned(_submit(served, f"{clips.at}/a%20clip.mp4?sig=secret"))
        assert (scan["status"], scan["name"]) == ("done", "a clip.mp4")
        assert scan["result"]["video"] == "a clip.mp4"
        failed = served.scanned(_submit(served, f"http://127.0.0.2/x?sig={'secret'}"))
        assert failed["status"] == "failed"
        assert "no such server on the public internet" in failed["reason"]
        assert "secret" not in json.dumps([scan, failed])
        begin = _submit(served, f"{clips.at}/slow.mp4")  # deleted while it comes
        _until(lambda: "/slow.mp4" in clips.asked)
        assert served.ask("DELETE", f"/v1/scans/{begin}")[0] == 204
        jobs = served.folder / "jobs"
        _until(lambda: len(list(jobs.iterdir())) == 1)  # of what was scanned
        assert "Traceback" not in served.said()


def test_a_server_that_takes_no_addresses_asks_nobody(clips, tmp_path):
    with Served(tmp_path, reached="127.0.0.1") as served:
        body = json.dumps({"url": f"{clips.at}/clip.mp4"}).encode()
        kind = {"Content_Type": "application/json"}
        assert served.ask("POST", "/v1/scans", body, **kind)[0] == 403
    assert clips.asked == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_next_server_fetches_what_the_last_did_not(clips, tmp_path, how):
    options = {"reached": "127.0.0.1", "allow_urls": True}
    with Served(tmp_path, **options) as served:
        scan = _submit(served, f"{clips.at}/slow.mp4")
        _until(lambda: clips.asked)
        begin = time.monotonic()
        if how == "kill":
            served.process.kill()
            served.process.wait()
        else:
            served.stop()
        assert time.monotonic() - begin < 15
        assert "Traceback" not in served.said()
    clips.hurries = True
    with Served(tmp_path, **options) as served:
        assert served.scanned(scan)["status"] == "done"
        assert "Traceback" not in served.said()
