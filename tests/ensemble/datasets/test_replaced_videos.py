"""Videos that were replaced since a table described them are not taken for those."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from base_models.errors import VideoReadError
from base_models.video import write_video
from base_models.video.paths import video_digest
from ensemble.datasets import index_videos, load_dataset
from ensemble.datasets.forge.camera import Recording


@pytest.fixture
def indexed(tmp_path, toy_videos):
    """Two videos and their index."""
    for name, frames in zip(("real", "fake"), toy_videos[0], strict=False):
        write_video(tmp_path / f"{name}.mp4", frames)
    rows = [("real.mp4", 0, "ann"), ("fake.mp4", 1, "bob")]
    table = tmp_path / "videos.csv"
    pd.DataFrame(rows, columns=["path", "label", "group"]).to_csv(table, index=False)
    made = load_dataset("csv", table)
    index_videos(made, 1, tmp_path / "index.csv", finder=None, store=tmp_path / "store")
    return tmp_path


def test_labels_do_not_go_over_to_other_videos(indexed):
    index = indexed / "index.csv"
    assert load_dataset("auto", index).labels == [0, 1]
    real, fake = indexed / "real.mp4", indexed / "fake.mp4"
    shutil.move(real, indexed / "aside.mp4")
    shutil.move(fake, real)
    shutil.move(indexed / "aside.mp4", fake)
    with pytest.raises(ValueError, match=r"describes 2 videos .*\.mp4.* Index them"):
        load_dataset("auto", index)
    with pytest.warns(UserWarning, match="describes 2 videos that are others by now"):
        load_dataset("auto", index, duplicates="warn")
    assert load_dataset("auto", index, duplicates="allow").labels == [0, 1]


def test_footage_that_was_replaced_is_not_forged(indexed):
    real, fake = indexed / "real.mp4", indexed / "fake.mp4"
    digest, nowhere = video_digest(real), np.zeros((2, 68, 2))
    draw = np.random.default_rng(0)
    recording = Recording(real, 2, None, draw, nowhere, digest)
    assert len(recording.film(2, draw)[0]) == 2
    shutil.copyfile(fake, real)
    with pytest.raises(VideoReadError, match="replaced"):
        recording.film(2, draw)
    with pytest.raises(VideoReadError, match="replaced"):
        Recording(real, 2, None, draw, nowhere, digest)


def test_an_index_is_made_anew_of_what_was_replaced_and_set_back(indexed):
    real, fake = indexed / "real.mp4", indexed / "fake.mp4"
    size = max(real.stat().st_size, fake.stat().st_size) + 8
    for path in (real, fake):  # an empty box of MP4 makes them equally long
        left = size - path.stat().st_size
        path.write_bytes(
            path.read_bytes() + left.to_bytes(4, "big") + b"free" + bytes(left - 8)
        )
        os.utime(path, (0, 0))

    def digests():
        table = load_dataset("csv", indexed / "videos.csv", duplicates="allow")
        found = index_videos(table, 1, finder=None, store=indexed / "store").table
        return found.set_index("video_id")["digest"]

    before = digests()
    shutil.copyfile(fake, indexed / "new.mp4")
    os.replace(indexed / "new.mp4", real)
    os.utime(real, (0, 0))
    after = digests()
    assert before["real.mp4"] != before["fake.mp4"]
    assert after["real.mp4"] == after["fake.mp4"] == before["fake.mp4"]
