"""A server as strangers meet it: by its description, and by the client."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from served import Served

pytest.importorskip("fastapi")
pytestmark = pytest.mark.slow
CLIENT = Path(__file__).resolve().parents[3] / "examples" / "serve_client.py"
# As on the machine of somebody who has httpx alone.
STRANGER = (
    "import runpy, sys; sys.modules.update(ensemble=None, base_models=None);"
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with Served(folder, allow_urls=True, queue_length=10_000) as server:
        yield server
    assert "Traceback" not in server.said()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from base_models import write_video

    frames = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
    path = tmp_path_factory.mktemp("clips") / "a <b>.mp4"
    return Path(write_video(path, frames))


def test_the_api_is_as_it_says(served, clip, tmp_path):
    """Examples that are made of its description, right ones and wrong ones."""
    pytest.importorskip("schemathesis")
    _, job = served.upload("clip.mp4", clip.read_bytes())
    assert served.scanned(job["id"])["status"] == "done"
    run = subprocess.run(
        [shutil.which("schemathesis") or Path(sys.executable).parent / "schemathesis",
         "run", f"{served.address}/v1/openapi.json", "--max-examples", "20", "--seed",
         "0", "-H", f"Authorization: Bearer {served.token}", "--generation-database",
         "none", "--continue-on-failure", "--no-color", "--exclude-checks",
         "allow_header_conformance",  # of OPTIONS: Starlette lists one route of two
         "--exclude-path", "/ready"],  # 503 while a model is loaded anew, and rightly
        cwd=tmp_path, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-5000:]
    until = time.monotonic() + 60
    while served.ask("GET", "/ready")[0] != 200:  # its model is loaded anew
        assert time.monotonic() < until
        time.sleep(0.2)


def _as_a_stranger(served, folder, *arguments):
    (folder / "token.txt").write_text(f"{served.token}\n")
    shutil.copy(CLIENT, folder / "client.py")
    return subprocess.run(
        [sys.executable, "-c", STRANGER, "client.py", *map(str, arguments), "--server",
         served.address, "--token-file", "token.txt"],
        cwd=folder, capture_output=True, text=True, timeout=200,
    )  # fmt: skip


def test_the_client_needs_nothing_of_ours(served, clip, tmp_path):
    run = _as_a_stranger(
        served, tmp_path, clip, clip, "--json", "found.json", "--save", "kept"
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found) == [str(clip)]
    assert found[str(clip)]["video"] == "a <b>.mp4"
    one = found[str(clip)]
    assert one["verdict"] in ("FAKE TRACES", "UNSURE")
    said = f"{clip}: {one['verdict']}, suspicion {one['suspicion']:.3f}"
    assert sum(line.startswith(said) for line in lines) == 2
    assert lines[-1] == "A score is evidence, not proof."
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 6
    assert {path.suffix for path in kept} == {".html", ".png"}
    assert all(path.stat().st_size > 1000 for path in kept)


def test_the_client_tells_two_people_apart(serving, tmp_path):
    from serving_models import squares

    from base_models import write_video
    from ensemble.serving.settings import ServedModel

    model = ServedModel(("",), "serving_models:open_squares")
    write_video(tmp_path / "two.mp4", squares(40, 220))
    with serving(model, folder=tmp_path / "served") as server:

        class Here:
            address = server.url
            token = server.client.headers["Authorization"].partition(" ")[2]

        run = _as_a_stranger(Here, tmp_path, "two.mp4", "--json", "found.json")
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "found.json").read_text())["two.mp4"]
    one, two = found["faces"]
    said = [line for line in run.stdout.splitlines() if line.startswith("  face ")]
    assert said == [
        f"  face {face['face']}, {face['first']:.1f} to {face['last']:.1f} s: "
        f"{face['verdict']}, P(fake) {face['p_fake']:.3f}"
        for face in (one, two)
    ]
    assert one["p_fake"] < two["p_fake"]


def test_the_client_says_what_went_wrong(served, clip, tmp_path):
    (tmp_path / "none.mp4").write_bytes(b"no video")
    run = _as_a_stranger(
        served, tmp_path, "none.mp4", "missing.mp4", "http://127.0.0.1/x.mp4", clip
    )
    assert run.returncode == 1
    said = run.stderr.splitlines()
    assert len(said) == 3
    assert said[0].startswith("none.mp4: ")
    assert "video" in said[0]
    assert "missing.mp4" in said[1]
    assert "no such server on the public internet" in said[2]
    assert f"{clip}: " in run.stdout


def test_the_client_shows_a_wrong_token_and_a_server_that_is_not_there(
    served, clip, tmp_path
):
    class Other:
        address, token = served.address, "wrong"

    run = _as_a_stranger(Other, tmp_path, clip)
    assert run.returncode == 1
    assert "(401)" in run.stderr
    Other.address = "http://127.0.0.1:9"
    run = _as_a_stranger(Other, tmp_path, clip)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
