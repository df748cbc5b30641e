"""What a saved model names is not opened, and decides no place to read or write."""

import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import base_models.detectors
import ensemble
from base_models import (
    CheckpointError,
    FrameDetector,
    FrequencyDetector,
    LSTMDetector,
)
from base_models.detectors.compression_router import CompressionRouter
from base_models.faces import DlibFaceFinder, HaarFaceFinder, YuNetFaceFinder
from base_models.networks import weights as network_weights
from base_models.runtime.named_file import FILE_PARAMETERS, NamedFile
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Stacking

SMALL = {"image_size": 32, "n_frames": 2, "n_threads": 1}
HEAD = FrameDetector("test_resnet", "frame", "head", None, **SMALL)


@pytest.fixture(scope="module")
def saved(toy_videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    return _saved({"head": HEAD}, toy_videos, folder, combiner="weighted")


def _saved(detectors, toy_videos, tmp_path, **options):
    videos, labels, groups = toy_videos
    model = DeepfakeEnsemble(detectors, resampling=2, verbose=False, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(videos, labels, groups=groups).save(tmp_path / "model.dfe")
    return tmp_path / "model.dfe"


def _forged(path, change, folder):
    """Write the model with another manifest; its hashes are those of the parts."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    change(manifest)
    del manifest["manifest_sha256"]
    parts["manifest.json"] = json.dumps(manifest).encode()
    forged = folder / "forged.dfe"
    with zipfile.ZipFile(forged, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return forged


def _everything(folder):
    """Names, sizes, and times of each file, and of being read where that is kept."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.lstat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def _set_everywhere(thing, places):
    """Give every parameter of that name, however deep, another value."""
    if isinstance(thing, list):
        if len(thing) == 2 and isinstance(thing[0], str) and thing[0] in places:
            thing[1] = places[thing[0]]
        for value in thing:
            _set_everywhere(value, places)
    elif isinstance(thing, dict):
        for name, value in thing.items():
            if name in places:
                thing[name] = places[name]
            else:
                _set_everywhere(value, places)


def test_no_place_that_a_model_names_is_read_or_written(
    toy_videos, tmp_path, monkeypatch
):
    router = CompressionRouter({"c23": HEAD, "c40": HEAD}, compression="c23")
    temporal = LSTMDetector(
        "test_resnet", "frame", None, features=HEAD, epochs=1, hidden_size=2, **SMALL
    ).set_params(image_size=32)
    detectors = {"head": HEAD, "routed": router, "temporal": temporal}
    path = _saved(detectors, toy_videos, tmp_path)
    victim = tmp_path / "home"
    for name in ("view/ab/mine.safetensors", "videos/a/b.mp4", "weights.pth"):
        (victim / name).parent.mkdir(parents=True, exist_ok=True)
        (victim / name).write_bytes(b"mine" * 1000)
    places = {
        "store": str(victim),
        "weights": str(victim / "weights.pth"),
        "model": str(victim / "weights.pth"),
        "landmarks": str(victim / "weights.pth"),
        "device": "cuda:7",
        "memory": str(victim),
    }

    def change(manifest):
        manifest["params"] |= {"store": str(victim), "device": "cuda:7"}
        manifest["fitted"] |= {"store": str(victim), "device": "cuda:7", "verbose": 1}
        _set_everywhere(manifest["detectors"], places)

    forged = _forged(path, change, tmp_path)
    assert forged.read_bytes().count(str(victim).encode()) > 8
    before = _everything(victim)
    opened = []
    real = os.open

    def note(function):
        def noted(name, *args, **options):
            opened.append(str(name))
            return function(name, *args, **options)

        return noted

    monkeypatch.setattr("builtins.open", note(open))
    monkeypatch.setattr("os.open", note(real))
    model = ensemble.load(forged, device="cpu")
    scores = model.fake_score(toy_videos[0])
    monkeypatch.undo()
    assert np.isfinite(scores).all()
    assert _everything(victim) == before
    assert not [name for name in opened if name.startswith(str(victim))]
    assert model.store is None
    for named in [*model.detectors_.values(), *dict(model.detectors).values()]:
        for name, value in named.get_params(deep=True).items():
            last = name.rpartition("__")[2]
            if last in ("store", "memory"):
                assert value is None
            if last == "device":
                assert value == "cpu"
            if last in FILE_PARAMETERS and value is not None:
                assert value == NamedFile(str(victim / "weights.pth"))


@pytest.mark.slow
def test_an_honest_model_scores_as_before_and_shows_the_paths_it_names(
    toy_videos, tmp_path
):
    import torch

    from base_models.backbones import build_network

    weights = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", None).state_dict(), weights)
    detectors = {"head": HEAD, "start": HEAD.__class__(**HEAD.get_params())}
    detectors["start"].set_params(weights=weights)
    path = _saved(detectors, toy_videos, tmp_path)
    first = ensemble.load(path).fake_score(toy_videos[0])
    weights.rename(tmp_path / "moved.pth")
    model = ensemble.load(path)
    np.testing.assert_array_equal(model.fake_score(toy_videos[0]), first)
    named = dict(model.detectors)["start"]
    assert str(named.weights) == str(weights)
    assert named.card_["source"] == "weights.pth"
    model.save(tmp_path / "again.dfe")
    again = ensemble.load(tmp_path / "again.dfe")
    assert str(dict(again.detectors)["start"].weights) == str(weights)

    videos, labels, groups = toy_videos
    with pytest.raises(CheckpointError, match="weights.pth.*not opened.*files="):
        model.fit(videos, labels, groups=groups)
    mine = ensemble.load(path, files={str(weights): tmp_path / "moved.pth"})
    mine.set_params(verbose=False).fit(videos, labels, groups=groups)
    np.testing.assert_allclose(mine.fake_score(videos), first, atol=1e-6)


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    "finder",
    [
        HaarFaceFinder(model="/elsewhere/faces.xml"),
        YuNetFaceFinder("/elsewhere/faces.xml"),
        DlibFaceFinder("cnn", model="/elsewhere/faces.xml"),
        DlibFaceFinder(landmarks="/elsewhere/faces.xml"),
    ],
    ids=lambda finder: type(finder).__name__,
)
def test_a_face_finder_of_a_loaded_model_wants_its_file_given(
    finder, toy_videos, saved, tmp_path
):
    face = {
        "own": f"base_models.faces:{type(finder).__name__}",
        "params": {"dict": [[k, v] for k, v in finder.get_params().items()]},
        "state": {"dict": []},
    }

    def change(manifest):
        (record,) = manifest["detectors"]
        (member,) = record["members"]
        _set_everywhere(member["params"], {"finder": face, "view": "face"})

    forged = _forged(saved, change, tmp_path)
    with pytest.raises(CheckpointError, match="faces.xml.*not opened"):
        ensemble.load(forged).fake_score(toy_videos[0])
    model = ensemble.load(forged, files={"/elsewhere/faces.xml": "mine.xml"})
    given = model.detectors_["head"].finder
    assert "mine.xml" in (given.model, getattr(given, "landmarks", None))


def test_files_for_names_that_are_not_in_the_model_are_refused(saved):
    with pytest.raises(ValueError, match=r"'yunet.onnx'.*does not name"):
        ensemble.load(saved, files={"yunet.onnx": "mine.onnx"})


@pytest.mark.parametrize("name", ["metric", "predict_proba", "shrinkage"])
def test_no_state_of_a_file_hides_a_parameter_or_a_method(name, saved, tmp_path):

    def change(manifest):
        manifest["fitted"]["combiner_"]["state"]["dict"].append([name, "/elsewhere"])

    with pytest.raises(CheckpointError, match=f"would set '{name}'"):
        ensemble.load(_forged(saved, change, tmp_path))


def test_no_array_of_a_file_sets_more_than_a_detector_learns():
    arrays = {"coef_": np.zeros(3), "mean_": np.zeros(3), "scale_": np.ones(3)}
    meta = {"classes": [0, 1], "unscorable": {}, "intercept": 0.0}
    forged = {"store": np.zeros(1), "predict": np.zeros(1)}
    detector = FrequencyDetector("frame").set_state(meta, arrays | forged)
    assert detector.store is None
    assert callable(detector.predict)


def test_a_pipeline_of_a_loaded_model_has_no_folder(toy_videos, tmp_path):
    folder = tmp_path / "memory"
    meta = make_pipeline(LogisticRegression(), memory=str(folder))
    path = _saved({"head": HEAD}, toy_videos, tmp_path, combiner=Stacking(meta))
    shutil.rmtree(folder, ignore_errors=True)
    model = ensemble.load(path)
    model.fake_score(toy_videos[0])
    model.refit_combiner(model.combiner)
    assert not folder.exists()


def test_every_parameter_that_is_documented_as_a_file_is_one_that_loading_guards():
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(base_models.__path__, "base_models.")
    ]
    guarded, documented = {*FILE_PARAMETERS, "store"}, set()
    for module in modules:
        for kind in vars(module).values():
            if (
                isinstance(kind, type)
                and kind.__module__ == module.__name__
                and issubclass(kind, BaseEstimator)
            ):
                names = inspect.signature(kind.__init__).parameters
                described = re.findall(
                    r"^ *(\w+(?:, \w+)*) : .*\bPath\b", kind.__doc__ or "", re.M
                )
                for name in ", ".join(described).split(", "):
                    if name in names:
                        documented.add(name)
    assert {"weights", "model", "landmarks"} <= documented <= guarded


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_no_weights_are_looked_for_that_a_file_should_hold(
    saved, weights, tmp_path, monkeypatch
):
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name, content in parts.items():
        if name.endswith(".safetensors") and b'"head.weight"' in content:
            arrays = safetensors.numpy.load(content)
            left = {n: value for n, value in arrays.items() if n.startswith("head.")}
            parts[name] = safetensors.numpy.save(left)
    manifest = json.loads(parts["manifest.json"])
    manifest["sha256"] = {
        name: hashlib.sha256(content).hexdigest()
        for name, content in parts.items()
        if name != "manifest.json"
    }
    del manifest["manifest_sha256"]
    begun, said = '["weights", null]', json.dumps(["weights", weights])
    assert begun in json.dumps(manifest)
    parts["manifest.json"] = json.dumps(manifest).replace(begun, said).encode()
    forged = tmp_path / "forged.dfe"
    with zipfile.ZipFile(forged, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    fetched = []
    monkeypatch.setattr(network_weights, "_from_hub", fetched.append)
    with pytest.raises(CheckpointError, match=r"forged\.dfe.*(?i:missing|state_dict)"):
        ensemble.load(forged)
    assert fetched == []
