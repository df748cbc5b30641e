import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ensemble
from base_models import Store

FOLDER = Path(__file__).resolve().parents[2] / "saved_models"
VERSIONS = sorted(folder for folder in FOLDER.iterdir() if (folder / "store").is_dir())
MODELS = [file for version in VERSIONS for file in sorted(version.glob("*.dfe"))]


@pytest.fixture(scope="module")
def written():
    """The script that wrote the files."""
    spec = importlib.util.spec_from_file_location("write", FOLDER / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all models: they are made of the same members."""
    return tmp_path_factory.mktemp("store")


def expected(version):
    return json.loads((version / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "file", MODELS, ids=[f"{file.parent.name}-{file.stem}" for file in MODELS]
)
def test_a_model_saved_by_an_earlier_version_scores_as_it_did(
    file, written, store, tmp_path
):
    videos, *_ = written.small_videos(6, seed=1)
    model = ensemble.load(file, device="cpu").set_params(store=store, verbose=False)
    score = model.fake_score(videos)
    known = expected(file.parent)
    np.testing.assert_allclose(score, known["fake_score"][file.stem], atol=1e-5)
    if len(model.oof_scores_.columns) > 1:
        np.testing.assert_allclose(model.oof_scores_, known["oof_scores"], atol=1e-12)
    assert model.save(tmp_path / "again.dfe") is None
    again = ensemble.load(tmp_path / "again.dfe", device="cpu")
    np.testing.assert_array_equal(again.combine(model.detector_scores(videos)), score)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_store_of_an_earlier_version_is_read(version, tmp_path):
    shutil.copytree(version / "store", tmp_path / "store")
    store = Store(tmp_path / "store")
    for kind in ("view", "features", "member", "scores"):
        assert store.keys(kind)
        for key in store.keys(kind):
            arrays, _ = store.get(kind, key)
            assert arrays


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_fit_with_a_store_of_an_earlier_version_gives_the_same_scores(
    version, written, tmp_path
):
    shutil.copytree(version / "store", tmp_path / "store")
    videos, y, groups = written.small_videos(8)
    kept = ("mesonet_head", "flicker")
    table = ensemble.out_of_fold_scores(
        [named for named in written.detectors() if named[0] in kept],
        videos,
        y,
        groups,
        resampling=2,
        random_state=0,
        store=tmp_path / "store",
        device="cpu",
    )
    np.testing.assert_allclose(table, expected(version)["stored_oof_scores"], atol=1e-5)
