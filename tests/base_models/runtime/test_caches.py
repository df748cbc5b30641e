import ast
import ctypes
import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import base_models
import ensemble
from base_models import HaarFaceFinder, Store, clear_caches
from base_models.backbones import build_frozen, build_network, weights_digest
from base_models.inference import cuda, engines
from base_models.networks.preprocessing import Recipe
from base_models.runtime import caches
from base_models.runtime.caches import Cache, PerThread, cached
from base_models.runtime.file_digest import file_sha256
from base_models.store.keys import session_key
from base_models.video import video_digest

FRAME = np.zeros((120, 160, 3), np.uint8)


class Thing:
    pass


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(build_network("test_resnet", None).state_dict(), file)
    return file


def test_cleared_caches_give_the_same_answers(tmp_path, weights):
    image = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    cv2.imwrite(str(tmp_path / "frame.png"), image)

    def answers():
        network = build_frozen("test_resnet", weights).eval()
        images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
        return (
            video_digest(tmp_path / "frame.png"),
            weights_digest("test_resnet", weights),
            HaarFaceFinder().find(FRAME),
            engines.run_frozen(network, Recipe(32), images, "torch").tolist(),
        )

    before = answers()
    assert caches._emptying
    clear_caches()
    assert answers() == before


@pytest.mark.slow
def test_clearing_lets_go_of_what_was_kept(tmp_path, weights):
    body = weakref.ref(build_frozen("test_resnet", weights).backbone)
    assert body() is not None  # kept until the next fit
    HaarFaceFinder().find(FRAME)
    store, things = Store(tmp_path / "store"), [Thing()]
    store.remember("key", things)
    session_key(things)
    cuda._plans[things[0]] = {"size": 1}
    clear_caches()
    gc.collect()
    assert body() is None
    assert store.remember("key") is None
    assert not cuda._plans
    for name, empty in caches._emptying.items():
        if isinstance(getattr(empty, "__self__", None), Cache):
            assert len(empty.__self__) == 0, name


def test_an_object_has_another_key_once_the_caches_are_cleared():
    thing = Thing()
    key = session_key(thing)
    assert session_key(thing) == key
    clear_caches()
    assert session_key(thing) != key


def test_a_cache_keeps_what_was_used_last():
    cache = Cache("test", maxsize=3)
    for number in range(3):
        cache[number] = number
    assert cache.get(0) == 0
    assert cache.setdefault(3, "new") == cache.setdefault(3, "newer") == "new"
    assert [cache.get(number) for number in range(4)] == [0, None, 2, "new"]
    assert cache.pop(2) == 2
    assert cache.pop(2) is None
    assert len(cache) == 2


@pytest.mark.slow
def test_each_thread_loads_its_own_and_all_are_let_go():
    loaded = PerThread("test", maxsize=2)

    def load(number):
        return Thing()

    def watched(number):
        assert loaded.get(load, number) is loaded.get(load, number)
        return weakref.ref(loaded.get(load, number))

    with ThreadPoolExecutor(1) as other:
        there = other.submit(watched, 0).result()
        here = watched(0)
        assert there() is not here()
        assert here() is not None
        watched(1)
        watched(2)  # two are kept
        gc.collect()
        assert here() is None
        assert there() is not None
        loaded.clear()
        gc.collect()
        assert there() is None


def test_threads_compute_while_another_clears(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"content")
    expected = file_sha256(file)
    cache, loaded = Cache("test", maxsize=5), PerThread("test per thread", maxsize=2)
    stop = threading.Event()

    def work(seed):
        for number in range(300):
            assert file_sha256(file) == expected
            cache[number % 7] = number % 7
            assert cache.get(number % 7) in (number % 7, None)
            assert cache.setdefault(seed, seed) == seed
            assert loaded.get(str, number % 3) == str(number % 3)

    def clear():
        while not stop.is_set():
            clear_caches()

    clearing = threading.Thread(target=clear)
    clearing.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(10, 14)))
    finally:
        stop.set()
        clearing.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_a_cache_is_in_use_can_go_on():
    held, done = threading.Event(), threading.Event()

    def hold():
        with caches._lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if not child:
        status = 1
        try:
            Cache("of the child", maxsize=1)[0] = 0
            status = 0
        finally:
            os._exit(status)
    try:
        for _ in range(200):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            threading.Event().wait(0.05)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for a thread that it does not have")
    finally:
        done.set()
        holder.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_function_is_called_once_for_equal_arguments():
    calls = []

    @cached(maxsize=2)
    def squared(x):
        calls.append(x)
        return x * x

    assert [squared(x) for x in (1, 2, 1, 2)] == [1, 4, 1, 4]
    assert calls == [1, 2]
    clear_caches()
    squared(1)
    assert calls == [1, 2, 1]


@pytest.mark.slow
def test_all_caches_are_registered():
    """What a module keeps in a cache of functools or a weak dictionary is known."""
    for package in (base_models, ensemble):
        for path in Path(package.__file__).parent.rglob("*.py"):
            if path == Path(caches.__file__):
                continue
            source = path.read_text("utf-8")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef):
                    decorators = [ast.unparse(d) for d in node.decorator_list]
                    assert not any("cache" in d.split("(")[0].replace("cached", "")
                                   for d in decorators), (path, node.name)  # fmt: skip
            for node in ast.parse(source).body:
                text = ast.unparse(node)
                if isinstance(node, ast.Assign) and "weakref.Weak" in text:
                    name = text.partition(" = ")[0]
                    assert f"{name}.clear" in source, (path, name)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    if os.name == "posix"
    else True,
    reason="glibc's alone",
)
def test_free_memory_goes_back_to_the_system():
    blocks = [bytearray(b"x") * 100_000 for _ in range(2000)]  # too small to be mapped
    held, last = anonymous_megabytes(), blocks.pop()
    blocks.clear()  # the last one stays on top of them
    kept = anonymous_megabytes()
    caches.give_back_memory()
    assert anonymous_megabytes() < min(kept, held - 100)
    assert len(last) == 100_000


def anonymous_megabytes():
    with open("/proc/self/status") as lines:
        (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_where_the_c_library_cannot_nothing_happens(monkeypatch, error):
    def no_library(name):
        raise error

    monkeypatch.setattr(caches.ctypes, "CDLL", no_library)
    caches._trim.cache_clear()
    try:
        assert caches._trim() is None
        caches.give_back_memory()
    finally:
        caches._trim.cache_clear()
