import inspect
import re
import zipfile
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import base_models
import ensemble
import ensemble.combiners
from ensemble.errors import CheckpointError
from ensemble.persistence.classes import (
    COMBINERS,
    DETECTORS,
    OURS,
    saved_class,
    saved_name,
)

SAVED = Path(__file__).parents[2] / "saved_models"
ABSTRACT = {"Combiner", "VideoDetector", "ViewDetector"}


def public_estimators(package):
    for name in package.__all__:
        thing = getattr(package, name)
        estimator = inspect.isclass(thing) and issubclass(thing, BaseEstimator)
        if estimator and name not in ABSTRACT:
            yield name, thing


@pytest.mark.parametrize(
    ("package", "classes"),
    [(base_models, DETECTORS), (ensemble.combiners, COMBINERS)],
)
def test_every_public_estimator_has_a_name_in_files(package, classes):
    for name, cls in public_estimators(package):
        assert saved_name(cls, classes) == name
        assert saved_class(name, classes, "model.dfe") is cls


@pytest.mark.parametrize("classes", [COMBINERS, DETECTORS])
def test_every_name_leads_to_its_class(classes):
    for name in classes:
        cls = saved_class(name, classes, "model.dfe")
        assert saved_name(cls, classes) == name


def test_a_subclass_is_not_the_class():
    class Voting(ensemble.combiners.Voting):
        pass

    assert saved_name(Voting, COMBINERS) is None


def test_names_of_earlier_releases_are_understood_and_no_others():
    paths = {
        name
        for file in (SAVED / "version_0").glob("*.dfe")
        for name in re.findall(
            r'"own": "([^"]+)"', zipfile.ZipFile(file).read("manifest.json").decode()
        )
    }
    assert len(paths) > 10
    for path in paths:
        known = saved_class(path, OURS, "model.dfe")
        assert known.__qualname__ == path.partition(":")[2]
    for foreign in ("subprocess:Popen", "os.path:Voting", "Popen", "ensemble:load"):
        with pytest.raises(CheckpointError, match=re.escape(foreign)):
            saved_class(foreign, OURS, "model.dfe")


def test_a_file_holds_names_and_no_module(toy_videos, tmp_path):
    videos, labels = toy_videos[:2]
    detector = base_models.FrequencyDetector(view="frame", image_size=32)
    model = ensemble.DeepfakeEnsemble([detector], resampling=2, store=None)
    path = tmp_path / "model.dfe"
    model.fit(videos, labels).save(path)
    manifest = zipfile.ZipFile(path).read("manifest.json").decode()
    assert '"own": "FrequencyDetector"' in manifest
    assert "base_models." not in manifest
    assert "ensemble.combiners" not in manifest
