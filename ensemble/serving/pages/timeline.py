"""Timeline: where each frame's score lies in the picture of a page, and when."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from ensemble.serving.pages.in_words import figure
from ensemble.serving.pages.reasons import clock

HEIGHT = 140  # of a panel, pixels
_TOP, _BOTTOM = 12, 128  # where scores 1 and 0 lie, pixels
_LEFT, _RIGHT = 2.0, 98.0  # where the first and the last moment lie, per cent
N_SHAPES = 6  # by which lines can be told without colours
_MOST_TICKS = 5
_STANDS_OUT = 0.05  # above what members say of the other frames
_LONG = 5.0  # seconds between two moments, of which more is said
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True)
class Mark:
    """One member's score of one frame.

    Attributes
    ----------
    x : float
        Per cent of the width.
    y : float
        Pixels from the top.
    decided : bool
        Whether it weighs much in what the member says of the video.
    """

    x: float
    y: float
    decided: bool


@dataclass(frozen=True)
class Line:
    """One member's scores over time.

    Attributes
    ----------
    member : str
    shape : int
        Of its marks and its colour, from 1.
    marks : list of Mark
    """

    member: str
    shape: int
    marks: list[Mark]


@dataclass(frozen=True)
class TimelineMoment:
    """A time at which frames were scored; a click there jumps to it.

    Attributes
    ----------
    seconds : float
    x, left, width : float
        Where it lies, and what of the width belongs to it; per cent.
    scores : dict of str to float
        By member.
    """

    seconds: float
    x: float
    left: float
    width: float
    scores: dict[str, float]

    @property
    def at(self) -> str:
        """The time as players write it."""
        return clock(self.seconds)

    @property
    def words(self) -> str:
        """The time and all scores."""
        scores = (f"{name} {figure(score)}" for name, score in self.scores.items())
        return f"{self.at}: {', '.join(scores)}"


@dataclass(frozen=True)
class TimelinePanel:
    """The timeline of one face, or of whole frames.

    Attributes
    ----------
    face : int
        From 1; 0 for whole frames.
    lines : list of Line
    moments : list of TimelineMoment
        In order of time.
    """

    face: int
    lines: list[Line]
    moments: list[TimelineMoment]

    @property
    def title(self) -> str:
        """What it is of."""
        return f"Face {self.face}" if self.face else "Whole frames"

    @property
    def words(self) -> str:
        """What can be seen in it, for who cannot see it."""
        said = []
        for line in self.lines:
            own = [
                m.scores[line.member] for m in self.moments if line.member in m.scores
            ]
            said.append(f"{line.member} from {figure(min(own))} to {figure(max(own))}")
        return f"{self.title}, scores of frames over time: {'; '.join(said)}."

    def highest(self, n: int = 3) -> list[tuple[TimelineMoment, str]]:
        """The moments that stand out as most like a fake, in order of time.

        Each member is compared with what it says of this panel's other frames: members
        look at different frames, and one that always says 0.5 points at none.

        Returns
        -------
        list of (TimelineMoment, str)
            With the member that stands out most there, and its score.
        """
        usual = {
            line.member: median(
                m.scores[line.member] for m in self.moments if line.member in m.scores
            )
            for line in self.lines
        }
        found = []
        for moment in self.moments:
            above = {name: s - usual[name] for name, s in moment.scores.items()}
            member = max(above, key=above.get)
            if above[member] >= _STANDS_OUT:
                found.append((above[member], moment, member))
        highest = sorted(found, key=lambda one: -one[0])[:n]
        return [
            (moment, f"{member} {figure(moment.scores[member])}")
            for _, moment, member in sorted(highest, key=lambda one: one[1].seconds)
        ]


def timeline_panels(scan: dict[str, Any]) -> list[TimelinePanel]:
    """Lay out the frame scores of a scan: a panel a face, then whole frames.

    Parameters
    ----------
    scan : dict
        As `ensemble.inspection.scan.ScanResult.to_dict` gives it.

    Returns
    -------
    list of TimelinePanel
        Empty where no member scored frames.

    Examples
    --------
    >>> first = {"detector": "net", "face": 1, "seconds": 0.0, "score": 1.0,
    ...          "decided": True}
    >>> rows = [first, first | {"seconds": 4.0, "score": 0.0}]
    >>> (panel,) = timeline_panels({"timeline": rows, "faces": []})
    >>> panel.title, [(mark.x, mark.y) for mark in panel.lines[0].marks]
    ('Face 1', [(2.0, 12.0), (98.0, 128.0)])
    """
    rows = [row for row in scan["timeline"] if row["score"] is not None]
    names = list(dict.fromkeys(row["detector"] for row in scan["timeline"]))
    end = last_second(scan)
    panels = []
    for face in sorted({row["face"] for row in rows}, key=lambda f: (f == 0, f)):
        here = [row for row in rows if row["face"] == face]
        lines = []
        for name in names:
            own = [row for row in here if row["detector"] == name]
            if own:
                shape = names.index(name) % N_SHAPES + 1
                lines.append(Line(name, shape, [_mark(row, end) for row in own]))
        panels.append(TimelinePanel(face, lines, _moments(here, end)))
    return panels


def last_second(scan: dict[str, Any]) -> float:
    """Return the last time of which a scan knows, seconds."""
    times = [row["seconds"] for row in scan["timeline"]]
    times += [face["last"] for face in scan["faces"]]
    return max([0.0, *(float(time) for time in times if time is not None)])


def looked_in_words(scan: dict[str, Any]) -> str:
    """Say at how many moments of a video its members looked.

    Examples
    --------
    >>> rows = [{"detector": "net", "frame": n, "seconds": n / 10} for n in (0, 24, 48)]
    >>> looked_in_words({"timeline": rows})
    'It was looked at in 3 moments from 0:00.0 to 0:04.8. What happens between them, the
    model has not seen.'
    >>> rows = [{"frame": n, "seconds": 80.0 * n} for n in (0, 1, 2)]
    >>> looked_in_words({"timeline": rows}).partition(". ")[2]
    'Between two of them lie up to 80 seconds: a forgery that is shorter may be there
    unseen. Send the part that matters by itself.'
    >>> looked_in_words({"timeline": []})
    ''
    """
    seconds = {row["frame"]: row["seconds"] for row in scan["timeline"]}
    times = sorted(float(time) for time in seconds.values() if time is not None)
    if len(times) < 2:
        return ""
    widest = max(after - before for before, after in pairwise(times))
    between = "What happens between them, the model has not seen."
    if widest >= _LONG:
        between = (
            f"Between two of them lie up to {round(widest)} seconds: a forgery that is "
            "shorter may be there unseen. Send the part that matters by itself."
        )
    return (
        f"It was looked at in {len(times)} moments from {clock(times[0])} to "
        f"{clock(times[-1])}. {between}"
    )


def ticks(end: float) -> list[tuple[float, str]]:
    """Return where times are written below a timeline, per cent, and how.

    Examples
    --------
    >>> ticks(4.2)
    [(2.0, '0:00'), (24.9, '0:01'), (47.7, '0:02'), (70.6, '0:03'), (93.4, '0:04')]
    """
    if not end:
        return [(_LEFT, "0:00")]
    step = next((s for s in _STEPS if end / s < _MOST_TICKS), end)
    times = [number * step for number in range(int(end / step) + 1)]
    whole = step >= 1
    return [
        (round(_across(t, end), 1), clock(t)[:-2] if whole else clock(t)) for t in times
    ]


def _across(seconds, end):
    return _LEFT + (_RIGHT - _LEFT) * (seconds / end if end else 0.5)


def _mark(row, end):
    y = _BOTTOM - (_BOTTOM - _TOP) * row["score"]
    return Mark(
        round(_across(row["seconds"], end), 2), round(y, 1), bool(row["decided"])
    )


def _moments(rows, end):
    times = sorted({row["seconds"] for row in rows})
    places = [_across(time, end) for time in times]
    middles = [(a + b) / 2 for a, b in pairwise(places)]
    edges = [0.0, *middles, 100.0]
    moments = []
    for number, time in enumerate(times):
        scores = {r["detector"]: r["score"] for r in rows if r["seconds"] == time}
        left = round(edges[number], 2)
        width = round(edges[number + 1] - edges[number], 2)
        moments.append(
            TimelineMoment(time, round(places[number], 2), left, width, scores)
        )
    return moments
