"""Stress: how scores drift when videos are compressed, shrunk, blurred, darkened."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import group_codes
from base_models.inputs import Videos, clean_labels, encode_labels, with_labels
from base_models.runtime.clusters.sending import Shared
from base_models.runtime.ending.scratch import scratch_folder
from base_models.runtime.failures import Failures
from base_models.runtime.file_writing import naming
from base_models.runtime.parallel import n_jobs_here
from base_models.runtime.prefetch import look_ahead
from base_models.runtime.progress import progress_bar
from base_models.runtime.scheduling import run_each
from base_models.video.hashing import hash_ahead, held_to, work_of
from base_models.video.paths import findable, video_digest, video_id
from base_models.video.reading import iter_frames, probe_video
from ensemble.choices import UNSCORABLE
from ensemble.inspection.changes import (
    AS_IT_IS,
    CHANGES,
    changed,
    iter_changed,
    noise_of,
)
from ensemble.inspection.stress_scores import StressScores, model_digest
from ensemble.metrics.bootstrap import check_n_boot
from ensemble.metrics.bootstrap_intervals import group_bootstrap_interval
from ensemble.metrics.ranking import auc
from ensemble.metrics.ties import above
from ensemble.reporting.plots.stress import plot_stress
from ensemble.scores.row_order import in_row_order
from ensemble.verdicts.suspicion import column_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ensemble.deepfake_ensemble import DeepfakeEnsemble

__all__ = ["AS_IT_IS", "CHANGES", "ENSEMBLE", "StressResult", "changed", "stress_test"]

ENSEMBLE = "ensemble"


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

    def plot(self, path: str | PathLike | None = None) -> "Figure":
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
    model: "DeepfakeEnsemble",
    videos: Videos,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    changes: str | Sequence[str] | Mapping[str, Sequence[float]] | None = None,
    seconds: float = 10.0,
    n_boot: int = 300,
    random_state: int = 0,
    scores_file: str | PathLike | None = None,
    verbose: bool = False,
) -> StressResult:
    """Measure how scores and verdicts change as videos are degraded.

    Several videos are worked on at once where ``joblib.parallel_config`` says so, with
    the same scores. Faces are looked for in each changed video again. What is computed
    on the way is not kept in the store. The frames lie in the folder for temporary
    files (``TMPDIR``) while they are used: three times what the beginning of one video
    takes uncompressed, which is 11 GB for ten seconds of 1080p60, and little for most.

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
        Which changes, and at which strengths: see
        ``ensemble.inspection.stress.CHANGES``, of which None takes all.
    seconds : float, default=10.0
        Of each video only its beginning is used, both as it is and changed.
    n_boot : int, default=300
        Draws of groups behind each interval of an AUC.
    random_state : int, default=0
        Seed of the noise.
    scores_file : str, Path or None, default=None
        CSV to which each video's scores are added when they are there; a run that was
        stopped goes on from it. Rows of another model, of other seconds or of another
        seed stay in it unused; damaged ones are computed again.
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
    check_n_boot(n_boot)
    wanted = _wanted(changes)
    labels = in_row_order(labels, videos, "labels")
    groups = in_row_order(groups, videos, "groups")
    videos, labels, groups = with_labels(videos, labels, groups)
    is_fake = None if labels is None else _is_fake(model, labels, len(videos))
    ids = [video_id(video) for video in videos]
    settings = {"seconds": float(seconds), "seed": random_state}
    settings["model"] = "" if scores_file is None else model_digest(model)
    kept = StressScores(scores_file, [*model.detectors_, ENSEMBLE], settings)
    steps = [(AS_IT_IS, 0.0)]
    steps += [(name, float(s)) for name, strengths in wanted.items() for s in strengths]
    unlike = dict(zip(ids, videos, strict=True))  # one path twice is one video
    hash_ahead(unlike.values())
    _warn_of_training(model, unlike)
    contents, reasons = _score(
        model, unlike, steps, kept, (seconds, random_state), verbose
    )
    rows = [
        {"video": name, "change": change, "strength": strength}
        | kept.of(contents[name])[change, strength]
        for name in unlike
        if name not in reasons
        for change, strength in steps
    ]
    columns = ["video", "change", "strength", *model.detectors_, ENSEMBLE]
    scores = pd.DataFrame(rows, columns=columns)
    unscored = scores["change"].eq(AS_IT_IS) & scores[ENSEMBLE].isna()
    for name in scores.loc[unscored, "video"]:
        reasons.setdefault(name, "the ensemble has no score of it as it is")
    codes = group_codes(groups, len(videos))
    truth = pd.DataFrame({"group": codes}, index=ids)
    truth["is_fake"] = np.nan if is_fake is None else is_fake
    truth = truth[~truth.index.duplicated()]
    table = _summary(model, scores, wanted, truth, n_boot)
    return StressResult(table, scores, reasons)


def _warn_of_training(model, unlike):
    known = model.fit_record_.training.have_contents_of(unlike.values())
    names = [name for name, is_known in zip(unlike, known, strict=True) if is_known]
    if names:
        warnings.warn(
            f"the model learned from {len(names)} of the {len(unlike)} videos (the "
            f"first: {names[0]}): their scores, and an AUC of them, say nothing of how "
            "well it tells others, as they are or changed; give videos that were kept "
            "apart",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )


def _is_fake(model, labels, n_videos):
    if len(labels) != n_videos:
        raise ValueError(
            f"labels must have one entry per video; got {len(labels)} for "
            f"{n_videos} videos"
        )
    labels = clean_labels(labels)
    known = set(labels.tolist()) <= set(model.classes_.tolist())
    return encode_labels(labels, model.fake_class_ if known else None)[1]


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
    """Yield the frames of the first seconds of a video."""
    fps = probe_video(video).fps or 25.0
    yield from islice(iter_frames(video), max(1, round(seconds * fps)))


def _score(model, unlike, steps, kept, how, verbose):
    """Have the scores of all videos kept; return their digests, and reasons if none."""
    contents, reasons, failures = {}, {}, Failures()
    for name, video in unlike.items():
        try:
            contents[name] = video_digest(video)
        except Exception as error:
            reasons[name] = failures.reason(error)
    kept.rename(contents)
    names_of = {}
    for name, content in contents.items():
        names_of.setdefault(content, []).append(name)  # copies: scored once
    tasks = []
    for content in names_of:
        todo = [step for step in steps if step not in kept.of(content)]
        if not todo:
            failures.note(None)
        tasks += [(content, part) for part in _in_parts(todo, len(names_of))]
    videos = [unlike[names_of[content][0]] for content, _ in tasks]
    sent = [
        (video, content, part)
        for video, (content, part) in zip(findable(videos), tasks, strict=True)
    ]
    shared = (Shared(_to_send(model)), *how)
    came = run_each(
        _try_stressed, sent, work_of(videos), shared=shared, give_up=_given_up
    )
    text = "stress" if verbose else None
    for number, (scores, reason, failed) in progress_bar(came, text, len(sent)):
        content, _ = tasks[number]
        failures.add(failed)
        if reason:
            reasons |= dict.fromkeys(names_of[content], reason)
        else:
            kept.add(content, names_of[content][0], scores)
    failures.check()
    return contents, {name: reasons[name] for name in unlike if name in reasons}


def _in_parts(steps, n_videos):
    """Split the steps of a video where there are more workers than videos."""
    at_once = n_jobs_here(None)
    n_parts = 1 if at_once == 1 else -(-2 * at_once // n_videos)
    n_parts = min(n_parts, len(steps))
    return [steps[part::n_parts] for part in range(n_parts)]


def _to_send(model):
    """The same ensemble without its training videos, which scoring does not need."""
    own = copy.copy(model)
    record = model.fit_record_
    training = replace(record.training, videos=None)
    own.fit_record_ = replace(record, training=training)
    return own


def _try_stressed(video, content, steps, model, seconds, seed):
    """Score one video in a task: what it gave, or the reason why not."""
    failures = Failures()
    try:
        scores = _stressed(model, video, content, steps, seconds, seed)
    except Exception as error:
        return {}, failures.reason(error), failures.to_send()
    failures.note(None)
    return scores, "", failures


def _given_up(task, reason):
    """What comes of a video that ends the process which works on it."""
    return {}, reason, Failures()


def _stressed(model, video, content, steps, seconds, seed):
    """Score one video changed in several ways: P(fake) by step and scorer.

    Frames go to a file one by one and are read from there by those who look at them:
    ten seconds of 1080p60 are 3.7 GB, of which memory never holds much.
    """
    found = {}
    with scratch_folder() as folder:
        own = _with_store(model, folder / "store")
        with held_to(video, content):
            frames = _laid_out(_beginning(video, seconds), folder / "as it is")

        def make(step):
            if step[0] == AS_IT_IS:
                return frames
            draw = noise_of(content, *step, seed)
            path = folder / f"{step[0]} {step[1]}"
            return _laid_out(iter_changed(frames, *step, draw), path)

        made = look_ahead(make, steps, n_workers=1, depth=1)
        for step, array in zip(steps, made, strict=True):
            scores = own.detector_scores([array])
            (verdict,) = own.judge_scores(scores).to_dict("records")
            # with unscorable="prior" P(fake) is a number that no member gave
            is_scored = verdict["status"] != UNSCORABLE
            fake = verdict[column_in(verdict)] if is_scored else np.nan
            found[step] = scores.iloc[0].to_dict() | {ENSEMBLE: fake}
            if step[0] != AS_IT_IS:
                with suppress(PermissionError):  # Windows, while it is open
                    (folder / f"{step[0]} {step[1]}").unlink()
    return found


def _laid_out(frames, path):
    """Write frames to a file; return them as an array that is read from it."""
    n_frames = 0
    with naming(path), open(path, "wb") as file:
        for frame in frames:
            if not n_frames:
                shape = frame.shape
            file.write(np.ascontiguousarray(frame))
            n_frames += 1
    with naming(path):
        return np.memmap(path, np.uint8, "r", shape=(n_frames, *shape))


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
    lines, tasks = [], []
    for change, strengths in wanted.items():
        for strength in strengths:
            here = scores["change"].eq(change) & scores["strength"].eq(float(strength))
            after = scores[here].set_index("video")[scorers]
            for scorer in scorers:
                pair = truth.assign(was=before[scorer], now=after[scorer])
                high = model.thresholds_.high if scorer == ENSEMBLE else 0.5
                lines.append({"change": change, "strength": strength, "scorer": scorer})
                tasks.append((pair[pair["was"].notna()], high))
    drifts = dict(run_each(_drift, tasks, shared=(n_boot,)))
    return pd.DataFrame([line | drifts[place] for place, line in enumerate(lines)])


def _drift(pair, high, n_boot):
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
        found["flipped"] = np.mean(above(was, high) != above(now, high))
    y = both["is_fake"].to_numpy()
    if len(both) and not np.isnan(y).any() and 0 < y.sum() < len(y):
        estimate, low, high = group_bootstrap_interval(
            auc, y, now, both["group"].to_numpy(), n_boot=n_boot, random_state=0
        )
        found |= {"auc": estimate, "auc_low": low, "auc_high": high}
        found["auc_before"] = auc(y, was)
    return found
