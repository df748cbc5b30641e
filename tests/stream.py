"""A stream over the loopback interface, for tests of sources that run."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

_SERVER = """
import sys, time
from fractions import Fraction
import av, numpy as np
address, n_frames, fps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with av.open(f"{address}?listen=1", "w", format="mpegts") as container:
    stream = container.add_stream("libx264", rate=Fraction(fps))
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.options = {"tune": "zerolatency", "preset": "ultrafast"}
    begin = time.perf_counter()
    for number in range(n_frames):
        image = np.full((48, 64, 3), 8 * (number % 30), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = number
        container.mux(stream.encode(frame))
        time.sleep(max(0, begin + number / fps - time.perf_counter()))
    container.mux(stream.encode(None))
"""


@pytest.fixture
def serve():
    """Serve frames once as MPEG-TS over TCP, at a rate by the clock on the wall."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("it is seen here only under Linux when a server listens")
    servers = []

    def start(n_frames, fps):
        address = f"tcp://127.0.0.1:{free_port()}"
        command = [sys.executable, "-c", _SERVER, address, str(n_frames), str(fps)]
        servers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        _until_it_listens(address)
        return address

    yield start
    for server in servers:
        server.kill()
        server.wait()


def _until_it_listens(address):
    """Wait without connecting: the server takes one guest."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    for _ in range(200):
        lines = Path("/proc/net/tcp").read_text().splitlines()
        if any(line.split()[1].endswith(port) and line.split()[3] == "0A"
               for line in lines[1:]):  # fmt: skip
            return
        time.sleep(0.1)
    raise TimeoutError(address)


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
