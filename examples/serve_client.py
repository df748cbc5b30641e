"""Have a `deepfake-ensemble serve` scan files, and print what it says of each.

    deepfake-ensemble serve model.dfe --token-file secret.txt
    python examples/serve_client.py clip.mp4 photo.jpg --token-file secret.txt
    python examples/serve_client.py https://example.org/clip.mp4 --token-file secret.txt

It needs httpx (`pip install httpx`) and nothing of deepfake-ensemble: copy it.
Addresses are taken by servers that were started with --allow-urls. Ends with 1 where a
file could not be scanned.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

try:
    import httpx
except ImportError:
    sys.exit("this client needs httpx: pip install httpx")

MOST_WAIT = 15.0  # seconds between two looks
KEPT = ("report.html", "evidence.html", "timeline.png")


class ScanError(Exception):
    """The server does not do what was asked for; its words."""


class ScanClient:
    """What a server can be asked for.

    Parameters
    ----------
    server : str
        Such as ``http://127.0.0.1:8000``.
    token : str
        Of that server.
    seconds : float, default=3600.0
        That a file may take, with the time that it waits for others.
    """

    def __init__(self, server: str, token: str, seconds: float = 3600.0) -> None:
        self._server, self._seconds = server, seconds
        self._http = httpx.Client(
            base_url=server,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(60.0, write=None),
        )

    def __enter__(self) -> "ScanClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, file: str | Path) -> str:
        """Send a video, an image or an address; return the id of its scan."""
        if str(file).startswith(("http://", "https://")):
            answer = self._ask("POST", "/v1/scans", json={"url": str(file)})
        else:
            with Path(file).open("rb") as content:
                named = {"file": (Path(file).name, content)}
                answer = self._ask("POST", "/v1/scans", files=named)
        return str(_found(answer, "id")["id"])

    def wait(self, scan: str) -> dict[str, Any]:
        """Return a scan once it is done: ``result`` has what was found.

        Raises
        ------
        ScanError
            With the reason, if it failed.
        """
        end, pause = time.monotonic() + self._seconds, 0.2
        while time.monotonic() < end:
            answer = self._ask("GET", f"/v1/scans/{scan}")
            found = _found(answer, "status", "reason", "result", "links")
            if found["status"] == "failed":
                raise ScanError(found["reason"])
            if found["status"] == "done" and found["result"] is None:
                raise ScanError("the server no longer has what was found")
            if found["status"] == "done":
                return found
            time.sleep(pause)
            pause = min(MOST_WAIT, 1.3 * pause)
        raise ScanError(f"it was not done within {self._seconds:g} seconds")

    def save(self, scan: str, name: str, path: str | Path) -> None:
        """Write what there is of a scan; what is not made yet is made for it.

        Parameters
        ----------
        scan : str
        name : str
            scan.json, report.html, evidence.html, annotated.mp4 or timeline.png.
        path : str or Path
        """
        Path(path).write_bytes(self._ask("GET", f"/v1/scans/{scan}/{name}").content)

    def delete(self, scan: str) -> None:
        """Have the server forget a scan and its files."""
        self._ask("DELETE", f"/v1/scans/{scan}")

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Ask until the server has time, and has made what is asked for."""
        end = time.monotonic() + self._seconds
        while True:
            try:
                answer = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                raise ScanError(f"{self._server} does not answer: {error}") from None
            is_later = answer.status_code in (202, 429, 503) and (
                "Retry-After" in answer.headers
            )
            if not is_later or time.monotonic() > end:
                break
            time.sleep(_wait(answer.headers["Retry-After"]))
        if answer.status_code == 401:
            raise ScanError(f"{self._server} does not know this token (401)")
        if not answer.is_success or is_later:
            raise ScanError(_reason(answer))
        return answer


def _wait(text: str) -> float:
    """Return the seconds to wait; proxies may give a date, or nonsense."""
    try:
        return min(MOST_WAIT, max(0.2, float(text)))
    except ValueError:
        return MOST_WAIT


def _found(answer: httpx.Response, *names: str) -> dict[str, Any]:
    """Return what a server says, which must have some names."""
    try:
        found: dict[str, Any] = answer.json()
        if all(name in found for name in names):
            return found
    except (ValueError, TypeError):
        pass
    raise ScanError("what answers there is no deepfake-ensemble serve")


def _reason(answer: httpx.Response) -> str:
    try:
        return f"{answer.json()['detail']} ({answer.status_code})"
    except (ValueError, KeyError, TypeError):
        where = answer.headers.get("location")
        there = f" and leads to {where}" if where else ""
        return f"the server answers {answer.status_code}{there}"


def described(found: dict[str, Any]) -> str:
    """Return what was found, in a line for the file and one for each face."""
    name = "score" if found.get("calibration") == "unknown" else "P(fake)"
    if "suspicion" in found:  # the model learned from real videos alone
        name = "suspicion"
    said = f"{found['verdict'] or 'no verdict'}, {_score(found, name)}"
    for note in (found["reason"], found["doubts"]):
        said += f"; {note}" if note else ""
    lines = [said]
    for face in found["faces"]:
        lines.append(
            f"  face {face['face']}, {face['first']:.1f} to {face['last']:.1f} s: "
            f"{face['verdict'] or 'no verdict'}, {_score(face, name)}"
        )
    return "\n".join(lines)


def _score(scored: dict[str, Any], name: str) -> str:
    score = scored["suspicion" if name == "suspicion" else "p_fake"]
    return f"{name} unknown" if score is None else f"{name} {score:.3f}"


def _printable(text: str) -> str:
    """Return a text without what would steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def main() -> int:
    """Scan what is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", help="videos, images or addresses")
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="write what was found, too")
    parser.add_argument(
        "--save", type=Path, help="folder for each file's report, evidence and timeline"
    )
    options = parser.parse_args()
    found: dict[str, Any] = {}
    failed = 0
    try:
        token = options.token_file.read_text().strip()
    except OSError as error:
        parser.error(f"--token-file {options.token_file}: {error.strerror}")
    with ScanClient(options.server, token) as client:
        for file in options.files:
            try:
                scan = client.submit(file)
                try:
                    done = client.wait(scan)
                    found[file] = done["result"]
                    print(_printable(f"{file}: {described(found[file])}"))
                    if options.save is not None:
                        options.save.mkdir(exist_ok=True)
                        stem = Path(urlsplit(str(file)).path).stem or "scan"
                        for name in KEPT:
                            if done["links"][name.partition(".")[0]] is not None:
                                path = options.save / f"{stem}-{scan[:6]}-{name}"
                                client.save(scan, name, path)
                                print(_printable(f"  saved {path}"))
                finally:  # nothing of it stays there, whatever happens
                    client.delete(scan)
            except (ScanError, OSError, httpx.HTTPError) as error:
                print(_printable(f"{file}: {error}"), file=sys.stderr)
                failed += 1
    if found:
        print("A score is evidence, not proof.")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
