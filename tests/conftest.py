"""What many tests share: a store of their own, small videos, real material."""

import contextlib
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from browser import browser, open_page  # noqa: F401  (fixtures)
from stream import serve  # noqa: F401

# Several folders have one; read for examples, the second would hide the first.
collect_ignore_glob = ["*conftest.py"]


# What the extra "dev" leaves to "dev-slow", or to whoever wants it.
_NOT_IN_DEV = {"accelerate", "grpc", "openvino", "ray", "tensorboard"}


def pytest_configure(config):
    """Make of the surroundings what tests expect, in each process of theirs.

    A GPU is hidden from tests that are not of it. Ctrl-C, which a shell has ignored by
    what it starts in the background, is heard by what tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "not gpu" in config.option.markexpr:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.hookimpl(tryfirst=True)  # before those are left out that are slow
def pytest_collection_modifyitems(items):
    """Call slow what comes after those parameters that `slow_after` lets be quick."""
    seen = Counter()
    for item in items:
        mark = item.get_closest_marker("slow_after")
        if mark and not item.get_closest_marker("slow"):
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > mark.args[0]:
                item.add_marker("slow")


def _fail_if_it_should_be_here(report):
    """Where CI is set, a test that is skipped for want of what `dev` installs fails."""
    if not (os.environ.get("CI") and report.skipped):
        return
    missing = re.search(r"could not import '(\w+)", str(report.longrepr))
    if missing and missing[1] not in _NOT_IN_DEV:
        report.outcome = "failed"
        report.longrepr = (
            f"{missing[1]} cannot be imported, which the extra `dev` installs: "
            f"{report.longrepr}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    _fail_if_it_should_be_here(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _fail_if_it_should_be_here(report)
    return report


@pytest.fixture(autouse=True, scope="session")
def _own_store(tmp_path_factory):
    """Keep what tests compute out of the user's store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFAKE_ENSEMBLE_STORE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(scope="session")
def shared():
    """The folder of real clips and scores beside the checkout, where there is one."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the shared test material is not on this machine")
    return folder


@pytest.fixture(scope="session")
def toy_videos():
    """24 clips of noise around a brightness: fakes (odd) a little brighter; 12 groups.

    Returns (videos, y, groups).
    """
    draw = np.random.default_rng(0)
    y = np.arange(24) % 2
    videos = [
        np.clip(draw.normal(110 + 30 * label, 20, (6, 40, 48, 3)), 0, 255).astype("u1")
        for label in y
    ]
    return videos, y, np.arange(24) // 2


@pytest.fixture(scope="session")
def walk_through():
    """Return a function: words of a block of Python in CONTRIBUTING.md -> the block."""
    page = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)

    def find(words):
        (block,) = [block for block in blocks if words in block]
        return block

    return find


@contextlib.contextmanager
def _loky():
    yield {"backend": "loky", "n_jobs": 2}


@contextlib.contextmanager
def _dask():
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    # Else it drops a worker that is down 15 s after it was lost before.
    kept = {"distributed.deploy.lost-worker-timeout": "1 day"}
    with (
        dask.config.set(kept),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield {"backend": "dask"}


@contextlib.contextmanager
def _ray(**resources):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100_000_000,
            log_to_driver=False,
            **resources,
        )
    register_ray()
    try:
        yield {"backend": "ray", "n_jobs": -1}
    finally:
        ray.shutdown()


@pytest.fixture(scope="session")
def engines():
    """What starts an engine with two workers, by name, in a ``with`` block.

    It gives the settings of `joblib.parallel_config`.
    """
    return {"loky": _loky, "dask": _dask, "ray": _ray}
