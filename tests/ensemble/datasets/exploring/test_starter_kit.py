"""The rows of gpreda's "DeepFake Starter Kit", S1 to S19, with values known beforehand.

The lists are those of the sample of DFDC: 400 videos, 77 of them real, 323 fakes of 209
originals, of which the most frequent has six.
"""

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from base_models import write_video
from base_models.faces import HaarCascade, draw_haar_parts, haar_parts
from ensemble.datasets import explore, load_dataset
from ensemble.datasets.exploring.columns import (
    missing_values,
    most_frequent_values,
    unique_values,
    value_counts,
)
from ensemble.datasets.exploring.pictures import (
    count_faces,
    find_faces,
    first_frame,
    plot_frames,
    video_tag,
)

MOST = "meawmsgiti.mp4"
GREEN, RED, BLUE = [0, 255, 0], [255, 0, 0], [0, 0, 255]


def originals():
    """Of 323 fakes: one six times, 109 twice, 99 once."""
    others = [f"original{number:03}.mp4" for number in range(208)]
    return [MOST] * 6 + [name for name in others[:109] for _ in "ab"] + others[109:]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample as it lies on the disk; its files are no videos."""
    root = tmp_path_factory.mktemp("dfdc")
    train, test = root / "train_sample_videos", root / "test_videos"
    train.mkdir(), test.mkdir()
    metadata = {
        f"real{n:03}.mp4": {"label": "REAL", "split": "train"} for n in range(77)
    }
    for number, original in enumerate(originals()):
        entry = {"label": "FAKE", "split": "train", "original": original}
        metadata[f"fake{number:03}.mp4"] = entry
    (train / "metadata.json").write_text(json.dumps(metadata))
    for name in metadata:
        (train / name).write_text(name)
    (train / "fake000.mp4").unlink()  # listed and not there
    (train / "unlisted.mp4").write_text("there and not listed")
    for number in range(3):
        (test / f"test{number}.mp4").write_text(f"test {number}")
    (test / "notes.txt").write_text("no video")
    return root


@pytest.fixture(scope="module")
def found(sample, tmp_path_factory):
    table = load_dataset("auto", sample, missing="keep", duplicates="allow")
    store = tmp_path_factory.mktemp("store")
    return explore(table, sample, finder=None, store=store)


@pytest.fixture(scope="module")
def train(found):
    """metadata.json as a table: what the notebook has."""
    listed = found.metadata
    return listed[listed["split"] == "train"]


@pytest.fixture(scope="module")
def face():
    """A frontal face, 512 x 512."""
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="module")
def clips(tmp_path_factory, face):
    """A real video, three fakes of it, one without a label, one that is broken."""
    root = tmp_path_factory.mktemp("clips")
    train, test = root / "train_sample_videos", root / "test_videos"
    frames = {
        name: np.roll(face[:400], shift, axis=1)
        for shift, name in enumerate(["real", "one", "two", "three", "test"])
    }
    for name, frame in frames.items():
        folder = test if name == "test" else train
        write_video(folder / f"{name}.mp4", [frame] * 3, crf=18, preset="ultrafast")
    entries = {
        f"{name}.mp4": {"label": "FAKE", "split": "train", "original": "real.mp4"}
        for name in ("one", "two", "three")
    }
    entries["real.mp4"] = {"label": "REAL", "split": "train"}
    (train / "metadata.json").write_text(json.dumps(entries))
    (test / "broken.mp4").write_text("no video")
    return root


@pytest.fixture(scope="module")
def shown(clips, tmp_path_factory):
    table = load_dataset("auto", clips, missing="keep", duplicates="allow")
    return explore(table, clips, store=tmp_path_factory.mktemp("store"))


@pytest.mark.slow
def test_s1_files_of_train_and_test_are_counted(found):
    files = found.files.groupby("folder")["files"].sum()
    assert files.to_dict() == {"train_sample_videos": 401, "test_videos": 4}


@pytest.mark.slow
def test_s2_endings_are_counted_by_folder(found):
    assert found.files["files"].to_dict() == {
        ("test_videos", ".mp4"): 3,
        ("test_videos", ".txt"): 1,
        ("train_sample_videos", ".json"): 1,
        ("train_sample_videos", ".mp4"): 400,
    }


def test_s3_metadata_is_a_table_by_file(found, train, sample):
    path = sample / "train_sample_videos" / "metadata.json"
    expected = pd.read_json(path).T
    assert len(train) == 400
    names = train.index.str.rpartition("/").get_level_values(2)
    assert names.tolist() == expected.index.tolist()
    assert train["class"].str.upper().tolist() == expected["label"].tolist()
    original = train["original_id"].fillna("none").tolist()
    assert original == expected["original"].fillna("none").tolist()


def test_s4_the_original_is_missing_for_the_77_reals(train):
    missing = missing_values(train)
    row = missing.loc["original_id"]
    assert [row["missing"], row["percent"]] == [77, 19.25]
    assert missing.loc[["class", "split"], "missing"].tolist() == [0, 0]
    assert row["dtype"] == str(train["original_id"].dtype)


def test_s5_of_the_reals_all_originals_are_missing(found):
    assert found.missing.loc[("real", "original_id"), "percent"] == 100
    assert found.missing.loc[("fake", "original_id"), "missing"] == 0


def test_s6_of_323_originals_209_are_different(train, found):
    assert unique_values(train).loc["original_id"].tolist() == [323, 209]
    assert found.unique.loc["original_id"].tolist() == [323, 209]


def test_s7_the_most_frequent_values(train):
    frequent = most_frequent_values(train)
    assert frequent.loc["class"].tolist() == ["fake", 323, 80.75]
    assert frequent.loc["original_id"].tolist()[:2] == [MOST, 6]
    assert frequent.loc["original_id", "percent"] == pytest.approx(100 * 6 / 323)


def test_s8_labels_and_splits_are_counted_and_drawn(train, found):
    counts = value_counts(train, ["split", "class"])
    assert counts.loc[("split", "train"), "percent"] == 100
    assert counts.loc[("class", "real"), ["count", "percent"]].tolist() == [77, 19.25]
    figure = pytest.importorskip("matplotlib.figure").Figure()
    from ensemble.datasets.exploring.plots import plot_counts

    ax = plot_counts(counts.loc["class"], figure.subplots())
    assert [bar.get_height() for bar in ax.patches] == [323, 77]
    assert [text.get_text() for text in ax.texts] == ["80.8 %", "19.2 %"]
    many = value_counts(train, ["original_id"]).loc["original_id"]
    ax = plot_counts(many, pytest.importorskip("matplotlib.figure").Figure().subplots())
    assert len(ax.patches) == 20
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}


def test_s9_lists_and_folders_are_compared_both_ways(found):
    only = found.lists_and_folders.groupby("only_in")["video"].agg(list)
    assert only["list"] == ["train_sample_videos/fake000.mp4"]
    assert only["folder"] == ["train_sample_videos/unlisted.mp4"]


@pytest.mark.slow
def test_s10_the_first_frame_of_a_fake_and_a_real(shown):
    for label in (0, 1):
        video = shown.table.subset(where=shown.table.table["label"] == label).videos[0]
        reader = cv2.VideoCapture(video)
        _, expected = reader.read()
        reader.release()
        expected = cv2.cvtColor(expected, cv2.COLOR_BGR2RGB)
        assert np.abs(first_frame(video).astype(int) - expected).mean() < 3


def test_s11_a_grid_of_first_frames_titled_with_their_names(shown):
    pytest.importorskip("matplotlib")
    videos = shown.table.videos
    assert len(videos) == 6
    figure = plot_frames(videos)
    names = ["broken", "test", "one", "two", "three", "real"]
    assert [ax.get_title() for ax in figure.axes] == [f"{name}.mp4" for name in names]
    assert len({ax.get_position().y0 for ax in figure.axes}) == 2  # rows of three


def test_s12_the_siblings_of_one_original(found, shown):
    assert found.originals["fakes"].iloc[0] == 6
    assert found.originals.index[0] == MOST
    assert len(found.siblings(MOST)) == 6
    assert shown.originals.loc["real.mp4"].tolist() == [3, True]
    kin = shown.siblings("real.mp4")
    assert kin.labels == [0, 1, 1, 1]
    assert kin.videos[0].endswith("real.mp4")


def test_s13_videos_of_the_test_set_have_no_label(found):
    unlabelled = found.table.subset(labelled=False)
    names = [video.rpartition("/")[2] for video in unlabelled.videos]
    assert sorted(names) == ["test0.mp4", "test1.mp4", "test2.mp4", "unlisted.mp4"]
    counts = found.counts.loc["class", "count"]
    assert counts.to_dict() == {"fake": 323, "real": 77, "unlabelled": 4}


def test_s14_a_detector_is_opencvs_cascade_with_the_notebooks_defaults(face):
    file = cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    expected = cv2.CascadeClassifier(file).detectMultiScale(
        grey, scaleFactor=1.3, minNeighbors=5, minSize=(20, 20)
    )
    assert len(expected)
    for name in ("face", file):
        assert HaarCascade(name).detect(face) == [tuple(box) for box in expected]
    with pytest.raises(ValueError, match="did you mean 'profile'"):
        HaarCascade("profil").detect(face)


def test_s15_four_detectors_smaller_eyes_and_no_smiles(face):
    parts = haar_parts(face)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    for name, size in {"face": (50, 50), "eye": (25, 25), "profile": (50, 50)}.items():
        assert parts[name] == HaarCascade(name).detect(grey, 1.3, 5, size)
    assert parts["smile"] == []
    anywhere = haar_parts(face, smiles="anywhere")["smile"]
    inside = haar_parts(face, smiles="in_faces")["smile"]
    assert len(inside) <= len(parts["face"])
    assert anywhere == HaarCascade("smile").detect(grey, 1.3, 5, (50, 50))
    with pytest.raises(ValueError, match="smiles must be one of"):
        haar_parts(face, smiles="yes")


def test_s16_what_is_found_is_drawn_in_its_colour():
    black = np.zeros((480, 640, 3), np.uint8)
    box = (100, 120, 60, 80)
    corners = [(120, 100), (120, 160), (200, 100), (200, 160)]
    for name, colour in {"face": GREEN, "smile": RED, "profile": BLUE}.items():
        image = draw_haar_parts(black, {name: [box]})
        assert {tuple(image[corner]) for corner in corners} == {tuple(colour)}
        assert not image[160, 130].any()
    image = draw_haar_parts(black, {"eye": [box]})
    assert image[160, 130 + 35].tolist() == RED  # radius (60 + 80) / 4
    assert not image[120, 100].any()  # a circle, no rectangle
    assert not black.any()


@pytest.mark.slow
def test_s17_first_frames_are_searched_and_drawn_in_train_and_test(shown):
    readable = shown.table.subset(where=shown.table.table["readable"])
    counts = count_faces(readable.videos)
    assert (counts["face"] >= 1).all()
    assert (counts["dlib"] >= 1).all()
    video = readable.videos[0]
    faces = find_faces(video, smiles="off")
    assert faces.parts == haar_parts(first_frame(video), 1.3, 5, (50, 50))
    changed = (faces.by_haar != faces.frame).any(axis=2)
    assert (faces.by_haar[changed] == GREEN).all(axis=1).any()
    x, y, width, height = faces.parts["face"][0]
    left, top, right, bottom = faces.faces[0].box
    assert x - width / 4 < (left + right) / 2 < x + 5 * width / 4
    assert y - height / 4 < (top + bottom) / 2 < y + 5 * height / 4


def test_s18_a_video_plays_in_a_notebook(shown):
    video = shown.table.videos[-1]
    tag = video_tag(video)
    assert tag.startswith('<video width="500" controls')
    content = tag.partition("data:video/mp4;base64,")[2].partition('"')[0]
    with open(video, "rb") as file:
        assert base64.b64decode(content) == file.read()


@pytest.mark.slow
def test_s19_haar_misses_dark_faces_and_the_page_says_its_limits(face, shown, tmp_path):
    assert haar_parts(face)["face"]
    assert not haar_parts((face * 0.02).astype(np.uint8))["face"]
    pytest.importorskip("matplotlib"), pytest.importorskip("jinja2")
    text = shown.to_html(tmp_path / "page.html").read_text("utf-8")
    assert "Haar cascades miss faces that are turned, and dark ones" in text
    assert "models of up to 1 GB" in text


def test_broken_files_and_groups_are_listed(shown, found):
    assert shown.unreadable.index.tolist() == ["test_videos/broken.mp4"]
    assert len(found.unreadable) == 404
    group = shown.groups.loc["dfdc/real.mp4"]
    assert group[["videos", "real", "fake"]].tolist() == [4, 1, 3]
    assert found.groups["videos"].max() == 6  # the fakes whose original is not there
    assert shown.leak_hints["is_leak"].sum() == 0
    assert "too few groups" in shown.leak_hints.loc["file size", "reason"]


def test_numbers_by_class_are_those_of_the_videos(shown):
    by_class = shown.by_class
    assert by_class.loc[("frames", "fake"), ["videos", "mean"]].tolist() == [3, 3]
    assert by_class.loc[("width", "real"), "max"] == 512
    assert by_class.loc[("height", "unlabelled"), "min"] == 400
    sizes = [Path(video).stat().st_size for video in shown.table.videos]
    fakes = [size for size, label in zip(sizes, shown.table.labels, strict=True)
             if label == 1]  # fmt: skip
    assert by_class.loc[("file_size", "fake"), "mean"] == pytest.approx(np.mean(fakes))
