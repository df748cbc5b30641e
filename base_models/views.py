"""What a detector looks at: the whole frame, or a crop around a face."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from base_models.face_tracks import largest_track
from base_models.faces import DlibFaceFinder, FaceFinder, crop_face
from base_models.failures import Failures, is_foreseen, reason_of
from base_models.frame_indices import clip_indices
from base_models.keys import library_version, session_key
from base_models.look_ahead import look_ahead
from base_models.one_face import OneFace, whole_video
from base_models.progress import progress_bar
from base_models.rare_faces import NO_FACE, FaceSearch
from base_models.store import fingerprint, store_key
from base_models.video import sample_clips, video_digest

# Raised when the same video and recipe come to give other images: see
# `base_models.keys.own_versions`.
_CODE_VERSION = 1
VIEWS = ("frame", "face", "crop")
_STILL = "nothing moves in it: each frame repeats one before"
_MOST_MAPPED = 128  # files that one `Views` holds open


@dataclass(frozen=True)
class ViewRecipe:
    """Everything that decides which pixels a detector gets to see.

    Parameters
    ----------
    view : {"frame", "face", "crop"}
        The whole frame; a square around a face that `finder` finds; or videos
        that are face crops already, taken as they are.
    image_size : int
        Side of the square images, pixels.
    n_frames : int, default=16
        Frames sampled evenly over the video. Where none of them has a face and one is
        needed, up to four times as many further ones are looked at, and those around
        the first with a face are taken (`base_models.rare_faces`).
    faces : {"largest", "all", "first"}, default="largest"
        Which followed face to take, or all of them. ``"first"`` follows none: of each
        frame it takes the face of which the finder is surest, as the FaceForensics++
        code does.
    margin : float, default=1.3
        Side of the crop, in sides of the face box.
    align : bool, default=False
        Turn the crop so that the eyes are level; `finder` must give landmarks.
    finder : FaceFinder, default=DlibFaceFinder()
        Finds the faces of a frame.
    clip_length : int, default=1
        With more, not a frame alone is seen, but so many in a row about each sampled
        one: a clip, cut out of all its frames by the one square, so that the face
        moves in it as it does in the video.

    Examples
    --------
    >>> from base_models.views import ViewRecipe
    >>> ViewRecipe("frame", image_size=224).n_frames
    16
    """

    view: str
    image_size: int
    n_frames: int = 16
    faces: str = "largest"
    margin: float = 1.3
    align: bool = False
    finder: FaceFinder = field(default_factory=DlibFaceFinder)
    clip_length: int = 1

    def __post_init__(self):
        if self.view not in VIEWS:
            raise ValueError(f"view must be one of {VIEWS}; got {self.view!r}")
        if self.faces not in ("largest", "all", "first"):
            raise ValueError(
                f"faces must be 'largest', 'all' or 'first'; got {self.faces!r}"
            )
        for name in ("n_frames", "clip_length"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} must be a whole number >= 1; got {value!r}")
        if isinstance(self.finder, str) or not isinstance(self.finder, FaceFinder):
            raise TypeError(
                "finder must have find(frame) -> list of Face; "
                f"got {type(self.finder).__name__}"
            )

    @property
    def image_shape(self):
        """Shape of what is seen of each sampled frame."""
        image = self.image_size, self.image_size, 3
        return image if self.clip_length == 1 else (self.clip_length, *image)

    @cached_property
    def key(self):
        """What stands for this recipe in the store; whole frames know no finder."""
        common = {
            "code": _CODE_VERSION,
            # they decode, find and draw
            "libraries": [library_version(name) for name in ("av", "cv2", "PIL")],
            "n_frames": self.n_frames,
            "image_size": self.image_size,
        }
        if self.clip_length > 1:
            common["clip_length"] = self.clip_length
        if self.view != "face":
            return store_key(view="frame", **common)
        return store_key(
            view="face",
            faces=self.faces,
            margin=self.margin,
            align=self.align,
            finder=self._finder_key,
            **common,
        )

    @cached_property
    def stable_key(self):
        """The `key`, if other processes will find it again.

        Raises
        ------
        TypeError
            If not all of the finder's code can be told: see `base_models.code`.
        """
        if self.view == "face":
            _finder_key(self.finder)
        return self.key

    @cached_property
    def _finder_key(self):
        try:
            return _finder_key(self.finder)
        except TypeError:
            return session_key(self.finder)


def _finder_key(finder):
    # only scikit-learn's estimators say what their parameters are
    return (
        store_key(finder=finder)
        if hasattr(finder, "get_params")
        else fingerprint(finder)
    )


@dataclass(frozen=True)
class View:
    """The images of one video under one recipe, or the reason there are none.

    Attributes
    ----------
    images : ndarray of shape (n_images, image_size, image_size, 3)
        RGB uint8; with a `clip_length` over 1 (n_images, clip_length, image_size,
        image_size, 3).
    frames : ndarray of shape (n_images,)
        Index in the video of the frame each image comes from, of a clip its middle.
    faces : ndarray of shape (n_images,)
        Which followed face it shows, 0 the first; 0 for whole frames.
    reason : str
        Why there are no images; empty when there are some.
    key : str
        What stands for these images in the store; empty when there is no content.
    error : Exception or None
        What nobody foresaw, where that is why there are no images.
    note : str
        What to know about the images, such as that few frames show the face; empty
        where there is nothing.
    """

    images: np.ndarray
    frames: np.ndarray
    faces: np.ndarray
    reason: str = ""
    key: str = ""
    note: str = ""
    error: Exception | None = field(default=None, compare=False, repr=False)

    @property
    def stills(self):
        """One image for each of `frames`: of a clip its middle one."""
        if self.images.ndim == 4:
            return self.images
        return self.images[:, self.images.shape[1] // 2]

    @classmethod
    def missing(cls, image_size, reason, key="", error=None):
        """A view without images."""
        none = np.zeros(0, np.int64)
        shape = (0, image_size, image_size, 3)
        images = np.zeros(shape, np.uint8)
        return cls(images, none, none, reason, key, error=error)


class Views(Sequence):
    """The views of many videos under one recipe, on disk until they are used.

    Parameters
    ----------
    videos : list
        Paths or arrays.
    recipe : ViewRecipe
        What is wanted.
    store : Store
        Where the views are.
    memory : int, default=2**30
        Bytes of the views used last that stay in memory.
    progress : str or None, default=None
        What to write before a progress bar while looking at all of them once.

    Attributes
    ----------
    n_images : list of int
        Images of each video; 0 where there is a reason.
    reasons : list of str
        Why a video has no images; empty where it has some.
    keys : list of str
        What stands for the images of each video in the store.
    """

    def __init__(self, videos, recipe, store, memory=2**30, progress=None):
        self.videos, self.recipe, self.store = list(videos), recipe, store
        self.memory = memory
        self._recent, self._used = OrderedDict(), 0
        self.n_images, self.reasons, self.keys = [], [], []
        made = iter_views(self.videos, [recipe], store)
        failures = Failures()
        for row, views in enumerate(progress_bar(made, progress, len(self.videos))):
            view = self._recall(row, views[recipe.key])
            failures.note(view.error)
            self.n_images.append(len(view.images))
            self.reasons.append(view.reason)
            self.keys.append(view.key)
        failures.check()

    def take(self, rows):
        """Return the views of some of the videos, without looking at them again.

        Parameters
        ----------
        rows : sequence of int

        Returns
        -------
        Views
        """
        videos = [self.videos[row] for row in rows]
        taken = Views([], self.recipe, self.store, self.memory)
        taken.videos = videos
        for name in ("n_images", "reasons", "keys"):
            setattr(taken, name, [getattr(self, name)[row] for row in rows])
        for place, row in enumerate(rows):
            if row in self._recent:
                taken._recent[place] = self._recent[row]
                taken._used += self._recent[row].images.nbytes
        return taken

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, row):
        if row in self._recent:
            self._recent.move_to_end(row)
            return self._recent[row]
        recipe = self.recipe
        made = make_views(self.videos[row], [recipe], self.store)
        return self._recall(row, made[recipe.key])

    def _recall(self, row, view):
        """Keep a view in memory, and no more of the others than there is room for."""
        self._recent[row] = view
        self._used += view.images.nbytes
        while len(self._recent) > 1 and (
            self._used > self.memory or len(self._recent) > _MOST_MAPPED
        ):
            _, oldest = self._recent.popitem(last=False)
            self._used -= oldest.images.nbytes
        return view


def iter_views(videos, recipes, store):
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
    >>> from base_models import Store
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
    yield from look_ahead(
        lambda video: make_views(video, recipes, store),
        videos,
        n_workers,
        size=lambda views: sum(view.images.nbytes for view in views.values()),
    )


def make_views(video, recipes, store):
    """Make the views of one video: opened once, each face looked for once.

    Parameters
    ----------
    video : str, Path, ndarray of shape (T, H, W, 3) or OneFace
        A video, or one of its faces, which is then the only one.
    recipes : iterable of ViewRecipe
        What is wanted.
    store : Store
        Where views are looked up and kept.

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
    views, todo, places = _stored_views(video, recipes, store)
    for n_frames in sorted({recipe.n_frames for recipe in todo.values()}):
        alike = {k: recipe for k, recipe in todo.items() if recipe.n_frames == n_frames}
        length = max(recipe.clip_length for recipe in alike.values())
        try:
            sample = sample_clips(whole_video(video), n_frames, length)
        except Exception as error:
            _refuse_wrong_kind(video, error)
            views |= _all_missing(alike, error)
            continue
        search = FaceSearch(whole_video(video), sample, length)
        for key, recipe in alike.items():
            try:
                face = video if isinstance(video, OneFace) else None
                images, at, faces, meta = _render(sample, recipe, search, face)
                if recipe.view == "face":
                    _keep_boxes(whole_video(video), recipe, search, store)
            except Exception as error:
                views |= _all_missing({key: recipe}, error)
                continue
            arrays = {"images": images, "frames": at, "faces": faces}
            store.put("view", places[key], arrays, meta)
            views[key] = _view(arrays, meta, places[key])
    return views


def stored_face_side(video, recipes, store):
    """Return the side of a video's face, where its view is in the store.

    Parameters
    ----------
    video, recipes, store
        As for `make_views`; only recipes of faces are looked up, none is made.

    Returns
    -------
    float
        Median side in pixels of the box of the largest followed face; NaN where no
        such view is stored, or one without a face.
    """
    wanted = [recipe for recipe in recipes if recipe.view == "face"]
    if not wanted:
        return np.nan
    digest = video_digest(video)
    for recipe in wanted:
        key = store_key(video=digest, recipe=recipe.key)
        entry = store.get("view", key, mapped=True)
        side = None if entry is None else entry[1].get("face_side")
        if side is not None:
            return float(side)
    return np.nan


def _face_side(tracks):
    """Median side of the largest followed face's box, None where none is followed."""
    if not tracks:
        return None
    boxes = np.array([face.box for face in largest_track(tracks).faces], float)
    return float(np.median((boxes[:, 2:] - boxes[:, :2] + 1).max(axis=1)))


def _view(arrays, meta, key):
    """A view as the store keeps it; older versions kept no note."""
    return View(**arrays, reason=meta["reason"], key=key, note=meta.get("note", ""))


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
        digest, whole = video_digest(video), video_digest(whole_video(video))
    except Exception as error:
        _refuse_wrong_kind(video, error)
        return _all_missing(wanted, error), {}, {}
    places = {  # whole frames are those of the video, whichever face is asked for
        key: store_key(video=digest if recipe.view == "face" else whole, recipe=key)
        for key, recipe in wanted.items()
    }
    views = {}
    for key, place in places.items():
        entry = store.get("view", place, mapped=True)
        if entry is not None:
            arrays, meta = entry
            if "note" not in meta and meta["reason"].startswith(NO_FACE):
                continue  # of a version that looked at the sampled frames alone
            views[key] = _view(arrays, meta, place)
    missing = {key: recipe for key, recipe in wanted.items() if key not in views}
    return views, missing, places


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


def followed_boxes(video, recipe, store):
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
        if entry is None:
            sample = sample_clips(video, recipe.n_frames, recipe.clip_length)
            search = FaceSearch(video, sample, recipe.clip_length)
            _keep_boxes(video, recipe, search, store)
            entry = store.get("faces", _boxes_key(video, recipe))
    except Exception as error:  # whoever scores the video gives this as the reason
        _refuse_wrong_kind(video, error)
        return []
    arrays, _ = entry
    which = arrays["face"]
    return [
        (arrays["frames"][which == face], arrays["boxes"][which == face])
        for face in range(which.max(initial=-1) + 1)
    ]


def _boxes_key(video, recipe):
    return store_key(
        video=video_digest(video), finder=recipe._finder_key, n_frames=recipe.n_frames
    )


def _keep_boxes(video, recipe, search, store):
    key = _boxes_key(video, recipe)
    if store.get("faces", key) is not None:
        return
    found = search.faces(recipe.finder, recipe._finder_key)
    boxes = [face.box for track in found.tracks for face in track.faces]
    numbers = [found.sample.indices[track.frames] for track in found.tracks]
    lengths = [len(track) for track in found.tracks]
    arrays = {
        "frames": np.concatenate([np.zeros(0, np.int64), *numbers]).astype(np.int64),
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "face": np.repeat(np.arange(len(lengths)), np.array(lengths, np.int64)),
    }
    store.put("faces", key, arrays)


def _render(sample, recipe, search, face=None):
    """Return the images, the frames and faces they show, and what is said of them."""
    if recipe.view != "face":
        images, at, reason = draw_images(sample, recipe, range(len(sample.indices)))
        meta = {"reason": reason, "note": "", "face_side": None}
        return images, at, np.zeros(len(at), np.int64), meta
    surest = recipe.faces == "first" and face is None
    found = search.faces(recipe.finder, recipe._finder_key, surest)
    followed, reason = found.tracks, found.reason
    if face is not None:
        track = face.track_of(followed, found.sample.indices)
        followed = [] if track is None else [track]
        reason = reason or f"the face is in none of its {len(sample.indices)} frames"
    meta = {"reason": reason * (not followed), "note": "",
            "face_side": _face_side(followed)}  # fmt: skip
    if not followed:
        nothing = View.missing(recipe.image_size, "")
        return nothing.images, nothing.frames, nothing.faces, meta
    if recipe.faces == "largest":
        followed = [largest_track(followed)]
    drawn = [draw_images(found.sample, recipe, t.frames, t.faces) for t in followed]
    *arrays, reasons = zip(*drawn, strict=True)
    images, at = map(np.concatenate, arrays)
    faces = np.repeat(np.arange(len(drawn)), [len(own) for _, own, _ in drawn])
    meta |= {"note": found.note} if len(at) else {"reason": reasons[0]}
    return images, at, faces, meta


def draw_images(sample, recipe, places, faces=None):
    """Draw what a detector sees of some of the sampled frames.

    Parameters
    ----------
    sample : SampledFrames
    recipe : ViewRecipe
    places : sequence of int
        Which of ``sample.indices``.
    faces : sequence of Face or None, default=None
        Where the face is in each of them; None is the whole frame.

    Returns
    -------
    images : ndarray of shape (n, image_size, image_size, 3)
        uint8; of clips (n, clip_length, image_size, image_size, 3), without those in
        which an image repeats the one before: files repeat frames to keep their pace.
    at : ndarray of shape (n,)
        Index in the video of the frame of each.
    reason : str
        Why there are none; empty where there are some.
    """
    size, length = recipe.image_size, recipe.clip_length
    if sample.total < length:
        nothing = np.zeros((0, *recipe.image_shape), np.uint8), np.zeros(0, np.int64)
        return *nothing, f"{sample.total} frames, and it takes {length} in a row"

    def drawn(frame, face):
        if face is None:
            return _squeeze(frame, size)
        return crop_face(frame, face, recipe.margin, size, recipe.align)

    at = sample.indices[np.asarray(places, int)].astype(np.int64)
    around = clip_indices(at, sample.total, length)
    faces = [None] * len(at) if faces is None else faces
    clips = np.stack(
        [
            [drawn(sample.frames[row], face) for row in rows]
            for rows, face in zip(sample.rows(around), faces, strict=True)
        ]
    )
    if length == 1:
        return clips[:, 0], at, ""
    moves = (clips[:, 1:] != clips[:, :-1]).any(axis=(2, 3, 4)).all(axis=1)
    return clips[moves], at[moves], "" if moves.any() else _STILL


def _squeeze(frame, size):
    """Resize a whole frame to a square; the aspect ratio is not kept."""
    image = Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
