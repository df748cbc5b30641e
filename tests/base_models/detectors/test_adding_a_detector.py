"""What CONTRIBUTING says of adding a detector is followed step by step."""

import importlib
import sys
import zipfile
from pathlib import Path

import lazy_loader
import numpy as np
import pytest
from sklearn.base import clone

import base_models
import base_models.detectors
from base_models import FrequencyDetector
from base_models.store import Store
from ensemble import DeepfakeEnsemble, load

IMPORT = "from .detectors.colours import ColourDetector as ColourDetector\n"


@pytest.fixture
def colours(walk_through, tmp_path, monkeypatch):
    """Add the file and the import as a change would, beside those that are there."""
    (tmp_path / "colours.py").write_text(walk_through("class ColourDetector"))
    folders = [*base_models.detectors.__path__, str(tmp_path)]
    monkeypatch.setattr(base_models.detectors, "__path__", folders)
    stub = Path(base_models.__file__).with_suffix(".pyi").read_text()
    (tmp_path / "stub.pyi").write_text(stub + IMPORT)
    attached = lazy_loader.attach_stub("base_models", str(tmp_path / "stub.pyi"))
    for name, value in zip(
        ("__getattr__", "__dir__", "__all__"), attached, strict=True
    ):
        monkeypatch.setattr(base_models, name, value)
    importlib.invalidate_caches()
    yield base_models.ColourDetector
    vars(base_models).pop("ColourDetector", None)
    vars(base_models.detectors).pop("colours", None)
    sys.modules.pop("base_models.detectors.colours")


@pytest.fixture
def tinted():
    """Make videos of noise, of which the fakes are a little red."""
    videos = np.random.default_rng(0).integers(0, 200, (24, 4, 40, 40, 3), np.uint8)
    videos[1::2, ..., 0] += 40
    return list(videos), np.arange(24) % 2, np.arange(24) // 2


def test_it_learns_and_leaves_out_what_has_no_view(colours, tinted):
    videos, y, _ = tinted
    with pytest.warns(UserWarning, match=r"left out of training.*gone\.mp4"):
        detector = colours(store=None).fit([*videos, "gone.mp4"], [*y, 1])
    assert (detector.predict(videos) == y).all()
    assert detector.score_frames(videos[:1])[0].columns.tolist() == [
        *("frame", "face", "score")
    ]
    assert np.isnan(detector.fake_score(["gone.mp4"])).all()


def test_the_store_keeps_what_it_measured_and_what_it_learned(
    colours, tinted, tmp_path, monkeypatch
):
    videos, y, _ = tinted
    measured, measure = [], colours._measure
    monkeypatch.setattr(
        colours, "_measure", lambda *a: measured.append(1) or measure(*a)
    )
    detector = colours(store=Store(tmp_path / "store"))
    score = detector.fit(videos, y).fake_score(videos)
    again = clone(detector).fit(videos[::-1], y[::-1]).fake_score(videos)
    np.testing.assert_array_equal(again, score)
    assert len(measured) == len(videos)
    assert detector.identity()["class"][0] == "own:ColourDetector"


def test_an_ensemble_and_its_file_take_it_as_they_take_ours(colours, tinted, tmp_path):
    videos, y, groups = tinted
    members = [colours(), FrequencyDetector("frame", image_size=32, n_frames=2)]
    model = DeepfakeEnsemble(members, resampling=3, store=tmp_path / "store")
    model.fit(videos, y, groups=groups).save(tmp_path / "model.dfe")
    manifest = zipfile.ZipFile(tmp_path / "model.dfe").read("manifest.json").decode()
    assert '"own": "ColourDetector"' in manifest
    loaded = load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(
        loaded.predict_proba(videos), model.predict_proba(videos)
    )
    assert (loaded.predict(videos) == y).mean() > 0.9
