"""One odd video must not take the others with it, and a bug must not hide."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from base_models import (
    CallableDetector,
    FrameDetector,
    VideoReadError,
    list_videos,
    sample_frames,
    score_videos,
    views,
)
from base_models.faces import Face
from base_models.scoring import iter_scores
from base_models.video import iter_frames, paths as video_paths, probe_video, video_id
from ensemble.datasets import read_videos

HEAD = FrameDetector(
    "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1, random_state=0
)


@pytest.fixture(scope="module")
def detector(toy_videos):
    videos, y, _ = toy_videos
    return clone(HEAD).fit(videos, y)


class Touchy:
    """A face finder that fails on frames brighter than a limit."""

    thread_safe = True

    def find(self, frame):
        if frame.mean() > float(os.environ.get("BRIGHTEST", 255)):
            raise RuntimeError("an image that it does not like")
        return [Face((2, 2, 20, 20), 1.0)]


def _both_ways(detectors, videos, **settings):
    """Scores and reasons by both functions, which must agree."""
    scores, reasons = score_videos(detectors, videos, **settings)
    one_by_one = list(iter_scores(detectors, videos, **settings))
    np.testing.assert_array_equal(np.array([found for found, _ in one_by_one]), scores)
    assert np.array([why for _, why in one_by_one]).tolist() == reasons.tolist()
    return scores, reasons


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_too_many_open_files_are_no_videos_fault(detector, tmp_path):
    import resource

    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for path in paths:
        Image.new("RGB", (64, 64), (90, 90, 90)).save(path)
    whole = score_videos([detector], paths[:1])  # what is loaded later is loaded now
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/dev/fd")))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(highest + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, before[1]))
    try:
        with pytest.raises(
            OSError, match=r"too many files .*ulimit -n.*1\.png"
        ) as found:
            score_videos([detector], paths[1:])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for handle in held:
            os.close(handle)
    assert not isinstance(found.value, VideoReadError)
    assert not np.isnan(whole[0]).any()
    assert not np.isnan(score_videos([detector], paths[1:])[0]).any()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("odd"), TypeError("a bug")], ids=repr
)
def test_any_error_of_one_video_is_its_reason(error, detector, toy_videos, monkeypatch):
    videos = toy_videos[0][:4]
    original = detector.score_views

    def failing(found, shared):
        images = next(iter(found.values())).images
        if images.mean() == odd:
            raise error
        return original(found, shared)

    seen = []
    monkeypatch.setattr(
        detector,
        "score_views",
        lambda found, shared: (
            seen.append(next(iter(found.values())).images.mean())
            or original(found, shared)
        ),
        raising=False,
    )
    score_videos([detector], videos)
    odd = seen[2]
    monkeypatch.setattr(detector, "score_views", failing)
    scores, reasons = _both_ways([detector], videos)
    assert np.isnan(scores[:, 0]).tolist() == [False, False, True, False]
    said = f"{type(error).__name__}: {error}" if str(error) else "MemoryError"
    assert reasons[:, 0].tolist() == ["", "", said, ""]


def test_an_error_that_every_video_makes_is_raised(detector, toy_videos, monkeypatch):
    def broken(found, shared):
        raise TypeError("a bug")

    monkeypatch.setattr(detector, "score_views", broken)
    with pytest.raises(TypeError, match="a bug"):
        score_videos([detector], toy_videos[0][:3])
    with pytest.raises(TypeError, match="a bug"):
        list(iter_scores([detector], toy_videos[0][:3]))


def test_a_detector_of_somebody_else_is_asked_again_one_by_one(toy_videos):
    videos, y, _ = toy_videos

    def choosy(videos):
        return [1 / int(video.mean() > 130) for video in videos]

    def crooked(videos):
        if len(videos) > 1:
            raise IndexError("too many")
        return [0.5]

    fitted = CallableDetector(choosy).fit(videos, y)
    videos = videos[:6]
    dark = [video.mean() <= 130 for video in videos]
    assert 0 < sum(dark) < 6
    scores, reasons = _both_ways([fitted], videos)
    assert np.isnan(scores[:, 0]).tolist() == dark
    assert set(reasons[dark, 0]) == {"ZeroDivisionError: division by zero"}
    nobody = [video for video, is_dark in zip(videos, dark, strict=True) if is_dark]
    with pytest.raises(ZeroDivisionError):
        score_videos([fitted], nobody)
    with pytest.raises(IndexError, match="too many"):  # the fault of no video
        score_videos([CallableDetector(crooked).fit(*toy_videos[:2])], videos)


def test_a_face_finder_that_fails_on_one_video_spoils_that_one(
    toy_videos, tmp_path, monkeypatch
):
    videos, y, _ = toy_videos
    fitted = clone(HEAD).set_params(view="face", finder=Touchy()).fit(videos, y)
    brightest = [max(frame.mean() for frame in video[[0, -1]]) for video in videos[:5]]
    monkeypatch.setenv("BRIGHTEST", str(max(brightest) - 0.01))
    odd = [limit == max(brightest) for limit in brightest]
    assert sum(odd) == 1
    scores, reasons = _both_ways([fitted], videos[:5], store=tmp_path)
    assert np.isnan(scores[:, 0]).tolist() == odd
    why = "RuntimeError: an image that it does not like"
    assert set(reasons[odd, 0]) == {why}
    monkeypatch.setenv("BRIGHTEST", "0")
    with pytest.raises(RuntimeError, match="does not like"):
        score_videos([fitted], videos[:5], store=tmp_path / "other")


def test_what_is_no_video_at_all_is_the_callers_mistake(detector, toy_videos):
    good = toy_videos[0][0]
    with pytest.raises(TypeError, match="uint8"):
        score_videos([detector], [good, good.astype(float)])
    with pytest.raises(TypeError, match="a video is a path"):
        score_videos([detector], [good, 3])


@pytest.fixture
def odd_files(tmp_path):
    """Names and files that open badly: name -> path."""
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    folder = tmp_path / "huge"
    folder.mkdir()
    Image.new("L", (1, 1)).save(folder / "1.png")
    text = (folder / "1.png").read_bytes()
    # the header of a PNG of 100,000 x 100,000 pixels
    huge = text[:16] + (100_000).to_bytes(4, "big") * 2 + text[24:]
    (folder / "1.png").write_bytes(huge)
    return {"loop": loop, "huge": folder, "long": tmp_path / ("x" * 300 + ".mp4")}


def test_files_that_open_badly_have_a_reason(odd_files, detector, toy_videos):
    videos = [toy_videos[0][0], *odd_files.values()]
    scores, reasons = _both_ways([detector], videos)
    assert np.isnan(scores[:, 0]).tolist() == [False, True, True, True]
    assert all(reasons[1:, 0])
    for path in odd_files.values():
        assert video_id(path)
        for read in (sample_frames, probe_video, lambda path: list(iter_frames(path))):
            with pytest.raises(VideoReadError):
                read(path)


def test_a_lack_of_memory_while_reading_is_named(tmp_path, monkeypatch):
    def starved(*arguments):
        raise MemoryError

    monkeypatch.setattr("base_models.video.reading.sample_file", starved)
    (tmp_path / "a.mp4").write_bytes(b"something")
    with pytest.raises(VideoReadError, match="a.mp4: there is not enough memory"):
        sample_frames(tmp_path / "a.mp4")
    monkeypatch.setattr(
        "base_models.video.reading.sample_file", lambda *a: {}["absent"]
    )
    with pytest.raises(KeyError):  # a mistake of ours is not dressed up
        sample_frames(tmp_path / "a.mp4")


def test_a_folder_that_cannot_be_opened_is_listed(tmp_path, monkeypatch):
    for name in ("a.mp4", "shut/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"something")
    original = video_paths.Path.iterdir

    def guarded(folder):
        if folder.name == "shut":
            raise PermissionError(13, "Permission denied")
        return original(folder)

    monkeypatch.setattr(video_paths.Path, "iterdir", guarded)
    assert list_videos(tmp_path) == [tmp_path / "a.mp4", tmp_path / "shut"]
    with pytest.raises(VideoReadError, match="shut: Permission denied"):
        sample_frames(tmp_path / "shut")


def test_images_with_odd_names_are_read(tmp_path):
    folder = tmp_path / b"caf\xe9".decode("utf-8", "surrogateescape")
    folder.mkdir()
    image = folder / b"bild\xe4.png".decode("utf-8", "surrogateescape")
    Image.new("RGB", (8, 8), (255, 0, 0)).save(image)
    assert sample_frames(folder)[0, 0, 0].tolist() == [255, 0, 0]
    made = views.make_views(folder, [views.ViewRecipe("frame", 8)], _Nothing())
    assert [view.reason for view in made.values()] == [""]
    assert video_id(folder).isascii()
    assert video_id(folder).endswith("caf\\udce9")


class _Nothing:
    """A store that keeps nothing."""

    def get(self, *arguments, **options):
        return None

    def put(self, *arguments, **options):
        return None


def test_an_empty_folder_and_an_address_are_named_as_what_they_are(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoReadError, match="the folder is empty"):
        sample_frames(tmp_path / "empty")
    for address in ("https://127.0.0.1:9/a.mp4", Path("http://127.0.0.1:9/a.mp4")):
        with pytest.raises(VideoReadError, match="no connection to the server"):
            sample_frames(address)
        with pytest.raises(FileNotFoundError, match="is an address"):
            read_videos(address)
