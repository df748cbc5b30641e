"""What is in a data set: the rows of the "DeepFake Starter Kit", one after the other.

    python examples/starter_kit.py [dfdc/] [--identities 24] [--page page.html]

Takes the root of a data set, such as the sample of DFDC as Kaggle has it (a folder
train_sample_videos with its metadata.json, and test_videos). Without one it makes such
a tree, small, in a temporary folder: its clips are home-made swaps of tiny portraits.
The same stands on the page of `deepfake-ensemble explore dfdc/ --out page.html`.
"""

import argparse
import contextlib
import json
import shutil
import tempfile
from pathlib import Path

from base_models.faces import HaarCascade, haar_parts
from ensemble.datasets import explore, load_dataset, make_forgeries
from ensemble.datasets.exploring.columns import missing_values
from ensemble.datasets.exploring.pictures import (
    count_faces,
    find_faces,
    first_frame,
    plot_frames,
    video_tag,
)


def miniature(folder, n_identities):
    """Lay forged clips out as the sample of DFDC is: lists, parts, a test set."""
    forged = folder / "forged"
    clips = make_forgeries(forged, n_identities=n_identities, random_state=0, verbose=0)
    root = folder / "dfdc"
    train, test = root / "train_sample_videos", root / "test_videos"
    train.mkdir(parents=True)
    test.mkdir()
    metadata: dict[str, dict[str, str]] = {}
    real = ""
    for number, (video, label) in enumerate(
        zip(clips.videos, clips.labels, strict=True)
    ):
        name = f"clip{number:03d}.mp4"
        real = name if label == 0 else real  # a fake comes after what it was made of
        if number >= len(clips.videos) - 4:
            shutil.copy(video, test / name)
            continue
        shutil.copy(video, train / name)
        metadata[name] = {"label": "FAKE" if label else "REAL", "split": "train"}
        if label:
            metadata[name]["original"] = real
    lost = {"label": "FAKE", "split": "train", "original": "clip000.mp4"}
    metadata["lost.mp4"] = lost  # as after half a download
    (train / "metadata.json").write_text(json.dumps(metadata))
    return root


def row(number, what):
    print(f"\n--- S{number}: {what}")


def main(root, page):
    table = load_dataset("auto", root, missing="keep", duplicates="allow")
    found = explore(table, root, n_jobs=2, verbose=True)
    listed = found.metadata

    row(1, "files of train and test")
    print(found.files.groupby("folder")["files"].sum().to_string())
    row(2, "their endings")
    print(found.files.to_string())
    row(3, "the lists as a table")
    print(listed.head().to_string())
    row(4, "what is missing")
    print(missing_values(listed).to_string())
    row(5, "what is missing of the reals")
    print(missing_values(listed[listed["class"] == "real"]).to_string())
    row(6, "different values")
    print(found.unique.to_string())
    row(7, "the most frequent ones")
    print(found.most_frequent.to_string())
    row(8, "counts with percent (drawn on the page)")
    print(found.counts.round(2).to_string())
    row(9, "lists against folders, both ways")
    print(
        found.lists_and_folders.to_string() if len(found.lists_and_folders) else "agree"
    )

    readable = found.table.subset(where=found.table.table["readable"])
    label = readable.table["label"]
    fakes = readable.subset(where=label == 1).videos
    reals = readable.subset(where=label == 0).videos
    unlabelled = readable.subset(labelled=False).videos
    row(10, "first frames of a fake and a real")
    for video in (*fakes[:1], *reals[:1]):
        print(Path(video).name, first_frame(video).shape)
    row(11, "a grid of first frames, titled with their names")
    print(titles(plot_frames(fakes[:6])))
    row(12, "the siblings of one original")
    print(found.originals.head().to_string())
    if len(found.originals):
        print(titles(plot_frames(found.siblings(found.originals.index[0]).videos[:6])))
    row(13, "videos without a label")
    print(titles(plot_frames(unlabelled[:6])) if unlabelled else "there are none")

    some = [*fakes[:1], *reals[:1], *unlabelled[:1]]
    row(14, "a Haar cascade: faces as x, y, width, height")
    for video in some:
        print(Path(video).name, HaarCascade("face").detect(first_frame(video)))
    row(15, "four cascades; that of smiles is off, it sees too many")
    for video in some:
        print(Path(video).name, haar_parts(first_frame(video)))
    row(16, "drawn: faces green, eyes and smiles red, profiles blue")
    for video in some:
        image = find_faces(video).by_haar
        print(
            Path(video).name, (image != first_frame(video)).any(axis=2).sum(), "pixels"
        )
    row(17, "found in first frames of train and test, dlib beside it")
    print(count_faces(some).rename(index=lambda video: Path(video).name).to_string())
    row(18, "a clip that plays in a notebook, or in the page of --embed")
    for video in some[:1]:
        print(video_tag(video)[:90], "...")
    row(19, "limits: Haar misses faces that are turned, and dark ones")
    for video in some:
        frame = first_frame(video)
        counts = [len(haar_parts(image)["face"]) for image in (frame, frame // 20)]
        print(f"{Path(video).name}: {counts[0]} faces, in the dark {counts[1]}")

    print("\n--- Beyond: does a property of the files alone tell the classes apart?")
    print(found.leak_hints[["auc", "low", "high", "is_leak", "reason"]].to_string())
    print("\n--- Beyond: copies, and videos that look alike")
    print(found.duplicates.head().to_string() if len(found.duplicates) else "none")
    if page is not None:
        print(f"\nWrote {found.to_html(page, embed=True)}")


def titles(figure):
    return ", ".join(ax.get_title() for ax in figure.axes if ax.get_title())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("--identities", type=int, default=24)
    parser.add_argument("--page", type=Path, help="page to write")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        root = options.root
        if root is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            root = miniature(folder, options.identities)
            print("These are home-made swaps; a real data set looks other than this.")
        main(root, options.page)
