"""The container's files: what they name exists, and what they start works."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from served import MODEL

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "examples" / "deploy"
_START = "from ensemble.cli.start import main; main()"
KEYS = {  # of a service, as the Compose specification has them
    "build", "image", "command", "ports", "volumes", "tmpfs", "secrets", "user",
    "read_only", "cap_drop", "security_opt", "mem_limit", "pids_limit", "restart",
}  # fmt: skip


def _instructions():
    """Return (instruction, arguments) of the Dockerfile, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def _said(name):
    (arguments,) = [rest for word, rest in _instructions() if word == name]
    return arguments


def _compose():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_what_the_image_is_made_of_exists():
    known = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "EXPOSE",
             "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {word for word, _ in _instructions()} == known
    copied = [rest for word, rest in _instructions() if word == "COPY"]
    for line in copied:
        *sources, _ = [part for part in line.split() if not part.startswith("--")]
        if "--from=build" not in line:
            assert all((ROOT / source).exists() for source in sources), line
    extras = re.findall(r"'\.\[(\w+)\]'", (DEPLOY / "Dockerfile").read_text())
    assert extras == ["serve"]
    assert re.search(r"^serve =$", (ROOT / "setup.cfg").read_text(), re.M)
    # All that setup.cfg reads of files is there when it is installed.
    for name in re.findall(r"(?:file:|license_files =) *(\S+)", _setup()):
        assert any(name in line for line in copied), name


def _setup():
    return (ROOT / "setup.cfg").read_text()


def test_it_runs_without_rights():
    assert _said("USER") == _compose()["services"]["serve"]["user"] == "10001"
    service = _compose()["services"]["serve"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_what_compose_names_exists():
    compose = _compose()
    assert set(compose) == {"services", "volumes", "secrets"}
    service = compose["services"]["serve"]
    assert set(service) == KEYS
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]).is_file()
    assert list(compose["secrets"]) == service["secrets"]
    places = {volume.split(":")[1] for volume in service["volumes"]}
    places |= {place.split(":")[0] for place in service["tmpfs"]} | {"/run/secrets"}
    paths = [part.rpartition("=")[2] for part in service["command"] if "/" in part]
    assert paths
    for path in paths:
        assert any(path == place or path.startswith(f"{place}/") for place in places)
    kept = [volume.split(":")[0] for volume in service["volumes"]]
    assert [name for name in kept if "/" not in name] == list(compose["volumes"])
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "examples/deploy/token.txt" in ignored
    assert compose["secrets"]["token"]["file"] == "./token.txt"


def test_its_options_are_those_of_serve():
    typer = pytest.importorskip("typer")
    from ensemble.cli.app import app

    serve = typer.main.get_command(app).commands["serve"]
    known = {name for option in serve.params for name in option.opts}
    image = json.loads(_said("CMD"))
    compose = _compose()["services"]["serve"]["command"]
    assert json.loads(_said("ENTRYPOINT")) == ["deepfake-ensemble"]
    for command in (image, compose):
        assert command[0] == "serve"
        given = {part.partition("=")[0] for part in command if part.startswith("--")}
        assert given - known == set()
        plain = " ".join(command).replace("=", " ").split()
        assert plain[plain.index("--port") + 1] == _said("EXPOSE")
        assert plain[plain.index("--folder") + 1] == _said("VOLUME")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["image", "compose"])
def test_what_the_container_starts_is_healthy_and_stops(where, tmp_path):
    """All but the container: Docker is not needed for that."""
    pytest.importorskip("fastapi")
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "data").mkdir(mode=0o700)
    port = "48731"
    places = {"/model/model.dfe": str(MODEL), "/data": str(tmp_path / "data"),
              "/run/secrets/token": str(tmp_path / "token"), "8000": port}  # fmt: skip
    command = json.loads(_said("CMD"))
    if where == "compose":
        command = _compose()["services"]["serve"]["command"]
    command = [
        "=".join(places.get(piece, piece) for piece in part.split("="))
        for part in command
    ]
    log = tmp_path / "log.txt"
    with open(log, "wb") as file:
        server = subprocess.Popen(
            [sys.executable, "-c", _START, *command], stdout=file, stderr=file,
            env=os.environ | {"HOME": str(tmp_path)},
        )  # fmt: skip
    try:
        check = json.loads(_said("HEALTHCHECK").partition(" CMD ")[2])
        check = [sys.executable, *check[1:-1], check[-1].replace("8000", port)]
        end = time.monotonic() + 120
        while subprocess.run(check, capture_output=True).returncode:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/model",
            headers={"Authorization": "Bearer 0123456789abcdef0123456789abcdef"},
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["members"]
        server.send_signal(getattr(signal, _said("STOPSIGNAL")))
        server.wait(30)
    finally:
        server.kill()
        server.wait()
    assert subprocess.run(check, capture_output=True).returncode
    assert "Traceback" not in log.read_text()


def test_the_commands_in_its_comments_name_its_files():
    for name in ("Dockerfile", "compose.yaml"):
        text = (DEPLOY / name).read_text()
        for line in re.findall(r"^#   (docker .*)$", text, re.M):
            words = shlex.split(line)
            path = words[words.index("-f") + 1]
            assert (ROOT / path).is_file()
