"""A fit and its scores with videos and store in a bucket: those of the disk."""

import subprocess
import sys

import fsspec
import numpy as np
import pytest

from base_models import FrameDetector, Store, clear_caches, write_video
from ensemble import DeepfakeEnsemble, load
from ensemble.cli.app import main

pytest_plugins = ["bucket"]
pytestmark = pytest.mark.slow

_FIT = """
import sys
import numpy as np
from base_models import FrameDetector
from ensemble import DeepfakeEnsemble
place, store, out = sys.argv[1:]
head = FrameDetector("test_resnet", "frame", weights=None, image_size=32, n_frames=2,
                     train="head")
model = DeepfakeEnsemble([("head", head)], resampling=2, random_state=0, store=store)
videos = [f"{place}/{n}.mp4" for n in range(8)]
model.fit(videos, [0, 1] * 4, groups=[n // 2 for n in range(8)])
np.save(out, np.column_stack([model.oof_scores_.to_numpy(), model.fake_score(videos)]))
"""


@pytest.fixture
def clips(tmp_path, bucket):
    """Eight clips on the disk and in a bucket: (folder, address)."""
    draw = np.random.default_rng(0)
    fs = fsspec.filesystem("s3")
    for number in range(8):
        frames = draw.integers(0, 256, (6, 48, 64, 3), np.uint8)
        path = write_video(tmp_path / "clips" / f"{number}.mp4", frames)
        fs.put_file(str(path), f"{bucket}/clips/{number}.mp4")
    return str(tmp_path / "clips"), f"s3://{bucket}/clips"


def _fitted(place, store):
    tiny = {"weights": None, "image_size": 32, "n_frames": 2, "train": "head"}
    head = FrameDetector("test_resnet", "frame", **tiny)
    model = DeepfakeEnsemble(
        [("head", head)], resampling=2, random_state=0, store=store
    )
    videos = [f"{place}/{number}.mp4" for number in range(8)]
    model.fit(videos, [0, 1] * 4, groups=[number // 2 for number in range(8)])
    return model, videos


def test_a_fit_in_a_bucket_is_that_of_the_disk(clips, tmp_path):
    folder, address = clips
    local, paths = _fitted(folder, tmp_path / "store")
    clear_caches()
    remote, addresses = _fitted(address, tmp_path / "other")
    np.testing.assert_array_equal(
        remote.oof_scores_.to_numpy(), local.oof_scores_.to_numpy()
    )
    expected = local.fake_score(paths)
    np.testing.assert_array_equal(remote.fake_score(addresses), expected)
    assert list(remote.judge(addresses).index) == addresses
    remote.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe").fake_score(addresses)
    np.testing.assert_array_equal(again, expected)


def test_two_processes_share_a_store_in_a_bucket(clips, bucket, tmp_path):
    folder, address = clips
    store = f"s3://{bucket}/store"
    run = [
        subprocess.Popen(
            [sys.executable, "-c", _FIT, place, store, f"{tmp_path}/{name}"]
        )
        for name, place in (("disk.npy", folder), ("bucket.npy", address))
    ]
    assert [process.wait(timeout=300) for process in run] == [0, 0]
    found = [np.load(tmp_path / name) for name in ("disk.npy", "bucket.npy")]
    np.testing.assert_array_equal(*found)
    kept = Store(store)
    assert len(kept.keys("member")) == 3  # two folds and the whole, of one content
    before = {key: kept.get("member", key)[1] for key in kept.keys("member")}
    clear_caches()
    model, videos = _fitted(address, store)  # all of it is found
    scores = [model.oof_scores_.to_numpy(), model.fake_score(videos)]
    np.testing.assert_array_equal(np.column_stack(scores), found[0])
    assert {key: kept.get("member", key)[1] for key in kept.keys("member")} == before


def _run(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def test_commands_take_a_bucket(clips, bucket, tmp_path, capsys):
    _, address = clips
    lines = [f"{address}/{n}.mp4,{n % 2},g{n // 2}" for n in range(8)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *lines]))
    model = str(tmp_path / "model.dfe")
    _run(
        ["fit", str(tmp_path / "list.csv"), "--backbones", "test_resnet", "--views",
         "frame", "--train", "head", "--weights", "none", "--image-size", "32",
         "--n-frames", "2", "--folds", "2", "--store", f"s3://{bucket}/store", "--out",
         model]
    )  # fmt: skip
    capsys.readouterr()
    given = [model, f"{address}/0.mp4", f"{address}/1.mp4"]
    _run(["predict", *given])
    out = capsys.readouterr().out
    assert f"{address}/0.mp4" in out
    assert f"{address}/1.mp4" in out
    table = tmp_path / "index.csv"
    _run(["index", str(tmp_path / "list.csv"), "--out", str(table)])
    assert f"{address}/7.mp4" in table.read_text()
    made = tmp_path / "prepared"
    _run(
        ["prepare", str(tmp_path / "list.csv"), str(made), "--view", "frame", "--size",
         "32"]
    )  # fmt: skip
    assert len(list(made.rglob("*.png"))) >= 8
