"""Measure scoring by a cascade: what it costs, and how far it is from all members.

    python examples/benchmarks/scoring_in_turn.py --json results.json
    python examples/benchmarks/scoring_in_turn.py --networks small --unlike clips/

Three networks, each on whole frames and on face crops, are fitted on clips of some
people (bodies of random weights, logistic heads) and judge those of others, once
all of them and once in turn, by a cascade that is certified for ``--rate``. Beside the
seconds of both, and of the notebook's way (see scoring.py): verdicts that differ, AUC
lost, and the share of the networks' work that was asked for. With ``--unlike`` videos
of another kind are judged, too, with ``--stress`` changed copies: what a cascade has
never seen it should not settle.
"""

import argparse
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from goals import Goal, machine, write
from scoring import (
    HEIGHTS,
    N_FRAMES,
    NETWORKS,
    TARGETS,
    notebook_way,
    of_height,
    seconds,
)
from sklearn.metrics import roc_auc_score

from base_models import FrameDetector, list_videos
from base_models.video import iter_frames, write_video
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries
from ensemble.inspection.stress import CHANGES, changed

SHARES = {"": 1.0, " (half of its frames)": 0.5, " (a quarter of its frames)": 0.25}


def fitted(networks, videos, y, groups, options, store):
    """An ensemble of detectors with a frozen body, and its certificate."""
    detectors = {
        f"{backbone}_{view}": FrameDetector(
            backbone, view, train="head", weights=None, image_size=size,
            n_frames=N_FRAMES, random_state=0, engine=options.engine,
        )
        for backbone, size in networks.items()
        for view in ("frame", "face")
    }  # fmt: skip
    model = DeepfakeEnsemble(
        detectors, combiner=options.combiner, calibration="platt", resampling=5,
        cascade=options.rate, store=store, verbose=False,
    )  # fmt: skip
    return model.fit(videos, y, groups=groups)


def judged(model, video, cascade, store, doubts=True):
    """The verdict on a video, and its seconds."""
    for detector in model.detectors_.values():
        detector.set_params(store=store)
    model.set_params(cascade=cascade, store=store)
    found = []
    took = seconds(lambda: found.append(model.judge([video], doubts=doubts)))
    return found[0], took


def share_asked(model, table):
    """Which share of the networks' multiply-adds was asked for, of each video."""
    costs = {name: found.multiply_adds() for name, found in model.detectors_.items()}
    shares = []
    for names in table["members_asked"]:
        asked = [one.partition(" ") for one in names.split(", ")]
        work = [costs[name] * SHARES[gap + part] for name, gap, part in asked]
        shares.append(sum(work) / sum(costs.values()))
    return np.array(shares)


def compared(model, videos, rate, folder):
    """Seconds and verdicts of all members and of the cascade, video by video."""
    rows = []
    for video in videos:
        stores = [Path(tempfile.mkdtemp(dir=folder)) for _ in range(2)]
        everybody, full = judged(model, video, None, stores[0])
        in_turn, took = judged(model, video, rate, stores[1])
        exact, _ = judged(model, video, "exact", stores[0], doubts=False)
        for store in stores:
            shutil.rmtree(store)
        rows.append(
            {
                "full": full,
                "in turn": took,
                "p_full": everybody["p_fake"].iloc[0],
                "p_in_turn": in_turn["p_fake"].iloc[0],
                "differs": everybody["verdict"].iloc[0] != in_turn["verdict"].iloc[0],
                "asked": share_asked(model, in_turn)[0],
                "asked, exact": share_asked(model, exact)[0],
            }
        )
    return pd.DataFrame(rows)


def goals_of(here, found, y, by_hand, target, rate):
    """The figures of one kind of networks at one size, beside what they should be."""
    goals = [
        Goal.at_least(
            here + "times as fast as the notebook's way",
            by_hand / found["in turn"].mean(),
            target,
        ),
        Goal.at_most(here + "verdicts that differ", found["differs"].mean(), rate),
    ]
    if len(set(y)) > 1:
        full, in_turn = (roc_auc_score(y, found[c]) for c in ("p_full", "p_in_turn"))
        goals.append(Goal.at_most(here + "AUC lost", full - in_turn, 0.002))
    return goals


def tell(here, found, y, by_hand):
    auc = roc_auc_score(y, found["p_full"]) if len(set(y)) > 1 else np.nan
    print(
        f"{here}notebook {by_hand:.2f} s, all {found['full'].mean():.2f} s, in turn "
        f"{found['in turn'].mean():.2f} s, asked {found['asked'].mean():.2f} "
        f"(exact, without doubts: {found['asked, exact'].mean():.2f}), differ "
        f"{found['differs'].mean():.3f} of {len(found)}, AUC of all {auc:.3f}",
        flush=True,
    )


def stressed(videos, change, folder):
    """Copies of the videos, changed as `stress_test` does, at its greatest strength."""
    strength, draw, made = CHANGES[change][-1], np.random.default_rng(0), []
    for number, video in enumerate(videos):
        frames = np.stack(list(iter_frames(video)))
        frames = changed(frames, change, strength, draw)
        name = folder / f"{change}_{number}.mp4"
        made.append(write_video(name, frames, fps=25, crf=18, preset="veryfast"))
    return [str(name) for name in made]


def people(folder, n_people, height):
    """Clips of people, each as it is and with a coloured pattern: path, label, person.

    The pattern, of a strength drawn for each clip, is what networks of random weights
    can see; dlib, which looks at brightness, does not.
    """
    made = make_forgeries(
        folder, n_identities=n_people, n_frames=24, size=height, compression="raw",
        random_state=0, verbose=0,
    )  # fmt: skip
    reals = [v for v, label in zip(made.videos, made.labels, strict=True) if not label]
    draw, rows = np.random.default_rng(0), []
    for person, real in enumerate(reals):
        frames = np.stack(list(iter_frames(real)))
        for is_fake in (0, 1):
            shown = frames + is_fake * pattern(draw, frames.shape[1:3])
            shown = shown.clip(0, 255).astype(np.uint8)
            name = folder.with_name("shown") / f"{person}_{is_fake}.mp4"
            name.parent.mkdir(exist_ok=True)
            write_video(name, shown, fps=25, crf=18, preset="veryfast")
            rows.append((str(name), is_fake, person))
    return pd.DataFrame(rows, columns=["video", "is_fake", "person"])


def pattern(draw, shape):
    """Waves of red against green, as bright as nothing."""
    strength, angle, phase = draw.uniform([5, 0, 0], [50, np.pi, 2 * np.pi])
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    along = columns * np.cos(angle) + rows * np.sin(angle)
    waves = np.sin(2 * np.pi * along / (shape[0] / 8) + phase)
    return strength * waves[..., None] * [1, -0.5, 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=["default"])
    parser.add_argument("--sizes", choices=HEIGHTS, nargs="+", default=[*HEIGHTS])
    parser.add_argument("--people", type=int, default=100, help="100 at most")
    parser.add_argument("--held-out", type=int, default=30, help="people to judge")
    parser.add_argument("--height", type=int, default=480, help="of the clips, pixels")
    parser.add_argument("--timed", type=int, default=6, help="videos of larger sizes")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--combiner", default="logistic")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--unlike", help="folder of videos of another kind")
    parser.add_argument("--stress", choices=CHANGES, nargs="*", default=[])
    parser.add_argument("--keep", help="folder for clips and what a fit keeps")
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    goals, raw = [], {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(options.keep or folder)
        clips = people(folder / "clips", options.people, options.height)
        known = sorted(clips["person"].unique())[: -options.held_out]
        learned = clips[clips["person"].isin(known)]
        new = clips[~clips["person"].isin(known)]
        for kind in options.networks:
            model = fitted(
                NETWORKS[kind], learned["video"].tolist(), learned["is_fake"].tolist(),
                learned["person"].tolist(), options, folder / kind,
            )  # fmt: skip
            print(model.cascade_)
            print(*model.fit_record_.step_cascade.limits.values(), sep="\n")
            sets = {
                size: new if HEIGHTS[size] is None else new.head(options.timed)
                for size in options.sizes
            }
            if options.unlike:
                unlike = [str(video) for video in list_videos(options.unlike)]
                sets["unlike"] = pd.DataFrame({"video": unlike, "is_fake": 0})
            for change in options.stress:
                copies = stressed(new["video"], change, folder / "clips")
                sets[change] = new.assign(video=copies)
            for size, part in sets.items():
                sized = of_height(
                    part["video"].tolist(), HEIGHTS.get(size), folder / "clips"
                )
                found = compared(model, sized, options.rate, folder)
                members = list(model.detectors_.values())
                notebook_way(members, sized[0])  # warms up
                by_hand = np.median(
                    [
                        seconds(notebook_way, members, video)
                        for video in sized[: options.timed]
                    ]
                )
                here = f"{kind} networks, {size}: "
                tell(here, found, part["is_fake"], by_hand)
                raw[here] = found.to_dict("list") | {"notebook": by_hand}
                if size in TARGETS[kind]:
                    goals += goals_of(
                        here, found, part["is_fake"], by_hand, TARGETS[kind][size],
                        options.rate,
                    )  # fmt: skip
    write(goals, {"figures": raw}, options.json)


if __name__ == "__main__":
    main()
