import hashlib
import os

import cv2
import joblib
import numpy as np
import pytest

from base_models import Store, reading_limits, write_video
from base_models.runtime import caches, file_digest
from base_models.video import image_folders
from base_models.video.hashing import hash_ahead, read_digest, work_of
from base_models.video.paths import hashed_once, known_digests, video_digest
from base_models.video.reading import sample_clips
from base_models.views import ViewRecipe, make_views, making


@pytest.fixture
def files(tmp_path):
    """A file, an image and a folder of two images."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for path in (tmp_path / "still.png", folder / "1.png", folder / "2.png"):
        shade = len(str(path)) + sum(path.name.encode())
        cv2.imwrite(str(path), np.full((4, 4, 3), shade % 256, np.uint8))
    (tmp_path / "a.mp4").write_bytes(b"content")
    return [tmp_path / "a.mp4", tmp_path / "still.png", folder]


@pytest.fixture
def unread(monkeypatch):
    """Return a function after which reading a file for its digest is an error."""

    def refuse():
        def read(path):
            raise AssertionError(f"{path} is read again")

        monkeypatch.setattr(file_digest, "read_sha256", read)
        monkeypatch.setattr("base_models.video.paths.read_sha256", read)

    return refuse


def plain_digests(files):
    """What a digest is, written out once more."""
    file, image, folder = files
    lines = b"".join(
        f"\n{each.name} {hashlib.sha256(each.read_bytes()).hexdigest()}".encode()
        for each in sorted(folder.iterdir())
    )
    of_image = hashlib.sha256(image.read_bytes()).hexdigest()
    return [
        hashlib.sha256(file.read_bytes()).hexdigest(),
        hashlib.sha256(f"image {of_image}".encode()).hexdigest(),
        hashlib.sha256(b"folder" + lines).hexdigest(),
    ]


def test_what_was_hashed_ahead_is_not_read_again(files, unread):
    caches.clear_caches()
    with joblib.parallel_config("threading", n_jobs=2):
        hash_ahead([*files, "absent.mp4", np.zeros((1, 4, 4, 3), np.uint8)])
    unread()
    assert [video_digest(file) for file in files] == plain_digests(files)


def test_one_job_reads_nothing_ahead(files, unread):
    caches.clear_caches()
    unread()
    hash_ahead(files, n_jobs=1)
    assert known_digests(files) == [None] * 3


def test_another_process_takes_digests_over(files, unread):
    caches.clear_caches()
    sent = [read_digest(file) for file in files]
    assert sent == known_digests(files)
    caches.clear_caches()  # as in the other process
    unread()
    with hashed_once(files, sent):
        assert [video_digest(file) for file in files] == plain_digests(files)


def test_digests_that_are_sent_hold_while_a_file_looks_the_same(files):
    caches.clear_caches()
    sent = [read_digest(file) for file in files]
    caches.clear_caches()
    file, image, folder = files
    file.write_bytes(b"another")  # of the same size
    os.utime(file, ns=(1, 1))
    cv2.imwrite(str(folder / "3.png"), np.zeros((4, 4, 3), np.uint8))
    cv2.imwrite(str(image), np.zeros((5, 5, 3), np.uint8))
    with hashed_once(files, sent):
        assert [video_digest(each) for each in files] == plain_digests(files)


def test_what_cannot_be_read_has_no_digest():
    assert read_digest("absent.mp4") is None


def test_work_is_the_bytes_or_what_they_would_be(files):
    _, image, folder = files
    sizes = [7, image.stat().st_size, sum(f.stat().st_size for f in folder.iterdir())]
    np.testing.assert_array_equal(work_of([*files, "lost"]), [*sizes, np.nan])
    lasts = [7, np.nan, np.nan, 20]  # one byte a second
    found = work_of([*files, "lost"], lasts)
    np.testing.assert_array_equal(found, [7, *sizes[1:], 20])


@pytest.fixture
def two_files(tmp_path):
    """A dark file, a bright one, and a link that leads to the dark one."""
    for name, shade in (("dark", 20), ("bright", 220)):
        write_video(tmp_path / f"{name}.mp4", np.full((6, 32, 32, 3), shade, np.uint8))
    (tmp_path / "link.mp4").symlink_to("dark.mp4")
    return tmp_path


def turned(link, target):
    new = link.with_name("new")
    new.symlink_to(target)
    new.replace(link)


@pytest.mark.parametrize("isolation", [None, "process"])
@pytest.mark.parametrize("how", ["link", "folder"])
def test_what_is_hashed_and_what_is_read_are_one_file(
    two_files, how, isolation, monkeypatch
):
    # Between the two its name leads elsewhere, and back afterwards.
    path = two_files / "link.mp4"
    recipe = ViewRecipe("frame", image_size=32, n_frames=2)
    if how == "folder":
        for name in ("now", "other"):
            (two_files / name).mkdir()
        (two_files / "dark.mp4").rename(two_files / "now" / "a.mp4")
        (two_files / "bright.mp4").rename(two_files / "other" / "a.mp4")
        path = two_files / "now" / "a.mp4"

    def turn(there):
        if how == "link":
            return turned(path, "bright.mp4" if there else "dark.mp4")
        (two_files / "now").rename(two_files / "away")
        (two_files / "other").rename(two_files / "now")
        (two_files / "away").rename(two_files / "other")

    def elsewhere(*arguments, **options):
        turn(True)
        try:
            return sample_clips(*arguments, **options)
        finally:
            turn(False)

    monkeypatch.setattr(making, "sample_clips", elsewhere)
    with reading_limits(isolation=isolation):
        view = make_views(path, [recipe], Store(two_files / "store"))[recipe.key]
    monkeypatch.undo()
    assert view.reason == "it was replaced while it was looked at"
    names = ("now/a", "other/a") if how == "folder" else ("dark", "bright")
    for name, shade in zip(names, (20, 220), strict=True):
        file = two_files / f"{name}.mp4"
        view = make_views(file, [recipe], Store(two_files / "store"))[recipe.key]
        assert abs(int(view.images.mean()) - shade) < 4


@pytest.mark.parametrize("how", ["link", "folder"])
@pytest.mark.parametrize("is_known", [True, False])
def test_frames_of_one_folder_are_not_kept_as_those_of_another(
    how, is_known, tmp_path, monkeypatch
):
    recipe = ViewRecipe("frame", image_size=32, n_frames=4)
    for name, shade in (("now", 20), ("other", 220)):
        (tmp_path / name).mkdir()
        for number in range(4):
            image = np.full((32, 32, 3), shade, np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    path = tmp_path / "now"
    if how == "link":
        path = tmp_path / "link"
        path.symlink_to("now")
    if is_known:
        video_digest(path), video_digest(tmp_path / "other")
    n_read, there, decode = [], [], image_folders._decoded

    def turn():
        there.append(not there or not there[-1])
        if how == "link":
            return turned(path, "other" if there[-1] else "now")
        for old, new in (("now", "away"), ("other", "now"), ("away", "other")):
            (tmp_path / old).rename(tmp_path / new)

    def elsewhere(image):
        if len(n_read) in (0, 2):  # and back before the third
            turn()
        n_read.append(image)
        return decode(image)

    monkeypatch.setattr(image_folders, "_decoded", elsewhere)
    view = make_views(path, [recipe], Store(tmp_path / "store"))[recipe.key]
    monkeypatch.undo()
    assert n_read
    if there[-1]:
        turn()
    # A link is followed once; of a folder that was turned nothing is taken.
    assert view.reason or (how == "link" and abs(int(view.images.mean()) - 20) < 4)
    for name, shade in (("now", 20), ("other", 220)):
        view = make_views(tmp_path / name, [recipe], Store(tmp_path / "store"))
        assert (view[recipe.key].images == shade).all()
