"""Tables of videos judged part by part: the verdicts of `judge`, whatever happens."""

import functools
import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

from base_models import (
    CallableDetector,
    TorchDetector,
    score_table,
    score_videos,
    write_video,
)
from base_models.batch.detector_scores import detector_digest
from ensemble import DeepfakeEnsemble

pytest_plugins = ["remote"]

OWN = ["p_fake", "verdict", "status", "reason", "doubts"]


class Channel(nn.Module):
    """P(fake) rises with one colour of the image."""

    def __init__(self, channel):
        super().__init__()
        self.channel = channel
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, images):  # (B, 3, H, W), -1..1
        return self.scale * images[:, self.channel].mean(dim=(1, 2))


def member(channel):
    return TorchDetector(
        Channel(channel), view="frame", train="none", image_size=16, n_frames=2
    )


def folder_of_frames(folder, *colour):
    folder.mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (40, 30), colour).save(folder / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Paths: eight to learn from, and those to judge, some of them odd."""
    root = tmp_path_factory.mktemp("videos")
    shades = [*range(60, 100, 10), *range(160, 200, 10)]
    known = [folder_of_frames(root / f"known{s}", s, 90 + s // 3, 80) for s in shades]
    broken = root / "broken.mp4"
    broken.write_bytes(b"no video")
    new = [
        folder_of_frames(root / f"\u5317 {n}", 40 + 19 * n, 90, 80) for n in range(9)
    ]
    return known, [*new[:5], str(broken), str(root / "absent.mp4"), *new[5:], new[0]]


@pytest.fixture(scope="module", params=["voting", "stacking"])
def model(request, videos, tmp_path_factory):
    model = DeepfakeEnsemble(
        [("red", member(0)), ("green", member(1))],
        strategy=request.param, resampling=2, store=tmp_path_factory.mktemp("store"),
    )  # fmt: skip
    return model.fit(videos[0], [0] * 4 + [1] * 4, groups=np.arange(8) // 2)


@pytest.fixture
def table(videos, tmp_path):
    """A CSV of them, with one row that names none; columns with odd names."""
    paths = [*videos[1][:3], "", *videos[1][3:]]
    more = {"Status": [f"{n:02}" for n in range(len(paths))], "caf\u00e9 x": "a,b"}
    pd.DataFrame({"path": paths, **more}).to_csv(tmp_path / "videos.csv", index=False)
    return tmp_path / "videos.csv"


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("part_size", [1, 5, 100])
def test_verdicts_are_those_of_judge(part_size, model, videos, table, tmp_path):
    done = model.judge_table(table, tmp_path / "out", part_size=part_size)
    given = pd.read_csv(table, dtype=str, keep_default_na=False)
    found = pd.read_parquet(done.output)
    assert found["row"].tolist() == list(range(len(given)))
    assert list(found) == [
        "row",
        "path",
        "input_Status",
        "caf\u00e9 x",
        *OWN,
        "red",
        "green",
    ]
    np.testing.assert_array_equal(found["input_Status"], given["Status"])
    judged = model.judge(videos[1]).reset_index(drop=True)
    named = found.drop(index=3).reset_index(drop=True)[list(judged)]
    pd.testing.assert_frame_equal(named, judged, check_exact=True, check_dtype=False)
    assert found.loc[3, "status"] == "unscorable"
    assert found.loc[3, "reason"] == "the table names no video in this row"
    assert done.n_rows == len(given) == done.n_scored + done.n_unscorable
    assert done.n_unscorable == (found["status"] == "unscorable").sum() == 3


@pytest.mark.slow_after(1)
def test_a_table_of_parquet_gives_the_same(model, table, tmp_path):
    given = pd.read_csv(table, dtype=str, keep_default_na=False)
    given.assign(n=np.arange(len(given))).to_parquet(tmp_path / "videos.parquet")
    one = model.judge_table(table, tmp_path / "one", part_size=4)
    two = model.judge_table(tmp_path / "videos.parquet", tmp_path / "two", part_size=7)
    found = pd.read_parquet(two.output)
    assert found.pop("n").tolist() == list(range(len(given)))
    pd.testing.assert_frame_equal(pd.read_parquet(one.output), found)
    schemas = {
        str(pyarrow.parquet.read_schema(part).remove_metadata())
        for part in (tmp_path / "one").glob("*.parquet")
    }
    assert len(schemas) == 1


def counting(videos):
    with open("asked.txt", "a") as file:
        file.writelines(f"{video}\n" for video in videos)
    return [int(video[-5]) / 10 for video in videos]


def texts(detector):
    return {"digit": detector.fit(["a", "b"], [0, 1])}


@pytest.fixture
def digits(tmp_path, monkeypatch):
    """A table of ten files, by whose names they are scored."""
    monkeypatch.chdir(tmp_path)
    names = [f"v{n}.mp4" for n in range(10)]
    for name in names:
        (tmp_path / name).write_text(name)
    pd.DataFrame({"path": names}).to_csv("t.csv", index=False)
    return tmp_path / "t.csv"


def asked(folder):
    lines = (folder / "asked.txt").read_text().split("\n")[:-1]
    (folder / "asked.txt").unlink()
    return [int(line[-5]) for line in lines]


def test_only_parts_that_are_missing_or_broken_are_done_again(digits, tmp_path):
    detectors = texts(CallableDetector(counting))
    done = score_table(detectors, digits, "out", part_size=3)
    assert (done.n_parts, done.n_skipped, done.n_scored) == (4, 0, 10)
    asked(tmp_path)
    first = pd.read_parquet("out")
    (tmp_path / "out" / "part-000001.parquet").unlink()
    part = tmp_path / "out" / "part-000003.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    done = score_table(detectors, digits, "out", part_size=3)
    assert (done.n_parts, done.n_skipped, done.n_scored) == (4, 2, 10)
    assert asked(tmp_path) == [3, 4, 5, 9]
    pd.testing.assert_frame_equal(pd.read_parquet("out"), first)


def test_another_run_or_folder_is_refused(digits, tmp_path):
    detectors = texts(CallableDetector(counting))
    score_table(detectors, digits, "out", part_size=5)
    with pytest.raises(ValueError, match="part_size was 5, is 4.*overwrite=True"):
        score_table(detectors, digits, "out", part_size=4)
    other = texts(CallableDetector(lambda videos: [0.25] * len(videos)))
    with pytest.raises(ValueError, match="another run: model was"):
        score_table(other, digits, "out", part_size=5)
    (tmp_path / "out" / "_notes.txt").write_text("mine")
    done = score_table(other, digits, "out", part_size=10, overwrite=True)
    assert done.n_skipped == 0
    assert pd.read_parquet("out")["digit"].tolist() == [0.25] * 10
    assert (tmp_path / "out" / "_notes.txt").read_text() == "mine"
    digits.write_text("path\nv0.mp4\n")
    with pytest.raises(ValueError, match="input was .*; rows was 10, is 1"):
        score_table(other, digits, "out", part_size=10)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "part-000000.parquet").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="holds 'part-000000.parquet' and no run"):
            score_table(other, digits, "mine", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [
        "part-000000.parquet"
    ]


def opening(level):
    """A function that opens files, so that it cannot be told in full."""

    def score(videos):
        for video in videos:
            open(video).close()
        return [level] * len(videos)

    return score


class Opening:
    def __init__(self, level):
        self.level, self.lock = level, threading.Lock()

    def score(self, videos):
        return opening(self.level)(videos)


class Foreign(ClassifierMixin, BaseEstimator):
    """Of another package; it holds what cannot be described."""

    def __init__(self, level):
        self.level, self.lock = level, threading.Lock()

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        return self

    def __copy__(self):
        return self

    def predict_proba(self, videos):
        return np.tile([1 - self.level, self.level], (len(videos), 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda level: CallableDetector(opening(level)),
        lambda level: CallableDetector(Opening(level).score),
        lambda level: CallableDetector(functools.partial(by_default, level=level)),
        lambda level: CallableDetector(lambda videos: opening(level)(videos)),
        Foreign,
    ],
    ids=["closure", "method", "partial", "lambda", "foreign"],
)
def test_models_that_differ_in_what_they_hold_are_not_mixed(make, digits):
    score_table(texts(make(0.25)), digits, "out", part_size=5)
    os.unlink("out/part-000001.parquet")
    with pytest.raises(ValueError, match="another run: model was"):
        score_table(texts(make(0.75)), digits, "out", part_size=5)
    with pytest.warns(UserWarning, match="digit is known by code and values"):
        score_table(texts(make(0.25)), digits, "out", part_size=5)
    assert pd.read_parquet("out")["digit"].tolist() == [0.25] * 10


def test_the_code_of_a_users_class_counts():
    def of(level):
        class Mine(BaseEstimator):
            def get_state(self, portable=True):
                return {}, {}

            def score_views(self, views):
                return np.full(len(views), level), np.full(len(views), "")

        return Mine()

    digests = [detector_digest(of(level)) for level in (0.1, 0.9, 0.1)]
    assert digests[0] == digests[2] != digests[1]


def interrupting(videos):
    if any("v7" in video for video in videos):
        for note in Path("out/_attempts").glob("part-000001*"):
            note.write_text(json.dumps({"2": 1}))  # as a worker that was ended leaves
        raise KeyboardInterrupt
    return [0.5] * len(videos)


def test_an_interrupt_is_no_attempt_of_a_video(digits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score_table(texts(CallableDetector(interrupting)), digits, "out", part_size=5)
    assert list((tmp_path / "out" / "_attempts").iterdir()) == []


loaded = None


def loading(videos):
    """As many do it: the model is loaded when it is first needed."""
    global loaded
    if loaded is None:
        with open(videos[0]):
            loaded = 0.5
    return [loaded] * len(videos)


def test_a_model_that_was_loaded_since_is_the_same(digits):
    for n_skipped in (0, 2):
        detectors = texts(CallableDetector(loading))
        done = score_table(detectors, digits, "out", part_size=5)
        assert done.n_skipped == n_skipped


def by_default(videos, level=0.5):
    return opening(level)(videos)


def test_a_table_that_is_replaced_ends_the_run_and_its_parts_stay(digits):
    """As a nightly export does it: the same rows in another order, of the same size."""
    names = [f"v{number}.mp4" for number in range(10)]

    def replacing(videos):
        if any(video.endswith("v4.mp4") for video in videos):
            pd.DataFrame({"path": names[::-1]}).to_csv("new.csv", index=False)
            os.replace("new.csv", digits)
        return [int(video[-5]) / 10 for video in videos]

    detectors = texts(CallableDetector(replacing))
    with pytest.raises(ValueError, match="t.csv has changed since it was looked at"):
        score_table(detectors, digits, "out", part_size=3)
    assert pd.read_parquet("out")["path"].tolist() == names[:6]
    with pytest.raises(ValueError, match=r"another run: input was .\"version\": "):
        score_table(detectors, digits, "out", part_size=3)


def test_two_runs_at_once_are_one(digits, tmp_path):
    def again(videos):
        with pytest.raises(ValueError, match="another run is writing into"):
            score_table(detectors, digits, "out")
        return counting(videos)

    detectors = texts(CallableDetector(again))
    assert score_table(detectors, digits, "out").n_scored == 10


def failing(videos):
    raise ZeroDivisionError("a bug")


def sometimes(videos):
    if any(video.endswith("v4.mp4") for video in videos):
        raise ZeroDivisionError("of one video")
    return [0.5] * len(videos)


@pytest.mark.parametrize("part_size", [1, 4])
def test_what_fails_for_every_video_is_raised_and_for_one_is_its_reason(
    part_size, digits, tmp_path
):
    with pytest.raises(ZeroDivisionError, match="a bug"):
        score_table(
            texts(CallableDetector(failing)), digits, "out", part_size=part_size
        )
    assert list((tmp_path / "out").glob("*.parquet")) == []
    score_table(texts(CallableDetector(sometimes)), digits, "two", part_size=part_size)
    found = pd.read_parquet("two")
    paths = [str(tmp_path / path) for path in found["path"]]
    scores, reasons = score_videos(texts(CallableDetector(sometimes)), paths)
    np.testing.assert_array_equal(found["digit"], scores[:, 0])
    np.testing.assert_array_equal(found["digit_reason"], reasons[:, 0])
    assert reasons[4] == "ZeroDivisionError: of one video"


def test_an_empty_table_gives_an_empty_one_of_the_same_columns(digits):
    detectors = texts(CallableDetector(counting))
    score_table(detectors, digits, "out")
    digits.write_text("path\n")
    done = score_table(detectors, digits, "empty")
    assert (done.n_rows, done.n_scored) == (0, 0)
    found, known = pd.read_parquet("empty"), pd.read_parquet("out")
    assert len(found) == 0
    assert list(found) == list(known)
    assert found.dtypes.tolist() == known.dtypes.tolist()


def test_a_video_that_was_begun_three_times_is_given_up(digits, tmp_path):
    """What a process leaves that was killed: a note of what it had begun."""
    detectors = texts(CallableDetector(counting))
    score_table(detectors, digits, "out", part_size=5)
    (tmp_path / "out" / "part-000001.parquet").unlink()
    note = tmp_path / "out" / "_attempts" / "part-000001.parquet.json"
    note.write_text(json.dumps({"2": 3, "3": 2}))
    asked(tmp_path)
    done = score_table(detectors, digits, "out", part_size=5)
    assert (done.n_scored, done.n_unscorable) == (9, 1)
    found = pd.read_parquet("out")
    assert found["digit_reason"].tolist()[7].startswith("it ended the process that")
    assert found["digit"].isna().tolist() == [n == 7 for n in range(10)]
    assert not note.exists()
    assert not (tmp_path / "asked.txt").exists()  # their scores were kept


def replacing_itself(videos):
    """Say what the file holds, and replace it while it is looked at."""
    found = [int(Path(video).read_text()[0]) / 10 for video in videos]
    for video in videos:
        Path(video).write_text("9 is in it now")
    return found


def test_what_was_replaced_while_it_was_scored_is_not_kept(digits, tmp_path):
    detectors = texts(CallableDetector(replacing_itself))
    for number in range(10):
        (tmp_path / f"v{number}.mp4").write_text("1")
    score_table(detectors, digits, "out", part_size=5)
    assert pd.read_parquet("out")["digit"].tolist() == [0.1] * 10
    (tmp_path / "out" / "part-000001.parquet").unlink()
    note = tmp_path / "out" / "_attempts" / "part-000001.parquet.json"
    note.write_text(json.dumps({"3": 1}))  # it ended in the midst of this part
    score_table(detectors, digits, "out", part_size=5)
    assert pd.read_parquet("out")["digit"].tolist() == [0.9] * 10


def brightness(videos):
    """Overwrite the first image once it was looked at, as another program may."""
    found = []
    for video in videos:
        found.append(int(Image.open(f"{video}/0.png").getpixel((0, 0))[0]) / 100)
        Image.new("RGB", (8, 8), (90, 90, 90)).save(f"{video}/0.png")
    return found


def test_scores_of_a_folder_of_images_count_its_images(digits, tmp_path):
    for number in range(3):
        (tmp_path / f"f{number}").mkdir()
        Image.new("RGB", (8, 8), (10, 10, 10)).save(tmp_path / f"f{number}" / "0.png")
    pd.DataFrame({"path": ["f0", "f1", "f2"]}).to_csv("t.csv", index=False)
    detectors = texts(CallableDetector(brightness))
    for scores in ([0.1] * 3, [0.9] * 3):  # of what is there now
        score_table(detectors, digits, "out")
        assert pd.read_parquet("out")["digit"].tolist() == scores
        (tmp_path / "out" / "part-000000.parquet").unlink()
        note = tmp_path / "out" / "_attempts" / "part-000000.parquet.json"
        note.write_text(json.dumps({"2": 1}))  # it ended in the midst of this part


@pytest.mark.slow
def test_a_video_without_a_version_is_fetched_once_in_a_part(digits, web, tmp_path):
    web.etags = False
    paths = []
    for shade in (20, 60, 160, 200):
        frames = np.full((4, 32, 32, 3), shade, np.uint8)
        content = Path(write_video(tmp_path / "a.mp4", frames)).read_bytes()
        paths.append(web.put(f"{shade}.mp4", content))
    pd.DataFrame({"path": paths}).to_csv("t.csv", index=False)
    detector = member(0).fit(paths, [0, 0, 1, 1])
    web.forget()
    score_table({"red": detector}, digits, "out", store="other store")
    assert sorted(pd.read_parquet("out")["red"].round(2)) == pytest.approx(
        sorted(score_videos([detector], paths)[0][:, 0].round(2))
    )
    whole = [path for path, part in web.asked if part is None]
    assert len(whole) <= 3 * len(paths)  # once more by who reads it, and score_videos


def test_kept_scores_of_copies_are_told_apart_by_name(digits, tmp_path):
    """A function may read the name: what was kept of one copy is not another's."""
    for number in range(10):
        (tmp_path / f"v{number}.mp4").write_text("the same")
    detectors = texts(CallableDetector(counting))
    score_table(detectors, digits, "out", part_size=5)
    (tmp_path / "out" / "part-000001.parquet").unlink()
    note = tmp_path / "out" / "_attempts" / "part-000001.parquet.json"
    note.write_text(json.dumps({"3": 1}))  # it ended in the midst of this part
    asked(tmp_path)
    score_table(detectors, digits, "out", part_size=5)
    found = pd.read_parquet("out")["digit"].tolist()
    assert found == [number / 10 for number in range(10)]
    assert not (tmp_path / "asked.txt").exists()  # they were kept, each by itself


def test_a_folder_at_an_address_is_written_and_gone_on_with(digits):
    import fsspec

    detectors, memory = texts(CallableDetector(counting)), fsspec.filesystem("memory")
    score_table(detectors, digits, "memory://out", part_size=4)
    found = pyarrow.dataset.dataset("/out", filesystem=memory).to_table().to_pandas()
    assert found["digit"].tolist() == [n / 10 for n in range(10)]
    memory.rm_file("/out/part-000001.parquet")
    done = score_table(detectors, digits, "memory://out", part_size=4)
    assert (done.n_parts, done.n_skipped) == (3, 2)
    with pytest.raises(ValueError, match="part_size was 4, is 5"):
        score_table(detectors, digits, "memory://out", part_size=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part_size": 0}, "part_size must be a whole number from 1; got 0"),
        ({"engine": "spark"}, "engine must be None, 'dask' or 'ray'; got 'spark'"),
        ({"output": "t.csv"}, "is a file|would lie in"),
        ({"column": "videos"}, "has no column 'videos'"),
    ],
)
def test_bad_settings_are_refused_before_work(settings, message, digits):
    settings = {"output": "out", **settings}
    with pytest.raises((ValueError, NotADirectoryError), match=message):
        score_table(texts(CallableDetector(failing)), digits, **settings)
