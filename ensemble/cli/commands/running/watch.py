"""``watch``: a running score of a webcam, a stream or a file."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble.cli import options
from ensemble.cli.inputs import open_ensemble
from ensemble.cli.output import say_grounds, write_out

if TYPE_CHECKING:
    from ensemble.inspection.watch import WatchStep

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_SCREEN = (
    "--show needs a screen, and an OpenCV that can draw on it (opencv-python, not "
    "opencv-python-headless); leave it out, or write --annotate seen.mp4"
)

EXAMPLES = (
    "Examples:\n\n"
    "  deepfake-ensemble watch 0 --model model.dfe --show\n\n"
    "  deepfake-ensemble watch rtsp://camera/stream --model model.dfe --json\n\n"
    "  deepfake-ensemble watch clip.mp4 --model model.dfe --annotate seen.mp4\n\n"
    "Ctrl-C, or q in the window, ends it; what was written is then whole."
)


Source = Annotated[
    str,
    typer.Argument(
        help="Number of a webcam, address of a stream, or a file.", show_default=False
    ),
]
Every = Annotated[float, typer.Option(help="Seconds between scores.")]
Frames = Annotated[int, typer.Option(help="Frames per score.", min=1)]
Window = Annotated[
    float, typer.Option(help="Seconds over which older scores fade (exponentially).")
]
Seconds = Annotated[
    float | None, typer.Option(help="Stop after so many seconds. Default: never.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one line of JSON per score.")
]
Film = Annotated[
    Path | None, typer.Option(help="Write frames with boxes and running score: .mp4.")
]
Show = Annotated[bool, typer.Option("--show", help="Show the same in a window.")]


def watch(
    source: Source,
    models: options.NeededModels,
    every: Every = 1.0,
    frames: Frames = 4,
    window: Window = 10.0,
    seconds: Seconds = None,
    as_json: AsJson = False,
    annotate: Film = None,
    show: Show = False,
    threshold: options.Threshold = None,
    prior: options.Prior = None,
    no_doubts: options.NoDoubts = False,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Score a webcam, a stream or a file while it plays."""
    from ensemble.inspection.watch import FilmWriter, watch as watch_source
    from ensemble.reporting.outputs import Output, check_outputs

    if show and not _has_screen():
        raise typer.BadParameter(_NO_SCREEN)
    if annotate is not None:
        planned = [Output("--annotate", annotate, "film")]
        check_outputs(planned, [*models, Path(source)], overwrite)
    loaded = open_ensemble(models, device, True, threshold, prior)
    n_frames = n_skipped = 0
    with _stopped_by_signals() as stop, ExitStack() as outputs:
        receivers: list[Callable[[Any, float], None]] = []
        if show:
            receivers.append(outputs.enter_context(_window(stop)))
        if annotate is not None:
            film = FilmWriter(annotate, source, loaded.card_.summary())
            receivers.append(outputs.enter_context(film).add)

        def on_frame(image, seconds):
            for receive in receivers:
                receive(image, seconds)

        for step in watch_source(
            loaded,
            source,
            every,
            frames,
            window,
            on_frame if receivers else None,
            stop,
            seconds,
            not no_doubts,
        ):
            n_frames, n_skipped = step.n_frames, step.n_skipped
            write_out(json.dumps(step.to_dict()) + "\n" if as_json else _line(step))
    typer.echo(f"{n_frames} frames seen, {n_skipped} skipped", err=True)
    say_grounds(loaded, quiet)


def _has_screen() -> bool:
    """Whether there can be a window; without, OpenCV's toolkit ends the process."""
    is_x = sys.platform.startswith(("linux", "freebsd"))
    return not is_x or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _line(step: "WatchStep") -> str:
    now = step.reason or f"now {step.p_fake:.3f}"
    now = "; ".join(filter(None, (now, step.doubts)))
    running = f"{step.scan.score_name} {step.running:.3f}"
    running = "no score" if isnan(step.running) else running
    return (
        f"{step.seconds:8.2f} s  {step.verdict or '-':6} {running}  "
        f"{step.frames_per_second:5.1f} frames/s  {1000 * step.latency:5.0f} ms  "
        f"({now})\n"
    )


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Let Ctrl-C and a polite kill end the watch; a second Ctrl-C stops at once."""
    stop = threading.Event()

    def ask(number, where):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # no signal comes here
        return
    before = {kind: signal.signal(kind, ask) for kind in _SIGNALS}
    try:
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _window(stop: threading.Event) -> Iterator[Callable[[Any, float], None]]:
    """Open a window of the screen, and give what shows a frame in it."""
    import cv2

    name = "deepfake-ensemble (q ends)"
    try:
        cv2.namedWindow(name, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise typer.BadParameter(_NO_SCREEN) from error

    def show(image, seconds):
        cv2.imshow(name, image[..., ::-1])
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            stop.set()

    try:
        yield show
    finally:
        cv2.destroyWindow(name)
