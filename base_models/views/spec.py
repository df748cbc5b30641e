"""What a detector wants to look at: `ViewRecipe`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from typing import Any

from base_models.choices import SAMPLINGS, VIEWS
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.faces.face import FaceFinder
from base_models.store.keys import session_key
from base_models.store.store import fingerprint, store_key
from base_models.store.versions import library_version
from base_models.video.sampling import FrameChoice

# Raised when the same video and recipe come to give other images: see
# `base_models.store.versions.own_versions`.
_CODE_VERSION = 1
# Of a side, and of frames: a file of others could ask for all memory there is.
_LARGEST = _MOST_FRAMES = 4096


@dataclass(frozen=True)
class ViewRecipe:
    """Everything that decides which pixels a detector gets to see.

    Parameters
    ----------
    view : {"frame", "face", "crop"}
        The whole frame; a square around a face that `finder` finds; or videos
        that are face crops already, taken as they are.
    image_size : int
        Side of the square images, pixels; 4096 at most.
    n_frames : int, default=16
        Frames sampled evenly over the video; 4096 at most, in all clips. Where none of
        them has a face and one is needed, up to four times as many further ones are
        looked at, and those around the first with a face are taken
        (`base_models.faces.rare_faces`).
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
    sampling : {"even", "keyframes"}, default="even"
        Whether the frames are spread evenly, or moved to key frames near there
        (`base_models.video.sampling.FrameChoice`).

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
    sampling: str = "even"

    def __post_init__(self):
        if self.view not in VIEWS:
            raise ValueError(f"view must be one of {VIEWS}; got {self.view!r}")
        if self.faces not in ("largest", "all", "first"):
            raise ValueError(
                f"faces must be 'largest', 'all' or 'first'; got {self.faces!r}"
            )
        if self.sampling not in SAMPLINGS:
            raise ValueError(
                f"sampling must be one of {SAMPLINGS}; got {self.sampling!r}"
            )
        for name in ("n_frames", "clip_length"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} must be a whole number >= 1; got {value!r}")
        if self.n_frames * self.clip_length > _MOST_FRAMES:
            raise ValueError(
                f"n_frames times clip_length must be at most {_MOST_FRAMES}; got "
                f"{self.n_frames} times {self.clip_length}"
            )
        size = self.image_size
        if not (isinstance(size, Integral) and 1 <= size <= _LARGEST):
            raise ValueError(
                f"image_size must be a whole number from 1 to {_LARGEST}; got {size!r}"
            )
        if not (isinstance(self.margin, Real) and 0 < self.margin < math.inf):
            raise ValueError(f"margin must be a number above 0; got {self.margin!r}")
        if isinstance(self.finder, str) or not isinstance(self.finder, FaceFinder):
            raise TypeError(
                "finder must have find(frame) -> list of Face; "
                f"got {type(self.finder).__name__}"
            )

    @property
    def image_shape(self) -> Any:
        """Shape of what is seen of each sampled frame."""
        image = self.image_size, self.image_size, 3
        return image if self.clip_length == 1 else (self.clip_length, *image)

    @property
    def choice(self) -> FrameChoice:
        """Which frames it samples."""
        return FrameChoice.of(self.n_frames, self.sampling, self.clip_length)

    @cached_property
    def key(self) -> Any:
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
        if self.sampling != "even":
            common["sampling"] = self.sampling
        if self.view != "face":
            return store_key(view="frame", **common)
        return store_key(
            view="face",
            faces=self.faces,
            margin=self.margin,
            align=self.align,
            finder=self.finder_key,
            **common,
        )

    @cached_property
    def stable_key(self) -> Any:
        """The `key`, if other processes will find it again.

        Raises
        ------
        TypeError
            If not all of the finder's code can be told: see `base_models.store.code`.
        """
        if self.view == "face":
            _finder_key(self.finder)
        return self.key

    @cached_property
    def finder_key(self) -> str:
        """What stands for the finder; of one that other processes cannot tell, here."""
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
