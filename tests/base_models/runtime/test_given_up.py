"""A video that ended its process is opened again once it may be another one."""

import os

import pytest

from base_models.runtime.clusters import given_up
from base_models.runtime.clusters.given_up import give_up_video, reason_given_up

pytest_plugins = ["remote"]


@pytest.fixture(autouse=True)
def nothing_given_up(monkeypatch):
    monkeypatch.setattr(given_up, "_given_up", {})


def written(path, content, seconds):
    """Write a file that was changed at a time."""
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "frames"])
def test_a_file_of_the_same_size_is_another(tmp_path, name):
    video, file = tmp_path / name, tmp_path / name
    if name == "frames":
        video.mkdir()
        written(video / "0.png", b"kept", 300)
        file = video / "1.png"
    written(file, b"one", 100)
    give_up_video(video, "why")
    written(file, b"one", 100)
    assert reason_given_up(str(video)) == "why"
    written(file, b"two", 200)
    assert reason_given_up(video) is None
    give_up_video(video, "again")
    assert reason_given_up(video) == "again"
    if name == "frames":
        file.rename(video / "2.png")  # in another order, perhaps
    else:
        file.unlink()
    assert reason_given_up(video) is None


@pytest.mark.parametrize("etags", [True, False])
def test_another_version_on_a_server_is_another(web, etags):
    web.etags = etags
    address = web.put("a.mp4", b"one")
    give_up_video(address, "why")
    assert reason_given_up(address) == "why"
    assert reason_given_up(f"{address}?st=2") is None
    web.put("a.mp4", b"two")
    assert reason_given_up(address) is None
    web.put("a.mp4", b"one")
    assert reason_given_up(address) == "why"


def test_other_processes_learn_of_it(tmp_path, monkeypatch):
    video = written(tmp_path / "a.mp4", b"one", 100)
    give_up_video(video, "why")
    sent = given_up.videos_given_up()
    monkeypatch.setattr(given_up, "_given_up", {})
    given_up.know_given_up(sent)
    assert reason_given_up(video) == "why"
    written(video, b"two", 200)
    assert reason_given_up(video) is None
