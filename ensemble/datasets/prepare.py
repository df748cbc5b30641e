"""Prepares a data set: frames or face crops of every video, on the disk, once."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from base_models.addresses import printable, public_name
from base_models.runtime.ending.unfinished import is_unfinished
from base_models.runtime.file_writing import (
    folder_to_disk,
    naming,
    read_record,
    replacing,
    write_table,
    write_text,
)
from base_models.store.store import resolve_store
from ensemble.choices import PREPARED_FORMATS
from ensemble.datasets.kinds.prepared import STATE
from ensemble.datasets.prepared_layout import (
    SAID,
    facts_of,
    folder_names,
    splits_of,
    started,
)
from ensemble.datasets.video_table import VideoTable

if TYPE_CHECKING:
    from base_models.store.store import Store
    from base_models.views.spec import ViewRecipe

_SHARDED = "sharded.json"
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class _Job:
    """How each video is prepared; a part of the folder's recipe, but for `store`."""

    view: str
    size: int
    n_frames: int
    every: float | None
    margin: float
    align: bool
    format: str


def prepare_dataset(
    table: VideoTable,
    out: str | Path | None,
    *,
    view: str = "face",
    size: int = 224,
    n_frames: int = 16,
    every: float | None = None,
    margin: float = 1.3,
    align: bool = False,
    format: str = "png",
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    shard_videos: int = 100,
    random_state: int = 0,
    n_jobs: int | None = None,
    store: Store | str | Path | None = None,
    verbose: bool = False,
) -> VideoTable:
    """Write frames or face crops of every video, by split and label.

    ``out/train/fake/<video>/000012.png`` is what was cut out of frame 12. Beside the
    images lie ``videos.csv`` (path, label, group, method, split ...), which
    ``load_dataset("folder", out)`` reads, groups included, and ``deepfakebench.json``,
    a list as DeepfakeBench reads them. Videos of which there is nothing to write, such
    as those without a face, are listed with the reason in ``left_out.csv``.

    A run that was stopped goes on where it was; a second run finds everything done.
    The same videos and settings give the same bytes, whatever `n_jobs`.

    Parameters
    ----------
    table : VideoTable
        From `load_dataset`. Videos that have a split keep it.
    out : str, Path or None
        A folder that is new, empty, or was made by the same call. None only fills the
        store, from which detectors of the same view, size, margin and number of frames
        take their images.
    view : {"face", "frame"}, default="face"
        A square around the largest face, or the whole frame.
    size : int, default=224
        Side of the images, pixels.
    n_frames : int, default=16
        Spread evenly over each video.
    every : float or None, default=None
        One frame about every so many seconds in place of `n_frames`.
    margin : float, default=1.3
        Side of the crop, in sides of the face box.
    align : bool, default=False
        Turn face crops so that the eyes are level.
    format : {"png", "jpg", "webdataset"}, default="png"
        JPEG has quality 95. WebDataset writes PNGs into shards,
        ``train-000000.tar``, with one sample a frame: image, ``cls`` (the label) and
        ``json`` (the rest).
    shares : (train, val, test), default=(0.7, 0.15, 0.15)
        Where the data set has no splits: shares of the videos, in whole groups.
    shard_videos : int, default=100
        Videos in a shard.
    random_state : int, default=0
        Which groups go where.
    n_jobs : int or None, default=None
        Videos at once, as joblib counts.
    store : Store, str, Path or None, default=None
        Where images are also kept.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    VideoTable
        What was written; with `out` None, the videos that gave images.

    Raises
    ------
    FileExistsError
        If `out` holds anything else.
    ValueError
        For unusable settings, or where no video gives an image.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from base_models import write_video
    >>> from ensemble.datasets import VideoTable, load_dataset
    >>> from ensemble.datasets.prepare import prepare_dataset
    >>> folder = tempfile.mkdtemp()
    >>> clips = f"{folder}/clips"
    >>> for name in "abcdef":
    ...     frames = np.full((5, 48, 64, 3), 20 * ord(name) % 256, np.uint8)
    ...     _ = write_video(f"{clips}/{name}.mp4", frames)
    >>> table = pd.DataFrame({"path": [f"{clips}/{name}.mp4" for name in "abcdef"]})
    >>> table = table.assign(label=[0, 1] * 3, group=list("aabbcc"))
    >>> prepared = prepare_dataset(
    ...     VideoTable(table), f"{folder}/out", view="frame", size=32, n_frames=2,
    ...     shares=(1 / 3, 1 / 3, 1 / 3),
    ... )
    >>> sorted(load_dataset("folder", f"{folder}/out").table["split"])
    ['test', 'test', 'train', 'train', 'val', 'val']
    """
    job = _Job(view, size, n_frames, every, margin, align, format)
    _check(job, shard_videos)
    split = splits_of(table, shares, random_state)
    names = folder_names(table, split)
    folder = None if out is None else Path(out)
    run = _Run(folder, job, names, resolve_store(store), facts_of(table, split))
    with contextlib.ExitStack() as held:
        if folder is not None:
            recipe = asdict(job) | {"format_version": 1, "shard_videos": shard_videos}
            held.enter_context(started(folder, table, recipe))
        written: VideoTable = _prepared(
            run, table, split, shard_videos, n_jobs, verbose
        )
        return written


def _prepared(run, table, split, shard_videos, n_jobs, verbose):
    """Write all that the folder holds; return what was written."""
    folder, names = run.folder, run.names
    outcomes = run.prepare(table.videos, n_jobs, verbose, _seconds(table))
    done = np.array([not outcome["reason"] for outcome in outcomes])
    if not done.any():
        raise ValueError(
            f"none of {len(table)} videos gave an image; the first: "
            f"{table.videos[0]}: {outcomes[0]['reason']}"
        )
    frame = table.table.assign(
        split=split, n_images=[len(o["images"]) for o in outcomes]
    )
    if folder is None:
        return VideoTable(frame[done], table.kind, table.classes, table.lists)
    run.remove_gone()
    frame = frame.assign(
        source_path=[printable(public_name(path)) for path in frame["path"]], path=names
    )
    _write_left_out(folder, frame, outcomes)
    written = frame[done].reset_index(drop=True)
    if run.job.format == "webdataset":
        run.write_shards(written, shard_videos, outcomes)
    else:
        _write_lists(folder, written, outcomes, done)
    paths = [str(folder / name) for name in written["path"]]
    return VideoTable(written.assign(path=paths), "folder", table.classes)


def _seconds(table):
    """How long each video is, if the table knows, as an indexed one does."""
    if "seconds" not in table.table:
        return None
    return pd.to_numeric(table.table["seconds"], errors="coerce").to_numpy(float)


def _check(job, shard_videos):
    if job.view not in ("face", "frame"):
        raise ValueError(f"view must be face or frame; got {job.view!r}")
    if job.format not in PREPARED_FORMATS:
        raise ValueError(
            f"format must be one of {', '.join(PREPARED_FORMATS)}; got {job.format!r}"
        )
    for name, value in (("size", job.size), ("n_frames", job.n_frames),
                        ("shard_videos", shard_videos)):  # fmt: skip
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name} must be a whole number from 1; got {value!r}")
    if job.every is not None and not job.every > 0:
        raise ValueError(f"every must be above 0 seconds; got {job.every!r}")


def _state_name(name):
    return hashlib.sha256(name.encode()).hexdigest()[:24] + ".json"


@dataclass
class _Run:
    """Prepares the images of videos, and finds again what an earlier run made."""

    folder: Any  # Path, or None for the store alone
    job: _Job
    names: list[str]
    store: Store
    facts: str  # stands for all that shards say of the videos

    def prepare(self, videos, n_jobs, verbose, seconds=None):
        """Return what came of each video, of which `seconds` says how long it is."""
        from base_models.video.hashing import work_of

        sharded, work = self._sharded(), work_of(videos, seconds)
        outcomes = self._each(videos, sharded, n_jobs, verbose, work)
        done = {o["name"]: o["digest"] for o in outcomes if not o["reason"]}
        if sharded and sharded != done:  # the shards are made anew: of images
            outcomes = self._each(videos, {}, n_jobs, verbose, work)
        return outcomes

    def _each(self, videos, sharded, n_jobs, verbose, work):
        from base_models.runtime.progress import progress_bar
        from base_models.runtime.scheduling import run_each
        from base_models.video.paths import findable

        folder = self.folder and Path(os.path.abspath(self.folder))
        alone = replace(self, folder=folder, names=[])  # a task has its own name
        tasks = [
            (video, name, sharded.get(name))
            for video, name in zip(findable(videos), self.names, strict=True)
        ]
        came = run_each(alone.one, tasks, work, n_jobs, give_up=alone.given_up)
        text = "preparing videos" if verbose else None
        outcomes = dict(progress_bar(came, text, total=len(videos)))
        return [outcomes[number] for number in range(len(videos))]

    def given_up(self, task, reason):
        """Note a video that ends the process which works on it; return that."""
        from base_models.runtime.clusters.given_up import give_up_video

        video, name, _ = task
        give_up_video(video, reason)
        return self.one(video, name, None)

    def one(self, video, name, sharded):
        """Write the images of one video; return which, or why there are none."""
        from base_models.runtime.remote.facts import asking_once

        with asking_once():
            return self._one(video, name, sharded)

    def _one(self, video, name, sharded):
        from base_models.errors import VideoReadError
        from base_models.runtime.failures import is_passing, reason_of
        from base_models.video.paths import video_digest

        outcome = {"name": name, "digest": "", "images": [], "reason": ""}
        before = self._before(name)
        view: Any = None
        try:
            outcome["digest"] = digest = video_digest(video)
        except (VideoReadError, OSError) as error:
            outcome["reason"] = reason_of(error)
        else:
            is_settled = before is not None and not is_passing(before["reason"])
            if is_settled and before["digest"] == digest:
                images = [self._images(name) / image for image in before["images"]]
                if sharded == digest or all(image.exists() for image in images):
                    return before
            found = _view_of(video, digest, self.job, self.store)
            view, outcome["reason"] = found
        if not outcome["reason"]:
            ending = "jpg" if self.job.format == "jpg" else "png"
            outcome["images"] = [f"{frame:06d}.{ending}" for frame in view.frames]
        if self.folder is not None:
            _remove_images(self._images(name), before)
            _write_images(self._images(name), view, outcome["images"])
            write_text(self._state(name), json.dumps(outcome) + "\n")
        return outcome

    def remove_gone(self):
        """Remove the images of videos that are no longer in the data set."""
        wanted = {_SHARDED, *map(_state_name, self.names)}
        for state in (self.folder / STATE).glob("*.json"):
            if state.name not in wanted and not is_unfinished(state.name):
                gone = read_record(state, "name", "images")
                if _is_name_of_ours(gone["name"]):
                    _remove_images(self._images(gone["name"]), gone)
                state.unlink()

    def _images(self, name):
        """Where a video's images lie; those that go into shards only wait there."""
        waits = self.job.format == "webdataset"
        return self.folder / STATE / "images" / name if waits else self.folder / name

    def _state(self, name):
        return self.folder / STATE / _state_name(name)

    def _before(self, name):
        if self.folder is None or not self._state(name).exists():
            return None
        return read_record(self._state(name), "images", "reason", "digest")

    def _sharded(self):
        """Return the digests of the videos that lie in shards, by name."""
        path = None if self.folder is None else self.folder / STATE / _SHARDED
        if path is None or not path.exists():
            return {}
        known = read_record(path, "shards", "videos", "facts")
        are_there = all((self.folder / shard).exists() for shard in known["shards"])
        return known["videos"] if are_there and known["facts"] == self.facts else {}

    def write_shards(self, written, shard_videos, outcomes):
        """Write shards of whole videos, the same bytes each time."""
        done = {o["name"]: o["digest"] for o in outcomes if not o["reason"]}
        if self._sharded() == done:
            return
        shards = {}
        for split, rows in written.groupby("split", sort=True):
            for number, first in enumerate(range(0, len(rows), shard_videos)):
                rows_of = rows.iloc[first : first + shard_videos]
                shards[f"{split}-{number:06d}.tar"] = rows_of
        noted = self.folder / STATE / _SHARDED
        before = read_record(noted, "shards")["shards"] if noted.exists() else []
        known = {"shards": sorted({*before, *shards}), "videos": {}, "facts": ""}
        write_text(noted, json.dumps(known) + "\n")  # also if this run is stopped
        for old in self.folder.glob("*-[0-9][0-9][0-9][0-9][0-9][0-9].tar"):
            if old.name in before and old.name not in shards:  # not those of others
                old.unlink()
        for name, rows in shards.items():
            with (
                replacing(self.folder / name) as unfinished,
                tarfile.open(unfinished, "w") as shard,
            ):
                for row in rows.itertuples():
                    _add_video(shard, self._images(row.path), row)
        known = {"shards": sorted(shards), "videos": done, "facts": self.facts}
        write_text(noted, json.dumps(known) + "\n")
        shutil.rmtree(self.folder / STATE / "images")


def _view_of(video: Any, digest: str, job: _Job, store: Store) -> tuple[Any, str]:
    from base_models.errors import VideoReadError
    from base_models.video.hashing import held_to
    from base_models.views.making import make_views

    try:
        with held_to(video, digest):
            recipe = _recipe(video, job)
            view = make_views(video, [recipe], store)[recipe.key]
    except VideoReadError as error:
        return None, str(error)
    return view, view.reason


def _recipe(video, job) -> ViewRecipe:
    from base_models.faces.dlib_finder import DlibFaceFinder
    from base_models.video.reading import probe_video
    from base_models.views.spec import ViewRecipe

    n_frames = job.n_frames
    if job.every is not None:
        info = probe_video(video)
        seconds = info.seconds or info.n_frames / 25  # as elsewhere without a clock
        n_frames = max(1, round(seconds / job.every))
    if job.view == "frame":
        return ViewRecipe("frame", image_size=job.size, n_frames=n_frames)
    finder = DlibFaceFinder(landmarks="68") if job.align else DlibFaceFinder()
    return ViewRecipe(
        "face", image_size=job.size, n_frames=n_frames, margin=job.margin,
        align=job.align, finder=finder,
    )  # fmt: skip


def _is_name_of_ours(name):
    """Whether a name leads to a folder of images, and nowhere else."""
    path = Path(name)
    return len(path.parts) == 3 and ".." not in path.parts and not path.is_absolute()


def _remove_images(folder, outcome):
    """Remove what was written of a video, and nothing that others put beside it."""
    for name in () if outcome is None else outcome["images"]:
        (folder / Path(name).name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it is not there, or holds files of others
        folder.rmdir()


def _write_images(folder, view, images):
    """Write a video's images into a folder that appears when it is whole."""
    from PIL import Image

    if not images:
        return
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with naming(folder, unfinished):
            unfinished.mkdir(parents=True)
            for name, image in zip(images, view.images, strict=True):
                Image.fromarray(np.ascontiguousarray(image)).save(
                    unfinished / name, quality=_JPEG_QUALITY
                )
            folder_to_disk(unfinished)  # before a note says that they are there
            if not folder.exists():
                os.replace(unfinished, folder)
                return
            for name in images:  # beside files of others
                os.replace(unfinished / name, folder / name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


# What lies beside the images


def _write_left_out(folder, frame, outcomes):
    reasons = [outcome["reason"] for outcome in outcomes]
    left = frame.assign(reason=reasons)[["video_id", "source_path", "reason"]]
    write_table(folder / "left_out.csv", left[left["reason"] != ""])


def _write_lists(folder, written, outcomes, done):
    table = written.drop(columns=["source_path"]).assign(
        source_ids=written["source_ids"].map("|".join)
    )
    write_table(folder / "videos.csv", table)
    lists: dict[str, Any] = {}
    images = [outcome["images"] for outcome, is_done in zip(outcomes, done, strict=True)
              if is_done]  # fmt: skip
    for row, names in zip(written.itertuples(), images, strict=True):
        if pd.isna(row.label):
            continue
        dataset = "prepared" if pd.isna(row.dataset) else str(row.dataset)
        label = f"{dataset}_{'fake' if row.label else 'real'}"
        video = {"label": label, "frames": [f"{row.path}/{name}" for name in names]}
        by_split = lists.setdefault(dataset, {}).setdefault(label, {})
        by_split.setdefault(row.split, {})[Path(row.path).name] = video
    write_text(folder / "deepfakebench.json", json.dumps(lists, indent=1) + "\n")


def _add_video(shard, images, row):
    known = {name: getattr(row, name) for name in SAID}
    known = {name: None if pd.isna(value) else value for name, value in known.items()}
    for image in sorted(images.iterdir()):
        key = f"{images.parent.name}_{images.name}_{image.stem}".replace(".", "_")
        label = "" if pd.isna(row.label) else str(int(row.label))
        for ending, content in (
            ("png", image.read_bytes()),
            ("cls", label.encode()),
            ("json", json.dumps(known | {"frame": int(image.stem)}).encode()),
        ):
            member = tarfile.TarInfo(f"{key}.{ending}")
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
