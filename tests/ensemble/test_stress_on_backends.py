"""Stress tests on joblib's backends: the figures of one process, bit for bit."""

import os

import joblib
import numpy as np
import pandas as pd
import pytest

from base_models import FrequencyDetector, cluster, write_video
from base_models.runtime.caches import clear_caches
from base_models.runtime.parallel import run_tasks
from ensemble import DeepfakeEnsemble, stress_test
from ensemble.inspection import stress

CHANGES = {"darker": [0.8, 0.5], "blur": [2.0], "noise": [10.0]}
GROUPS = np.arange(12) // 2


@pytest.fixture(scope="module")
def clips(tmp_path_factory, toy_videos):
    folder = tmp_path_factory.mktemp("clips")
    paths = [
        str(write_video(folder / f"{number:02}.mp4", frames))
        for number, frames in enumerate(toy_videos[0][:12])
    ]
    return paths, np.asarray(toy_videos[1])[:12]


@pytest.fixture(scope="module")
def model(clips, tmp_path_factory):
    paths, y = clips
    member = FrequencyDetector("frame", image_size=32, n_frames=2)
    model = DeepfakeEnsemble(
        {"frequency": member}, strategy="voting", combiner="soft", resampling=2,
        store=tmp_path_factory.mktemp("store"),
    )  # fmt: skip
    return model.fit(paths, y, groups=GROUPS)


@pytest.fixture(scope="module")
def alone(model, clips, tmp_path_factory):
    return stressed(model, clips, tmp_path_factory.mktemp("alone") / "scores.csv")


def stressed(model, clips, out):
    paths, y = clips
    broken = out.with_name("broken.mp4")
    broken.write_bytes(b"no video")
    clear_caches()
    known = {"changes": CHANGES, "n_boot": 20, "scores_file": out}
    return stress_test(
        model, [*paths, str(broken)], [*y, 0], [*GROUPS, 99], seconds=0.4, **known
    )


def check_same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    names = [
        found.scores.assign(video=found.scores["video"].map(os.path.basename))
        for found in (one, other)
    ]
    pd.testing.assert_frame_equal(*names, check_exact=True)
    reasons = [
        {os.path.basename(video): why for video, why in found.reasons.items()}
        for found in (one, other)
    ]
    assert reasons[0] == reasons[1]
    assert list(reasons[0]) == ["broken.mp4"]
    assert len(one.scores) == 12 * 5


def refuse(*args, **kwargs):
    raise AssertionError("this was to be done by a worker")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "n_jobs"),
    [
        ("threading", 20),  # a video in several parts
        pytest.param("threading", 2, marks=pytest.mark.slow),
        pytest.param("loky", 2, marks=pytest.mark.slow),
    ],
)
def test_it_is_the_same_on_this_machine(
    backend, n_jobs, model, clips, alone, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        if backend != "threading":
            patch.setattr(stress, "iter_changed", refuse)
            patch.setattr(stress, "group_bootstrap_interval", refuse)
        with joblib.parallel_config(backend, n_jobs=n_jobs):
            other = stressed(model, clips, tmp_path / "scores.csv")
    check_same(alone, other)
    monkeypatch.setattr(stress, "iter_changed", refuse)
    check_same(alone, stressed(model, clips, tmp_path / "scores.csv"))  # all kept


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_it_is_the_same_on_a_cluster(
    engine, model, clips, alone, tmp_path, monkeypatch, request
):
    there = request.getfixturevalue(engine)
    for name in ("iter_changed", "group_bootstrap_interval"):
        monkeypatch.setattr(stress, name, refuse)
    monkeypatch.setattr("base_models.runtime.file_digest.read_sha256", refuse)
    with there():
        assert os.getpid() not in dict(run_tasks(os.getpid, [()] * 4)).values()
        other = stressed(model, clips, tmp_path / "scores.csv")
    check_same(alone, other)


@pytest.fixture
def dask():
    pytest.importorskip("distributed")
    return lambda: cluster("local:2")


@pytest.fixture
def ray(engines):
    with engines["ray"]() as settings:
        yield lambda: joblib.parallel_config(**settings)
