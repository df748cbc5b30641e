"""What a scan says, in words that need no knowledge of the field."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ensemble.choices import FAKE, P_FAKE, REAL, SUSPICION, TRACES, UNSURE
from ensemble.serving.pages.model_facts import learned_from_videos
from ensemble.serving.pages.reasons import clock, needs_a_video, reason_in_words
from ensemble.verdicts.asked import is_not_asked
from ensemble.verdicts.card_words import single_doubts
from ensemble.verdicts.suspicion import renamed

_KINDS = {FAKE: "fake", TRACES: "fake", REAL: "real", UNSURE: "unsure"}
_NEAR = 0.025  # of a threshold, in P(fake)
_SMALL = 0.0005  # below, three digits would say that a score is nothing at all
_UNSEEN = "judged by copies of it that had not learned from them"
_UNKNOWN = "The miss rate is unknown: "
_BROUGHT = "for a share of fakes of "  # how the step is called that follows a prior
_PICTURE = (
    "These rates were measured on the files that the model was tried on. If those were "
    "videos, they say little of a single picture."
)
_OF_VIDEOS = "These rates were measured on videos: they say little of a single picture."

_WIDE = 0.15  # of a range of likely rates: it is said why
_ENOUGH = 5  # of each class, for rates of files like this one alone
_COUNTED = {
    "scored": "Counted are those that all its members could score, as they could this.",
    "partial": "Counted are those that not all its members could score, as with this.",
}

_WITH_ALL = "They were counted with all members asked."

_ALWAYS_UNSURE = (
    "This model calls every file UNSURE: it is not shown to be better than chance."
)
_GROUNDS = (  # words of the library, and words for people who do not program
    (r"the out-of-(?:fold|bag) scores of (.+?), combined by a combiner that had not "
     r"seen their group",
     r"\1, each scored without having learned from it or its like"),
    (r"the hold-out scores of (.+?), combined by a combiner that had not seen their "
     r"group", r"\1, which were kept out of the learning"),
    (r"of (\d+) groups", r"of \1 people or sources"),
    (r"P\(fake\) is calibrated \(\w+\) on", "P(fake) was brought to a probability by"),
    (r"P\(fake\) is not calibrated:", "P(fake) is no probability yet:"),
    (r"if fakes are rarer, give their share \(--prior 0\.01, in Python prior=0\.01\)",
     "where fakes are rarer, it is too high"),
    (r"It is the default threshold; it was not tuned on any videos",
     "That is where it stands unless somebody moves it"),
)  # fmt: skip

_TOY = (
    "This model is a toy that shows how things work: do not go by what it says of real "
    "videos."
)


@dataclass(frozen=True)
class ScanInWords:
    """What a page says at its head of one file.

    Attributes
    ----------
    word : str
        FAKE, REAL, UNSURE, FAKE TRACES or "No verdict".
    kind : str
        ``fake``, ``real``, ``unsure`` or ``none``: which colour and sign it gets.
    sentence : str
        What the word means.
    why : list of str
        What speaks against a verdict, or why there is no score.
    errors : list of str
        How often the model errs, what concerns this verdict first; that the miss rate
        is unknown, where it is.
    meaning : list of str
        What its score means.
    """

    word: str
    kind: str
    sentence: str
    why: list[str]
    errors: list[str]
    meaning: list[str]


def scan_in_words(scan: dict[str, Any], thing: str = "video") -> ScanInWords:
    """Say what a scan found.

    Parameters
    ----------
    scan : dict
        As `ensemble.inspection.scan.ScanResult.to_dict` gives it.
    thing : str, default="video"
        What was looked at: "video" or "picture".

    Returns
    -------
    ScanInWords

    Examples
    --------
    >>> scan = {"verdict": "", "p_fake": None, "reason": "no face found", "card": None}
    >>> said = scan_in_words(scan)
    >>> said.word, said.sentence, said.why
    ('No verdict', 'The model could not score this video.', ['No face found.'])
    >>> said.errors[0]
    'The miss rate is unknown: this model has no record of how often it errs.'
    """
    scan = with_one_name(scan)
    verdict = scan.get("verdict") or ""
    settled = _settled(scan)
    reasons = [settled or scan.get("reason") or "", *_doubts(scan, thing)]
    # Whether the others could have scored it, nobody knows.
    status = "" if settled else scan.get("status", "")
    errors = errors_in_words(scan.get("card"), verdict, status, thing)
    if settled and (scan.get("card") or {}).get("rates"):
        errors.append(_WITH_ALL)
    return ScanInWords(
        word=verdict or "No verdict",
        kind=_KINDS.get(verdict, "none"),
        sentence=_sentence(scan, verdict, thing),
        why=[
            as_sentence(reason_in_words(reason, thing))
            for reason in dict.fromkeys(reasons)
            if reason
        ],
        errors=errors,
        meaning=_meaning(scan),
    )


def errors_in_words(
    card: dict[str, Any] | None,
    verdict: str = "",
    status: str = "",
    thing: str = "video",
) -> list[str]:
    """Say how often a model errs.

    Parameters
    ----------
    card : dict or None
        As `ensemble.verdicts.card.ModelCard.to_dict` gives it.
    verdict : str, default=""
        What concerns it comes first.
    status : str, default=""
        "partial" takes the rates of videos that not all members could score, where
        there were any.
    thing : str, default="video"
        What it is said of: "video" or "picture".

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> rates = {"n_real": 20, "n_fake": 10, "false_alarms": [0.05, 0.0, 0.2],
    ...          "misses": [0.8, 0.5, 1.0]}
    >>> for line in errors_in_words({"n_real": 20, "n_fake": 10, "rates": rates}):
    ...     print(line)
    Of 20 real videos, judged by copies of it that had not learned from them, the model
        called 5 % fake (likely 0 to 20 %).
    Of 10 fakes, judged by copies of it that had not learned from them, the model missed
        80 % (likely 50 to 100 %).
    It misses more than half of the fakes: REAL says little.
    These rates hold for videos like those. On others it may err more.
    """
    if card is not None and card.get("toy"):
        card = {**card, "toy": False}
        return [_TOY, *errors_in_words(card, verdict, status, thing)]
    if card is None:
        return [f"{_UNKNOWN}this model has no record of how often it errs."]
    if card.get("n_real", 0) + card.get("n_fake", 0) == 0:
        return [
            f"{_UNKNOWN}this model was put together without labelled videos. Nobody "
            "has measured how often it errs."
        ]
    rates = card.get("rates")
    if rates is None:
        problem = card.get("problem") or "it was not measured"
        return [f"{_UNKNOWN}{_stopped(problem)}"]
    of_status = card.get("by_status", {}).get(status)
    counted = ""
    if of_status and min(of_status["n_real"], of_status["n_fake"]) >= _ENOUGH:
        if (
            of_status["n_real"] + of_status["n_fake"]
            < rates["n_real"] + rates["n_fake"]
        ):
            counted = _COUNTED.get(status, "")
        rates = of_status
    if card.get("above_chance") is False:
        alone = [_alarms(rates, "its score alone"), _misses(rates, "its score alone")]
        return [_ALWAYS_UNSURE, *alone, *filter(None, [counted])]
    alarms, misses = [_alarms(rates)], [_misses(rates)]
    share = rates["misses"][0] if rates["n_fake"] else None
    if share is not None and share > 0.9:
        misses.append("It finds hardly any of the fakes: REAL says nothing.")
    elif share is not None and share > 0.5 and verdict != FAKE:
        misses.append("It misses more than half of the fakes: REAL says little.")
    lines = [*misses, *alarms] if verdict == REAL else [*alarms, *misses]
    if counted:
        lines.append(counted)
    lines += _wide_ranges(rates, card.get("n_groups"))
    if card.get("set_on_the_same"):
        says = TRACES if card.get("n_fake") == 0 else FAKE
        lines.append(
            f"Where it says {says} was set on these same files: on others it errs more."
        )
    if card.get("n_fake") == 0:
        lines.append("It says FAKE TRACES or UNSURE, and never that a file is real.")
    if thing == "picture":
        return [*lines, _OF_VIDEOS if learned_from_videos(card) else _PICTURE]
    return [
        *lines,
        "These rates hold for videos like those. On others it may err more.",
    ]


def grounds_in_words(
    grounds: list[str], card: dict[str, Any] | None = None
) -> list[str]:
    """Say where a model says fake, and what its score means, without its own words.

    Parameters
    ----------
    grounds : list of str
        As `ensemble.verdicts.threshold_and_prior.grounds` gives it.
    card : dict or None, default=None
        As `ensemble.verdicts.card.ModelCard.to_dict` gives it.

    Returns
    -------
    list of str

    Examples
    --------
    >>> grounds_in_words(["A video is called fake above 0.500."])
    ['A video is called fake above 0.500.']
    >>> grounds_in_words(["A video is called fake above 0.500."],
    ...                  {"above_chance": False})
    ['This model calls every file UNSURE: it is not shown to be better than chance.']
    """
    said = list(grounds)
    for pattern, words in _GROUNDS:
        said = [re.sub(pattern, words, sentence) for sentence in said]
    if said and card is not None and card.get("above_chance") is False:
        said[0] = _ALWAYS_UNSURE
    return said


def face_in_words(face: dict[str, Any], name: str, is_image: bool = False) -> str:
    """Say what a model makes of one face.

    Parameters
    ----------
    face : dict
        An item of ``faces`` of a scan.
    name : str
        What the score is called.
    is_image : bool, default=False
        Whether the file is a picture, in which nothing has a time.

    Returns
    -------
    str

    Examples
    --------
    >>> face = {"face": 1, "verdict": "FAKE", "p_fake": 0.91, "first": 0, "last": 3.5}
    >>> face_in_words(face, "P(fake)")
    'FAKE, P(fake) 0.910, seen from 0:00.0 to 0:03.5.'
    """
    said = face.get("verdict") or "No verdict"
    if face.get("p_fake") is not None:
        said += f", {name} {figure(face['p_fake'])}"
    if is_image:
        return f"{said}."
    return f"{said}, seen from {clock(face['first'])} to {clock(face['last'])}."


def figure(score: float | None, digits: int = 3) -> str:
    """Write a score from 0 to 1; one that is close to an end is not made one.

    Examples
    --------
    >>> figure(0.6983), figure(1e-9), figure(0.99999), figure(None)
    ('0.698', '< 0.001', '> 0.999', '–')
    """
    if score is None or not math.isfinite(score):
        return "\N{EN DASH}"
    if 0 < score < _SMALL:
        return "< 0.001"
    if 1 - _SMALL < score < 1:
        return "> 0.999"
    return f"{score:.{digits}f}"


def score_name(scan: dict[str, Any]) -> str:
    """What to call its score: P(fake), or just a score where that is not known.

    That of a model of reals alone is a suspicion.
    """
    card = scan.get("card") or {}
    if card.get("n_fake") == 0 and card.get("n_real"):
        return "Suspicion"
    return "Score" if scan.get("calibration") == "unknown" else "P(fake)"


def with_one_name(scan: dict[str, Any]) -> dict[str, Any]:
    """Return a scan whose score is called ``p_fake``, as pages look it up.

    Examples
    --------
    >>> with_one_name({"suspicion": 0.2})
    {'p_fake': 0.2}
    """
    return renamed(scan, SUSPICION, P_FAKE) if SUSPICION in scan else scan


def as_sentence(text: str) -> str:
    """Write a reason as a sentence.

    Examples
    --------
    >>> as_sentence("its faces disagree"), as_sentence("net gives 0.9")
    ('Its faces disagree.', 'Net gives 0.9.')
    """
    return _stopped(text[:1].upper() + text[1:])


def _stopped(text):
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def _settled(scan):
    """Say which members were asked, where they settled it without the others."""
    members = scan.get("members") or []
    left = [m["detector"] for m in members if is_not_asked(m.get("reason") or "")]
    asked = [m["detector"] for m in members if m["detector"] not in left]
    if not left:
        return ""
    by, others = " and ".join(asked), " and ".join(left)
    return f"the verdict was settled by {by}; not asked: {others}"


def _doubts(scan, thing):
    """Return what speaks against a verdict, but what the page says by itself."""
    doubts = single_doubts(scan.get("doubts") or "")
    if scan.get("faces_disagree"):  # it is said by face
        doubts = [doubt for doubt in doubts if not doubt.startswith("its faces dis")]
    members = [
        member["detector"]
        for member in scan.get("members") or []
        if needs_a_video(member.get("reason") or "")
    ]
    if thing == "picture" and members and scan.get("p_fake") is not None:
        needs = "needs" if len(members) == 1 else "need"
        said = (
            f"this is a picture, and {' and '.join(members)} {needs} a video: how "
            "often the model errs on pictures was not measured"
        )
        unscored = {
            member["detector"] for member in scan["members"] if member["p_fake"] is None
        }
        if unscored <= set(members):  # which is what it says
            doubts = [d for d in doubts if not d.startswith("no score of")]
        doubts = [d for d in doubts if not d.startswith("1 frame, in training")]
        doubts = [said, *doubts]
    return doubts


def _sentence(scan, verdict, thing):
    threshold = scan.get("threshold") or {}
    low, high = threshold.get("low"), threshold.get("high")
    score = scan.get("p_fake")
    if (
        verdict in (FAKE, REAL)
        and abs(score - (high if verdict == FAKE else low)) < _NEAR
    ):
        where, change = ("above", "less") if verdict == FAKE else ("below", "more")
        other = "the opposite" if low == high else "UNSURE"
        return (
            f"The score is hardly {where} the threshold: a little {change}, and the "
            f"model would say {other} of this {thing}."
        )
    if verdict == FAKE:
        return f"The model takes this {thing} for a fake."
    if verdict == TRACES:
        return (
            f"The model sees traces in this {thing} that it hardly ever sees in real "
            "ones. It has never seen a fake that others made."
        )
    if verdict == REAL:
        return (
            f"The model sees no sign of a fake that it knows. That does not make this "
            f"{thing} genuine."
        )
    if verdict == UNSURE:
        if not scan.get("doubts") and low is not None and low != high:
            return (
                f"The score lies between {figure(low)} and {figure(high)}, where this "
                "model decides nothing."
            )
        return f"This score is no ground for calling the {thing} real or fake."
    return f"The model could not score this {thing}."


def _meaning(scan):
    if scan.get("p_fake") is None:
        return []
    steps = [step["step"] for step in (scan.get("how") or {}).get("steps", [])]
    calibrated = any(step.startswith("calibrated") for step in steps)
    lines = ["0 is as real as can be to the model, 1 as fake as can be."]
    if score_name(scan) == "Suspicion":
        lines = ["The higher, the less it is like the real videos of training."]
    if calibrated:
        share = round(100 * scan["p_fake"])
        about = "Fewer than 1" if share < 1 else f"About {min(share, 99)}"
        lines.append(
            f"{about} of 100 files with such a score should be fake, if they are like "
            "those that the model was calibrated on"
            + (f", and {steps[-1].removeprefix(_BROUGHT)} of all files are fakes."
               if steps[-1].startswith(_BROUGHT) else ".")
        )  # fmt: skip
    grounds = grounds_in_words(scan.get("grounds") or [], scan.get("card"))
    return [*lines, *grounds[1:2], *grounds[:1]]


def _alarms(rates, who="the model"):
    if rates["false_alarms"][0] is None:
        return "How often it calls a real video fake is unknown."
    says = "fake" if rates["n_fake"] else TRACES
    called = _share(rates["false_alarms"]).replace(" %", f" % {says}", 1)
    return f"Of {rates['n_real']} real videos, {_UNSEEN}, {who} called {called}."


def _misses(rates, who="the model"):
    if not rates["n_fake"] or rates["misses"][0] is None:
        return f"{_UNKNOWN}the model was not tried on fakes."
    return (
        f"Of {rates['n_fake']} fakes, {_UNSEEN}, {who} missed "
        f"{_share(rates['misses'])}."
    )


def _wide_ranges(rates, n_groups):
    names = {"false_alarms": "real videos"}
    names |= {"misses": "fakes"} if rates["n_fake"] else {}
    wide = [name for rate, name in names.items() if _width(rates[rate]) > _WIDE]
    if not wide or not n_groups:
        return []
    what = "range of {} is" if len(wide) == 1 else "ranges of {} are"
    return [
        f"The {what.format(' and '.join(wide))} wide because so few were tried: they "
        f"are of {n_groups} people or sources in all."
    ]


def _width(rate):
    _, low, high = rate
    return 0.0 if low is None or high is None else high - low


def _share(rate):
    estimate, low, high = rate
    if low is None or high is None:
        return f"{100 * estimate:.0f} %"
    return f"{100 * estimate:.0f} % (likely {100 * low:.0f} to {100 * high:.0f} %)"
