"""Makes the views of videos, or finds them in the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.faces.rare_faces import NO_FACE, FaceSearch
from base_models.runtime.clusters.given_up import reason_given_up
from base_models.runtime.failures import is_foreseen, reason_of
from base_models.runtime.prefetch import Room, look_ahead
from base_models.store.store import Store, store_key
from base_models.video.bounds.budget import one_reading
from base_models.video.hashing import check_left_alone, content_mark, left_alone
from base_models.video.one_face import OneFace, whole_video
from base_models.video.paths import hashed_once, video_digest
from base_models.video.reading import sample_clips
from base_models.video.sampling import FrameChoice
from base_models.views.drawing import render
from base_models.views.spec import ViewRecipe
from base_models.views.view import View, view_of

_MOST_SAMPLED = 2**30  # bytes of frames of several videos, as they are in the files
# Raised when entries of before may be of what a file was not: 2 leaves alone those of
# files that were put back, and features under weights that a saved model had claimed;
# 3 says what of a file cannot be decoded, 4 counts all of it.
LOOKS = 4
_SEEN_RARELY = 1 / 4  # of the frames looked at, up to which a score is of few


def iter_views(
    videos: list[Any], recipes: Any, store: Any
) -> Iterator[dict[str, View]]:
    """Yield the views of one video after another, made ahead while others are used.

    Parameters
    ----------
    videos : list
        Paths or arrays.
    recipes, store
        As for `make_views`.

    Yields
    ------
    dict of str to View
        As `make_views` gives it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import Store
    >>> from base_models.views import ViewRecipe
    >>> videos = [np.full((8, 48, 64, 3), shade, np.uint8) for shade in (0, 9)]
    >>> recipe = ViewRecipe("frame", image_size=32, n_frames=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     views = list(iter_views(videos, [recipe], Store(folder)))
    >>> [view[recipe.key].images.max() for view in views]
    [np.uint8(0), np.uint8(9)]
    """
    recipes = list(recipes)
    n_stored = 0
    for video in videos:
        stored, missing, _ = _stored_views(video, recipes, store)
        if missing:
            break
        n_stored += 1
        yield stored  # a memory map: no thread is faster
    videos = videos[n_stored:]
    finders = [recipe.finder for recipe in recipes if recipe.view == "face"]
    n_workers = None
    if not all(getattr(finder, "thread_safe", False) for finder in finders):
        n_workers = 1
    if len(videos) < 2:
        n_workers = 0  # nothing to make ahead

    room = Room(_MOST_SAMPLED)

    def make(video):
        # also where faces are kept
        with hashed_once([whole_video(video)]), room.shared():
            return make_views(video, recipes, store)

    yield from look_ahead(
        make,
        videos,
        n_workers,
        size=lambda views: sum(view.images.nbytes for view in views.values()),
    )


def make_views(
    video: str | os.PathLike | np.ndarray | OneFace,
    recipes: Iterable[ViewRecipe],
    store: Store,
    searches: Mapping[FrameChoice, FaceSearch] | None = None,
) -> dict[str, View]:
    """Make the views of one video: opened once, each face looked for once.

    Parameters
    ----------
    video : str, Path, ndarray of shape (T, H, W, 3) or OneFace
        A video, or one of its faces, which is then the only one.
    recipes : iterable of ViewRecipe
        What is wanted.
    store : Store
        Where views are looked up and kept.
    searches : dict of FrameChoice to FaceSearch or None, default=None
        Samples of the video by what they are of, if it was read before; it is read for
        others.

    Returns
    -------
    dict of str to View
        By the recipe's key. A video that cannot be read, or without a face where
        one is needed, has views without images that say why.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import Store
    >>> from base_models.views import ViewRecipe, make_views
    >>> video = np.zeros((30, 48, 64, 3), np.uint8)
    >>> recipe = ViewRecipe("frame", image_size=32, n_frames=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     view = make_views(video, [recipe], Store(folder))[recipe.key]
    >>> view.images.shape, view.frames
    ((4, 32, 32, 3), array([ 0, 10, 19, 29]))
    """
    with one_reading(whole_video(video)):
        return _made(video, recipes, store, searches or {})


def _made(video, recipes, store, searches):
    begun = content_mark(video)
    views, todo, places = _stored_views(video, recipes, store)
    for choice in sorted({recipe.choice for recipe in todo.values()}):
        alike = {k: recipe for k, recipe in todo.items() if recipe.choice == choice}
        length = max(recipe.clip_length for recipe in alike.values())
        search = searches.get(choice)
        if search is None or search.clip_length < length:
            try:
                sample = sample_clips(
                    whole_video(video), choice.n_frames, length,
                    sampling=choice.sampling,
                )  # fmt: skip
            except Exception as error:
                _refuse_wrong_kind(video, error)
                views |= _all_missing(alike, error)
                continue
            search = FaceSearch(whole_video(video), sample, length)
        for key, recipe in alike.items():
            try:
                face = video if isinstance(video, OneFace) else None
                images, at, faces, meta = render(search.sample, recipe, search, face)
                check_left_alone(video, begun)
                if recipe.view == "face":
                    _keep_boxes(whole_video(video), recipe, search, store)
            except Exception as error:
                views |= _all_missing({key: recipe}, error)
                continue
            arrays = {"images": images, "frames": at, "faces": faces}
            store.put("view", places[key], arrays, meta)
            views[key] = view_of(arrays, meta, places[key])
    return views


def stored_face(video: Any, recipes: Any, store: Any, total: int) -> tuple[float, str]:
    """Return the side of a video's face, and what to doubt of what was looked at.

    Parameters
    ----------
    video, recipes, store
        As for `make_views`; what is in the store is looked up, nothing is made.
    total : int
        Frames of the video.

    Returns
    -------
    side : float
        Median side in pixels of the box of the largest followed face; NaN where no
        such view is stored, or one without a face, or the video cannot be read.
    rarely : str
        Says so where a part of the file cannot be decoded, where few of the frames
        looked at show it, or where another of like size was not followed; else empty.
    """
    wanted = sorted(recipes, key=lambda recipe: recipe.view != "face")
    lost = ""
    try:
        digest = video_digest(video)
    except VideoReadError:
        return np.nan, ""
    for recipe in wanted:
        key = _place(digest, recipe.key)
        entry = store.get("view", key, mapped=True)
        if entry is not None:
            lost = lost or entry[1].get("lost", "")
        side = None if entry is None else entry[1].get("face_side")
        if side is not None:
            n_seen = len(np.unique(view_of(*entry, key).frames))
            n_looked, rarely = min(recipe.n_frames, total), entry[1].get("note", "")
            is_all = recipe.clip_length == 1  # clips that stand still are left out
            if is_all and n_seen <= _SEEN_RARELY * n_looked and not rarely:
                rarely = f"a face is seen in {n_seen} of {n_looked} frames alone"
            said = (lost, rarely, entry[1].get("unscored", ""))
            return float(side), "; ".join(filter(None, said))
    return np.nan, lost


def views_to_make(
    video: str | os.PathLike | np.ndarray | OneFace,
    recipes: Iterable[ViewRecipe],
    store: Store,
) -> list[ViewRecipe]:
    """Return the recipes whose views of a video are not in the store.

    Parameters
    ----------
    video, recipes, store
        As for `make_views`.

    Returns
    -------
    list of ViewRecipe
    """
    _, missing, _ = _stored_views(video, recipes, store)
    return list(missing.values())


def stored_views(
    video: str | os.PathLike | np.ndarray | OneFace,
    recipes: Iterable[ViewRecipe],
    store: Store,
) -> dict[str, View]:
    """Return those views of a video that are in the store; none is made.

    Parameters
    ----------
    video, recipes, store
        As for `make_views`.

    Returns
    -------
    dict of str to View
        By the recipe's key; of a video that cannot be read all, which say why.
    """
    return _stored_views(video, recipes, store)[0]


def _stored_views(video, recipes, store):
    """Look a video's views up.

    Returns
    -------
    views : dict of str to View
        What the store has, and what nobody can make: of a video that cannot be read.
    missing : dict of str to ViewRecipe
        What is to be made.
    places : dict of str to str
        Where the store keeps each.
    """
    wanted = {recipe.key: recipe for recipe in recipes}
    try:
        _refuse_given_up(whole_video(video))
        digest = whole = video_digest(video)
        if isinstance(video, OneFace):
            whole = video_digest(video.video)
    except Exception as error:
        _refuse_wrong_kind(video, error)
        return _all_missing(wanted, error), {}, {}
    places = {  # whole frames are those of the video, whichever face is asked for
        key: _place(digest if recipe.view == "face" else whole, key)
        for key, recipe in wanted.items()
    }
    views = {}
    for key, place in places.items():
        entry = store.get("view", place, mapped=True)
        if entry is not None:
            arrays, meta = entry
            if "note" not in meta and meta["reason"].startswith(NO_FACE):
                continue  # of a version that looked at the sampled frames alone
            views[key] = view_of(arrays, meta, place)
    missing = {key: recipe for key, recipe in wanted.items() if key not in views}
    return views, missing, places


def _place(digest, recipe):
    """Return the key of a view, which is part of the keys of all that is made of it."""
    return store_key(video=digest, recipe=recipe, looks=LOOKS)


def _refuse_given_up(video):
    """Raise the reason of a video that ends the process which works on it."""
    if isinstance(video, np.ndarray):
        return
    if (reason := reason_given_up(video)) is not None:
        raise VideoReadError(video, reason)


def _refuse_wrong_kind(video, error):
    """Raise the error if it is the caller's: no path, and no array of RGB frames."""
    is_path = isinstance(whole_video(video), (str, os.PathLike))
    if isinstance(error, (TypeError, ValueError)) and not is_path:
        raise error


def _all_missing(recipes, error):
    reason = reason_of(error)
    unforeseen = None if is_foreseen(error) else error
    return {
        key: View.missing(recipe.image_size, reason, error=unforeseen)
        for key, recipe in recipes.items()
    }


def followed_boxes(
    video: str | Path | np.ndarray, recipe: ViewRecipe, store: Store
) -> list[Any]:
    """Return where the faces of a video are, in the frames that a recipe samples.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    recipe : ViewRecipe
        Of the view "face".
    store : Store
        Where boxes are looked up and kept; with a view they are kept too.

    Returns
    -------
    list of (frames, boxes)
        Of each followed face the frames of the video that show it, (n,), and its boxes
        there, (n, 4); empty of a video in which none can be looked for.
    """
    try:
        entry = store.get("faces", _boxes_key(video, recipe))
        if entry is not None:
            arrays, _ = entry
        else:
            with left_alone(video):
                sample = sample_clips(
                    video, recipe.n_frames, recipe.clip_length, sampling=recipe.sampling
                )
                search = FaceSearch(video, sample, recipe.clip_length)
                arrays = _found_boxes(recipe, search)
            store.put("faces", _boxes_key(video, recipe), arrays)
    except Exception as error:  # whoever scores the video gives this as the reason
        _refuse_wrong_kind(video, error)
        return []
    which = arrays["face"]
    return [
        (arrays["frames"][which == face], arrays["boxes"][which == face])
        for face in range(which.max(initial=-1) + 1)
    ]


def _boxes_key(video, recipe):
    more = {}
    if recipe.sampling != "even":
        more = {"sampling": recipe.sampling, "offset": recipe.choice.offset}
    return store_key(
        video=video_digest(video),
        finder=recipe.finder_key,
        n_frames=recipe.n_frames,
        looks=LOOKS,
        **more,
    )


def _keep_boxes(video, recipe, search, store):
    key = _boxes_key(video, recipe)
    if store.get("faces", key) is None:
        store.put("faces", key, _found_boxes(recipe, search))


def _found_boxes(recipe, search):
    """Return the boxes of all followed faces: of each its frame, and whose it is."""
    found = search.faces(recipe.finder, recipe.finder_key)
    boxes = [face.box for track in found.tracks for face in track.faces]
    numbers = [found.sample.indices[track.frames] for track in found.tracks]
    lengths = [len(track) for track in found.tracks]
    return {
        "frames": np.concatenate([np.zeros(0, np.int64), *numbers]).astype(np.int64),
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "face": np.repeat(np.arange(len(lengths)), np.array(lengths, np.int64)),
    }
