"""One detector for each level of compression; every video goes to the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from base_models.detectors.bases.video import VideoDetector, identity_of
from base_models.errors import VideoReadError
from base_models.groups import clean_groups
from base_models.inputs import Videos, as_videos, check_fit_arguments, clean_labels
from base_models.store.keys import class_key
from base_models.store.store import Store
from base_models.video.one_face import whole_video
from base_models.video.quality import LEVELS, estimate_qp, nearest_level

if TYPE_CHECKING:
    from typing_extensions import Self


class CompressionRouter(VideoDetector):
    """Score each video with the detector that was trained on its compression.

    Compression wipes out the traces that detectors look for, so that each is best on
    videos compressed like those it learned from (Rössler et al., 2019, report c0, c23
    and c40 apart). The quality is read from the video itself: `estimate_qp`.

    Parameters
    ----------
    detectors : dict of str to detector, or sequence of (str, detector)
        By level: ``"raw"``, ``"c23"``, ``"c40"``, or two of these. `fit` trains each
        on the videos nearest to its level; those that are fitted already (made by
        `load_checkpoint`) are taken as they are.
    compression : {"auto", "raw", "c23", "c40"}, default="auto"
        Route each video to the nearest level, or all to one. Videos that do not tell
        (arrays, folders of images) go to c23, or the level nearest to it.
    store, device, verbose
        Given to detectors that have none of their own.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted: [0, 1] until `fit` saw others.
    members_ : dict of str to detector
        Fitted, by level.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector, CompressionRouter
    >>> def bright(videos):
    ...     return [video.mean() / 255 for video in videos]
    >>> def dark(videos):
    ...     return [1 - video.mean() / 255 for video in videos]
    >>> videos = [np.full((8, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    >>> levels = {"c23": CallableDetector(bright), "c40": CallableDetector(dark)}
    >>> router = CompressionRouter(levels, compression="c40").fit(videos, [1, 0])
    >>> router.fake_score(videos)
    array([1., 0.])
    """

    code_version = 1
    key_libraries = ("av",)
    classes_ = np.array([0, 1])
    gives_reasons = True

    def __init__(
        self,
        detectors: Mapping[str, Any] | Sequence[tuple[str, Any]],
        compression: str = "auto",
        store: Store | str | Path | None = None,
        device: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.detectors = detectors
        self.compression = compression
        self.store = store
        self.device = device
        self.verbose = verbose

    @property
    def prefit(self) -> bool:
        """Whether there is nothing to train."""
        return all(getattr(d, "prefit", False) for _, d in self._named())

    @property
    def fits_on_reals(self) -> bool:
        """Whether all of the detectors can do with real videos alone."""
        return all(getattr(d, "fits_on_reals", False) for _, d in self._named())

    @property
    def card_(self) -> dict[str, Any]:
        """Where the networks come from, and all data that any of them has seen."""
        cards = [
            getattr(d, "card_", None) or {} for d in self.fitted_members().values()
        ]
        seen = [card.get("trained_on") for card in cards]
        known = None if None in seen else sorted({name for one in seen for name in one})
        return {"trained_on": known, "members": cards}

    def __sklearn_clone__(self):
        if self.prefit:
            return self
        params = self.get_params(deep=False)
        named = [(level, clone(detector)) for level, detector in self._named()]
        return type(self)(**params | {"detectors": named})

    def __str__(self):
        names = sorted({str(detector) for _, detector in self._named()})
        return "_".join([*names, "by_compression"])

    def fit(
        self,
        videos: Videos,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train each detector on the videos whose quality is nearest to its level.

        Parameters
        ----------
        videos, y, groups, sample_weight
            As for any detector.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no video of a class is near one of the levels.
        """
        named = self._named()
        if self.compression not in ("auto", *dict(named)):
            raise ValueError(
                "compression must be 'auto' or a level that has a detector, "
                f"{', '.join(dict(named))}; got {self.compression!r}"
            )
        videos, is_fake, weight, self.classes_ = check_fit_arguments(
            videos, y, groups, sample_weight, reals_will_do=self.fits_on_reals
        )
        y = clean_labels(y)
        levels = self.levels_of(videos)
        members = {}
        for level, detector in named:
            if getattr(detector, "prefit", False):
                members[level] = detector.fit(videos, y)
                continue
            rows = np.flatnonzero(levels == level)
            missing = set(is_fake) - set(is_fake[rows[weight[rows] > 0]])
            if missing and self.compression in ("auto", level):
                lacks = "fake" if 1 in missing else "real"
                raise ValueError(
                    f"no {lacks} video is compressed like {level} ({len(rows)} of "
                    f"{len(videos)} videos are); leave {level} out of detectors, or "
                    "add such videos"
                )
            if missing:  # nothing goes there
                continue
            given = {
                "groups": clean_groups(groups, len(videos)),
                "sample_weight": sample_weight,
            }
            members[level] = self._lent(clone(detector)).fit(
                [videos[row] for row in rows],
                y[rows],
                **{k: np.asarray(v)[rows] for k, v in given.items() if v is not None},
            )
        self.members_ = members
        return self

    def levels_of(self, videos: Videos) -> NDArray:
        """Say which level each video goes to.

        Parameters
        ----------
        videos : sequence of length n_videos

        Returns
        -------
        ndarray of shape (n_videos,)
            Keys of `detectors`.
        """
        levels = [level for level, _ in self._named()]
        videos = as_videos(videos)
        if self.compression != "auto":
            return np.full(len(videos), self.compression, dtype=object)
        found = [nearest_level(_qp(whole_video(v)), levels) for v in videos]
        return np.array(found, dtype=object)

    def member_for(self, video: str | Path | NDArray) -> Any:
        """Return the detector that a video goes to.

        Parameters
        ----------
        video : str, Path or ndarray of shape (T, H, W, 3)

        Returns
        -------
        detector
        """
        check_is_fitted(self)
        (level,) = self.levels_of([video])
        return self.fitted_members()[level]

    def score_frames(self, videos: Videos) -> list[pd.DataFrame]:
        """Return the timeline of each video; see `ViewDetector.score_frames`.

        Parameters
        ----------
        videos : sequence of length n_videos

        Returns
        -------
        list of DataFrame
        """
        videos = as_videos(videos)
        frames = [None] * len(videos)
        for rows, member in self._routed(videos):
            found = member.score_frames([videos[row] for row in rows])
            for row, one in zip(rows, found, strict=True):
                frames[row] = one
        return frames

    def estimate_fit_seconds(self, n_videos: int) -> float:
        """Return about how many seconds a fit takes here.

        Parameters
        ----------
        n_videos : int
            Videos in the training set, taken to be spread evenly over the levels.

        Returns
        -------
        float
            See `NetworkDetector.estimate_fit_seconds`.
        """
        named = self._named()
        each = [
            self._lent(clone(detector)).estimate_fit_seconds(n_videos / len(named))
            for _, detector in named
            if hasattr(detector, "estimate_fit_seconds")
        ]
        return float(sum(each))

    def identity(self) -> dict[str, Any]:
        """Return what decides the outcome of a fit, beside the videos.

        Raises
        ------
        TypeError
            If a detector keeps no state, as functions do not.
        """
        for level, detector in self._named():
            if not hasattr(detector, "get_state"):
                raise TypeError(f"{detector}, for {level}, has no stable description")
        return {
            "class": class_key(type(self)),
            "compression": self.compression,
            "levels": LEVELS,
            "members": {level: identity_of(d) for level, d in self._named()},
        }

    def get_state(
        self, portable: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what was learned: see `NetworkDetector.get_state`."""
        meta, arrays = {"classes": self.classes_.tolist(), "members": {}}, {}
        for level, member in self.fitted_members().items():
            meta["members"][level], found = member.get_state(portable=portable)
            arrays |= {f"{level}/{name}": value for name, value in found.items()}
        return meta, arrays

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described."""
        self.classes_ = np.array(meta["classes"])
        self.members_ = {}
        for level, detector in self._named():
            if level in meta["members"]:
                own = {
                    name.removeprefix(f"{level}/"): value
                    for name, value in arrays.items()
                    if name.startswith(f"{level}/")
                }
                member = self._lent(clone(detector))
                self.members_[level] = member.set_state(meta["members"][level], own)
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; when deep, those of detectors as ``c23__...``."""
        params = super().get_params(deep=False)
        if deep:
            for level, detector in self._named():
                nested = detector.get_params(deep=True)
                params |= {f"{level}__{key}": value for key, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, of detectors as ``c23__<parameter>``."""
        named = dict(self._named())
        for key in list(params):
            level, _, rest = key.partition("__")
            if rest and level in named:
                named[level].set_params(**{rest: params.pop(key)})
        return super().set_params(**params)

    def _named(self):
        found = self.detectors
        named = list(found.items() if isinstance(found, dict) else found)
        unknown = [level for level, _ in named if level not in LEVELS]
        if unknown or len(dict(named)) < max(len(named), 2):
            raise ValueError(
                f"detectors must be given by level, two or more of {', '.join(LEVELS)}"
                f", each once; got {[level for level, _ in named]}"
            )
        return named

    def fitted_members(self) -> dict[str, Any]:
        """Return the members as they score, by level.

        Returns
        -------
        dict of str to detector
            Those that were fitted before are the detectors that were given.
        """
        return dict(self._named()) if self.prefit else self.members_

    def _routed(self, videos):
        check_is_fitted(self)
        levels, members = self.levels_of(videos), self.fitted_members()
        for level in members:
            rows = np.flatnonzero(levels == level)
            if len(rows):
                yield rows, members[level]

    def _score(self, videos):
        from base_models.scoring.together import score_videos

        scores = np.full(len(videos), np.nan)
        reasons = np.full(len(videos), "", dtype=object)
        for rows, member in self._routed(videos):
            chosen = [videos[row] for row in rows]
            found, why = score_videos([member], chosen, store=self.store)
            scores[rows], reasons[rows] = found[:, 0], why[:, 0]
        return scores, reasons

    def _lent(self, detector):
        own = detector.get_params(deep=False)
        lent = {"store": self.store, "device": self.device, "verbose": self.verbose}
        return detector.set_params(
            **{k: v for k, v in lent.items() if v and k in own and not own[k]}
        )

    def __sklearn_is_fitted__(self):
        return self.prefit or hasattr(self, "members_")


def _qp(video):
    try:
        return estimate_qp(video)
    except VideoReadError:  # whichever is asked will say so
        return float("nan")
