"""Videos are read in another process, which may die of one; the frames are the same."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
from little_videos import counting_frames, encode

from base_models import (
    FrequencyDetector,
    Store,
    VideoReadError,
    clear_caches,
    probe_video,
    reading_limits,
)
from base_models.runtime.clusters.given_up import reason_given_up
from base_models.runtime.isolation import pool
from base_models.runtime.parallel import run_tasks
from base_models.video.quality import estimate_qp
from base_models.video.reading import iter_frames, sample_clips, sample_frames
from ensemble import DeepfakeEnsemble


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return encode(path, counting_frames(30))


@pytest.fixture
def apart():
    with reading_limits(isolation="process", video_seconds=20):
        yield


@pytest.fixture(scope="module")
def _deadly():
    """Readers in which some names of files are deadly."""
    clear_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_MODULES", ("deadly_reader",))
        yield
        clear_caches()


@pytest.fixture
def named(_deadly, clip, tmp_path):
    def copy(name):
        return shutil.copy(clip, tmp_path / name)

    return copy


def process_ids():
    return {reader._process.pid for reader in pool._all}


def all_of(path):
    sample = sample_clips(path, 5, clip_length=3)
    return (
        sample.frames.tobytes(), sample.numbers.tolist(), sample.total,
        probe_video(path), estimate_qp(path),
        [(frame.tobytes(), s) for frame, s in iter_frames(path, return_times=True)],
        [None if f is None else f.tobytes() for f in iter_frames(path, at={3, 20})],
    )  # fmt: skip


@pytest.mark.slow
def test_all_is_the_same_bit_for_bit(clip, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(counting_frames(30)):
        cv2.imwrite(f"{folder}/{number}.png", frame)
    for video in (clip, folder):
        here = all_of(video)
        clear_caches()
        with reading_limits(isolation="process"):
            there = all_of(video)
        assert there[3:] == here[3:]
        assert there[:3] == here[:3]
    frames = sample_frames(clip)
    assert frames.flags.writeable


@pytest.mark.slow
def test_one_reader_is_kept_warm(clip, apart):
    clear_caches()
    sample_frames(clip)
    first = process_ids()
    for _ in range(10):
        next(iter_frames(clip))  # left before its end
        sample_frames(clip, 3)
        assert sum(1 for _ in iter_frames(clip)) == 30
        sample_frames(clip, 2)
    assert process_ids() == first
    assert len(first) == 1
    clear_caches()
    assert not process_ids()


@pytest.mark.slow
def test_arrays_that_came_apart_travel_to_workers(clip, apart):
    frames = sample_frames(clip, None)
    total = joblib.Parallel(2)([joblib.delayed(np.sum)(frames)])[0]
    assert total == frames.sum()


@pytest.mark.slow
def test_frames_stay_when_their_reader_reads_on_and_ends(clip, apart):
    frames = sample_frames(clip, None)
    kept = frames.copy()
    sample_frames(clip, 7)
    clear_caches()
    gc.collect()
    assert np.array_equal(frames, kept)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("crashes.mp4", "SIGSEGV"),
        pytest.param("aborts.mp4", "SIGABRT", marks=pytest.mark.slow),
    ],
)
def test_a_reader_that_dies_is_the_reason_of_its_file(named, apart, name, how):
    deadly, good = named(name), named("good.mp4")
    expected = sample_frames(good)
    for read in (
        sample_frames,
        probe_video,
        estimate_qp,
        lambda v: list(iter_frames(v)),
    ):
        with pytest.raises(
            VideoReadError, match=f"{name}: it ended the process that read it .{how}"
        ):
            read(deadly)
        assert np.array_equal(sample_frames(good), expected)
    assert reason_given_up(deadly) is not None  # nobody tries it again


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*chance")
@pytest.mark.usefixtures("_deadly")
def test_a_deadly_video_ends_no_fit_and_changes_no_other_score(tmp_path):
    rng, videos = np.random.default_rng(0), []
    for number in range(12):
        name = "crashes.mp4" if number == 5 else f"{number}.mp4"
        noise = rng.integers(0, 60 + 120 * (number % 2), (4, 48, 64, 3), np.uint8)
        videos.append(encode(tmp_path / name, noise))
    labels, groups = [0, 1] * 6, [number // 2 for number in range(12)]
    member = FrequencyDetector(view="frame", n_frames=2, image_size=32)

    def fitted(store):
        model = DeepfakeEnsemble([member], "voting", 3, store=Store(tmp_path / store))
        model.fit(videos, labels, groups=groups)
        return np.ravel(model.oof_scores_), model.judge(videos)["p_fake"].to_numpy()

    with reading_limits(isolation="process"):
        apart = fitted("apart")
    assert reason_given_up(videos[5]).endswith("SIGSEGV)")
    here = fitted("here")  # where it is not opened any more
    for there, expected in zip(apart, here, strict=True):
        np.testing.assert_array_equal(there, expected)
        assert np.isnan(there).sum() == np.isnan(there[5]).sum() == 1


@pytest.mark.slow
def test_what_an_earlier_file_did_to_a_reader_is_no_fault_of_a_later_one(named, apart):
    harmed = named("harms.mp4")
    for n_frames in (3, 4, 5):  # the first opens it, and later opens kill the reader
        with pytest.raises(VideoReadError, match="SIGSEGV"):
            sample_frames(harmed, n_frames)
    assert len(sample_frames(named("good.mp4"), 3)) == 3


@pytest.mark.slow
def test_a_reader_that_hangs_is_ended(named):
    hangs = named("hangs.mp4")
    with reading_limits(isolation="process", video_seconds=0.5):
        sample_frames(named("good.mp4"))
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(VideoReadError, match=r"longer than the 0.5 s allowed"):
                sample_frames(hangs)
        assert time.monotonic() - began < 0.1  # it is not tried again


@pytest.mark.slow
def test_memory_over_the_limit_is_the_reason_of_its_file(named, apart):
    with pytest.raises(VideoReadError, match=r"more than the 4,294,967,296 bytes of m"):
        sample_frames(named("eats.mp4"))


def test_a_mistake_in_code_stays_one(named, apart):
    with pytest.raises(AttributeError, match="a mistake"):
        sample_frames(named("is wrong.mp4"))


@pytest.mark.slow
def test_a_decoder_gets_no_more_memory_than_allowed(tmp_path):
    big = encode(tmp_path / "big.mp4", np.zeros((2, 3000, 4000, 3), np.uint8))
    with (
        reading_limits(isolation="process", video_bytes=40_000_000),
        pytest.raises(VideoReadError, match="bytes of memory"),
    ):
        sample_frames(big, 1)


def test_errors_are_those_of_this_process(tmp_path, apart, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.mp4").write_bytes(b"no video" * 9)
    Path("empty.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    for name in ("broken.mp4", "empty.png"):
        with pytest.raises(VideoReadError) as there:
            sample_frames(name)
        with reading_limits(isolation=None), pytest.raises(VideoReadError) as here:
            sample_frames(name)
        assert str(there.value) == str(here.value)


def _digest(path):
    return joblib.hash(sample_frames(path)), os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_it_works_within_workers(clip, apart, backend):
    expected = joblib.hash(sample_frames(clip))
    with joblib.parallel_config(backend):
        came = dict(run_tasks(_digest, [(clip,)] * 4, n_jobs=2))
    assert {digest for digest, _ in came.values()} == {expected}
    if backend == "loky":
        assert os.getpid() not in {process for _, process in came.values()}


@pytest.mark.slow
def test_a_copy_of_the_process_has_readers_of_its_own(clip, apart):
    sample_frames(clip)
    ours = process_ids()
    child = os.fork()
    if child == 0:
        ok = not pool._all and len(sample_frames(clip, 3)) == 3 and ours.isdisjoint(
            process_ids()
        )  # fmt: skip
        pool.end_readers(idle_alone=False)
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(sample_frames(clip, 4)) == 4
    assert process_ids() == ours


_RUN = """
import os, sys, time
from base_models import sample_frames, reading_limits
from base_models.runtime.isolation import pool
with reading_limits(isolation="process"):
    sample_frames(sys.argv[1])
print(*(reader._process.pid for reader in pool._all), flush=True)
if sys.argv[2] == "waits":
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exits", signal.SIGINT, signal.SIGKILL])
def test_readers_end_with_their_process(clip, end):
    how = "exits" if end == "exits" else "waits"
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(clip), how],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    reader = int(run.stdout.readline())
    if end != "exits":
        run.send_signal(end)
    run.wait()
    run.stdout.close()
    until = time.monotonic() + 5
    while _runs(reader) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(reader)


def _runs(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"  # one that nobody waits for
