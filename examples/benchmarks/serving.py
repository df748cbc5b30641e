"""Measure a server: scans a minute, its page while it scans, its memory.

    python examples/benchmarks/serving.py --json results.json
    python examples/benchmarks/serving.py --model model.dfe --clips clips/ --scans 1000
    python examples/benchmarks/serving.py --videos 4 --scans 20 --seconds 5

The same files are scored here (`judge`) and looked at here (`scan_video`), then sent to
a server in a process of its own, one after the other: it looks at them as `scan_video`
does, with pictures of faces and frames. Then some clients read its page and a scan's,
each twice a second, while others are scanned; and small clips are scanned one after the
other, each deleted when it is done, for the memory of server and scanning process.
Without --model an ensemble of two small members is fitted to forged clips.
"""

import argparse
import json
import multiprocessing
import os
import secrets
import socket
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from goals import Goal, write

from base_models import (
    FlickerDetector,
    FrequencyDetector,
    clear_caches,
    list_videos,
    write_video,
)
from ensemble import DeepfakeEnsemble, load, scan_video
from ensemble.datasets import make_forgeries

LEAST_OF_SCANS, MOST_P95, MOST_MIB = 0.5, 0.5, 32.0
PAUSE = 0.5  # seconds between two looks of a client
MIB = 2**20


def serve(model, folder, token, listener, n_waiting):
    """Be the server, in a process of its own."""
    import uvicorn

    from ensemble.serving.app import at_work, create_app
    from ensemble.serving.settings import ServerSettings

    settings = ServerSettings(
        port=listener.getsockname()[1],
        token=token,
        folder=Path(folder),
        queue_length=n_waiting,
        scans_per_minute=10**6,
    )
    app = create_app(model, settings)
    with at_work(app):
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


class Server:
    """What is asked of a server."""

    def __init__(self, process, port, token):
        self.process, self._token = process, token
        self._address = f"http://127.0.0.1:{port}"

    def ask(self, method, path, body=None, kind=None):
        """Return the content of an answer."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "*/*"}
        headers |= {} if kind is None else {"Content-Type": kind}
        request = urllib.request.Request(
            self._address + path, body, headers, method=method
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()

    def send(self, path):
        """Have a file scanned; return the id of its scan."""
        head = 'Content-Disposition: form-data; name="file"; filename="{}"'
        body = f"--x\r\n{head.format(path.name)}\r\n\r\n".encode()
        body += path.read_bytes() + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        return json.loads(self.ask("POST", "/v1/scans", body, kind))["id"]

    def wait(self, scan, pause=0.05):
        """Return once a scan is over."""
        while True:
            found = json.loads(self.ask("GET", f"/v1/scans/{scan}"))
            if found["status"] == "failed":
                raise RuntimeError(found["reason"])
            if found["status"] == "done":
                return
            time.sleep(pause)

    def mib(self):
        """Return the memory of the server and of all that it started."""
        import psutil

        whole = psutil.Process(self.process.pid)
        family = [whole, *whole.children(recursive=True)]
        return sum(process.memory_info().rss for process in family) / MIB


@contextmanager
def serving(model, folder, n_waiting):
    """Start a server, and end it."""
    token, listener = secrets.token_urlsafe(32), socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(model, str(folder), token, listener, n_waiting)
    )
    process.start()
    server = Server(process, listener.getsockname()[1], token)
    try:
        server.ask("GET", "/ready")  # it listens already: the answer comes once it can
        yield server
    finally:
        listener.close()
        process.terminate()
        process.join(30)


def forged(folder, n_videos):
    """Return forged videos, their labels and groups."""
    made = make_forgeries(folder / "clips", n_identities=max(6, n_videos // 2))
    return [str(video) for video in made.videos], made.labels, made.groups


def fitted(folder, videos, labels, groups):
    """Fit an ensemble of two small members; return its file."""
    members = [("frequency", FrequencyDetector()), ("flicker", FlickerDetector())]
    model = DeepfakeEnsemble(members, resampling=2, random_state=0)
    model.fit(videos, labels, groups=groups).save(folder / "model.dfe")
    return folder / "model.dfe"


def a_minute(work, videos):
    """Return how many videos a minute some work does that knows none of them."""
    clear_caches()
    with tempfile.TemporaryDirectory() as store:
        os.environ["DEEPFAKE_ENSEMBLE_STORE"] = store
        began = time.perf_counter()
        work(videos)
        took = time.perf_counter() - began
        clear_caches()
    return 60 * len(videos) / took


def sent(server, videos):
    """Have videos scanned, all at once."""
    for scan in [server.send(Path(video)) for video in videos]:
        server.wait(scan)


def looks(server, n_clients, seconds, videos):
    """Return how long each look of clients took while videos are scanned."""
    first = server.send(Path(videos[0]))
    server.wait(first)
    end, times = time.monotonic() + seconds, []

    def scans():
        while time.monotonic() < end:
            sent(server, videos)

    def client(number):
        time.sleep(PAUSE * number / n_clients)
        while time.monotonic() < end:
            for path in ("/", f"/scans/{first}"):
                began = time.perf_counter()
                server.ask("GET", path)
                times.append(time.perf_counter() - began)
                time.sleep(PAUSE)

    threads = [threading.Thread(target=scans)]
    threads += [threading.Thread(target=client, args=(n,)) for n in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def memory(server, folder, n_scans):
    """Return the server's memory after each of many scans of small clips."""
    draw, clips = np.random.default_rng(0), []
    for number in range(4):
        frames = draw.integers(0, 256, (8, 48, 64, 3), np.uint8)
        clips.append(Path(write_video(folder / f"small-{number}.mp4", frames)))
    taken = []
    for number in range(n_scans):
        scan = server.send(clips[number % len(clips)])
        server.wait(scan, 0.02)
        server.ask("DELETE", f"/v1/scans/{scan}")
        taken.append(server.mib())
    return taken


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--model", type=Path, help="a saved ensemble")
    parser.add_argument("--clips", type=Path, help="folder of videos; else forged ones")
    parser.add_argument("--videos", type=int, default=20, help="at most")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="that they look")
    parser.add_argument("--scans", type=int, default=1000, help="for the memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        goals, raw = measured(options, Path(folder))
    write(goals, raw, options.json)


def measured(options, folder):
    """Return the goals, and the raw figures."""
    os.environ["DEEPFAKE_ENSEMBLE_STORE"] = str(folder / "store")
    made = forged(folder, options.videos)
    path = options.model or fitted(folder, *made)
    videos = made[0]
    if options.clips is not None:
        videos = [str(video) for video in list_videos(options.clips)]
    videos = videos[: options.videos]
    model = load(path)

    def looked(videos):
        for video in videos:
            scan_video(model, video)

    a_minute(looked, videos[:1])  # what is loaded once
    raw = {
        "judge": a_minute(model.judge, videos),
        "scan_video": a_minute(looked, videos),
    }
    with serving(path, folder / "served", 2 * len(videos) + 10) as server:
        sent(server, videos[:1])
        raw["server"] = a_minute(lambda videos: sent(server, videos), videos)
        raw["looks, s"] = looks(server, options.clients, options.seconds, videos)
        raw["memory, MiB"] = memory(server, folder, options.scans)
    p95 = np.percentile(raw["looks, s"], 95)
    taken = np.array(raw["memory, MiB"])
    warm, part = taken[len(taken) // 10 :], max(1, len(taken) // 10)
    grown = np.median(warm[-part:]) - np.median(warm[:part])
    goals = [
        Goal.at_least(
            f"scans a minute ({raw['server']:.3g}) / scan_video here",
            raw["server"] / raw["scan_video"], LEAST_OF_SCANS,
        ),
        Goal.at_least(
            "scans a minute / judge here", raw["server"] / raw["judge"], LEAST_OF_SCANS
        ),
        Goal.at_most(
            f"p95 of a page, {options.clients} clients while it scans, s", p95, MOST_P95
        ),
        Goal.at_most(
            f"memory of {taken[-1]:.0f} MiB: growth over {len(taken):,} scans", grown,
            MOST_MIB,
        ),
    ]  # fmt: skip
    return goals, raw


if __name__ == "__main__":
    main()
