import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from base_models.runtime.caches import clear_caches
from base_models.runtime.ending.unfinished import this_boot
from base_models.runtime.file_writing import write_text
from base_models.store import Store, store_key

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")

KEY = store_key(number=1)
_WEEK = 7 * 24 * 3600
_BEGIN = """
import os, sys, time
from pathlib import Path
from base_models.runtime.ending.unfinished import create
from base_models.runtime.file_writing import replacing
from base_models.store.folder import _temporary_name
report, entry = map(Path, sys.argv[1:])
entry.parent.mkdir(parents=True)
path, handle = create(lambda: _temporary_name(entry))
os.write(handle, b"half")
with replacing(report) as unfinished:
    unfinished.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


def _unfinished(folder):
    names = (*folder.rglob(".unfinished-*"), *folder.rglob("*.part"))
    return sorted(path.name for path in names)


def _put(folder):
    clear_caches()  # as in a process that has not looked yet
    write_text(folder / "other.txt", "text")
    Store(folder / "store").put("view", store_key(number=2), {"x": np.zeros(9)})


def test_what_a_process_has_begun_stays_while_it_lives_and_goes_when_it_is_dead(
    tmp_path,
):
    report = tmp_path / "report.html"
    report.write_text("old")
    entry = tmp_path / "store" / "view" / KEY[:2] / f"{KEY}.safetensors"
    Store(tmp_path / "store").put("scores", "0a", {"x": np.zeros(9)})
    writer = subprocess.Popen(
        [sys.executable, "-c", _BEGIN, report, entry], stdout=subprocess.PIPE
    )
    assert writer.stdout.readline() == b"begun\n"
    begun = _unfinished(tmp_path)
    assert len(begun) == 2
    _put(tmp_path)
    assert _unfinished(tmp_path) == begun
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert _unfinished(tmp_path) == begun
    _put(tmp_path)
    assert _unfinished(tmp_path) == []
    assert report.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "age", "stays"),
    [
        (f".unfinished-{'0a' * 4}-{'ab' * 16}.html", _WEEK - 60, True),  # elsewhere
        (f".unfinished-{'0a' * 4}-{'ab' * 16}.html", _WEEK + 60, False),
        (f".unfinished-{'ab' * 16}.html", _WEEK - 60, True),  # of an earlier release
        (f".unfinished-{'ab' * 16}.html", _WEEK + 60, False),
        (".unfinished-symphony", 99 * _WEEK, True),  # the user's
        (f".unfinished-{this_boot()}-{'ab' * 15}.html", 99 * _WEEK, True),
        (f"unfinished-{this_boot()}-{'ab' * 16}.html", 99 * _WEEK, True),
    ],
)
def test_a_file_that_may_be_of_another_machine_is_left_for_a_week(
    name, age, stays, tmp_path
):
    path = tmp_path / name
    path.write_text("half")
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))
    _put(tmp_path)
    assert path.exists() == stays


def test_nothing_behind_a_link_and_no_folder_is_deleted(tmp_path):
    (tmp_path / "mine").write_text("mine")
    link = tmp_path / f".unfinished-{this_boot()}-{'ab' * 16}.html"
    link.symlink_to(tmp_path / "mine")
    folder = tmp_path / f".unfinished-{this_boot()}-{'cd' * 16}"
    folder.mkdir()
    _put(tmp_path)
    assert link.is_symlink()
    assert folder.is_dir()
    assert (tmp_path / "mine").read_text() == "mine"
