"""Sources that run: a file in step with itself, a stream by its newest frame."""

import threading
import time

import av
import numpy as np
import pytest
from stream import free_port

from base_models import VideoReadError, iter_frames, write_video
from base_models.video.live import live_frames


def test_a_file_gives_every_frame_with_its_own_clock(tmp_path):
    frames = np.repeat(np.arange(0, 250, 25, dtype=np.uint8), 48 * 64 * 3)
    frames = frames.reshape(10, 48, 64, 3)
    path = write_video(tmp_path / "clip.mp4", frames, fps=10, crf=0)
    taken = list(live_frames(path))
    assert [frame.seconds for frame in taken] == pytest.approx(np.arange(10) / 10)
    assert all(
        (one.image == other).all()
        for one, other in zip(taken, iter_frames(path), strict=True)
    )
    assert {frame.skipped for frame in taken} == {0}


def test_a_clock_that_begins_again_goes_on(tmp_path, monkeypatch):
    image, times = np.zeros((8, 8, 3), np.uint8), [5.0, 5.04, 0.0, 0.04, 0.02]
    monkeypatch.setattr(
        "base_models.video.live.iter_frames",
        lambda path, return_times: ((image, at) for at in times),
    )
    seconds = [frame.seconds for frame in live_frames(tmp_path / "two.ts")]
    assert seconds == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_a_folder_of_frames_runs_at_25_a_second(tmp_path):
    for number in range(3):
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        image.to_image().save(tmp_path / f"{number}.png")
    assert [frame.seconds for frame in live_frames(tmp_path)] == [0.0, 0.04, 0.08]


@pytest.mark.slow
def test_who_is_slow_gets_the_newest_frame_of_a_stream(serve):
    taken = []
    for frame in live_frames(serve(60, fps=30)):
        taken.append(frame)
        time.sleep(0.25)
    # About 2 s at a frame each quarter: the others were skipped, and none is late.
    assert 4 <= len(taken) <= 14
    assert sum(frame.skipped for frame in taken) + len(taken) <= 60
    assert sum(frame.skipped for frame in taken) > 20
    assert taken[-1].image.mean() != taken[0].image.mean()
    steps = np.diff([frame.seconds for frame in taken])
    assert (steps > 0).all()


def test_stop_ends_a_stream_at_once(serve):
    stop, taken = threading.Event(), 0
    begin = time.perf_counter()
    for _ in live_frames(serve(300, fps=30), stop):
        taken += 1
        stop.set()
    assert taken == 1
    assert time.perf_counter() - begin < 8  # of the ten that it lasts


def test_what_cannot_be_opened_is_named(tmp_path):
    port = free_port()
    with pytest.raises(VideoReadError, match=f"127.0.0.1:{port}.*cannot be read"):
        list(live_frames(f"http://127.0.0.1:{port}/nobody.ts"))
    with pytest.raises(VideoReadError, match="webcam 97.*another program"):
        list(live_frames(97))
    with pytest.raises(VideoReadError):
        list(live_frames(tmp_path / "absent.mp4"))


def test_an_address_opens_no_file_of_this_machine(tmp_path):
    clip = write_video(tmp_path / "clip.mp4", np.zeros((3, 48, 64, 3), np.uint8))
    for address in (f"file://{clip}", f"concat:{clip}", f"subfile:{clip}"):
        with pytest.raises(VideoReadError):
            list(live_frames(address))
