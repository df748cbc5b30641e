"""``serve`` as it is run: begun, stopped, killed and begun again."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from ensemble.cli.app import main
from ensemble.cli.commands.running.serve import _where, listening, read_token

httpx, psutil = pytest.importorskip("httpx"), pytest.importorskip("psutil")
MODEL = Path(__file__).parents[2] / "saved_models" / "version_1" / "logistic.dfe"
RUN = "from ensemble.cli.start import main; main()"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.slow_after(7)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--token-file secret.txt"),
        (["--keep", "soon"], "90s, 30m, 1h or 2d"),
        (["--keep", "0h"], "above 0"),
        (["--keep", "1"], "with its unit"),
        (["--upload", "512", "--disk", "0.25"], "a smaller --upload"),
        (["--allow-host", "http://a.org/scans/"], "a name alone"),
        (["--log", "there.dfe"], "written into what is read"),
        ([], "`assemble` writes one"),
        (["--token-file", "short.txt"], "16 characters or more"),
        (["--token-file", "none.txt"], "openssl rand -hex 32 > none.txt"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("secret\n")
    (tmp_path / "there.dfe").touch()
    model = "there.dfe" if "--log" in arguments else "model.dfe"
    with pytest.raises(SystemExit) as left:
        main(["serve", model, *arguments])
    assert left.value.code == 2
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine.log", b"path,label\na.mp4,REAL\n", "is no log that serve wrote"),
        ("clip", b"\0\0\0 ftypisom", "is no log that serve wrote"),
        ("clip.mp4", None, "ends in .mp4, and what is written there is a log"),
        ("videos.csv", b"", "ends in .csv, and what is written there is a log"),
    ],
)
def test_no_log_is_appended_to_a_file_of_another_kind(
    name, content, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main(["serve", str(MODEL), "--log", name, "--host", "127.0.0.1"])
    assert left.value.code == 2
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert (Path(name).read_bytes() if Path(name).exists() else None) == content


def test_what_is_logged_is_known_as_a_log(tmp_path):
    from ensemble.cli.commands.running.serve import requests_noted
    from ensemble.serving.access_log import AccessLog, is_log

    async def closed(scope, receive, send):
        pass  # who asked has left

    log = tmp_path / "access.log"
    with requests_noted(log, quiet=True):
        assert is_log(log)
        scope = {"type": "http", "method": "GET", "path": "/a b\n", "raw_path": b""}
        asyncio.run(AccessLog(closed, TOKEN, Counter())(scope, None, None))
    assert len(log.read_text().splitlines()) == 1
    assert is_log(log)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port} cannot be listened on"):
            listening("127.0.0.1", port)


def test_a_server_that_listens_on_all_addresses_is_called_by_those_that_others_reach():
    from ensemble.serving.settings import ServerSettings

    everywhere = ServerSettings(host="0.0.0.0", token=TOKEN)
    said = _where(everywhere, Path("secret.txt"))
    assert "0.0.0.0" not in said
    assert f"http://{socket.gethostname()}:8000/" in said
    assert TOKEN not in said
    assert _where(ServerSettings(host="::1", token=TOKEN), None) == (
        f"open http://[::1]:8000/?token={TOKEN}"
    )


def test_a_token_is_the_text_of_its_file(tmp_path):
    (tmp_path / "secret.txt").write_text(f" {TOKEN}\n")
    assert read_token(tmp_path / "secret.txt") == TOKEN


@contextmanager
def _serving(folder, *more):
    """Run the command; give its process, a client, and where it says to go."""
    (folder / "secret.txt").write_text(TOKEN)
    process = subprocess.Popen(
        [
            sys.executable, "-c", RUN, "serve", str(MODEL), "--port", "0",
            "--folder", str(folder / "files"), "--token-file",
            str(folder / "secret.txt"), *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        url = re.search(r"http://127.0.0.1:\d+", line)[0]
        assert TOKEN not in line
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _children(process):
    return psutil.Process(process.pid).children(recursive=True)


def _assert_gone(processes, seconds=5):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def _send(client, path):
    with open(path, "rb") as file:
        return client.post("/v1/scans", files={"file": file}).json()["id"]


def _wait(client, scan, *statuses):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        found = client.get(f"/v1/scans/{scan}").json()
        if found["status"] in statuses:
            return found
        time.sleep(0.02)
    raise AssertionError(found)


@pytest.fixture(scope="module")
def clip(shared):
    return next(iter(sorted((shared / "data" / "clips" / "real").glob("*.mp4"))))


@pytest.mark.slow
def test_a_scan_is_that_of_the_command_scan(clip, tmp_path):
    with pytest.raises(SystemExit):
        main(["scan", str(clip), "--model", str(MODEL), "-q", "--json",
              str(tmp_path / "scan.json")])  # fmt: skip
    (expected,) = json.loads((tmp_path / "scan.json").read_text())
    assert expected.pop("video") == str(clip)
    with _serving(tmp_path) as (_, client):
        found = _wait(client, _send(client, clip), "done", "failed")
        assert found["result"].pop("video") == clip.name
        assert found["result"] == expected
        assert client.delete(f"/v1/scans/{found['id']}").status_code == 204
        left = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
        assert {path.name.partition("-")[0] for path in left} <= {
            "jobs.sqlite", "lock", "fontlist"
        }  # fmt: skip


@pytest.mark.slow
def test_a_killed_server_goes_on_where_it_was(clip, tmp_path):
    with _serving(tmp_path) as (process, client):
        scans = [_send(client, clip) for _ in range(3)]
        _wait(client, scans[0], "running")
        while not (workers := _children(process)):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _assert_gone(workers)
    with _serving(tmp_path) as (_, client):
        found = [_wait(client, scan, "done", "failed") for scan in scans]
        assert [scan["status"] for scan in found] == ["done"] * 3
        assert found[0]["result"] == found[1]["result"]


@pytest.mark.slow
def test_a_file_at_which_the_server_ended_twice_fails(clip, tmp_path):
    scan = None
    for _ in range(2):
        with _serving(tmp_path) as (process, client):
            scan = scan or _send(client, clip)
            _wait(client, scan, "running")
            process.send_signal(signal.SIGKILL)
            process.wait()
    with _serving(tmp_path) as (_, client):
        found = _wait(client, scan, "done", "failed")
        assert found["status"] == "failed"
        assert "the server ended twice while it was looking at" in found["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_keeps_what_waits(kind, clip, tmp_path):
    with _serving(tmp_path) as (process, client):
        scans = [_send(client, clip) for _ in range(2)]
        _wait(client, scans[0], "running")
        workers = _children(process)
        process.send_signal(kind)
        assert process.wait(15) == 130
        assert "scans that wait are kept" in process.stderr.read()
        _assert_gone(workers)
    for _ in range(2):  # an end in order counts for no try
        with _serving(tmp_path) as (process, client):
            _wait(client, scans[0], "running", "done")
            process.send_signal(signal.SIGTERM)
            process.wait(15)
    with _serving(tmp_path) as (_, client):
        found = [_wait(client, scan, "done", "failed") for scan in scans]
        assert [scan["status"] for scan in found] == ["done"] * 2


@pytest.mark.slow
def test_a_second_server_in_the_same_folder_is_refused(tmp_path):
    with _serving(tmp_path):
        second = subprocess.run(
            [sys.executable, "-c", RUN, "serve", str(MODEL), "--port", "0",
             "--folder", str(tmp_path / "files")],
            capture_output=True, text=True,
        )  # fmt: skip
    assert second.returncode == 2
    assert "another server uses" in second.stderr


@pytest.mark.slow
def test_a_model_that_is_none_is_an_error_of_the_command(tmp_path, capsys):
    (tmp_path / "model.dfe").write_text("no model")
    with pytest.raises(SystemExit) as left:
        main(["serve", str(tmp_path / "model.dfe"), "--port", "0", "--folder",
              str(tmp_path / "files")])  # fmt: skip
    assert left.value.code == 2
    assert "model.dfe" in capsys.readouterr().err


def test_a_folder_of_other_things_is_refused(tmp_path):
    from ensemble.serving.files import ServerFiles

    tmp_path.chmod(0o700)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match=r"holds other things \(letter.txt\)"):
        ServerFiles(tmp_path, 2**30)
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="open to others"):
        ServerFiles(tmp_path / "open", 2**30)
