"""The notebook "FaceForensics++ Baseline" step by step: six checkpoints, your videos.

    python examples/faceforensics_baseline.py --checkpoints DIR --videos videos.csv
    python examples/faceforensics_baseline.py      (imitations, forged clips)

DIR is where faceforensics++_models.zip was unpacked. Without it networks of random
weights stand in for the six, and without videos home-made swaps of tiny portraits for
these: the steps are the same, and the figures say nothing. --out keeps what it writes.
It takes about two minutes on two CPU cores.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from matplotlib.figure import Figure
from sklearn.metrics import log_loss

from base_models import load_checkpoint
from base_models.video import sample_frames
from ensemble import DeepfakeEnsemble, scan_video
from ensemble.datasets import make_forgeries, read_videos
from ensemble.reporting.submission import parse_clip, submission_table

SIX = [f"{scope}_{quality}" for scope in ("full", "all") for quality in
       ("raw", "c40", "c23")]  # fmt: skip
TWO = ("all_c23", "all_raw")
N_FRAMES = 4  # of each video in the evaluation set


def find_checkpoints(folder, stand_ins):
    """Return the six files by name, and whether they are imitations (F3)."""
    if folder is not None:
        found = {name: next(Path(folder).rglob(f"{name}.p"), None) for name in SIX}
        lost = [name for name, path in found.items() if path is None]
        if lost:
            raise SystemExit(f"no {', '.join(lost)} (.p) in {folder}")
        return found, False
    for seed, name in enumerate(SIX):
        torch.manual_seed(seed)
        network = timm.create_model("legacy_xception", num_classes=2)
        torch.nn.init.normal_(network.fc.weight, std=200.0)
        state = {
            f"model.{key.replace('fc.', 'last_linear.')}": value
            for key, value in network.state_dict().items()
        }
        torch.save(state, stand_ins / f"{name}.p")
    return {name: stand_ins / f"{name}.p" for name in SIX}, True


def short_names(videos):
    """Return file names; with their folder where two folders have the same."""
    names = [Path(video).name for video in videos]
    if len(set(names)) == len(names):
        return names
    return ["_".join(Path(video).parts[-2:]) for video in videos]


def score_frames(detector, videos, n_frames):
    """Return P(fake) of n evenly spaced frames, pooled three ways: a row a video (F8).

    Frames count from 0, the first and the last are among them, and there are as many
    as were asked for. A frame without a face has no score; a video without any has NaN.
    """
    detector.set_params(n_frames=n_frames)
    rows = []
    for frames in detector.score_frames(videos):
        score = frames["score"] if len(frames) else pd.Series([np.nan])
        rows.append(
            {"frames": len(frames), "avg": score.mean(), "min": score.min(),
             "max": score.max()}
        )  # fmt: skip
    return pd.DataFrame(rows, index=short_names(videos))


def annotate(detector, video, label, out):
    """Write the annotated video, and six frames of it as 3 x 2 pictures (F5, F6)."""
    model = DeepfakeEnsemble.from_detectors([detector])
    result = scan_video(model, video, doubts=False)
    stem = Path(video).stem
    result.annotate(out / f"annotated-{stem}.mp4")
    frames, indices = sample_frames(
        out / f"annotated-{stem}.mp4", 6, return_indices=True
    )
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots(3, 2).ravel()
    for axis, frame, index in zip(axes, frames, indices, strict=False):
        axis.imshow(frame)
        axis.set_title(f"{stem} - frame {index} - {label}", fontsize=9)
    for axis in axes:
        axis.axis("off")
    figure.savefig(out / f"frames-{stem}.png")


def side_by_side(detectors, videos, labels, out):
    """Return P(fake) of a few videos by all six checkpoints; draw it (F7)."""
    table = pd.DataFrame(
        {name: score_frames(d, videos, N_FRAMES)["avg"] for name, d in
         detectors.items()}
    )  # fmt: skip
    figure = Figure(figsize=(11, 2.4 * len(videos)), layout="constrained")
    grid = figure.subplots(len(videos), 2, width_ratios=[1, 3], squeeze=False)
    rows = zip(grid, table.index, videos, labels, strict=True)
    for axes, name, video, label in rows:
        axes[0].imshow(sample_frames(video, 1)[0])
        axes[0].set_title(f"{name}: {label}", fontsize=9)
        axes[0].axis("off")
        axes[1].bar(table.columns, table.loc[name].fillna(0))
        axes[1].set(ylim=(0, 1), ylabel="score")
    figure.savefig(out / "six-checkpoints.png")
    return table


def balanced(labels, seed=0):
    """Return rows of all videos of the rarer class and as many of the other (F9)."""
    labels = np.asarray(labels)
    rows = [np.flatnonzero(labels == label) for label in (0, 1)]
    n = min(map(len, rows))
    draw = np.random.default_rng(seed)
    return np.sort(np.concatenate([draw.choice(one, n, replace=False) for one in rows]))


def nine_strategies(scores, y):
    """Return the log loss of nine ways to make a number of a video's frames (F10).

    Judged on the videos that both networks scored.
    """
    known = np.logical_and.reduce([~np.isnan(s["avg"]) for s in scores.values()])
    ways = {"constant 0.5": np.full(len(y), 0.5)}
    for name, of_network in scores.items():
        for pooled in ("avg", "min", "max"):
            ways[f"{pooled} {name}"] = of_network[pooled].to_numpy()
        ways[f"max clipped to 0.4..1 {name}"] = of_network["max"].clip(0.4, 1)
    losses = {
        way: log_loss(y[known], np.asarray(score)[known], labels=[0, 1])
        for way, score in ways.items()
    }
    return pd.Series(losses, name="log loss").sort_values(), int((~known).sum())


def draw_scores(scores, y, out):
    """Draw average against maximum, and both as histograms by class (F11)."""
    figure = Figure(figsize=(12, 3.6 * len(scores)), layout="constrained")
    grid = figure.subplots(len(scores), 3, squeeze=False)
    bins = np.linspace(0, 1, 21)
    for axes, (name, of_network) in zip(grid, scores.items(), strict=True):
        for label, word in enumerate(("real", "fake")):
            own = of_network[y == label]
            colour = "green" if word == "real" else "red"
            axes[0].scatter(own["avg"], own["max"], 12, colour, label=word)
            for axis, pooled in zip(axes[1:], ("avg", "max"), strict=True):
                axis.hist(own[pooled], bins, alpha=0.5, color=colour, label=word)
                axis.set(title=f"{name}, {pooled}", xlabel="score")
        axes[0].set(title=name, xlabel="average", ylabel="maximum")
        axes[0].legend()
    figure.savefig(out / "average-and-maximum.png")


def submit(videos, of_network, clip, out):
    """Write both submissions, and a histogram of what was submitted (F12)."""
    for pooled, name in (("max", "submission"), ("min", "submission_min_max")):
        score = of_network[pooled]
        if name == "submission_min_max":  # the extreme that is further from 0.5
            low, high = of_network["min"], of_network["max"]
            score = high.where(high - 0.5 >= 0.5 - low, low)
        table, missing = submission_table(short_names(videos), score, clip)
        table.to_csv(out / f"{name}.csv", index=False)
        print(
            f"{name}.csv: {len(table)} videos, {len(missing)} without a score, which "
            "got 0.5 there and nowhere else"
        )
        if name == "submission":
            figure = Figure(layout="constrained")
            figure.subplots().hist(table["label"], np.linspace(0, 1, 21).tolist())
            figure.savefig(out / "submitted.png")


def main(folder, data, out, n_identities, clip):
    checkpoints, imitated = find_checkpoints(folder, out)
    forged = data is None
    if forged:
        make_forgeries(out / "clips", n_identities=n_identities, random_state=0)
        data = out / "clips"
    videos, labels, *_ = read_videos(data)
    y = np.array([str(label).upper() in ("1", "FAKE", "TRUE") for label in labels], int)
    size = 96 if imitated else None  # imitations need not see much
    detectors = {
        name: load_checkpoint(path, image_size=size)
        for name, path in checkpoints.items()
    }
    rows = balanced(y)
    chosen, truth = [videos[row] for row in rows], y[rows]
    few = [*np.flatnonzero(truth == 1)[:2], *np.flatnonzero(truth == 0)[:1]]
    words = ["fake" if truth[row] else "real" for row in few]
    annotate(detectors["all_c23"], chosen[few[0]], words[0], out)
    few = [chosen[row] for row in few]
    print(side_by_side(detectors, few, words, out).round(3).to_string())
    scores = {name: score_frames(detectors[name], chosen, N_FRAMES) for name in TWO}
    n_scored = scores["all_c23"]["frames"].max()
    print(f"\n{len(chosen)} videos, half of them fake, {n_scored} frames of each")
    losses, n_lost = nine_strategies(scores, truth)
    print(losses.round(4).to_string())
    print(f"{n_lost} videos without a score were left out")
    draw_scores(scores, truth, out)
    submit(chosen, scores["all_c23"], clip, out)
    if imitated:
        print("The checkpoints were imitations of random weights: no score means a "
              "thing.")  # fmt: skip
    if forged:
        print("The clips were home-made swaps of tiny portraits: no figure says "
              "anything about deepfakes in the wild.")  # fmt: skip
    print("No verdict here has a known error rate: see assemble --calibrate.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoints", type=Path, help="unpacked models of the six")
    parser.add_argument("--videos", type=Path, help="CSV, or folder with real/, fake/")
    parser.add_argument("--out", type=Path, help="folder to keep what is written")
    parser.add_argument("--identities", type=int, default=12, help="forged people")
    parser.add_argument("--clip", type=parse_clip, default=(0.4, 0.8))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        target = given.out or Path(temporary)
        target.mkdir(parents=True, exist_ok=True)
        main(given.checkpoints, given.videos, target, given.identities, given.clip)
