"""Annotated video: every frame, with each face's box, P(fake) and verdict."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from base_models.addresses import remote_address
from base_models.runtime.caches import cached
from ensemble.choices import FAKE, REAL, TRACES, UNSURE
from ensemble.reporting.plain_text import printable

# Who cannot tell green from red sees light from dark, and the text says it again.
COLOURS = {
    REAL: (0, 158, 115),
    FAKE: (196, 24, 32),
    TRACES: (196, 24, 32),
    UNSURE: (240, 228, 66),
    "": (200, 200, 200),
}
_JITTER = 2e-3  # seconds by which steps may differ in a video of one rate


def annotate_video(result: Any, path: str | PathLike, crf: float = 20) -> Path:
    """Write the scanned video with boxes around its faces, scores and the verdict.

    H.264 in mp4, which browsers play. Every frame is there, the last one included, and
    is shown when it was, also in videos whose frames do not come at one rate. Boxes are
    drawn between the frames in which faces were looked for. One frame is in memory at a
    time. The sound is not kept.

    Parameters
    ----------
    result : ScanResult
        From `ensemble.scan_video`.
    path : str or Path
        Ends in ``.mp4``.
    crf : float, default=20
        See `base_models.write_video`.

    Raises
    ------
    ValueError
        If the video could not be read.
    VideoReadError
        If its content is another by now.
    """
    from base_models.video.writing import write_video

    look = result.look
    if look is None:
        raise ValueError(f"{result.video} cannot be annotated: {result.reason}")
    if _same_file(path, result.source):
        raise ValueError(f"{path} is the video itself; give another name")
    # Files count time in steps of up to a millisecond: that is no change of rate.
    steps = np.diff(look.times)
    steady = len(steps) == 0 or np.ptp(steps) <= _JITTER
    return write_video(
        path,
        _drawn(result),
        fps=look.fps,
        crf=crf,
        tags={"comment": _comment(result)},
        times=None if steady else look.times,
    )


def _comment(result):
    """What the file says of itself: the verdict, its doubts and the model's card."""
    score = f"{result.score_name} {result.p_fake:.3f}"
    said = [f"{result.verdict} {score}", result.doubts]
    said += [] if result.card is None else [result.card.summary()]
    said += ["A score is evidence, not proof."]
    return "; ".join(filter(None, said))


def draw_frame(
    frame: np.ndarray, boxes: Sequence, banner: tuple[str, str], note: str = ""
) -> np.ndarray:
    """Draw labelled boxes and a banner on a frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    boxes : list of (box, text, verdict)
        box is left, top, right, bottom; verdict chooses the colour.
    banner : (text, verdict)
        Goes to the top left.
    note : str, default=""
        Goes to the bottom left, such as what the verdict stands on; not on tiny
        frames, which it would hide.

    Returns
    -------
    ndarray of shape (H, W, 3)
        A copy.

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.inspection.annotate import draw_frame
    >>> frame = np.zeros((120, 160, 3), np.uint8)
    >>> boxes = [((40, 60, 80, 100), "0.9", "FAKE")]
    >>> drawn = draw_frame(frame, boxes, ("FAKE", "FAKE"))
    >>> drawn[80, 40].tolist(), drawn[80, 60].tolist()
    ([196, 24, 32], [0, 0, 0])
    """
    import cv2

    frame = np.ascontiguousarray(frame).copy()
    height, width = frame.shape[:2]
    stroke = max(2, round(min(height, width) / 240))
    for box, _, verdict in boxes:
        left, top, right, bottom = (round(edge) for edge in box)
        cv2.rectangle(frame, (left, top), (right, bottom), COLOURS[verdict], stroke)
    taken = [_paste(frame, _label(*banner, height, width), 0, 0)]
    if note:
        label = _label(note, "", height, width)
        if 6 * label.shape[0] <= height:  # a tiny frame has no room for it
            taken.append(_paste(frame, label, 0, height - label.shape[0]))
    for box, text, verdict in boxes:
        label = _label(text, verdict, height, width)
        left, top, _, bottom = (round(edge) for edge in box)
        above = top - stroke // 2 - label.shape[0]
        y = above if above >= 0 else bottom + stroke
        if any(_meet((left, y, *label.shape[1::-1]), other) for other in taken):
            y = bottom + stroke
        taken.append(_paste(frame, label, left, y))
    return frame


def _drawn(result):
    """Yield each frame with what is known of it."""
    from base_models.scoring.following import box_at
    from base_models.video.hashing import held_to
    from base_models.video.reading import iter_frames

    look = result.look
    reach = max(1, round(np.median([r for f in look.faces for r in np.diff(f.frames)]
                                   or [1])))  # fmt: skip
    p_fake = f"{result.score_name} {result.p_fake:.2f}"
    p_fake = "no score" if np.isnan(result.p_fake) else p_fake
    main = result.faces.loc[result.faces["main"].astype(bool), "face"]
    of = f", of face {main.iloc[0]}" if len(result.faces) > 1 == len(main) else ""
    said = f"this file: {result.verdict or 'NO VERDICT'}  {p_fake}{of}"
    banner = (said, result.verdict)
    note = "evidence, not proof"
    note += "" if result.card is None else f": {result.card.short}"
    rows = list(result.faces.itertuples())
    with held_to(result.source, result.content):
        for index, frame in enumerate(iter_frames(result.source)):
            boxes = []
            for row, face in zip(rows, look.faces, strict=True):
                box = box_at(face, index, reach)
                if box is not None:
                    score = "no score" if np.isnan(row.p_fake) else f"{row.p_fake:.2f}"
                    which = f"{row.face}: " if len(rows) > 1 else ""
                    said = f"{which}{row.verdict} {score}".strip()
                    boxes.append((box, said, row.verdict))
            yield draw_frame(frame, boxes, banner, note)


@cached(maxsize=256)
def _label(text, verdict, height, width):
    """Draw a text on its colour, as large as the frame can bear."""
    from PIL import Image, ImageDraw, ImageFont

    text = printable(text)  # names of members, perhaps of a model of others
    size = max(11, round(min(height, width) / 18))
    while True:
        font = ImageFont.load_default(size)
        left, top, right, bottom = font.getbbox(text)
        rim = max(2, size // 4)
        if right - left + 2 * rim <= width or size <= 6:
            break
        size -= 1
    fill = COLOURS[verdict]
    picture = Image.new("RGB", (right - left + 2 * rim, bottom - top + 2 * rim), fill)
    ink = "black" if sum(fill) > 450 else "white"
    ImageDraw.Draw(picture).text((rim - left, rim - top), text, ink, font)
    return np.asarray(picture)


def _paste(frame, label, x, y):
    """Put a label into the frame, moved so that as much as can be is seen."""
    height, width = frame.shape[:2]
    rows, columns = min(label.shape[0], height), min(label.shape[1], width)
    x, y = min(max(x, 0), width - columns), min(max(y, 0), height - rows)
    frame[y : y + rows, x : x + columns] = label[:rows, :columns]
    return x, y, columns, rows


def _meet(one, other):
    return all(
        one[axis] < other[axis] + other[axis + 2]
        and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


def _same_file(path, source):
    path = Path(path)
    if isinstance(source, np.ndarray) or not path.exists():
        return False
    if remote_address(source) is not None:
        return False
    return path.samefile(source)
