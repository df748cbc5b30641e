"""A real server in a process of its own, for tests that ask it from outside."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SAVED = Path(__file__).resolve().parent / "saved_models"
MODEL = SAVED / "version_1" / "reals_alone.dfe"
_CODE = """
import json, sys
from pathlib import Path
from ensemble.cli.commands.running import serve
from ensemble.serving.settings import ServedModel, ServerSettings

model, folder, changed, reached = sys.argv[1:]
if reached:
    from ensemble.serving import fetching
    fetching.is_public = lambda address: address == reached
settings = ServerSettings(port=0, folder=Path(folder), **json.loads(changed))
serve._run(ServedModel.of(model), settings, None, True)
"""


class Served:
    """A server that runs until the block ends.

    Parameters
    ----------
    folder : Path
        Gets the server's files and what it printed (``log.txt``).
    model : Path
    reached : str, default=""
        An address by number that it may fetch from, as no other; "" is as it is.
    **settings
        Of `ServerSettings`; what a test sends is not too often unless it says so.
    """

    def __init__(self, folder, model=MODEL, reached="", **settings):
        self.folder, self.log = folder / "served", folder / "log.txt"
        settings = {"scans_per_minute": 10**9, **settings}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", _CODE, str(model), str(self.folder),
                 json.dumps(settings), reached],
                stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait(self, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            said = re.search(r"open (http://\S+?)/\?token=(\S+)", self.said())
            if said is not None:
                self.address, self.token = said.groups()
                self.port = int(self.address.rpartition(":")[2])
                while self.ask("GET", "/health")[0] != 200:
                    time.sleep(0.05)
                return
            time.sleep(0.1)
        raise RuntimeError(f"the server did not start: {self.said()}")

    def said(self):
        """Return what it printed."""
        return self.log.read_text("utf-8", "replace")

    def ask(self, method, path, body=None, **headers):
        """Return status and content of an answer; the token is shown."""
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        request = urllib.request.Request(
            f"{self.address}{path}", body, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except urllib.error.URLError:
            return 0, b""

    def upload(self, name, content):
        """Send a file to be scanned; return status and the answer as JSON."""
        body = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="'
            + name.encode()
            + b'"\r\n\r\n'
            + content
            + b"\r\n--x--\r\n"
        )
        kind = "multipart/form-data; boundary=x"
        status, text = self.ask("POST", "/v1/scans", body, Content_Type=kind)
        return status, json.loads(text)

    def scanned(self, scan, seconds=120):
        """Return what the API says of a scan once it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = json.loads(self.ask("GET", f"/v1/scans/{scan}")[1])
            if found["status"] in ("done", "failed"):
                return found
            time.sleep(0.1)
        raise RuntimeError(f"not over after {seconds} s: {found}")

    def stop(self):
        """End it as a terminal does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
