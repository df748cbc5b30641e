import signal
import subprocess
import sys
import tempfile

import pytest

from base_models.runtime.ending import scratch, unfinished
from base_models.runtime.ending.scratch import scratch_folder

_BEGIN = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from base_models.runtime.ending.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "frames").write_text("many")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_the_folder_of_a_process_goes_when_it_is_dead_and_not_before(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN, tmp_path], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    (begun,) = tmp_path.iterdir()
    mine = tmp_path / "deepfake-ensemble-of-mine"
    mine.mkdir()
    with scratch_folder():
        assert (begun / "files" / "frames").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with scratch_folder():
        assert not begun.exists()
    assert list(tmp_path.iterdir()) == [mine]


def test_who_looks_for_the_dead_may_come_before_a_new_folder_has_its_lock(monkeypatch):
    plain, came = unfinished._lock, []

    def late(handle):
        if not came:
            came.append(True)
            scratch._remove_dead()
        return plain(handle)

    monkeypatch.setattr(unfinished, "_lock", late)
    with scratch_folder() as folder:
        (folder / "frames").write_bytes(b"many")
        assert came
    assert not folder.exists()
