"""Tables and commands with videos behind an address."""

import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from base_models import FrameDetector, write_video
from ensemble import DeepfakeEnsemble
from ensemble.cli.app import main
from ensemble.datasets import VideoTable, index_videos, load_dataset
from ensemble.out_of_fold.training_set import TrainingSet

pytest_plugins = ["remote"]


@pytest.fixture
def clips(tmp_path):
    """Two clips, and a copy of the first."""
    paths = []
    for name, level in {"a": 60, "b": 120}.items():
        frames = np.full((6, 48, 64, 3), level, np.uint8)
        paths.append(write_video(tmp_path / f"{name}.mp4", frames))
    return paths


def test_a_table_may_hold_addresses_and_shows_no_secrets(web, clips, tmp_path):
    where = web.address.removeprefix("http://")
    for path in clips:
        web.put(path.name, path.read_bytes())
    signed = [
        f"http://ann:s3cret@{where}/{p.name}?X-Amz-Signature=s3cret" for p in clips
    ]
    listed = tmp_path / "list.csv"
    pd.DataFrame({"path": signed, "label": [0, 1]}).to_csv(listed, index=False)
    table = load_dataset("csv", listed)
    assert table.videos == signed
    public = [f"http://{where}/{path.name}" for path in clips]
    indexed = index_videos(table, finder=None, out=tmp_path / "index.csv",
                           store=tmp_path / "store")  # fmt: skip
    local = VideoTable(pd.DataFrame({"path": map(str, clips), "label": [0, 1]}))
    expected = index_videos(local, finder=None, store=tmp_path / "store")
    for name in ("digest", "phash", "frames", "file_size", "quantiser", "readable"):
        assert indexed.table[name].tolist() == expected.table[name].tolist()
    written = (tmp_path / "index.csv").read_text()
    assert "s3cret" not in written
    assert all(name in written for name in public)
    assert load_dataset("csv", tmp_path / "index.csv").videos == public
    web.forget()
    again = index_videos(table, finder=None, store=tmp_path / "store")
    assert again.table["digest"].tolist() == expected.table["digest"].tolist()
    assert web.served == 2  # a byte of each, to learn of the version


def test_copies_are_seen_wherever_they_lie(web, clips):
    for path in clips:
        web.put(path.name, path.read_bytes())
    videos = [f"{web.address}/a.mp4", clips[1], clips[0]]
    with pytest.raises(ValueError, match="labelled both real and fake"):
        TrainingSet.of(videos, [0, 1, 1], None, None)
    ordered = TrainingSet.of(videos[:2], [0, 1], None, None)
    local = TrainingSet.of(clips, [0, 1], None, None)
    assert ordered.digests == local.digests


def test_commands_take_addresses(web, clips, tmp_path):
    from ensemble.cli.inputs import videos_at

    with fsspec.open("memory://commands/a.mp4", "wb") as file:
        file.write(clips[0].read_bytes())
    given = [Path("memory://commands/a.mp4"), Path(f"{web.address}/a.mp4?x=1"),
             Path(clips[0].as_uri()), clips[1]]  # fmt: skip
    videos, _ = videos_at(given)
    folder, _ = videos_at([Path("memory://commands")])
    assert folder == ["memory://commands/a.mp4"]
    assert videos == ["memory://commands/a.mp4", f"{web.address}/a.mp4?x=1",
                      str(clips[0]), str(clips[1])]  # fmt: skip


@pytest.mark.slow
def test_no_secret_is_in_what_commands_write(web, tmp_path, capsys):
    draw = np.random.default_rng(0)
    where, signed = web.address.removeprefix("http://"), []
    for number in range(8):
        frames = draw.integers(0, 256, (6, 48, 64, 3), np.uint8)
        path = write_video(tmp_path / f"{number}.mp4", frames)
        web.put(path.name, path.read_bytes())
        query = "X-Amz-Signature=s3cret&token=s3cret"
        signed.append(f"http://ann:s3cret@{where}/{path.name}?{query}")
    tiny = {"weights": None, "image_size": 32, "n_frames": 2, "train": "head"}
    head = FrameDetector("test_resnet", "frame", **tiny, random_state=0)
    model = DeepfakeEnsemble([("head", head)], resampling=2, store=tmp_path / "store")
    groups = [number // 2 for number in range(8)]
    model.fit(signed, [0, 1] * 4, groups=groups)
    file, listed, out = tmp_path / "model.dfe", tmp_path / "list.csv", tmp_path / "out"
    model.save(file)
    table = pd.DataFrame({"path": signed, "label": [0, 1] * 4, "group": groups})
    table.to_csv(listed, index=False)
    web.content.pop("/1.mp4")  # errors have names, too
    for arguments in (
        ["predict", file, *signed[:2]],
        ["scan", "-m", file, *signed[:2], "--evidence", f"{out}/pages/",
         "--json", f"{out}/scan.json", "--csv", f"{out}/scan.csv"],
        ["stress", "-m", file, listed, "--changes", "blur", "--csv", f"{out}/a.csv"],
        ["explore", listed, "--out", f"{out}/page.html"],
        ["prepare", listed, f"{out}/crops", "--view", "frame", "--size", "32"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code in (0, 1), arguments[0]
    printed = capsys.readouterr()
    assert "s3cret" not in printed.out + printed.err
    with zipfile.ZipFile(file) as archive:
        assert not any(b"s3cret" in archive.read(name) for name in archive.namelist())
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        assert "s3cret" not in str(path)
        assert b"s3cret" not in path.read_bytes(), path
