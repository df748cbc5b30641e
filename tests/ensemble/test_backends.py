"""The library's parallel steps on joblib's backends, real Dask and Ray among them.

Every step gives bit for bit what it gives in one process, and its work is done where
the backend says: here it would fail.
"""

import contextlib
import importlib
import os

import joblib
import numpy as np
import pandas as pd
import pytest

from base_models import FrameDetector, FrequencyDetector, write_video
from base_models.runtime.caches import clear_caches
from base_models.runtime.devices import resolve_threads
from base_models.runtime.parallel import is_local, n_jobs_here, run_tasks
from base_models.runtime.prefetch import n_cores
from ensemble import DeepfakeEnsemble, compare_strategies, out_of_fold_scores
from ensemble.combiners import AutoCombiner
from ensemble.datasets import VideoTable, index_videos, make_forgeries
from ensemble.datasets.prepare import prepare_dataset
from ensemble.out_of_fold import jobs_that_fit

QUICK = {"image_size": 32, "n_frames": 2, "device": "cpu"}


# Where tasks run


@contextlib.contextmanager
def dask_threads():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield {"backend": "dask"}


NAMES = ("loky", "threading", "dask", "dask threads", "ray")


@pytest.fixture(scope="module")
def engine(request, engines):
    """The settings of `joblib.parallel_config` that move the work there."""
    if request.param == "threading":
        yield {"backend": "threading", "n_jobs": 2}
        return
    threads = {"dask threads": dask_threads}
    with {**engines, **threads}[request.param]() as settings:
        yield settings


def on_engines(*fast, without=None):
    """Run a test on every engine but one; in the fast suite on these alone."""
    engines = [
        name if name in fast else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
        if name != without
    ]
    return pytest.mark.parametrize("engine", engines, indirect=True, scope="module")


@pytest.fixture
def elsewhere(engine, monkeypatch):
    """Return a function: refuse work of a name in this process, for a while."""

    @contextlib.contextmanager
    def refused(*places):
        def refuse(*args, **kwargs):
            raise AssertionError("this was to be done by a worker")

        with monkeypatch.context() as patch:
            if engine["backend"] != "threading":
                for place in places:
                    patch.setattr(place, refuse)
            with joblib.parallel_config(**engine):
                yield

    return refused


# What runs there

_OPENS = (  # whole videos, of which there may be many
    "base_models.views.making.sample_clips",
    "base_models.runtime.file_digest.read_sha256",
)


@pytest.fixture(scope="module")
def clips(toy_videos, tmp_path_factory):
    """The toy videos as files: a table of path, label and group."""
    folder = tmp_path_factory.mktemp("clips")
    videos, y, groups = toy_videos
    paths = [
        str(write_video(folder / f"{number:02}.mp4", frames))
        for number, frames in enumerate(videos)
    ]
    return VideoTable(pd.DataFrame({"path": paths, "label": y, "group": groups}))


def small_ensemble(store):
    return DeepfakeEnsemble(
        {
            "network": FrameDetector(
                "mesonet4", "frame", dropout=0.3, epochs=2, frames_per_epoch=1,
                batch_size=8, learning_rate=0.01, n_threads=1, **QUICK,
            ),
            "frequency": FrequencyDetector("frame", image_size=32, n_frames=2),
        },
        resampling=2,
        combiner=AutoCombiner(("log_odds", "best_single", "logistic")),
        store=store,
    )  # fmt: skip


def some_scores(n_videos=60):
    draw = np.random.default_rng(0)
    y = np.arange(n_videos) % 2
    scores = np.clip(
        0.5 + 0.15 * (2 * y[:, None] - 1) + draw.normal(0, 0.2, (n_videos, 3)), 0, 1
    )
    return pd.DataFrame(scores, columns=list("abc")), y, np.arange(n_videos) // 2


def files_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Tests


@pytest.mark.slow
@on_engines("dask")
def test_tasks_run_there_and_an_error_keeps_what_was_done(engine):
    with joblib.parallel_config(**engine):
        came = dict(run_tasks(divmod, [(number, 5) for number in range(12)]))
        assert came == {number: (number // 5, number % 5) for number in range(12)}
        assert n_jobs_here(None) >= 2
        if engine["backend"] != "threading":
            places = {place for _, place in run_tasks(os.getpid, [()] * 12)}
            assert os.getpid() not in places
        done = []
        with pytest.raises(ZeroDivisionError):
            done.extend(n for n, _ in run_tasks(divmod, [(7, 3), (7, 3), (7, 0)]))
        assert set(done) <= {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask"], indirect=True, scope="module")
def test_a_worker_that_lacks_a_module_says_which(engine, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def same(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = importlib.import_module("only_here")
    with (
        joblib.parallel_config(**engine),
        pytest.raises(ImportError, match="No module named 'only_here'; install"),
    ):
        list(run_tasks(only_here.same, [(3,), (3,)]))


@pytest.mark.slow
@on_engines("dask")
def test_a_cluster_is_not_bounded_by_the_cores_of_this_machine(engine):
    with joblib.parallel_config(**engine):
        at_once = jobs_that_fit([], None, n_cores=1)
        assert at_once == (1 if is_local() else n_jobs_here(None))


@on_engines()
def test_an_auto_combiner_is_the_same(engine, elsewhere):
    scores, y, groups = some_scores()
    names = ("log_odds", "best_single", "calibrated", "logistic")
    alone = AutoCombiner(names).fit(scores, y, groups=groups)
    with elsewhere("ensemble.combiners.super_learner.trial.fit_copy"):
        other = AutoCombiner(names).fit(scores, y, groups=groups)
    pd.testing.assert_frame_equal(alone.table_, other.table_, check_exact=True)
    np.testing.assert_array_equal(alone.fake_score(scores), other.fake_score(scores))


@on_engines()
def test_an_ensemble_and_its_networks_are_the_same(
    engine, elsewhere, clips, tmp_path, monkeypatch
):
    monkeypatch.chdir(os.path.dirname(clips.videos[0]))
    videos = [os.path.basename(video) for video in clips.videos]
    y, groups = clips.table["label"], clips.table["group"]
    is_here = engine["backend"] in ("loky", "threading")  # then its threads look ahead
    models = []
    for name in ("alone", "other"):
        model = small_ensemble(tmp_path / name)
        clear_caches()  # of the files' digests
        there = (
            contextlib.nullcontext()
            if name == "alone"
            else elsewhere(
                "base_models.detectors.frame.FrameDetector.fit",
                "base_models.detectors.frequency.FrequencyDetector.fit",
                *([] if is_here else _OPENS),
            )
        )
        with there:
            models.append(model.fit(videos, y, groups=groups))
    alone, other = models
    np.testing.assert_array_equal(alone.oof_scores_, other.oof_scores_)
    assert np.isfinite(alone.oof_scores_.to_numpy()).all()
    np.testing.assert_array_equal(
        alone.predict_proba(videos), other.predict_proba(videos)
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask"], indirect=True, scope="module")
def test_workers_of_fewer_cores_train_the_same_networks(engine, clips, tmp_path):
    """They compute on as many threads as the machine that sent the task."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    client = importlib.import_module("distributed").get_client()
    detector = FrameDetector("mesonet4", "frame", epochs=1, **QUICK)
    y, groups = clips.table["label"], clips.table["group"]

    def scores(store):
        return out_of_fold_scores(
            {"network": detector}, clips.videos, y, groups, resampling=2, store=store
        )

    def hold(to):
        for thread in os.listdir("/proc/self/task"):  # those that are there already
            os.sched_setaffinity(int(thread), to)

    alone = scores(tmp_path / "alone")
    client.run(hold, cores[:1])
    try:
        with joblib.parallel_config(**engine):
            assert dict(run_tasks(n_cores, [()] * 2)) == {0: 1, 1: 1}
            threads = dict(run_tasks(resolve_threads, [(None,), (3,)]))
            assert threads == {0: min(4, len(cores)), 1: 3}
            other = scores(tmp_path / "other")
    finally:
        client.run(hold, cores)
    pd.testing.assert_frame_equal(alone, other, check_exact=True)


@on_engines()
def test_a_comparison_is_the_same(engine, elsewhere):
    scores, y, groups = some_scores(80)
    strategies = ["stacking", "weighted", "AutoCombiner", "bagging"]
    how = {"n_boot": 20, "n_folds": 3}
    alone = compare_strategies(scores, y, groups, strategies, **how)
    with elsewhere("ensemble.comparison.evaluation.clone"):
        other = compare_strategies(scores, y, groups, strategies, **how)
    pd.testing.assert_frame_equal(alone.table, other.table, check_exact=True)
    for one, two in zip(alone.panels, other.panels, strict=True):
        pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)


@on_engines()
def test_a_comparison_of_detectors_is_the_same(engine, elsewhere, clips, tmp_path):
    def compared(name):
        return compare_strategies(
            dict(small_ensemble(None).detectors),
            clips.table["label"],
            clips.table["group"],
            ["stacking", "soft"],
            videos=clips.videos,
            store=tmp_path / name,
            n_boot=20,
            n_folds=2,
        )

    alone = compared("alone")
    with elsewhere("base_models.detectors.frame.FrameDetector.fit"):
        other = compared("other")
    pd.testing.assert_frame_equal(alone.table, other.table, check_exact=True)


@on_engines()
def test_an_index_is_the_same(engine, elsewhere, clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    more = pd.DataFrame({"path": [str(broken)], "label": 0, "group": 99})
    known = clips.table[[*more]]
    table = VideoTable(pd.concat([known, more], ignore_index=True))
    alone = index_videos(table, store=tmp_path / "alone")
    with elsewhere("ensemble.datasets.indexing.index.measure_video"):
        other = index_videos(table, store=tmp_path / "other")
    pd.testing.assert_frame_equal(alone.table, other.table, check_exact=True)
    assert other.table["readable"].tolist() == [True] * 24 + [False]


@on_engines()
def test_a_prepared_data_set_is_the_same(
    engine, elsewhere, clips, tmp_path, monkeypatch
):
    how = {"view": "frame", "size": 32, "n_frames": 3}
    prepare_dataset(clips, tmp_path / "alone", store=tmp_path / "a", **how)
    monkeypatch.chdir(tmp_path)
    with elsewhere("ensemble.datasets.prepare._view_of"):
        prepare_dataset(clips, "other", store=tmp_path / "b", **how)
    alone, other = (files_below(tmp_path / name) for name in ("alone", "other"))
    assert alone == other
    assert len(alone) > 24 * 3


@on_engines()
def test_a_forged_data_set_is_the_same(engine, tmp_path):
    pytest.importorskip("skimage")
    how = {"n_identities": 4, "size": 96, "n_frames": 4, "random_state": 0}
    make_forgeries(tmp_path / "alone", **how)
    with joblib.parallel_config(**engine):
        make_forgeries(tmp_path / "other", **how)
    alone, other = (files_below(tmp_path / name) for name in ("alone", "other"))
    assert alone == other
