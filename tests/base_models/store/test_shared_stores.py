"""Stores that several machines share: a network's disk, and buckets."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pytest

from base_models import clear_caches
from base_models.store import Store, resolve_store, store_key
from base_models.store.objects import StoreObjects
from base_models.store.shared_disks import is_shared

KEY = store_key(of="a test")
SMALL, LARGE = {"x": np.arange(3.0)}, {"x": np.arange(20_000.0)}


@pytest.fixture(params=["disk", "bucket"])
def shared(request, tmp_path):
    if request.param == "disk":
        yield Store(tmp_path / "store", shared=True)
        return
    address = f"memory://{tmp_path.name}/store"
    yield Store(address)
    fs = fsspec.filesystem("memory")
    if fs.exists(tmp_path.name):
        fs.rm(tmp_path.name, recursive=True)


def test_a_shared_store_gives_back_what_was_put(shared):
    for arrays in (SMALL, LARGE, SMALL):
        shared.put("features", KEY, arrays, {"n": 1})
        for store in (shared, pickle.loads(pickle.dumps(shared))):
            for mapped in (False, True):
                found, meta = store.get("features", KEY, mapped)
                np.testing.assert_array_equal(found["x"], arrays["x"])
                assert meta == {"n": 1}
        assert shared.keys("features") == [KEY]
    assert shared.get("view", KEY) is None
    assert shared.keys("view") == []
    shared.delete("features", KEY)
    shared.delete("features", KEY)
    assert shared.get("features", KEY) is None
    assert shared.keys("features") == []
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        shared.put("features", "0a1b", SMALL)


def test_a_map_of_a_shared_entry_outlives_it_and_is_read_only(shared):
    shared.put("view", KEY, LARGE)
    found, _ = shared.get("view", KEY, mapped=True)
    shared.delete("view", KEY)
    np.testing.assert_array_equal(found["x"], LARGE["x"])
    with pytest.raises(ValueError, match="read-only"):
        found["x"][0] = 1


def test_on_a_shared_disk_there_is_no_database(tmp_path):
    Store(tmp_path).put("scores", KEY, SMALL)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert any(name.endswith(".sqlite") for name in before)
    shared = Store(tmp_path, shared=True)
    assert shared.get("scores", KEY) is None  # what lies in it is not looked at
    shared.put("scores", KEY, SMALL)
    np.testing.assert_array_equal(shared.get("scores", KEY)[0]["x"], SMALL["x"])
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert after == before
    np.testing.assert_array_equal(
        Store(tmp_path).get("scores", KEY)[0]["x"], SMALL["x"]
    )


def test_a_shared_disk_makes_room(tmp_path):
    shared = Store(tmp_path, size_limit=500_000, shared=True)
    for number in range(6):
        shared.put("view", store_key(of=number), LARGE)
    assert 0 < len(shared.keys("view")) < 4


def test_damaged_objects_are_a_miss(tmp_path):
    address = f"memory://{tmp_path.name}/store"
    store, fs = Store(address), fsspec.filesystem("memory")
    store.put("view", KEY, LARGE)
    (name,) = fs.find(f"/{tmp_path.name}")
    whole = fs.cat_file(name)
    for content in (
        *(whole[:n] for n in (0, 5, 50, len(whole) - 1)),
        b"\x02" + b"[]" * 9,
    ):
        fs.pipe_file(name, content)
        for mapped in (False, True):
            assert store.get("view", KEY, mapped) is None
    store.put("view", KEY, LARGE)
    assert store.get("view", KEY) is not None


def test_no_limit_holds_in_a_bucket_and_nothing_is_deleted(tmp_path):
    store = Store(f"memory://{tmp_path.name}/store", size_limit=1000)
    for number in range(5):
        store.put("view", store_key(of=number), LARGE)
    assert len(store.keys("view")) == 5


def test_a_bucket_that_fails_costs_entries_and_one_warning(monkeypatch):
    clear_caches()
    store = Store("s3://ann:s3cret@bucket/store")
    assert "s3cret" not in repr(store)
    monkeypatch.setattr(
        "base_models.store.objects.file_system",
        lambda address: (_ for _ in ()).throw(PermissionError(f"no: {address}")),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            store.put("view", KEY, SMALL)
            assert store.get("view", KEY) is None
    assert len(caught) == 2
    text = " ".join(str(each.message) for each in caught)
    assert "s3://bucket/store cannot be read" in text
    assert "s3cret" not in text


def test_addresses_are_told_from_folders(tmp_path, monkeypatch):
    assert resolve_store("memory://x/store") is resolve_store("memory://x/store")
    assert resolve_store((tmp_path / "a b").as_uri()).path == tmp_path / "a b"
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_STORE", "memory://y/store")
    assert repr(Store()) == "Store('memory://y/store')"
    with pytest.raises(ValueError, match="for reading"):
        StoreObjects("https://host/store")


@pytest.mark.parametrize(
    ("folder", "shared"),
    [("/home/ann/store", True), ("/home", True), ("/homes/ann", False),
     ("/scratch dir/x", True), ("/scratch dir/local/x", False), ("/", False)],
)  # fmt: skip
def test_the_list_of_mounts_tells_what_is_shared(tmp_path, folder, shared):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:40 / /home rw shared:1 - nfs4 server:/home rw,vers=4.2\n"
        "3 1 0:41 / /scratch\\040dir rw - lustre mds@tcp:/fs rw\n"
        "4 3 8:2 / /scratch\\040dir/local rw - xfs /dev/sdb rw\n"
        "broken\n"
    )
    assert is_shared(Path(folder), mounts) is shared
    assert not is_shared(Path(folder), tmp_path / "none")


_WRITER = """
import sys
import numpy as np
from base_models.store import Store, store_key
store = Store(sys.argv[1], shared=True, size_limit=2_000_000)
for turn in range(60):
    number = turn % 20
    n = 3 if number % 2 else 12_000
    store.put("view", store_key(of=number), {"x": np.full(n, float(number))})
    for other in range(20):
        entry = store.get("view", store_key(of=other), mapped=bool(turn % 2))
        if entry is not None:
            assert (entry[0]["x"] == other).all() and len(entry[0]["x"]) in (3, 12_000)
print("done")
"""


@pytest.mark.slow
def test_processes_that_write_at_once_read_nothing_but_whole_entries(tmp_path):
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    run = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=120)[0] for process in run] == [b"done\n"] * 3
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.sqlite*"))
