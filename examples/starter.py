"""Make a first model from your own real footage: no fakes, one command.

    make starter REALS=footage RIGHTS="filmed by us, all people agreed"
    python examples/starter.py footage starter --rights "filmed by us, all agreed"

The footage is a folder of real videos: one person a sub-folder, or one person a file.
What comes out is a folder with the model (``starter.dfe``), its networks as ONNX files
and its card. It says FAKE TRACES or UNSURE, and never REAL; how many fakes it finds is
not known. Whose footage it is stands in its card: without that nothing is made. An hour
and more on two cores, by the number of videos.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from base_models import (
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    PseudoFakes,
    TrainingRecipe,
    list_videos,
)
from ensemble import DeepfakeEnsemble, export_members

_LARGEST = 90e6  # bytes of all files
_EPOCHS = 10
_FEWEST = 8  # people: with fewer no limit can be set


def people_of(folder: Path, videos: list[str]) -> list[str]:
    """Return who is in each video: its sub-folder, or the file itself."""
    people = []
    for video in videos:
        below = Path(video).relative_to(folder).parts
        people.append(below[0] if len(below) > 1 else video)
    return people


def stated_rights(rights: str) -> str:
    """Return whose footage it is; ask for it where it is not said, or refuse."""
    if not rights.strip() and sys.stdin.isatty():
        rights = input("Whose footage is it, and by what right do you use it? ")
    if not rights.strip():
        raise SystemExit(
            "--rights is missing (make starter ... RIGHTS=...): say whose footage it "
            "is and by what right you use it; it is written into the model's card"
        )
    return rights.strip()


def starter_members(
    n_videos: int, image_size: int, n_frames: int, n_pairs: int
) -> dict[str, Any]:
    """Return four members that learn from half of the kinds of pseudo-fakes."""
    kinds, _ = PseudoFakes().split(0)  # the others say how members are weighed
    drawn = max(1, round(n_pairs / n_videos))
    given: dict[str, Any] = {
        "image_size": image_size,
        "n_frames": n_frames,
        "pseudo_fakes": kinds,
    }
    members: dict[str, Any] = {
        name: FrameDetector(
            "efficientnet_lite0",
            channels=channels,
            epochs=_EPOCHS,
            frames_per_epoch=max(1, round(drawn / _EPOCHS)),
            recipe=TrainingRecipe(averaging="ema", head_epochs=0, validation=0),
            **given,
        )
        for name, channels in (("colours", "rgb"), ("motion", "motion"))
    }
    members["frequency"] = FrequencyDetector(n_drawn=drawn, **given)
    members["flicker"] = FlickerDetector(n_drawn=drawn, **given)
    return members


def check_size(folder: Path) -> int:
    """Return the bytes of all files of a folder; refuse more than 90 MB."""
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if n_bytes > _LARGEST:
        raise SystemExit(
            f"{folder} takes {n_bytes / 1e6:.0f} MB, and {_LARGEST / 1e6:.0f} are the "
            "most for a starter"
        )
    return n_bytes


def main(options: argparse.Namespace) -> None:
    rights = stated_rights(options.rights)
    if not options.reals.is_dir() or options.reals == Path():
        raise SystemExit(
            f"'{options.reals}' is no folder of videos; say which one is "
            "(make starter REALS=folder ...)"
        )
    if options.out.exists() and not options.out.is_dir():
        raise SystemExit(f"{options.out} is a file; name a folder")
    videos = [str(video) for video in list_videos(options.reals)]
    people = people_of(options.reals, videos)
    if len(set(people)) < _FEWEST:
        raise SystemExit(
            f"{options.reals} holds {len(set(people))} people (sub-folders, or files), "
            f"and {_FEWEST} or more are needed; a hundred would be good"
        )
    if options.out.exists() and any(options.out.iterdir()):
        raise SystemExit(
            f"{options.out} is not empty; name another folder (make starter OUT=...)"
        )
    began = time.perf_counter()
    members = starter_members(
        len(videos), options.image_size, options.n_frames, options.pairs
    )
    model = DeepfakeEnsemble(
        members, resampling=options.folds, n_jobs=options.jobs, store=options.store
    )
    model.fit(videos, [0] * len(videos), groups=people)
    model.describe(f"{len(videos)} real videos, a starter", rights=rights)
    options.out.mkdir(parents=True, exist_ok=True)
    model.without_names().save(options.out / "starter.dfe")
    export_members(model, options.out / "onnx")
    card = json.dumps(model.card_.to_dict(), indent=1)
    (options.out / "card.json").write_text(card + "\n", encoding="utf-8")
    n_bytes = check_size(options.out)
    print(model.card_.summary())
    print(
        f"{options.out}: {n_bytes / 1e6:.0f} MB, {time.perf_counter() - began:.0f} s."
    )
    print(f"Try it: deepfake-ensemble scan VIDEO --model {options.out / 'starter.dfe'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=f"{__doc__.splitlines()[0]} Takes an hour and more.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("reals", type=Path, help="folder of real videos")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--rights", default="", help="whose footage, by what right: needed"
    )
    add = parser.add_argument
    add("--image-size", type=int, default=224, help="pixels (default: 224)")
    add("--n-frames", type=int, default=16, help="of each video (default: 16)")
    add(
        "--pairs", type=int, default=4000,
        help="of a real image and its pseudo-fake, made for each member; fewer are "
        "quicker (default: 4000)",
    )  # fmt: skip
    add("--folds", type=int, default=3, help="by person, for the limit (default: 3)")
    add("--jobs", type=int, default=1, help="fits at once (default: 1)")
    add("--store", help="folder of what is computed once")
    main(parser.parse_args())
