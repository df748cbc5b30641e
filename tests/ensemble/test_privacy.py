"""Nothing leaves the machine unasked, and what is handed on names nobody."""

import copy
import io
import logging
import os
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import ensemble
from base_models import FrameDetector, write_video
from base_models.limits import Limits
from base_models.networks import weights
from base_models.runtime.clusters.ray_starting import start_ray
from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
_calls, _watching = [], []


def _note(event, arguments):
    if _watching and event in (
        "socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
        "urllib.Request",
    ):  # fmt: skip
        _calls.append((event, arguments[1:]))


sys.addaudithook(_note)  # it stays until the process ends


@pytest.fixture
def sends():
    """What was sent, or tried to be, while the test ran."""
    _calls.clear()
    _watching.append(True)
    yield _calls
    _watching.clear()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    draw = np.random.default_rng(0)
    for number in range(12):
        frames = np.full((4, 32, 32, 3), 60 + 100 * (number % 2), np.uint8)
        frames += draw.integers(0, 40, frames.shape, np.uint8)
        write_video(folder / f"person-anna-{number:02}.mp4", frames, fps=10)
    (folder / "person-anna-00.mp4").write_bytes(b"no video at all")
    return sorted(map(str, folder.iterdir()))


def _fitted(clips, store):
    member = FrameDetector(
        "test_resnet", "frame", train="head", weights=None, image_size=32, n_frames=2
    )
    model = DeepfakeEnsemble(
        {"look": member}, resampling=3, verbose=False, store=store, random_state=0
    )
    groups = [f"anna-{number // 2}" for number in range(12)]
    return model.fit(clips, np.arange(12) % 2, groups=groups)


@pytest.fixture(scope="module")
def model(clips, tmp_path_factory):
    return _fitted(clips, tmp_path_factory.mktemp("store"))


def test_the_guard_sees_what_is_sent(sends):
    with pytest.raises(OSError):  # noqa: PT011
        __import__("socket").create_connection(("127.0.0.1", 1), timeout=1)
    assert sends


@pytest.mark.filterwarnings("ignore")
def test_fits_verdicts_reports_and_comparisons_open_no_connection(
    clips, sends, tmp_path, caplog
):
    with caplog.at_level(logging.DEBUG):
        model = _fitted(clips, tmp_path / "store")
        model.save(tmp_path / "model.dfe")
        loaded = ensemble.load(tmp_path / "model.dfe")
        loaded.judge(clips[:2])
        model.report(tmp_path / "report.html", strategies="mean", n_boot=10)
        compare_strategies(model.oof_scores_, strategies="mean", n_boot=10)
    assert sends == []
    for record in caplog.records:  # nor are there pixels in what is logged
        assert len(record.getMessage()) < 2000
        assert not any(isinstance(a, np.ndarray) for a in (record.args or ()))


def test_ray_is_started_without_its_figures_of_use(monkeypatch):
    seen = []
    ray = ModuleType("ray")
    ray.init = lambda **options: seen.append(
        (os.environ["RAY_USAGE_STATS_ENABLED"], options)
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    start_ray(log_to_driver=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")  # who wants it gets it
    start_ray()
    assert seen == [("0", {"log_to_driver": False}), ("1", {})]


def test_nothing_else_in_the_package_starts_ray():
    starts = [
        path.name
        for package in ("base_models", "ensemble")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"ray\.init\((?!address)", path.read_text("utf-8"))
    ]
    assert starts == ["ray_starting.py"]


def test_a_download_from_the_hub_tells_no_versions(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers

    agents = []

    def download(*_):
        agents.append(build_hf_headers()["user-agent"])
        return tmp_path

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(weights, "_check_reachable", lambda url: None)
    weights._from_hub(SimpleNamespace(hf_hub_id="nobody/nothing"))
    assert agents
    assert "torch" not in agents[0]


@pytest.mark.slow
def test_a_model_without_names_judges_alike_and_names_nobody(model, clips, tmp_path):
    shared = model.without_names()
    shared.save(tmp_path / "shared.dfe")
    loaded = ensemble.load(tmp_path / "shared.dfe")
    assert "anna" in model.oof_scores_.index[0]
    # Which videos it learned from it does not know: the one doubt that is not there.
    scored = [judging.judge(clips, doubts=False) for judging in (loaded, model)]
    knows = scored[1].pop("doubts").str.contains("learned from this video")
    assert not scored[0].pop("doubts").str.contains("learned from this video").any()
    assert knows.sum() > 6
    assert scored[0].equals(scored[1])
    assert loaded.card_.summary() == model.card_.summary()
    assert loaded.thresholds_ == model.thresholds_
    np.testing.assert_array_equal(loaded.oof_scores_, model.oof_scores_)
    with zipfile.ZipFile(tmp_path / "shared.dfe") as parts:
        contents = {name: parts.read(name) for name in parts.namelist()}
    secrets = ["anna", *model.fit_record_.training.digests, os.path.dirname(clips[0])]
    for name, content in contents.items():
        for secret in secrets:
            assert secret.encode() not in content, (name, secret)
    model.save(tmp_path / "model.dfe")  # which does name them
    with zipfile.ZipFile(tmp_path / "model.dfe") as parts:
        told = b"".join(parts.read(name) for name in parts.namelist())
    assert b"anna" in told
    lines = CliRunner().invoke(app, ["verify", str(tmp_path / "model.dfe")]).output
    assert f"{clips[0]} has no score in training: it cannot be opened" in lines
    with pytest.raises(ValueError, match="are not among those given"):
        loaded.add_detector("more", FrameDetector("test_resnet", weights=None), clips)


def test_a_model_without_names_keeps_what_was_said_and_not_what_its_folder_is_called(
    model,
):
    named = copy.copy(model)
    facts = replace(model.fit_record_.facts, data="case-of-anna", cards={})
    named.fit_record_ = replace(model.fit_record_, facts=facts)
    assert "case-of-anna" in named.card_.summary()
    assert "anna" not in named.without_names().card_.summary()
    said = named.describe("clips of a phone").without_names()
    assert "clips of a phone" in said.card_.summary()


def _amount(name, value):
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if name.endswith("_bytes") and value % size == 0:
            return f"{value // size:,} {unit}"
    return f"{value:g} s" if name.endswith("_seconds") else f"{value:,}"


def test_the_limits_on_the_page_are_those_of_the_code():
    told = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", PAGE, re.MULTILINE))
    limits = {n: v for n, v in vars(Limits()).items() if n != "isolation"}
    assert told == {n: _amount(n, v) for n, v in limits.items()}


def test_all_that_the_page_names_is_there():
    files = re.findall(r"`(tests/[\w/.]+)`", PAGE)
    assert len(files) > 10
    assert not [name for name in files if not (ROOT / name).is_file()]
    run = (ROOT / "tests" / "faults" / "run.py").read_text("utf-8")
    generators = set(re.findall(r'"([\w-]+)": \("', run))
    how_tested = PAGE[PAGE.index("## How it is tested") :]
    assert generators == set(re.findall(r"`([\w-]+)`[,:]", how_tested))


def test_a_saved_file_holds_no_frame(model, clips, tmp_path):
    model.save(tmp_path / "model.dfe")
    with zipfile.ZipFile(tmp_path / "model.dfe") as parts:
        names = parts.namelist()
        sizes = [parts.getinfo(name).file_size for name in names]
        for name in names:
            head = io.BytesIO(parts.read(name)).read(4)
            assert head[:3] not in (b"\xff\xd8\xff", b"\x89PN"), name
    assert sum(sizes) < 2**23
