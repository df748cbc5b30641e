import contextlib
import errno
import json
import multiprocessing
import os
import shutil
import sqlite3
import warnings
from pathlib import Path

import numpy as np
import pytest

from base_models.store import Store, store_key
from base_models.store.folder import MARKER, StoreFolder
from base_models.store.sqlite_blobs import SmallEntries

KEYS = [store_key(number=number) for number in range(12)]
SAVED = Path(__file__).parents[2] / "saved_models" / "version_0" / "store"


def _content(folder):
    """Everything in a folder: names, bytes, and where links lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = None
    return found


def _fill(store, n_bytes=100_000):
    """Put far more into a store than it may hold."""
    for key in KEYS:
        store.put("view", key, {"x": np.zeros(n_bytes, np.uint8)})
        store.put("features", key, {"x": np.zeros(10_000, np.uint8)})


def _home(folder):
    """A folder of a person: videos and a thesis, three folders deep."""
    for name in (
        "videos/REAL/ann.mp4",
        "videos/FAKE/ann.mp4",
        "thesis/chapters/last.tex",
        "view/ab/x.safetensors",  # a network of the user's own
        f"photos/ab/{'ab' * 32}.safetensors",
        "view/notes.txt",
        "notes.txt",
        ".profile",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 40_000)


@pytest.mark.parametrize(
    "names",
    [
        None,
        ["videos/REAL/ann.mp4"],
        [f"videos/ab/{'ab' * 32}.safetensors"],  # a kind that no store has
        ["view/ab/x.safetensors"],
        [f"view/cd/{'ab' * 32}.safetensors"],  # not in the folder of its digits
        [f"view/ab/{'AB' * 32}.safetensors"],
        [f"view/ab/deeper/{'ab' * 32}.safetensors"],
        ["view/ab/tmp.part"],
        [".hidden"],
        ["a.sqlite"],
    ],
)
def test_a_folder_that_holds_anything_else_loses_nothing(names, tmp_path):
    if names is None:
        _home(tmp_path)
    for name in names or []:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"mine" * 50_000)
    before = _content(tmp_path)
    store = Store(tmp_path, size_limit=300_000)
    with pytest.warns(UserWarning, match="holds files of others too") as caught:
        _fill(store)
    assert len([w for w in caught if "of others" in str(w.message)]) == 1
    after = _content(tmp_path)
    assert {name: after[name] for name in before} == before
    assert MARKER not in after
    for key in KEYS:  # nor is anything of the store deleted there
        assert store.get("view", key) is not None
        assert store.get("features", key) is not None


@pytest.mark.filterwarnings("ignore:the store in .* holds")
def test_no_size_makes_a_folder_of_others_lose_a_file(tmp_path):
    _home(tmp_path)
    before = _content(tmp_path)
    for limit in (0, 1, 10_000):
        _fill(Store(tmp_path, size_limit=limit))
    after = _content(tmp_path)
    assert {name: after[name] for name in before} == before


def test_files_of_others_do_not_count(tmp_path):
    (tmp_path / "videos" / "a").mkdir(parents=True)
    (tmp_path / "videos" / "a" / "long.mp4").write_bytes(b"x" * 2_000_000)
    store = Store(tmp_path, size_limit=1_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put("view", KEYS[0], {"x": np.zeros(100_000)})
    assert store.keys("view") == [KEYS[0]]


def test_a_file_in_the_place_of_an_entry_outlives_being_read(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    place = tmp_path / "view" / KEYS[0][:2] / f"{KEYS[0]}.safetensors"
    place.parent.mkdir(parents=True)
    place.write_text("not of a store")
    assert Store(tmp_path).get("view", KEYS[0]) is None
    assert place.read_text() == "not of a store"


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_becomes_a_store_and_makes_room(exists, tmp_path):
    folder = tmp_path / "store"
    if exists:
        folder.mkdir()
    _fill(Store(folder, size_limit=300_000))
    marker = json.loads((folder / MARKER).read_text())
    assert marker["format"] == 1
    assert len(marker["id"]) == 32
    kept = Store(folder).keys("view")
    assert 0 < len(kept) < 4
    assert KEYS[-1] in kept


def test_files_that_come_into_a_store_later_are_not_touched(tmp_path):
    store = Store(tmp_path, size_limit=300_000)
    store.put("view", KEYS[0], {"x": np.zeros(10)})
    _home(tmp_path)
    before = _content(tmp_path)
    _fill(store)
    _fill(Store(tmp_path, size_limit=200_000))
    after = _content(tmp_path)
    mine = [name for name in before if "sqlite" not in name]
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    assert len(store.keys("view")) < len(KEYS)


def test_a_store_written_before_there_were_markers_is_taken_over(tmp_path):
    shutil.copytree(SAVED, tmp_path / "store")
    (tmp_path / "store" / "view" / "6f" / "tmpab12_x9z.part").write_bytes(b"unfinished")
    (tmp_path / "store" / ".DS_Store").write_bytes(b"of the system")
    old = Store(tmp_path / "store").keys("view")
    store = Store(tmp_path / "store", size_limit=250_000)
    assert old
    _fill(store)
    assert (tmp_path / "store" / MARKER).is_file()
    assert not set(old) & set(store.keys("view"))
    assert not list(tmp_path.rglob("*.part"))
    assert (tmp_path / "store" / ".DS_Store").is_file()


def test_an_unfinished_file_is_known_by_its_name_and_makes_room(tmp_path):
    store = Store(tmp_path, size_limit=300_000)
    store.put("view", KEYS[0], {"x": np.zeros(10)})
    left = tmp_path / "view" / KEYS[0][:2] / f"{KEYS[0]}.ab12_x9z.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 290_000)
    _fill(store)
    assert not left.exists()


def test_a_marker_that_another_process_writes_meanwhile_is_no_file_of_others(
    tmp_path, monkeypatch
):
    looked = StoreFolder._holds_nothing_else

    def late(folder):
        Store(tmp_path)._folder.path.joinpath(MARKER).write_text("{}")
        return looked(folder)

    monkeypatch.setattr(StoreFolder, "_holds_nothing_else", late)
    assert StoreFolder(tmp_path).claim()


def test_nothing_behind_a_link_is_deleted(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "store"
    store = Store(folder, size_limit=300_000)
    store.put("view", KEYS[0], {"x": np.zeros(10)})
    name = f"{KEYS[0]}.safetensors"
    (outside / KEYS[0][:2]).mkdir(parents=True)
    (outside / KEYS[0][:2] / name).write_bytes(b"mine" * 100_000)
    (folder / "landmarks").symlink_to(outside)
    (folder / "graph").mkdir()
    (folder / "graph" / KEYS[0][:2]).symlink_to(outside / KEYS[0][:2])
    (folder / "scores" / KEYS[0][:2]).mkdir(parents=True)
    (folder / "scores" / KEYS[0][:2] / name).symlink_to(outside / KEYS[0][:2] / name)
    before = _content(outside)
    _fill(store)
    for kind in ("landmarks", "graph", "scores"):
        store.delete(kind, KEYS[0])
        assert store.get(kind, KEYS[0]) is None  # damaged, and yet not deleted
    assert _content(outside) == before
    assert len(store.keys("view")) < 4


@pytest.mark.parametrize("part", ["view", f"view/{KEYS[0][:2]}"])
def test_an_unmarked_folder_with_a_link_in_it_is_no_store(part, tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    (folder / part).parent.mkdir(parents=True)
    (folder / part).symlink_to(outside)
    Store(folder).put("features", KEYS[0], {"x": np.zeros(3)})
    assert not (folder / MARKER).exists()


def test_a_database_of_somebody_else_is_neither_written_nor_a_sign_of_a_store(tmp_path):
    with sqlite3.connect(tmp_path / "small.sqlite") as mine:
        mine.execute("create table films (title text)")
        mine.execute("insert into films values ('Metropolis')")
    mine.close()
    before = (tmp_path / "small.sqlite").read_bytes()
    store = Store(tmp_path)
    with pytest.warns(UserWarning, match="another program's database"):
        store.put("features", KEYS[0], {"x": np.arange(3)})
    np.testing.assert_array_equal(store.get("features", KEYS[0])[0]["x"], np.arange(3))
    assert (tmp_path / "small.sqlite").read_bytes() == before
    assert not (tmp_path / MARKER).exists()


def test_large_entries_need_keys_that_name_a_file(tmp_path):
    for kind, key in [("view", "0a1b"), ("view", "../" + KEYS[0]), ("../up", KEYS[0])]:
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            Store(tmp_path / "s").put(kind, key, {"x": np.zeros(20_000)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


class _Uncopied:
    def __deepcopy__(self, memo):
        raise RuntimeError("CUDA handles have no copies")


def test_what_cannot_be_copied_is_not_remembered_and_costs_nothing_else(tmp_path):
    store = Store(tmp_path)
    assert store.remember(KEYS[0], _Uncopied()) is None
    assert store.remember(KEYS[0]) is None
    store.remember(KEYS[0], [1])
    assert store.remember(KEYS[0]) == [1]


class _Nested:
    def __init__(self, store):
        self.store = store

    def __deepcopy__(self, memo):
        self.store.remember(KEYS[1], "seen")  # would wait for ever inside the lock
        return _Nested(self.store)


def test_an_object_is_copied_outside_the_lock(tmp_path):
    store = Store(tmp_path)
    store.remember(KEYS[0], _Nested(store))
    assert isinstance(store.remember(KEYS[0]), _Nested)
    assert store.remember(KEYS[1]) == "seen"


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.IntegrityError("constraint failed"),
        sqlite3.ProgrammingError("closed"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.DatabaseError("something that nobody knows"),
    ],
)
def test_no_error_but_damage_moves_the_small_entries(error, tmp_path, monkeypatch):
    entries = SmallEntries([tmp_path / "a.sqlite", tmp_path / "b.sqlite"])
    entries.put("view", "0a1b", b"content")

    def fails(*_):
        raise error

    monkeypatch.setattr("base_models.store.sqlite_blobs._connection", fails)
    if isinstance(error, sqlite3.OperationalError):
        assert entries.get("view", "0a1b") is None
    else:
        with pytest.raises(type(error)):
            entries.get("view", "0a1b")
    monkeypatch.undo()
    assert entries.get("view", "0a1b") == b"content"
    assert entries.path.name == "a.sqlite"


def _use(folder, ready, damaged, outcome):
    store = Store(folder)
    store.put("features", KEYS[0], {"x": np.arange(3)})
    ready.set()
    damaged.wait(60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key in KEYS:
            store.put("features", key, {"x": np.arange(3)})
        outcome.put([store.get("features", key) is not None for key in KEYS])


def test_a_database_that_is_damaged_is_left_to_the_processes_that_have_it_open(
    tmp_path,
):
    spawn = multiprocessing.get_context("spawn")
    ready, damaged, outcome = spawn.Event(), spawn.Event(), spawn.Queue()
    other = spawn.Process(target=_use, args=(tmp_path, ready, damaged, outcome))
    other.start()
    assert ready.wait(60)
    file = tmp_path / "small.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as shared:
        shared.execute("pragma wal_checkpoint(truncate)")  # all of it into the file
    with open(file, "r+b") as content:
        content.write(b"no database" * 10)
    inode = file.stat().st_ino
    store = Store(tmp_path)
    with pytest.warns(UserWarning, match="damaged.*left as it is"):
        store.put("features", KEYS[0], {"x": np.arange(3)})
    assert store.get("features", KEYS[0]) is not None
    assert file.stat().st_ino == inode
    assert (tmp_path / "small.sqlite-wal").exists()
    damaged.set()
    found = outcome.get(timeout=60)
    other.join()
    assert other.exitcode == 0
    assert found == [True] * len(KEYS)


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_the_umask_says_who_may_read_a_store(umask, tmp_path):
    before = os.umask(umask)
    try:
        _fill(Store(tmp_path / "store"), n_bytes=70_000)
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.s*")}
        folders = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*[0-9a-f]")}
    finally:
        os.umask(before)
    assert modes == {0o666 & ~umask}
    assert 0o777 & ~umask in folders


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "Free some space there, or give"), (errno.EROFS, "kept. Give")],
)
def test_advice_of_a_store_that_cannot_be_written_fits_the_cause(
    number, advice, tmp_path
):
    error = OSError(number, os.strerror(number))
    with pytest.warns(UserWarning, match=rf"{advice} another store\."):
        StoreFolder(tmp_path).warn_of_error(error)


def test_a_store_that_is_a_link_to_itself_keeps_nothing_and_loses_nothing(tmp_path):
    (tmp_path / "store").symlink_to("store")
    store = Store(tmp_path / "store")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing can be kept
        store.put("view", KEYS[0], {"x": np.zeros(10)})
    assert store.get("view", KEYS[0]) is None
    assert (tmp_path / "store").is_symlink()
