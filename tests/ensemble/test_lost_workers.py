"""Tasks that end the process which works on them: real ones, on real engines.

A finder of faces kills its process where it sees one colour, as a decoder's fault or a
lack of memory would. That it does so in the process of the tests, too, shows that no
video which was given up is looked at there.
"""

import os
import signal

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from base_models import Face, TorchDetector, score_videos
from base_models.runtime.clusters import given_up
from ensemble import out_of_fold_scores
from ensemble.datasets import VideoTable, index_videos, prepare

pytestmark = pytest.mark.slow

DEADLY = 200  # the blue of a frame
REASON = "it ended the process that worked on it 3 times"


class DeadlyFinder:
    """Finds a bright square; a frame of one colour ends the process."""

    def find(self, frame):
        if frame[0, 0, 2] == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        rows, columns = np.nonzero(frame[..., 0] > 100)
        box = (columns.min(), rows.min(), columns.max(), rows.max())
        return [Face(tuple(map(int, box)), 1.0)]


class Brightness(nn.Module):
    """P(fake) rises with the green of the image."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):  # (B, 3, H, W)
        return self.scale * images[:, 1].mean(dim=(1, 2))


def member():
    return TorchDetector(
        Brightness(), view="face", train="none", image_size=16, margin=1.0,
        n_frames=2, finder=DeadlyFinder(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def engine(request, engines):
    """The settings of `joblib.parallel_config` that move the work there."""
    with engines[request.param]() as settings:
        yield settings


def on_engines(*names):
    return pytest.mark.parametrize("engine", names, indirect=True, scope="module")


@pytest.fixture(autouse=True)
def nothing_given_up(monkeypatch):
    monkeypatch.setattr(given_up, "_given_up", {})


@pytest.fixture
def videos(tmp_path):
    """Eight videos as folders of images, of which the fourth is deadly."""
    root = tmp_path / "videos"  # anew for each test: workers know what was given up
    for number in range(8):
        frame = np.full((40, 60, 3), DEADLY if number == 3 else 10, np.uint8)
        frame[8:28, 12:32] = 160, 60 + 15 * number, 90
        (root / f"{number}").mkdir(parents=True)
        for at in range(3):
            Image.fromarray(frame).save(root / f"{number}" / f"{at}.png")
    return [str(root / f"{number}") for number in range(8)]


OTHERS = [0, 1, 2, 4, 5, 6, 7]


@on_engines("loky", "dask", "ray")
def test_an_index_has_a_row_that_says_why(engine, videos, tmp_path):
    def table(paths):
        labels = {"path": paths, "label": 0, "group": range(len(paths))}
        return VideoTable(pd.DataFrame(labels))

    others = [videos[number] for number in OTHERS]
    how = {"finder": DeadlyFinder()}
    alone = index_videos(table(others), store=tmp_path / "alone", **how).table
    with joblib.parallel_config(**engine):
        found = index_videos(table(videos), store=tmp_path / "other", **how).table
    assert found["readable"].tolist() == [number != 3 for number in range(8)]
    assert found["reason"][3].startswith(REASON)
    kept = found.drop(index=3).reset_index(drop=True).drop(columns="group")
    pd.testing.assert_frame_equal(alone.drop(columns="group"), kept, check_exact=True)


class DeadlyRun(prepare._Run):
    """Prepares videos; the one whose folder is named 3 ends the process."""

    def one(self, video, name, sharded):
        if os.path.basename(video) == "3" and not given_up.reason_given_up(video):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().one(video, name, sharded)


@on_engines("loky", "dask", "ray")
def test_a_data_set_is_prepared_without_it(engine, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "_Run", DeadlyRun)
    labels = {"path": videos, "label": [0, 1] * 4, "group": range(8)}
    table = VideoTable(pd.DataFrame(labels))
    how = {"view": "frame", "size": 32, "n_frames": 2, "store": tmp_path / "store"}
    with joblib.parallel_config(**engine):
        prepared = prepare.prepare_dataset(table, tmp_path / "out", **how)
    sources = [videos[number] for number in OTHERS]
    assert sorted(prepared.table["source_path"]) == sources
    assert len(list((tmp_path / "out").rglob("*.png"))) == 7 * 2
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert left_out["reason"].str.startswith(REASON).tolist() == [True]


@on_engines("dask", "ray")
def test_it_has_no_score_and_all_others_have_theirs(engine, videos, tmp_path):
    others = [videos[number] for number in OTHERS]
    detector = member().fit(others, [0, 0, 0, 1, 1, 1, 1])
    alone, _ = score_videos([detector], others, tmp_path / "alone")
    with joblib.parallel_config(**engine):
        scores, reasons = score_videos([detector], videos, tmp_path / "other")
    np.testing.assert_array_equal(scores[OTHERS], alone)
    assert np.isfinite(alone).all()
    assert np.isnan(scores[3]).all()
    assert reasons[3, 0].startswith(REASON)
    again, _ = score_videos([detector], videos, tmp_path / "other")  # it is left alone
    np.testing.assert_array_equal(again, scores)


@on_engines("dask", "ray")
def test_a_fit_goes_on_without_it(engine, videos, tmp_path):
    groups = np.arange(8)
    y = np.arange(8) % 2

    def table(rows, store):
        return out_of_fold_scores(
            {"bright": member()}, [videos[row] for row in rows], y[rows], groups[rows],
            resampling=2, store=store,
        )  # fmt: skip

    alone = table(OTHERS, tmp_path / "alone")
    with (
        joblib.parallel_config(**engine),
        pytest.warns(UserWarning, match=rf"1 of 8 videos lack a view.*{REASON}"),
    ):
        found = table([*range(8)], tmp_path / "other")
    missing = found["bright"].isna()
    assert missing.to_numpy().nonzero()[0].tolist() == [3]
    kept = found[["bright"]][~missing].to_numpy()
    np.testing.assert_array_equal(kept, alone[["bright"]].to_numpy())
