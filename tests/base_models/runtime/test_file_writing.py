import os
import stat
import sys

import numpy as np
import pytest

from base_models.runtime.file_writing import replacing, write_bytes, write_text
from base_models.video import write_video

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def _fail(path, error):
    with replacing(path) as unfinished:
        unfinished.write_text("half of the n")
        raise error


def test_a_write_that_fails_leaves_the_old_file_whole_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            _fail(path, error)
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["a.json"]


def test_a_video_that_breaks_off_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def frames():
        yield np.zeros((16, 16, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(path, frames())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.mp4"]


@POSIX
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near.txt").symlink_to(tmp_path / "far" / "real.txt")
    for text in ("new", "newer"):  # at first it leads to nothing
        write_text(tmp_path / "near.txt", text)
        assert (tmp_path / "near.txt").is_symlink()
        assert (tmp_path / "far" / "real.txt").read_text() == text
    assert os.listdir(tmp_path / "far") == ["real.txt"]


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode(mode, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert _mode(path) == mode


@POSIX
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    write_bytes(tmp_path / "deep" / "er" / "a.bin", b"new")
    assert _mode(tmp_path / "deep" / "er" / "a.bin") == _mode(plain)


@POSIX
def test_what_is_no_regular_file_is_written_to_and_not_replaced():
    write_text("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_text(tmp_path / "a", "text")
    assert os.listdir(tmp_path) == ["a"]


def test_line_ends_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.csv", "a,b\n1,2\r\n")
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n1,2\r\n"


@POSIX
def test_a_secret_is_open_to_nobody_else_while_it_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o600)
    with replacing(path) as unfinished:
        assert _mode(unfinished) == 0o600
    assert _mode(path) == 0o600


@POSIX
def test_an_error_of_the_system_names_the_file_and_says_what_to_do(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    for number, advice in ((28, "free some and run again"), (5, "look after it")):
        with pytest.raises(OSError, match=f"{advice}.*unchanged.*report.html") as found:
            _fail(path, OSError(number, "of the system"))
        assert found.value.errno == number
        assert found.value.filename == str(path)
    assert path.read_text() == "old"


@pytest.mark.parametrize("error", [OSError("ours"), FileNotFoundError(2, "no", "in")])
def test_an_error_about_another_file_stays_as_it_is(error, tmp_path):
    with pytest.raises(OSError, match="ours|no") as found:
        _fail(tmp_path / "report.html", error)
    assert found.value is error


@POSIX
def test_a_group_that_cannot_be_handed_on_gets_no_rights(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    real, old = os.stat, path.stat()

    def of_another_group(*given, **options):
        facts = real(*given, **options)
        is_old = facts.st_ino == old.st_ino
        return os.stat_result((*facts[:5], facts.st_gid + is_old, *facts[6:]))

    def refused(*given):
        raise PermissionError(1, "not yours")

    monkeypatch.setattr(os, "stat", of_another_group)
    monkeypatch.setattr(os, "chown", refused)
    write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "new"
    assert _mode(path) == 0o600
