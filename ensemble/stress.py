"""Stress: how scores drift when videos are compressed, shrunk, blurred, darkened."""

import copy
import tempfile
import zlib
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from base_models.augment import recompress_clip
from base_models.errors import VideoReadError
from base_models.look_ahead import look_ahead
from base_models.progress import progress_bar
from base_models.video import iter_frames, probe_video, video_id
from ensemble.labels import encode_labels
from ensemble.metrics import auc, group_bootstrap_interval
from ensemble.plots import plot_stress
from ensemble.resampling import group_codes
from ensemble.ties import above

ENSEMBLE = "ensemble"
AS_IT_IS = "as it is"

# What is done to a video, at rising strength.
CHANGES = {
    "h264": (23, 28, 34, 40),  # constant rate factor of x264
    "jpeg": (90, 70, 50, 30),  # quality of each frame
    "downscale": (0.75, 0.5, 0.35, 0.25),  # of width and height, then enlarged again
    "blur": (0.5, 1.0, 2.0, 4.0),  # sigma in pixels of a frame 480 pixels high
    "noise": (2.0, 5.0, 10.0, 20.0),  # standard deviation, of 255
    "fps": (0.5, 0.25, 0.125),  # share of the frames that is left
    "darker": (0.8, 0.6, 0.4, 0.25),  # factor
    "brighter": (1.2, 1.4, 1.7, 2.0),  # factor
}


@dataclass(frozen=True)
class StressResult:
    """What `stress_test` found.

    Attributes
    ----------
    table : DataFrame
        One row a change, strength and scorer (the members, then "ensemble"): the number
        of ``videos`` scored both as they are and changed; ``lost``, the share that can
        no longer be scored; ``drift``, mean of P(fake) changed less as it is;
        ``size``, mean of its absolute value; ``flipped``, the share whose verdict
        changes; with labels ``auc`` on the same videos, its 95 % interval over groups
        and ``auc_before``.
    scores : DataFrame
        One row a video and change: ``video``, ``change``, ``strength``, then P(fake) by
        scorer.
    reasons : dict of str to str
        Videos that could not be read or scored as they are, and why.
    """

    table: pd.DataFrame
    scores: pd.DataFrame = field(repr=False)
    reasons: dict = field(repr=False)

    def plot(self, path=None):
        """Plot drift, or AUC where there are labels, against strength.

        Parameters
        ----------
        path : str, Path or None, default=None
            Where to save it: .png, .svg or .pdf.

        Returns
        -------
        matplotlib Figure
        """
        return plot_stress(self.table, path)


def stress_test(
    model,
    videos,
    labels=None,
    groups=None,
    changes=None,
    seconds=10.0,
    n_boot=300,
    random_state=0,
    scores_file=None,
    verbose=False,
):
    """Change videos at rising strength, and see what becomes of scores and verdicts.

    Faces are looked for anew in each changed video. What is computed on the way is not
    kept in the store.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    videos : sequence of length n_videos
        Paths, or RGB uint8 arrays of shape (T, H, W, 3).
    labels : array-like of shape (n_videos,) or None, default=None
        With them the AUC is measured.
    groups : array-like of shape (n_videos,) or None, default=None
        Whose videos stay together in intervals.
    changes : sequence of str, dict of str to sequence or None, default=None
        Which changes, and at which strengths: see ``ensemble.stress.CHANGES``, of which
        None takes all.
    seconds : float, default=10.0
        Of each video only its beginning is used, both as it is and changed.
    n_boot : int, default=300
        Draws of groups behind each interval of an AUC.
    random_state : int, default=0
        Seed of the noise.
    scores_file : str, Path or None, default=None
        CSV to which each video's scores are added when they are there; a run that was
        stopped goes on from it.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    StressResult

    Examples
    --------
    >>> from base_models import FrameDetector
    >>> from ensemble import DeepfakeEnsemble, stress_test
    >>> shades = np.repeat([40, 200], 8)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None, image_size=32,
    ...     n_frames=2,
    ... )
    >>> model = DeepfakeEnsemble([("resnet18_frame", detector)], resampling=2)
    >>> model = model.fit(videos, shades > 100, groups=np.arange(16) % 8)
    >>> found = stress_test(model, videos[::8], changes={"darker": [0.5]})
    >>> found.table[["change", "strength", "scorer", "videos"]]
       change  strength          scorer  videos
    0  darker       0.5  resnet18_frame       2
    1  darker       0.5        ensemble       2
    """
    check_is_fitted(model)
    wanted = _wanted(changes)
    is_fake = None
    if labels is not None:
        if len(labels) != len(videos):
            raise ValueError(
                f"labels must have one entry per video; got {len(labels)} for "
                f"{len(videos)} videos"
            )
        _, is_fake = encode_labels(labels)
    ids = [video_id(video) for video in videos]
    done = _read(scores_file, [*model.detectors_, ENSEMBLE])
    known = set(done["video"])
    parts, reasons = [done[done["video"].isin(ids)]], {}
    for number, video in enumerate(progress_bar(videos, "stress" if verbose else None)):
        if ids[number] in known:
            continue
        try:
            frames = _beginning(video, seconds)
        except VideoReadError as error:
            reasons[ids[number]] = error.reason
            continue
        part = _stressed(model, frames, wanted, (random_state, number))
        part.insert(0, "video", ids[number])
        parts.append(part)
        _add(scores_file, part)
    scores = pd.concat([part for part in parts if len(part)] or [done])
    scores = scores.reset_index(drop=True)
    unscored = scores["change"].eq(AS_IT_IS) & scores[ENSEMBLE].isna()
    for name in scores.loc[unscored, "video"]:
        reasons.setdefault(name, "the ensemble has no score of it as it is")
    codes = group_codes(groups, len(videos))
    truth = pd.DataFrame({"group": codes}, index=ids)
    truth["is_fake"] = np.nan if is_fake is None else is_fake
    truth = truth[~truth.index.duplicated()]
    table = _summary(model, scores, wanted, truth, n_boot)
    return StressResult(table, scores, reasons)


def changed(frames, change, strength, draw):
    """Change the frames of a video.

    Parameters
    ----------
    frames : ndarray of shape (T, H, W, 3)
        RGB uint8.
    change : str
        A key of ``CHANGES``.
    strength : float
        In the unit told there.
    draw : numpy Generator
        For noise.

    Returns
    -------
    ndarray
        RGB uint8; with fewer frames for "fps".

    Examples
    --------
    >>> frames = np.full((8, 32, 32, 3), 100, np.uint8)
    >>> changed(frames, "darker", 0.5, None).max()
    np.uint8(50)
    >>> len(changed(frames, "fps", 0.25, None))
    2
    """
    if change == "h264":
        return recompress_clip(frames, strength)
    if change == "fps":
        return frames[:: round(1 / strength)]
    return np.stack([_CHANGED[change](frame, strength, draw) for frame in frames])


def _jpeg(frame, quality, draw):
    coded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(coded[1], cv2.IMREAD_COLOR)[..., ::-1]


def _downscale(frame, share, draw):
    height, width = frame.shape[:2]
    size = max(1, round(share * width)), max(1, round(share * height))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _blur(frame, sigma, draw):
    return cv2.GaussianBlur(frame, (0, 0), sigma * min(frame.shape[:2]) / 480)


def _noise(frame, deviation, draw):
    noisy = frame + draw.normal(0, deviation, frame.shape).astype(np.float32)
    return noisy.round().clip(0, 255).astype(np.uint8)


def _light(frame, factor, draw):
    return cv2.convertScaleAbs(frame, alpha=factor)


_CHANGED = {"jpeg": _jpeg, "downscale": _downscale, "blur": _blur, "noise": _noise,
            "darker": _light, "brighter": _light}  # fmt: skip


def _wanted(changes):
    if changes is None:
        return CHANGES
    if isinstance(changes, str):
        changes = [changes]
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        raise ValueError(f"changes must be among {', '.join(CHANGES)}; got {unknown}")
    if isinstance(changes, dict):
        return {name: tuple(strengths) for name, strengths in changes.items()}
    return {name: CHANGES[name] for name in changes}


def _beginning(video, seconds):
    fps = probe_video(video).fps or 25.0
    return np.stack(list(islice(iter_frames(video), max(1, round(seconds * fps)))))


def _stressed(model, frames, wanted, seed):
    """Score one video as it is and changed: one row each."""
    steps = [(AS_IT_IS, 0.0)]
    steps += [(name, s) for name, strengths in wanted.items() for s in strengths]

    def make(step):
        change, strength = step
        if change == AS_IT_IS:
            return frames
        kind = zlib.crc32(f"{change} {strength}".encode())
        return changed(frames, change, strength, np.random.default_rng([*seed, kind]))

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        own = _with_store(model, folder)
        made = look_ahead(make, steps, n_workers=1, depth=2)
        for (change, strength), array in zip(steps, made, strict=True):
            scores = own.detector_scores([array])
            (verdict,) = own.judge_scores(scores).to_dict("records")
            # with unscorable="prior" P(fake) is a number that no member gave
            is_scored = verdict["status"] != "unscorable"
            fake = verdict["p_fake"] if is_scored else np.nan
            row = {"change": change, "strength": float(strength)}
            rows.append(row | scores.iloc[0].to_dict() | {ENSEMBLE: fake})
    return pd.DataFrame(rows)


def _with_store(model, folder):
    """The same ensemble, which keeps what it computes elsewhere."""
    own = copy.copy(model)
    own.store = folder

    def moved(detector):
        if not hasattr(detector, "store"):
            return detector
        detector = copy.copy(detector)
        detector.store = folder
        return detector

    own.detectors_ = {
        name: [moved(d) for d in found] if isinstance(found, list) else moved(found)
        for name, found in model.detectors_.items()
    }
    return own


def _summary(model, scores, wanted, truth, n_boot):
    scorers = [*model.detectors_, ENSEMBLE]
    before = scores[scores["change"] == AS_IT_IS].set_index("video")[scorers]
    rows = []
    for change, strengths in wanted.items():
        for strength in strengths:
            here = scores["change"].eq(change) & scores["strength"].eq(float(strength))
            after = scores[here].set_index("video")[scorers]
            for scorer in scorers:
                pair = truth.assign(was=before[scorer], now=after[scorer])
                rows.append(
                    {"change": change, "strength": strength, "scorer": scorer}
                    | _drift(model, pair[pair["was"].notna()], scorer, n_boot)
                )
    return pd.DataFrame(rows)


def _drift(model, pair, scorer, n_boot):
    both = pair.dropna(subset=["now"])
    was, now = both["was"].to_numpy(float), both["now"].to_numpy(float)
    found = {
        "videos": len(both),
        "lost": 1 - len(both) / len(pair) if len(pair) else np.nan,
        "drift": np.mean(now - was) if len(both) else np.nan,
        "size": np.mean(np.abs(now - was)) if len(both) else np.nan,
        "flipped": np.nan,
    }
    if len(both):
        high = model.thresholds_.high if scorer == ENSEMBLE else 0.5
        found["flipped"] = np.mean(above(was, high) != above(now, high))
    y = both["is_fake"].to_numpy()
    if len(both) and not np.isnan(y).any() and 0 < y.sum() < len(y):
        estimate, low, high = group_bootstrap_interval(
            auc, y, now, both["group"].to_numpy(), n_boot=n_boot, random_state=0
        )
        found |= {"auc": estimate, "auc_low": low, "auc_high": high}
        found["auc_before"] = auc(y, was)
    return found


def _read(path, scorers):
    columns = ["video", "change", "strength", *scorers]
    if path is None or not Path(path).exists():
        return pd.DataFrame(columns=columns)
    table = pd.read_csv(path)
    if list(table) != columns:
        raise ValueError(
            f"{path} has other columns ({', '.join(table)}) than this model's scores "
            f"({', '.join(columns)}); give another file"
        )
    return table


def _add(path, part):
    if path is None:
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part.to_csv(path, mode="a", header=not path.exists(), index=False)
