"""Watch: a running score of a webcam, a stream or a file, while it plays."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.runtime.ending.scratch import scratch_folder
from base_models.runtime.file_digest import LEAVE_IT, REPLACED, content_stamp
from ensemble.choices import NO_VERDICT, UNSURE
from ensemble.inspection.annotate import draw_frame
from ensemble.inspection.scan import ScanResult, scan_video
from ensemble.reporting.own_files import FILM_MARK
from ensemble.verdicts.video_profile import TrainingProfile, profile_video

if TYPE_CHECKING:
    from typing_extensions import Self

    from ensemble.deepfake_ensemble import DeepfakeEnsemble

_STORE_BYTES = 2**26  # of views that wait on the disk for the second look
_FORGOTTEN = 0.05  # weight below which the running score is known no more


@dataclass(frozen=True)
class WatchStep:
    """What an ensemble says of the last moments of a source, and of all before.

    Attributes
    ----------
    seconds : float
        Of the source, up to the newest frame that was scored.
    p_fake : float
        P(fake) of these moments alone; NaN where there is none.
    running : float
        Mean of all `p_fake` so far, each with the weight exp(-age / window); NaN
        before the first, and where the last is three windows ago.
    verdict : str
        What the ensemble's threshold says of `running`: REAL, FAKE, UNSURE or empty.
        The threshold was set on whole videos. UNSURE where there are doubts.
    reason : str
        Why `p_fake` is missing.
    doubts : str
        Why the last score is no ground for a verdict, as in `DeepfakeEnsemble.judge`;
        of the last moments that had a score, as long as `running` is known.
    frames_per_second : float
        Frames taken from the source, by the clock on the wall, since the last step.
    latency : float
        Seconds from the arrival of the newest scored frame to its score.
    n_frames, n_skipped : int
        Frames taken so far; those of a live source that came too fast.
    scan : ScanResult
        Faces and members of these moments, as from `ensemble.scan_video`.
    """

    seconds: float
    p_fake: float
    running: float
    verdict: str
    reason: str
    doubts: str
    frames_per_second: float
    latency: float
    n_frames: int
    n_skipped: int
    scan: ScanResult = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, each member's score and the faces, ready for JSON.

        Returns
        -------
        dict
            NaN is None.
        """
        scan = self.scan.to_dict()
        numbers = {
            name: None if value != value else value
            for name, value in vars(self).items()
            if name != "scan"
        }
        numbers |= {k: scan[k] for k in ("calibration",) if k in scan}
        return numbers | {"members": scan["members"], "faces": scan["faces"]}


class RunningScore:
    """Mean of scores in an exponential window: each counts exp(-age / window).

    Parameters
    ----------
    window : float
        Seconds.

    Examples
    --------
    >>> from ensemble.inspection.watch import RunningScore
    >>> running = RunningScore(window=10)
    >>> running.add(0.0, 1.0), round(running.add(10.0, 0.0), 4)
    (1.0, 0.2689)
    """

    def __init__(self, window: float) -> None:
        if not window > 0:
            raise ValueError(f"window must be above 0 seconds; got {window!r}")
        self.window = window
        self._sum = self._weight = self._at = 0.0

    def add(self, seconds: float, p_fake: float) -> float:
        """Take a score, or NaN for none, and return the mean as it stands then.

        Parameters
        ----------
        seconds : float
            When it was; not before the last one.
        p_fake : float

        Returns
        -------
        float
            NaN where nothing is known, or what is known is three windows old.
        """
        fade = exp(-max(seconds - self._at, 0.0) / self.window)
        self._sum, self._weight, self._at = (
            self._sum * fade, self._weight * fade, seconds,
        )  # fmt: skip
        if p_fake == p_fake:
            self._sum, self._weight = self._sum + p_fake, self._weight + 1
        return self._sum / self._weight if self._weight >= _FORGOTTEN else np.nan


def watch(
    model: DeepfakeEnsemble,
    source: int | str | Path,
    every: float = 1.0,
    frames: int = 4,
    window: float = 10.0,
    on_frame: Callable[[np.ndarray, float], Any] | None = None,
    stop: threading.Event | None = None,
    max_seconds: float | None = None,
    doubts: bool = True,
) -> Iterator[WatchStep]:
    """Score a webcam, a stream or a file while it plays.

    Every `every` seconds, `frames` frames of that time are scored as a short video. A
    file is scored in step with its own clock, none of its frames is skipped, and the
    scores are the same in every run. A live source is scored beside its reading: where
    scoring takes longer than `every`, moments are left out, and the picture goes on.
    Memory does not grow with time, and the ensemble's store is not written to.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    source : int, str or Path
        A webcam's number, the address of a stream (rtsp, http, rtmp ...), or a file.
    every : float, default=1.0
        Seconds.
    frames : int, default=4
        Spread evenly over them.
    window : float, default=10.0
        Seconds of the exponential window of the running score.
    on_frame : callable or None, default=None
        Called with every frame that is taken, drawn with the last boxes and the running
        score (ndarray of shape (H, W, 3), RGB uint8), and its seconds.
    stop : threading.Event or None, default=None
        Ends the watch after the frame at hand.
    max_seconds : float or None, default=None
        Ends the watch when the source has run that long.
    doubts : bool, default=True
        Whether moments in doubt are UNSURE; False leaves the threshold's verdict.

    Yields
    ------
    WatchStep

    Raises
    ------
    VideoReadError
        If the source cannot be opened, or fails; at the end, if a file was written to
        meanwhile. Moments since then are in doubt.
    ValueError
        For an unusable `every`, `frames` or `window`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import FrameDetector, write_video
    >>> from ensemble import DeepfakeEnsemble
    >>> from ensemble.inspection.watch import watch
    >>> shades = np.repeat([40, 200], 8)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None, image_size=32,
    ...     n_frames=2,
    ... )
    >>> model = DeepfakeEnsemble([("resnet18_frame", detector)], resampling=2)
    >>> model = model.fit(videos, shades > 100, groups=np.arange(16) % 8)
    >>> frames = np.full((50, 48, 48, 3), 200, np.uint8)
    >>> path = write_video(f"{tempfile.mkdtemp()}/bright.mp4", frames)
    >>> [(step.seconds, step.verdict) for step in watch(model, path)]
    [(0.76, 'FAKE'), (1.76, 'FAKE')]
    """
    from base_models.store.store import Store
    from base_models.video.live import is_live, live_frames

    _check(every, frames)
    running = RunningScore(window)
    with scratch_folder() as folder:
        model = copy.copy(model)
        model.store, model.verbose = Store(folder, size_limit=_STORE_BYTES), False
        with ThreadPoolExecutor(1) as beside:
            begin = beside.submit if is_live(source) else _at_once
            watcher = _Watcher(model, running, every, frames, on_frame, begin, doubts)
            if not is_live(source):
                watcher.file = _WatchedFile(model, source)
            yield from watcher.steps(live_frames(source, stop), max_seconds)
            watcher.file.check()


class FilmWriter:
    """Writes frames that come at any time as a video of one rate, in a thread.

    A frame stays until the next one, and is left out where two come at once, so that
    the video runs as fast as its source did. The file is there when `close` returns.

    Parameters
    ----------
    path : str or Path
        Ends in .mp4.
    source : int, str or Path
        Where the frames come from: a file gives the rate, others have 25 a second.
    comment : str, default=""
        Goes into the file.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import mkdtemp
    >>> from base_models import probe_video
    >>> from ensemble.inspection.watch import FilmWriter
    >>> path = f"{mkdtemp()}/seen.mp4"
    >>> with FilmWriter(path, 0) as film:
    ...     for seconds in (0, 0.5, 0.98):
    ...         film.add(np.zeros((48, 64, 3), np.uint8), seconds)
    >>> probe_video(path).seconds
    1.0
    """

    def __init__(
        self, path: str | Path, source: int | str | Path, comment: str = ""
    ) -> None:
        from base_models.video.live import source_fps

        self.path, self.comment = path, comment
        self.fps = source_fps(source)
        self._frames: Queue = Queue(maxsize=8)
        self._thread = ThreadPoolExecutor(1)
        self._written: Future | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, where: Any) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # else what came first is told
                raise

    def add(self, image: np.ndarray, seconds: float) -> None:
        """Take the frame that is shown from a time on.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3)
            RGB uint8.
        seconds : float
            Not before the last frame's.
        """
        if self._written is None:
            self._written = self._thread.submit(self._write)
        while not self._written.done():  # else it failed: close says how
            try:
                return self._frames.put((image, seconds), timeout=0.5)
            except Full:
                continue
        return None

    def close(self) -> None:
        """Write what is left; the file then has its name."""
        if self._written is None:
            return
        while not self._written.done():
            try:
                self._frames.put(None, timeout=0.5)
                break
            except Full:
                continue
        self._thread.shutdown()
        self._written.result()

    def _write(self):
        from base_models.video.writing import write_video

        tags = {"comment": f"{FILM_MARK}; {self.comment}"}
        write_video(self.path, self._steady(), fps=self.fps, crf=20, tags=tags)

    def _steady(self):
        n_written, last = 0, None
        while (taken := self._frames.get()) is not None:
            image, seconds = taken
            place = round(seconds * self.fps)
            while last is not None and n_written < place:
                yield last
                n_written += 1
            last = image
        if last is not None:
            yield last


def _check(every, frames):
    if not every > 0:
        raise ValueError(f"every must be above 0 seconds; got {every!r}")
    if isinstance(frames, bool) or int(frames) != frames or frames < 1:
        raise ValueError(f"frames must be a whole number from 1; got {frames!r}")


class _NoFile:
    """Of a live source, of which nothing is known but its frames."""

    def doubts(self):
        return []

    def check(self):
        pass


class _WatchedFile(_NoFile):
    """What speaks against verdicts on a file as such, which its frames do not show."""

    def __init__(self, model, path):
        self._path, self._stamp = path, self._stamp_of(path)
        training = model.card_.profile or TrainingProfile(0)
        profile = profile_video(path)
        self._doubts = [] if profile is None else training.unlike(profile)

    def _stamp_of(self, path):
        try:
            return content_stamp(path)
        except OSError:  # it is gone; before the first frame, who opens it says so
            return None

    def _is_replaced(self):
        return self._stamp_of(self._path) != self._stamp

    def doubts(self):
        return [REPLACED, *self._doubts] if self._is_replaced() else self._doubts

    def check(self):
        if self._is_replaced():
            raise VideoReadError(self._path, REPLACED, LEAVE_IT)


def _at_once(work, *arguments):
    """Do the work now, in place of a thread's `submit`."""
    done: Future = Future()
    done.set_result(work(*arguments))
    return done


class _Watcher:
    """Gathers frames, has them scored when there are enough, draws what is known."""

    def __init__(self, model, running, every, n_frames, on_frame, begin, unsure):
        self.model, self.running, self.unsure = model, running, unsure
        self.on_frame, self.begin = on_frame, begin
        self.gap = every / n_frames  # seconds from one gathered frame to the next
        self.gathered = deque(maxlen=n_frames)
        self.scoring, self.last = None, None
        self.doubts = ""  # of the last moments that had a score
        self.file = _NoFile()
        self.n_frames = self.n_skipped = 0
        self.since = time.perf_counter(), 0  # when the last step was, at which frame

    def steps(self, frames: Iterable, max_seconds: float | None) -> Iterator[WatchStep]:
        due = 0.0  # when the next frame is gathered
        for frame in frames:
            if max_seconds is not None and frame.seconds > max_seconds:
                break
            self.n_frames += 1
            self.n_skipped += frame.skipped
            is_due = frame.seconds >= due - 1e-9
            if is_due:
                self.gathered.append(frame)
                due = max(due, frame.seconds - self.gap) + self.gap
            if self.scoring is not None and self.scoring.done():
                yield self._step()
            if is_due and len(self.gathered) == self.gathered.maxlen:
                self._score()  # else the oldest goes, where the scorer is still busy
            if self.scoring is not None and self.scoring.done():
                yield self._step()
            self._draw(frame)
        if self.scoring is not None:
            yield self._step()
        if self.gathered:  # too few for a whole step
            self._score()
            yield self._step()

    def _score(self):
        if self.scoring is None:
            frames = list(self.gathered)
            self.gathered.clear()
            self.scoring = self.begin(self._scored, frames)

    def _scored(self, frames):
        clip = np.stack([frame.image for frame in frames])
        result = scan_video(self.model, clip, np.inf, self.unsure)
        latency = time.perf_counter() - frames[-1].arrived
        return frames[-1].seconds, result, latency

    def _step(self):
        seconds, result, latency = self.scoring.result()
        self.scoring = None
        boxes = [
            (face.faces[-1].box, float(row.p_fake), row.verdict)
            for face, row in zip(
                result.look.faces if result.look else (),
                result.faces.itertuples(),
                strict=True,
            )
        ]
        running = self.running.add(seconds, result.p_fake)
        (verdict,) = result.threshold.verdicts([running])
        if not np.isnan(result.p_fake):
            others = [said for said in self.file.doubts() if said not in result.doubts]
            self.doubts = "; ".join(filter(None, [*others, result.doubts]))
        elif np.isnan(running):
            self.doubts = ""
        if verdict and self.doubts and self.unsure:
            verdict = UNSURE
        self.last = running, verdict, boxes
        now, frames = time.perf_counter(), self.n_frames
        (then, frames_then), self.since = self.since, (now, frames)
        return WatchStep(
            seconds=seconds,
            p_fake=result.p_fake,
            running=float(running),
            verdict=verdict,
            reason=result.reason,
            doubts=self.doubts,
            frames_per_second=(frames - frames_then) / max(now - then, 1e-9),
            latency=latency,
            n_frames=frames,
            n_skipped=self.n_skipped,
            scan=result.without_pixels(),
        )

    def _draw(self, frame):
        if self.on_frame is None:
            return
        banner, boxes = ("NO SCORE YET", NO_VERDICT), []
        if self.last is not None:
            running, verdict, faces = self.last
            score = f"{self.model.card_.score_name} {running:.2f}"
            score = "no score" if np.isnan(running) else score
            banner = f"{verdict or 'NO VERDICT'}  {score}", verdict
            boxes = [
                (box, "no score" if np.isnan(p) else f"{label} {p:.2f}".strip(), label)
                for box, p, label in faces
            ]
        note = self.model.card_.short  # stands beside every verdict
        drawn = draw_frame(frame.image, boxes, banner, note)
        self.on_frame(drawn, frame.seconds)
