"""Networks in fewer bits where P(fake) and verdicts stay where they were."""

import weakref

import numpy as np
import pytest
import torch
from torch import nn

import ensemble
from base_models import CallableDetector, FrameDetector
from base_models.inference import engines
from base_models.networks.forward import forward
from ensemble import DeepfakeEnsemble, lean_engines
from ensemble.cascade import lean_engines as lean_module


@pytest.fixture(autouse=True)
def always_quicker(monkeypatch):
    """What is quicker is timed, and no test hangs on it."""
    monkeypatch.setattr(lean_module, "_QUICKER", 0.0)


here = pytest.mark.skipif(
    not engines.has_bfloat16(), reason="this processor has no bfloat16"
)
both = pytest.mark.skipif(
    not (engines.has_bfloat16() and engines.int8_is_here()),
    reason="this processor has no bfloat16 or no 8 bits, or onnxruntime is missing",
)


@pytest.fixture(params=["bfloat16", "int8"])
def lean(request, monkeypatch):
    """Try this engine alone: which of two is quicker is timed."""
    if request.param not in lean_module._engines_here():
        pytest.skip(f"{request.param} is not here")
    monkeypatch.setattr(lean_module, "_engines_here", lambda: [request.param])
    return request.param


def blueness(videos):
    return [video[..., 2].mean() / 255 for video in videos]


@pytest.fixture(scope="module")
def fitted(toy_videos, tmp_path_factory):
    videos, y, groups = toy_videos
    settings = {"weights": None, "image_size": 32, "n_frames": 2, "n_threads": 1}
    members = [
        ("net", FrameDetector("test_resnet", "frame", "head", **settings)),
        ("other", FrameDetector("test_resnet", "frame", "full", epochs=1, **settings)),
        ("blue", CallableDetector(blueness)),
    ]
    store = tmp_path_factory.mktemp("store")
    model = DeepfakeEnsemble(
        members, "voting", resampling=2, store=store, random_state=0, verbose=False
    )
    return model.fit(videos, y, groups=groups)


def test_what_it_says_of_the_drift_is_what_the_scores_do(
    fitted, toy_videos, tmp_path, lean
):
    videos, _, _ = toy_videos
    fitted.detectors_ = lean_module._model_with(fitted, None).detectors_
    before = fitted.fake_score(videos)
    verdicts = fitted.thresholds_.verdicts(before)
    found = lean_engines(fitted, videos, drift=0.5)
    after = fitted.fake_score(videos)
    assert np.abs(after - before).max() == pytest.approx(
        found.attrs["drift"], abs=1e-12
    )
    assert (fitted.thresholds_.verdicts(after) == verdicts).all()
    assert found.attrs["n_videos"] == len(videos)
    assert found["note"]["blue"] == "it runs no network by itself"
    assert np.isnan(found["drift"]["blue"])
    fitted.save(tmp_path / "model.dfe", overwrite=True)
    loaded = ensemble.load(tmp_path / "model.dfe", detectors={
        "blue": fitted.detectors_["blue"]})  # fmt: skip
    loaded.set_params(store=tmp_path / "s")
    np.testing.assert_array_equal(loaded.fake_score(videos), after)
    again = lean_engines(fitted, videos, drift=0.5)  # measured against full precision
    timed = ["times", f"{lean}_times"]
    assert set(found["engine"]) == {"", lean}
    assert again.drop(columns=timed).equals(found.drop(columns=timed))
    assert (found["times"].dropna() > 0).all()


@here
def test_what_is_not_quicker_stays_as_it_was(fitted, toy_videos, monkeypatch):
    monkeypatch.setattr(lean_module, "_QUICKER", 1e9)
    found = lean_engines(fitted, toy_videos[0], drift=0.5)
    assert set(found["note"]) == {
        "it is not quicker in 16 or 8 bits",
        "it runs no network by itself",
    }
    assert set(found["engine"]) == {"", "auto"}
    assert found.attrs["drift"] == 0


@here
def test_a_member_that_moves_it_too_far_stays_as_it_was(
    fitted, toy_videos, tmp_path, monkeypatch
):
    videos, _, _ = toy_videos
    monkeypatch.setattr(lean_module, "_engines_here", lambda: ["bfloat16"])
    lean_engines(fitted, videos, drift=0.5)
    exact = engines._in_bfloat16

    def astray(network, prepare, images, device):
        found = exact(network, prepare, images, device)
        return found + np.array([0, 9.0]) if found.shape[-1] == 2 else found

    monkeypatch.setattr(engines, "_in_bfloat16", astray)
    fitted.set_params(store=tmp_path / "new")  # which has no scores of before
    found = lean_engines(fitted, videos, drift=0.001)
    assert found["engine"]["other"] == "auto"
    assert "too far" in found["note"]["other"]
    assert found["drift"]["other"] > 0.001
    assert found.attrs["drift"] <= 0.001


class Astray:
    """Runs a network, and is sure of fakes."""

    def __init__(self, runner):
        self.runner = runner

    def __call__(self, batch):
        found = self.runner(batch)
        return found + np.array([0, 9.0]) if found.shape[-1] == 2 else found


@both
@pytest.mark.parametrize(
    ("times", "astray", "taken"),
    [
        ({"bfloat16": 2.0, "int8": 3.0}, False, "int8"),
        ({"bfloat16": 3.0, "int8": 2.0}, False, "bfloat16"),
        ({"bfloat16": 2.0, "int8": 3.0}, True, "bfloat16"),  # the quicker moves too far
        ({"bfloat16": 0.9, "int8": 3.0}, True, "auto"),
        ({"bfloat16": 0.9, "int8": 0.9}, False, "auto"),
    ],
)
def test_each_member_takes_the_quickest_within_the_drift(
    fitted, toy_videos, tmp_path, monkeypatch, times, astray, taken
):
    videos, _, _ = toy_videos
    monkeypatch.setattr(lean_module, "_QUICKER", 1.1)
    monkeypatch.setattr(
        lean_module, "_times_as_fast", lambda names, *_: {n: dict(times) for n in names}
    )
    if astray:
        exact = engines.in_int8
        monkeypatch.setattr(engines, "in_int8", lambda *a: Astray(exact(*a)))
        monkeypatch.setattr(engines, "_of_network", weakref.WeakKeyDictionary())
        monkeypatch.setattr(engines, "_of_weights", weakref.WeakValueDictionary())
    fitted.set_params(store=tmp_path / "new")
    found = lean_engines(fitted, videos, drift=0.2)
    assert found["engine"]["other"] == taken
    assert found.attrs["drift"] <= 0.2
    row = found.loc["other"]
    if taken != "auto":
        assert row["note"] == ""
        assert (row["drift"], row["times"]) == (row[f"{taken}_drift"], times[taken])
    if astray:
        assert row["int8_drift"] > 0.2


@here
def test_nothing_changes_where_it_ends_early_and_no_detector_is_touched(
    fitted, toy_videos, monkeypatch
):
    videos, _, _ = toy_videos
    lean_engines(fitted, videos, drift=0.5)
    before = dict(fitted.detectors_)
    engines_before = {n: o.engine for n, o in before.items() if hasattr(o, "engine")}
    scores = fitted.fake_score(videos)
    with pytest.raises(ValueError, match="20 or more"):
        lean_engines(fitted, videos[:5])

    def stops(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lean_module, "_times_as_fast", stops)
        with pytest.raises(KeyboardInterrupt):
            lean_engines(fitted, videos)
    assert fitted.detectors_ == before
    np.testing.assert_array_equal(fitted.fake_score(videos), scores)
    lean_engines(fitted, videos, drift=1e-12)
    for name, engine in engines_before.items():  # others may hold the same detectors
        assert before[name].engine == engine


def test_too_few_videos_and_senseless_drifts_are_refused(
    fitted, toy_videos, monkeypatch
):
    videos, _, _ = toy_videos
    for drift in (0, 1, "far", float("nan")):
        with pytest.raises(ValueError, match="drift must be a number between 0 and 1"):
            lean_engines(fitted, videos, drift)
    monkeypatch.setattr(lean_module, "has_bfloat16", lambda: True)
    with pytest.raises(ValueError, match="20 or more videos with a score .* 5 of 5"):
        lean_engines(fitted, videos[:5])
    monkeypatch.setattr(lean_module, "has_bfloat16", lambda: False)
    monkeypatch.setattr(lean_module, "int8_is_here", lambda: False)
    with pytest.raises(RuntimeError, match="reckons neither with bfloat16"):
        lean_engines(fitted, videos)


@here
def test_sixteen_bits_follow_the_weights_and_never_mix_videos():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)

    def prepare(batch):
        return batch.permute(0, 3, 1, 2).float() / 255

    run = engines.run_frozen
    lean = run(network, prepare, images, "bfloat16", 1, "cpu")
    full = forward(network, prepare, images, "cpu")
    assert lean.dtype == np.float32
    assert 0 < np.abs(lean - full).max() < 0.05
    with torch.no_grad():
        network[3].bias += 1.0
    moved = run(network, prepare, images, "bfloat16", 1, "cpu")
    np.testing.assert_allclose(moved - lean, 1.0, atol=0.02)
    assert next(network.parameters()).dtype == torch.float32


def test_without_such_a_processor_it_is_auto(monkeypatch):
    monkeypatch.setattr(engines, "has_bfloat16", lambda: False)
    assert engines.engine_key("bfloat16") == engines.engine_key("auto")
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    images = np.zeros((2, 4, 4, 3), np.uint8)

    def prepare(batch):
        return batch.float()

    got = engines.run_frozen(network, prepare, images, "bfloat16", 1, "cpu")
    np.testing.assert_array_equal(got, forward(network, prepare, images, "cpu"))


@here
def test_a_network_that_cannot_runs_in_full():
    class Stubborn(nn.Module):
        def forward(self, images):
            return images.mean(dim=(2, 3)) @ torch.ones(3, 2)

    network = Stubborn()
    network.scale = nn.Parameter(torch.ones(1))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)

    def prepare(batch):
        return batch.permute(0, 3, 1, 2).float()

    with pytest.warns(UserWarning, match="Stubborn does not run in bfloat16"):
        got = engines.run_frozen(network, prepare, images, "bfloat16", 1, "cpu")
    np.testing.assert_allclose(got, forward(network, prepare, images, "cpu"), rtol=1e-4)


@here
def test_the_command_saves_an_ensemble_that_is_lean(
    fitted, toy_videos, tmp_path, capsys
):
    from base_models import write_video
    from ensemble.cli.app import main

    videos, y, groups = toy_videos
    member = FrameDetector(
        "test_resnet", "frame", "head", weights=None, image_size=32, n_frames=2,
        n_threads=1,
    )  # fmt: skip
    model = DeepfakeEnsemble(
        [("net", member)], "voting", resampling=2, store=tmp_path / "s", verbose=False
    )
    model.fit(videos, y, groups=groups).save(tmp_path / "model.dfe")
    (tmp_path / "clips").mkdir()
    for number, frames in enumerate(videos):
        write_video(tmp_path / "clips" / f"{number}.mp4", frames)
    given = ["lean", str(tmp_path / "model.dfe"), str(tmp_path / "clips")]
    out = tmp_path / "lean.dfe"
    for more, code in (([], 0), ([], 0), (["--drift", "2"], 2)):
        with pytest.raises(SystemExit) as left:
            main([*given, "-o", str(out), "--drift", "0.3", "--store",
                  str(tmp_path / "t"), "--quiet", *more])  # fmt: skip
        said = capsys.readouterr()
        assert (left.value.code or 0) == code, said
    assert "drift must be a number between 0 and 1; got 2.0" in said.err
    found = ensemble.load(out).detectors_["net"]
    members = found if isinstance(found, list) else [found]
    assert {one.engine for one in members} <= {"bfloat16", "int8"}
    with pytest.raises(SystemExit):
        main([*given, "-o", str(tmp_path / "model.dfe"), "--overwrite"])
    assert "model.dfe" in capsys.readouterr().err  # never onto its input
