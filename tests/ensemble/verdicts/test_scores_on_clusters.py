"""Videos scored by workers of a cluster: the same verdicts, faces and reasons."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from base_models import CallableDetector, Face, TorchDetector, cluster, score_videos
from base_models.runtime.failures import Failures
from base_models.scoring import on_workers, sharing
from ensemble import DeepfakeEnsemble

SIDE = 24  # of a "face": a square on a black ground, told by its blue


class Squares:
    """Finds squares by their blue, left to right."""

    def find(self, frame):
        found = []
        for blue in (100, 130):
            rows, columns = np.nonzero(frame[..., 2] == blue)
            if len(rows):
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                found.append(Face(tuple(map(int, box)), 1.0))
        return found


class Channel(nn.Module):
    """P(fake) rises with one colour of the image."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, images):  # (B, 3, H, W), -1..1
        return self.scale * images[:, self.channel].mean(dim=(1, 2))


class Broken(nn.Module):
    """Cannot score anything."""

    def forward(self, images):
        return images[:, 7]


def member(module):
    return TorchDetector(
        module, view="face", train="none", image_size=16, margin=1.0, n_frames=4,
        finder=Squares(),
    )  # fmt: skip


def folder_of_frames(folder, *people):
    """A video of squares of (red, green), the first the largest, without any loss."""
    frame = np.zeros((60, 80, 3), np.uint8)
    for place, (red, green) in enumerate(people):
        side = SIDE - 2 * place
        corner = 8 + 40 * place
        frame[10 : 10 + side, corner : corner + side] = red, green, 100 + 30 * place
    folder.mkdir(parents=True)
    for number in range(6):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Paths: eight of one person to learn from, and those to score."""
    root = tmp_path_factory.mktemp("videos")
    shades = [*range(60, 100, 10), *range(160, 200, 10)]
    known = [folder_of_frames(root / f"known{s}", (s, s)) for s in shades]
    broken = root / "broken.mp4"
    broken.write_bytes(b"no video")
    new = [folder_of_frames(root / f"new{n}", (80 + 9 * n, 90)) for n in range(12)]
    two = folder_of_frames(root / "two", (60, 60), (230, 210))
    return known, [*new, two, str(broken), str(root / "absent.mp4")]


@pytest.fixture(scope="module")
def workers():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address=None
    ) as running:
        yield running.scheduler_address


def fitted(known, pooling, store):
    model = DeepfakeEnsemble(
        [("red", member(Channel(0))), ("green", member(Channel(1)))],
        strategy="voting", resampling=2, faces_pooling=pooling, store=store,
    )  # fmt: skip
    return model.fit(known, [0] * 4 + [1] * 4, groups=np.arange(8) // 2)


def refuse(*args, **kwargs):
    raise AssertionError("this was to be done by a worker")


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["largest", "worst"])
def test_verdicts_are_the_same(pooling, videos, workers, tmp_path, monkeypatch):
    known, new = videos
    model = fitted(known, pooling, tmp_path / "alone")
    alone, table = model.judge(new), model.detector_scores(new)
    model.store = tmp_path / "other"  # where nothing is yet
    with monkeypatch.context() as patch, cluster(workers):
        patch.setattr(sharing, "iter_views", refuse)
        each = list(model.judge_each(new))
        patch.setattr("base_models.video.reading.probe_video", refuse)
        other, other_table = model.judge(new), model.detector_scores(new)
    pd.testing.assert_frame_equal(alone, other, check_exact=True)
    pd.testing.assert_frame_equal(alone, pd.concat(each), check_exact=True)
    pd.testing.assert_frame_equal(table, other_table, check_exact=True)
    assert table.attrs["faces"] == other_table.attrs["faces"]
    assert list(table.attrs["faces"]) == [table.index[12]]
    assert table.notna().all(axis=1).tolist() == [True] * 13 + [False] * 2
    assert alone["reason"].iloc[13]


@pytest.mark.slow
def test_what_fails_for_every_video_is_raised(videos, workers, tmp_path):
    known, new = videos
    detector = member(Broken()).fit(known, [0] * 4 + [1] * 4)
    with pytest.raises(IndexError) as alone:
        score_videos([detector], new, tmp_path / "alone")
    with cluster(workers), pytest.raises(IndexError) as other:
        score_videos([detector], new, tmp_path / "other")
    assert str(alone.value) == str(other.value)


@pytest.mark.slow
def test_arrays_and_foreign_detectors_stay_here(videos, workers, monkeypatch):
    known, new = videos
    bright = CallableDetector(lambda videos: [0.25 for _ in videos])
    own = member(Channel(0)).fit(known, [0] * 4 + [1] * 4)
    monkeypatch.setattr(on_workers, "run_tasks", refuse)
    with cluster(workers):
        scores, _ = score_videos([bright.fit(known, [0] * 4 + [1] * 4)], new)
        np.testing.assert_array_equal(scores, 0.25)
        score_videos([own], [np.zeros((4, 60, 80, 3), np.uint8)] * 2)
        with pytest.raises(AssertionError, match="by a worker"):
            score_videos([own], new)


def test_failures_of_several_processes_are_put_together():
    class OddError(Exception):  # of a function: it cannot be pickled
        pass

    one, two = Failures(), Failures()
    one.note(OddError("odd"))
    sent = one.to_send()
    two.add(sent)
    with pytest.raises(RuntimeError, match="OddError: odd"):
        two.check()
    worked = Failures()
    worked.note(None)
    two.add(worked.to_send())
    two.check()  # one of the videos was scored


def test_long_parts_are_begun_first_among_those_that_come_soon():
    sizes = [1, 3, 2, 1, 1, 9, 2]
    parts = [[np.zeros((size, 2, 2, 3), np.uint8)] for size in sizes]
    assert on_workers._order(parts, 4) == [1, 2, 0, 3, 5, 6, 4]
    assert on_workers._order([], 4) == []
