"""What keys know of the code that users write."""

import importlib
import sys
import textwrap

import numpy as np
import pytest
import torch
from keyed_detectors import NETWORK, QUICK
from sklearn.base import BaseEstimator, clone

from base_models import (
    DlibFaceFinder,
    FrameDetector,
    Store,
    TorchDetector,
    ViewRecipe,
)
from base_models.store import fingerprint, store_key
from base_models.store.code import code_digest
from base_models.views import Views
from ensemble import out_of_fold_scores

HELPERS = """
    STRENGTH = 3

    def helper(image):
        return image + STRENGTH
"""
MINE = """
    import functools
    import numpy as np
    import {helpers}
    from {helpers} import helper
    from base_models.faces import Face

    def augment(image, draw, landmarks):
        return helper(image)

    def by_module(image, draw, landmarks):
        return {helpers}.helper(image)

    def traced(function):
        @functools.wraps(function)
        def inner(*arguments):
            return function(*arguments)
        return inner

    @traced
    def decorated(image, draw, landmarks):
        return helper(image)

    @functools.lru_cache
    def cached(image, draw, landmarks):
        return helper(image)

    class Changer:
        @staticmethod
        def change(image):
            return helper(image)

        def __call__(self, image, draw, landmarks):
            return self.change(image)

    partial = functools.partial(by_module, landmarks=None)
    made = Changer()

    class Finder:
        thread_safe = True

        def find(self, frame):
            side = int(helper(np.array(20)))
            return [Face((4, 4, 4 + side, 4 + side), 1.0)]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write modules of a user and import them anew, as another process would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = "helpers_of_a_user", "module_of_a_user"

    def imported(helpers=HELPERS, mine=MINE):
        for name, text in zip(names, (helpers, mine), strict=True):
            text = textwrap.dedent(text).replace("{helpers}", names[0])
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module(names[1])

    yield imported
    for name in names:
        sys.modules.pop(name, None)


def identity(**params):
    return store_key(identity=clone(NETWORK).set_params(**params).identity())


CHANGES = [
    ("STRENGTH = 3", "STRENGTH = 4"),
    ("image + STRENGTH", "image - STRENGTH"),
    ("(image):", "(image, more=0):"),
]


@pytest.mark.parametrize(
    "name",
    ["augment", "by_module", "decorated", "cached", "made", "partial"],
)
@pytest.mark.parametrize("change", CHANGES, ids=["value", "code", "default"])
def test_a_changed_helper_of_augment_gives_another_key(write, name, change):
    before = identity(augment=getattr(write(), name))
    assert identity(augment=getattr(write(), name)) == before
    changed = write(helpers=HELPERS.replace(*change))
    assert identity(augment=getattr(changed, name)) != before


def test_a_comment_moves_no_key(write):
    before = identity(augment=write().augment)
    commented = "\n" + HELPERS.replace("return", "# as before\n        return")
    assert identity(augment=write(helpers=commented).augment) == before


@pytest.mark.parametrize("change", CHANGES, ids=["value", "code", "default"])
def test_a_changed_helper_of_a_finder_gives_another_view(write, tmp_path, change):
    video = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    store = Store(tmp_path / "store")

    def view(module):
        recipe = ViewRecipe("face", 32, n_frames=2, finder=module.Finder())
        return recipe.stable_key, Views([video], recipe, store)[0].images

    before, images = view(write())
    again, _ = view(write())
    assert again == before
    after, other = view(write(helpers=HELPERS.replace(*change)))
    assert after != before
    if "default" not in change[1] and "more" not in change[1]:
        assert not np.array_equal(images, other)


@pytest.mark.slow
def test_a_fit_with_a_changed_helper_is_made_again(write, tmp_path, toy_videos):
    videos, y, groups = toy_videos
    fits = []

    def run(module):
        before = len(Store(tmp_path / "store").keys("member"))
        detector = clone(NETWORK).set_params(augment=module.made)
        out_of_fold_scores(
            [detector], videos, y, groups, resampling=2, store=tmp_path / "store"
        )
        fits.append(len(Store(tmp_path / "store").keys("member")) - before)

    run(write())
    run(write())
    run(write(helpers=HELPERS.replace(*CHANGES[0])))
    assert fits == [2, 0, 2]


UNKNOWN = {
    "reads a file": "def augment(*a):\n    return open('mask').read()",
    "reads an image": "import cv2\ndef augment(*a):\n    return cv2.imread('mask')",
    "evaluates": "def augment(*a):\n    return eval('1')",
    "imports inside": "def augment(*a):\n    from {helpers} import helper\n"
    "    return helper(*a)",
    "a module as a whole": "import {helpers}\ndef augment(*a):\n"
    "    return getattr({helpers}, 'helper')(*a)",
    "a name that is not there": "def augment(*a):\n    return later(*a)",
    "a lambda": "augment = lambda *a: a[0]",
    "what has no bytes": "import threading\nlock = threading.Lock()\n"
    "def augment(*a):\n    with lock:\n        return a[0]",
}


@pytest.mark.parametrize("mine", UNKNOWN.values(), ids=UNKNOWN)
def test_a_fit_whose_code_cannot_be_told_is_not_kept(write, mine, tmp_path, toy_videos):
    augment = write(mine=mine).augment
    with pytest.raises(TypeError):
        identity(augment=augment)
    if "lock" not in mine:
        return
    videos, y, groups = toy_videos
    detector = clone(NETWORK).set_params(augment=augment)
    table = out_of_fold_scores(
        [detector], videos, y, groups, resampling=2, store=tmp_path / "store"
    )
    assert table.notna().all(axis=None)
    store = Store(tmp_path / "store")
    assert not store.keys("member") + store.keys("scores") + store.keys("training")


def test_views_of_a_finder_that_cannot_be_told_are_found_in_this_process_alone(
    write, tmp_path
):
    module = write(
        mine=MINE.replace("helper(np.array(20))", "eval('20')"),
    )
    finder = module.Finder()
    recipes = [
        ViewRecipe("face", 32, finder=f) for f in (finder, finder, module.Finder())
    ]
    assert recipes[0].key == recipes[1].key != recipes[2].key
    with pytest.raises(TypeError, match="find does by 'eval'"):
        _ = recipes[0].stable_key
    detector = FrameDetector("mesonet4", image_size=32, finder=finder)
    with pytest.raises(TypeError):
        detector.identity()
    videos = [np.zeros((4, 64, 64, 3), np.uint8)]
    assert Views(videos, recipes[0], Store(tmp_path / "store")).reasons == [""]


def test_a_finder_that_counts_in_its_module_is_asked_all_the_same(write, tmp_path):
    mine = MINE.replace("side = int", "SEEN.append(1)\n            side = int")
    finder = write(mine=mine + "\n    SEEN = []\n").Finder()
    detector = FrameDetector(
        "test_resnet", "face", "head", None, 32, n_frames=2, n_threads=1, finder=finder,
        store=tmp_path / "store", device="cpu",
    )  # fmt: skip
    draw = np.random.default_rng(0)
    videos = [draw.integers(0, 256, (4, 64, 64, 3), np.uint8) for _ in range(4)]
    detector.fit(videos, [0, 1, 0, 1])
    assert np.isfinite(detector.fake_score(videos)).all()


class Doubled(BaseEstimator):
    """An augmentation that is an estimator: its code counts beside its parameters."""

    def __init__(self, times=2):
        self.times = times

    def __call__(self, image, draw, landmarks):
        return image * self.times


def test_the_code_of_a_users_estimator_counts(monkeypatch):
    before = identity(augment=Doubled())
    assert identity(augment=Doubled()) == before
    assert identity(augment=Doubled(3)) != before
    monkeypatch.setattr(Doubled, "__call__", lambda *a: a[1])
    with pytest.raises(TypeError, match="lambda"):
        identity(augment=Doubled())

    def halved(self, image, draw, landmarks):
        return image // self.times

    monkeypatch.setattr(Doubled, "__call__", halved)
    assert identity(augment=Doubled()) != before


def test_the_code_of_a_subclass_of_ours_counts():
    def made(shift):
        class Mine(FrameDetector):
            def _preprocess(self, images):
                return super()._preprocess(images) + shift

        return store_key(identity=Mine("mesonet4", **QUICK).identity())

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_the_code_of_a_module_counts_and_how_it_was_made_does_not():
    def made(power):
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(12, 1)

            def forward(self, images):
                return self.layer(images.flatten(1)) ** power

        torch.manual_seed(0)
        return store_key(identity=TorchDetector(Net(), **QUICK).identity())

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_describing_an_object_does_not_change_its_description():
    class Plain:
        pass

    first = code_digest(Plain())
    assert code_digest(Plain()) == first


def test_closures_and_methods_of_objects_count():
    def scaled(factor):
        def scale(image, draw, landmarks):
            return image * factor

        return scale

    assert code_digest(scaled(2)) == code_digest(scaled(2))
    assert code_digest(scaled(2)) != code_digest(scaled(3))
    assert code_digest(Doubled(2).__call__) != code_digest(Doubled(3).__call__)
    assert code_digest({"a", "b", "c"}) == code_digest({"c", "b", "a"})
    values = [1, 1.0, "1", True, None, [1], (1,), {1}, {1: 1}, np.ones(1), b"1"]
    assert len({code_digest(value) for value in values}) == len(values)


def test_a_finders_file_counts_by_what_is_in_it(tmp_path):
    file = tmp_path / "model.dat"

    def key(content):
        file.write_bytes(content)
        return ViewRecipe("face", 32, finder=DlibFaceFinder("cnn", model=file)).key

    assert key(b"one") == key(b"one")
    assert key(b"one") != key(b"other")


def test_what_we_have_learned_of_code_is_the_same_in_another_process(write):
    module = write()
    assert fingerprint(module.augment) == fingerprint(write().augment)
    assert fingerprint(len) != fingerprint(max)


def test_how_annotations_are_read_is_no_code():
    text = "def bright(video):\n    return video.mean()\n"
    spaces = {"plain": {"__name__": "__main__"}, "future": {"__name__": "__main__"}}
    exec(compile(text, "<test>", "exec", dont_inherit=True), spaces["plain"])
    future = "from __future__ import annotations\n" + text
    exec(compile(future, "<test>", "exec", dont_inherit=True), spaces["future"])
    plain, lazy = (space["bright"] for space in spaces.values())
    assert plain.__code__.co_flags != lazy.__code__.co_flags
    assert code_digest(plain) == code_digest(lazy)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_a_traced_module_counts_by_code_and_weights():
    import torch

    torch.manual_seed(0)
    given = torch.zeros(1, 2)
    one, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    again = torch.nn.Linear(2, 1)
    again.load_state_dict(one.state_dict())
    digests = [
        code_digest(torch.jit.trace(each.eval(), given)) for each in (one, other, again)
    ]
    assert digests[0] == digests[2] != digests[1]
