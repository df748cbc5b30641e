"""Measure what members learn from reals alone: each, and together.

    python examples/benchmarks/members.py --clips reals/ --cache cache/
    python examples/benchmarks/members.py --train reals/ --test videos.csv \
--scores out.csv
    python examples/benchmarks/members.py --clips reals/ --labelled

The first takes a folder of real talking-head clips, one person each (or with a
``manifest.csv`` of file, label, group, method, whose fakes are generated clips). In
folds by person, members learn from the reals of the other folds, on half of the kinds
of pseudo-fakes. They are asked about forgeries of the people of this fold (c23 and c40,
four methods), about pseudo-fakes of the kinds that they have not seen, and about the
generated clips. What is measured on forgeries of our own says whether training works,
and nothing about fakes in the wild. With ``--cache`` a stopped run goes on; ``--fold``
and ``--budget`` measure a part.

The second learns from the real clips of a folder in the same way, and scores the videos
of a CSV (columns path, label, group; label and group are copied, and used for nothing
but the figures that are printed at the end). Costs go to a table beside the scores.

The third compares training with labels: the head alone, and all of a network.
"""

import argparse
import tempfile
from pathlib import Path

from goals import machine, write
from members_parts.labelled import compare_training
from members_parts.of_clips import measure_clips
from members_parts.of_table import score_table
from members_parts.setup import NAMES, Sizes

from base_models import Store


def sizes_of(options):
    """The sizes that were asked for; what was not is as in `Sizes`."""
    given = {
        "image_size": options.image_size,
        "n_frames": options.frames,
        "pairs": options.pairs,
        "epochs": options.epochs,
        "foundation_pairs": options.foundation_pairs,
        "foundation_epochs": options.epochs,
        "network": options.network,
        "foundation": options.foundation,
        "foundation_weights": options.foundation_weights,
        "clip_frames": options.clip_frames,
        "clip_size": options.clip_size,
        "n_threads": options.threads,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if options.random_weights:
        given |= {"network_weights": None, "foundation_weights": None}
    return Sizes(**given)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--clips", help="folder of reals to forge from")
    add("--train", help="folder of reals to train on")
    add("--test", help="CSV of path, label, group to score")
    add("--scores", help="CSV to write")
    add("--labelled", action="store_true", help="with --clips: train with labels")
    add("--folds", type=int, default=3)
    add("--fold", type=int, action="append", help="with --clips: only this, from 0")
    add("--members", default=",".join(NAMES), help="names, with commas")
    add("--ablation", action="store_true", help="with --clips: leave each kind out")
    add("--budget", type=float, help="CPU minutes after which no fit begins")
    add("--cache", help="folder for scores, forgeries and all that is computed once")
    add("--image-size", type=int, help="pixels")
    add("--frames", type=int, help="of each video")
    add("--pairs", type=int, help="of a real image and its pseudo-fake")
    add("--epochs", type=int, help="of networks")
    add("--foundation-pairs", type=int)
    add("--network", help="backbone of colours, noise, motion and path")
    add("--foundation", help="backbone of the foundation model")
    add("--foundation-weights", help="a published name")
    add("--random-weights", action="store_true", help="to try it out")
    add("--clip-frames", type=int, help="of forged clips")
    add("--clip-size", type=int, help="shorter side of forged clips, pixels")
    add("--threads", type=int, help="of each network")
    add("--amp", action="store_true", help="with --labelled: ResNets in bfloat16")
    add("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    if not options.clips and not (options.train and options.test and options.scores):
        parser.error("give --clips DIR, or --train DIR --test CSV --scores OUT")
    options.members = options.members.split(",")
    unknown = sorted(set(options.members) - set(NAMES))
    if unknown:
        parser.error(f"--members are some of {', '.join(NAMES)}; got {unknown}")
    return options


def main():
    options = arguments()
    print(machine())
    folder = Path(options.cache or tempfile.mkdtemp())
    store, sizes = Store(folder / "store"), sizes_of(options)
    if options.train:
        goals, raw = score_table(options, sizes, store, folder)
    elif options.labelled:
        goals, raw = compare_training(
            options.clips, store, options.folds, options.threads, options.amp
        )
    else:
        goals, raw = measure_clips(options, sizes, store, folder)
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
