"""The forge: what it writes, that it swaps faces, and that nothing else differs."""

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from file_metadata import metadata_aucs

from base_models.faces import DlibFaceFinder
from base_models.video import probe_video, sample_frames, write_video
from ensemble.datasets import forge_dataset, load_dataset, make_forgeries
from ensemble.datasets.forge.camera import Portrait, add_grain, paint_portrait
from ensemble.datasets.forge.face_swap import METHODS, SwapStyle, face_mask, swap_face
from ensemble.datasets.forge.folder import alone_in

pytest.importorskip("skimage", reason="the bundled faces are scikit-image's")


@pytest.fixture(scope="module")
def forgeries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forge")
    return make_forgeries(folder, n_identities=8, n_frames=6, random_state=0)


@pytest.fixture(scope="module")
def shared():
    folder = Path(__file__).parents[3].parent / "shared" / "data" / "clips" / "real"
    if not folder.is_dir():
        pytest.skip("no recorded clips beside this repository")
    return folder


# The set


@pytest.mark.slow
def test_each_group_holds_two_reals_and_two_swaps(forgeries):
    videos, labels, groups, methods = forgeries
    assert len(videos) == len(set(videos)) == 16
    for group in set(groups):
        kinds = [
            (label, method)
            for label, method, g in zip(labels, methods, groups, strict=True)
            if g == group
        ]
        assert Counter(kinds) == {
            (0, "none"): 2,
            (1, "swap_poisson"): 1,
            (1, "swap_feathered"): 1,
        }


@pytest.mark.slow
def test_the_folder_is_a_data_set_by_itself(forgeries):
    folder = Path(forgeries.videos[0]).parents[1]
    with open(folder / "videos.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "group", "method", "digest"]
    assert [str(folder / row["path"]) for row in rows] == forgeries.videos
    assert [int(row["label"]) for row in rows] == forgeries.labels
    for row in rows:
        assert row["path"].startswith(("real/", "fake/")[int(row["label"])])
        assert (folder / row["path"]).is_file()


def test_every_file_says_that_it_is_synthetic(forgeries):
    for video, label in zip(forgeries.videos, forgeries.labels, strict=True):
        comment = probe_video(video).tags["comment"]
        assert "Synthetic sample made by deepfake-ensemble's forge" in comment
        assert ("real" in comment) == (label == 0)
        assert ("swap" in comment) == (label == 1)


def test_all_clips_have_one_shape(forgeries):
    infos = [probe_video(video) for video in forgeries.videos]
    assert {(i.n_frames, i.width, i.height, i.fps, i.codec) for i in infos} == {
        (6, 192, 192, 25.0, "h264")
    }


def test_faces_are_found_in_real_and_fake_clips(forgeries):
    finder = DlibFaceFinder(max_side=None, upsample=1)
    found = [bool(finder.find(sample_frames(v, 1)[0])) for v in forgeries.videos]
    assert np.mean(found) >= 0.9


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(tmp_path):
    def forge(folder, seed, n_jobs=None):
        made = make_forgeries(
            tmp_path / folder,
            n_identities=4,
            n_frames=3,
            size=96,
            random_state=seed,
            n_jobs=n_jobs,
        )
        return [hashlib.sha256(Path(v).read_bytes()).digest() for v in made.videos]

    once = forge("once", 3)
    assert forge("again", 3, n_jobs=2) == once
    assert not set(forge("other", 4)) & set(once)


def test_stronger_compression_gives_smaller_files_of_the_same_clips(tmp_path):
    made = make_forgeries(
        tmp_path, n_identities=2, n_frames=4, compression=["c40", "raw", "c23"]
    )
    assert len(made.videos) == 12
    assert len(set(made.groups)) == 1
    for raw in [video for video in made.videos if "raw" in video]:
        c23, c40 = (raw.replace("raw", other) for other in ("c23", "c40"))
        raw_size, c23_size, c40_size = (Path(v).stat().st_size for v in (raw, c23, c40))
        assert raw_size > 2 * c23_size > 4 * c40_size
        difference = np.abs(sample_frames(raw, 4) - sample_frames(c23, 4).astype(float))
        assert difference.mean() < 8


# The folder


def test_a_finished_folder_is_used_again_and_never_mixed(tmp_path):
    def forge(**changes):
        asked = {"n_identities": 2, "n_frames": 2, "size": 96, "random_state": 0}
        return make_forgeries(tmp_path / "set", **asked | changes)

    made = forge()
    times = [Path(video).stat().st_mtime_ns for video in made.videos]
    assert forge() == made
    assert [Path(video).stat().st_mtime_ns for video in made.videos] == times

    with pytest.raises(FileExistsError, match="another n_frames, random_state"):
        forge(n_frames=3, random_state=1)
    first, second = map(Path, made.videos[:2])
    whole = second.read_bytes()
    second.unlink()
    assert forge() == made
    assert second.read_bytes() == whole
    second.write_bytes(first.read_bytes())  # somebody else's
    with pytest.raises(ValueError, match="describes 1 videos that are others by now"):
        load_dataset("auto", tmp_path / "set")
    assert forge() == made
    assert second.read_bytes() == whole


@pytest.mark.parametrize("layout", ["folder", "faceforensics"])
def test_a_second_run_is_kept_out_while_one_writes(tmp_path, layout):
    def forge():
        if layout == "faceforensics":
            forge_dataset(None, tmp_path / "out", n_frames=2, pairs=1)
        else:
            make_forgeries(tmp_path / "out", n_identities=2, n_frames=2)

    with (
        alone_in(tmp_path / "out"),
        pytest.raises(ValueError, match="another run is writing into .*out; wait"),
    ):
        forge()
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["lock"]


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not made by the forge"):
        make_forgeries(tmp_path, n_identities=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"n_identities": 3}, ValueError, "even"),
        ({"n_identities": 102}, ValueError, "at most 100"),
        ({"compression": "c12"}, ValueError, "raw, c23, c40; got 'c12'"),
        ({"n_frames": 0}, ValueError, "at least 1; got 0"),
        ({"size": 31}, ValueError, "got 31"),
        ({"random_state": -1}, ValueError, "negative"),
        ({"source_groups": ["a"]}, ValueError, "without sources"),
        ({"sources": "a.mp4"}, TypeError, "list of videos"),
        (
            {"sources": ["a.mp4", "b.mp4"], "source_groups": [1]},
            ValueError,
            "got 1 for 2 sources",
        ),
    ],
)
def test_bad_requests_are_refused_and_leave_nothing(tmp_path, asked, error, message):
    with pytest.raises(error, match=message):
        make_forgeries(tmp_path / "set", **asked)
    assert not (tmp_path / "set").exists()


def test_without_scikit_image_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r"deepfake-ensemble\[demo\]"):
        make_forgeries(tmp_path / "set", n_identities=2)
    assert not (tmp_path / "set").exists()


def test_importing_the_data_sets_is_cheap():
    code = (
        "import sys, ensemble.datasets; "
        "print([m for m in ('torch', 'dlib', 'cv2', 'av') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


# Only the forgery tells the classes apart


@pytest.mark.slow
def test_metadata_do_not_tell_real_from_fake(tmp_path):
    aucs = []
    for seed in range(3):
        made = make_forgeries(
            tmp_path / str(seed),
            n_identities=24,
            n_frames=5,
            size=96,
            random_state=seed,
        )
        aucs += metadata_aucs(made)
    # 144 clips: chance strays by 0.05 or so.
    assert 0.35 < np.mean(aucs) < 0.65


# Swapping


@pytest.mark.parametrize("method", METHODS)
def test_a_swap_changes_the_face_and_nothing_around_it(method):
    (target, landmarks), (source, source_landmarks) = _two_frames()
    style = SwapStyle(method, 0.5, 0.8, 0.1, 0.05, 0.5)
    rng = np.random.default_rng(0)
    swapped = swap_face(target, landmarks, source, source_landmarks, style, rng)
    inside = face_mask(target.shape[:2], landmarks, style.tightness) > 0
    changed = (swapped != target).any(axis=-1)
    assert changed[inside].mean() > 0.8
    assert not changed[~inside].any()


def test_swapping_a_face_with_itself_changes_next_to_nothing():
    (target, landmarks), _ = _two_frames()
    for method in METHODS:
        style = SwapStyle(method, 1.0, 1.0, 0.1, 0.05, 0.0)
        swapped = swap_face(
            target, landmarks, target, landmarks, style, np.random.default_rng(0)
        )
        assert np.abs(swapped.astype(int) - target).mean() < 1


def test_the_source_lands_on_the_targets_landmarks():
    # A source that is the target moved and enlarged must come back to its place.
    import cv2

    (target, landmarks), _ = _two_frames()
    move = np.array([[1.3, 0.1, 20], [-0.1, 1.3, 30]])
    source = cv2.warpAffine(target, move, (320, 320), flags=cv2.INTER_CUBIC)
    moved = landmarks @ move[:, :2].T + move[:, 2]
    for method in METHODS:
        style = SwapStyle(method, 1.0, 1.0, 0.1, 0.05, 0.0)
        swapped = swap_face(
            target, landmarks, source, moved, style, np.random.default_rng(0)
        )
        assert np.abs(swapped.astype(int) - target).mean() < 1.5


def test_colours_move_towards_the_targets():
    (target, landmarks), (source, source_landmarks) = _two_frames()
    source = np.uint8(source * np.array([0.9, 0.7, 0.5]))
    inside = face_mask(target.shape[:2], landmarks, tightness=0.3) > 0
    wanted = target[inside].mean(axis=0)
    distances = []
    for match in (0, 0.5, 1):
        style = SwapStyle("swap_feathered", 1.0, match, 0.1, 0.01, 0.0)
        swapped = swap_face(
            target,
            landmarks,
            source,
            source_landmarks,
            style,
            np.random.default_rng(0),
        )
        distances.append(np.abs(swapped[inside].mean(axis=0) - wanted).max())
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 5


def test_a_face_out_of_sight_leaves_the_frame_as_it_is():
    (target, landmarks), (source, source_landmarks) = _two_frames()
    style = SwapStyle.draw(np.random.default_rng(0), "swap_poisson")
    swapped = swap_face(
        target,
        landmarks + 500,
        source,
        source_landmarks,
        style,
        np.random.default_rng(0),
    )
    np.testing.assert_array_equal(swapped, target)


def test_an_unknown_method_is_refused():
    (target, landmarks), (source, source_landmarks) = _two_frames()
    style = SwapStyle.draw(np.random.default_rng(0), "swap_magic")
    with pytest.raises(ValueError, match="swap_poisson"):
        swap_face(target, landmarks, source, source_landmarks, style, None)


def _two_frames():
    """A frame and the landmarks of two of the bundled faces."""
    from skimage.data import lfw_subset

    pairs = []
    for number in (3, 11):
        rng = np.random.default_rng(number)
        scene = paint_portrait(lfw_subset()[number], 192, rng)
        [face] = DlibFaceFinder(landmarks="68").find(np.uint8(scene))
        frames, landmarks = Portrait(scene, face.landmarks, 192).film(1, rng)
        pairs.append((frames[0], landmarks[0]))
    return pairs


# Filming


def test_landmarks_follow_the_virtual_camera():
    rng = np.random.default_rng(0)
    size = 128
    scene = np.zeros((180, 180, 3), np.float32)
    landmarks = np.repeat([[80.0, 95.0]], 68, axis=0)
    scene[93:98, 78:83] = 250  # a white dot on the landmark
    frames, moved = Portrait(scene, landmarks, size).film(20, rng)
    for frame, (x, y) in zip(frames, moved[:, 0], strict=True):
        rows, columns = np.nonzero(frame.mean(axis=-1) > 100)
        assert np.hypot(columns.mean() - x, rows.mean() - y) < 0.7
    assert np.ptp(moved[:, 0], axis=0).max() > 0.5


def test_grain_has_the_strength_asked_for_and_is_new_in_every_frame():
    grey = [np.full((96, 96, 3), 128.0)] * 6
    grainy = add_grain(grey, 4.0, np.random.default_rng(0)).astype(float)
    expected = 4 * np.sqrt(0.25 + 128 / 340)
    assert grainy.std() == pytest.approx(expected, rel=0.05)
    first, second = grainy[0].ravel() - 128, grainy[1].ravel() - 128
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


# Footage


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Three people, filmed in two clips, one and one; and one without a face."""
    from skimage.data import lfw_subset

    folder = tmp_path_factory.mktemp("footage")
    clips = []
    for take, number in enumerate([3, 3, 11, 42]):
        rng = np.random.default_rng(number)
        scene = paint_portrait(lfw_subset()[number], 160, rng)
        rng = np.random.default_rng(take)
        frames, _ = Portrait(scene, np.zeros((68, 2)), 160).film(4 + take, rng)
        clips.append(write_video(folder / f"{number}_{take}.mp4", frames, fps=30))
    empty = np.random.default_rng(0).integers(0, 255, (5, 96, 96, 3), np.uint8)
    return clips, write_video(folder / "no_face.mp4", empty)


def test_footage_is_forged_by_person(tmp_path, footage):
    clips, _ = footage
    with pytest.warns(UserWarning, match="no partner is left"):
        made = make_forgeries(
            tmp_path,
            sources=clips,
            source_groups=["ann", "ann", "bob", "cleo"],
            n_frames=5,
            random_state=2,
        )
    assert len(set(made.groups)) == 1
    assert made.labels.count(0) == made.labels.count(1) == len(made.labels) // 2
    infos = [probe_video(video) for video in made.videos]
    assert {i.fps for i in infos} == {30.0}
    assert len({i.n_frames for i in infos}) == 1
    assert {i.width for i in infos} == {160}


def test_a_real_clip_of_footage_is_the_footage(tmp_path, footage):
    clips, _ = footage
    made = make_forgeries(
        tmp_path, sources=clips[1:3], n_frames=5, compression="raw", random_state=0
    )
    originals = [sample_frames(clip, 5).astype(float) for clip in clips[1:3]]
    for video in [v for v, y in zip(*made[:2], strict=True) if y == 0]:
        frames = sample_frames(video, 5)
        assert min(np.abs(frames - original).mean() for original in originals) < 6


def test_footage_without_a_face_is_left_out_by_name(tmp_path, footage):
    clips, no_face = footage
    with pytest.warns(UserWarning, match=r"no_face\.mp4.*left out"):
        made = make_forgeries(
            tmp_path, sources=[*clips[1:3], no_face], n_frames=3, random_state=0
        )
    assert len(made.videos) == 4


def test_one_person_cannot_swap(tmp_path, footage):
    clips, _ = footage
    with pytest.raises(ValueError, match="takes two people"):
        make_forgeries(tmp_path, sources=clips[:2], source_groups=["ann", "ann"])


def test_the_same_clip_cannot_be_two_people(tmp_path, footage):
    clips, _ = footage
    with pytest.raises(ValueError, match="sources 0 and 2 are the same video"):
        make_forgeries(tmp_path, sources=[clips[0], clips[2], clips[0]])


@pytest.mark.slow
def test_recorded_people_swap_faces_in_the_right_place(tmp_path, shared):
    names = ["lp_d12_real.mp4", "styleheat_video_real.mp4"]
    made = make_forgeries(
        tmp_path,
        sources=[shared / name for name in names],
        n_frames=4,
        size=256,
        compression="raw",
        random_state=0,
    )
    finder = DlibFaceFinder(landmarks="68")
    frames = {
        Path(video).relative_to(tmp_path).as_posix(): sample_frames(video)
        for video in made.videos
    }
    for side in "ab":
        real = frames[f"real/pair000_{side}_raw.mp4"]
        fake = frames[f"fake/pair000_{side}_raw.mp4"]
        for before, after in zip(real, fake, strict=True):
            [face] = finder.find(before)
            [swapped] = finder.find(after)
            width = np.ptp(face.landmarks[:, 0])
            apart = np.linalg.norm(face.landmarks - swapped.landmarks, axis=1)
            assert apart.mean() < 0.1 * width
            inside = face_mask(before.shape[:2], face.landmarks, 0.2) > 0
            beside = face_mask(before.shape[:2], face.landmarks, -0.5) == 0
            difference = np.abs(before.astype(float) - after).mean(axis=-1)
            assert difference[inside].mean() > 3 * difference[beside].mean()
