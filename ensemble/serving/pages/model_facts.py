"""What the page of the model says of it, as pairs of a heading and a text."""

from __future__ import annotations

from typing import Any

from ensemble.serving.pages.reasons import reason_in_words
from ensemble.verdicts.card_words import left_out_in_words


def facts_in_words(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what a model learned from.

    Parameters
    ----------
    facts : dict
        As `ensemble.serving.scanning.worker.model_facts` gives it.

    Returns
    -------
    list of (str, str)

    Examples
    --------
    >>> card = {"data": "two films", "toy": True, "fitted_on": "2026-01-02",
    ...         "version": "0.1.0", "n_real": 3, "n_fake": 4, "n_groups": None,
    ...         "fitted_before": {}, "profile": None, "failed_detectors": {},
    ...         "n_skipped": 0}
    >>> for what, text in facts_in_words({"card": card, "file": {"sha256": None}}):
    ...     print(f"{what}: {text}")
    Videos: 3 real, 4 fake
    What they are: two films
    Beware: a toy that shows how things work, meant for no real video
    Made on: 2026-01-02, by deepfake-ensemble 0.1.0
    """
    card = facts["card"]
    videos = "none with labels: put together of detectors that others trained"
    if card["n_real"] + card["n_fake"]:
        videos = f"{card['n_real']:,} real, {card['n_fake']:,} fake"
        if card["n_groups"] is not None:
            videos += f", of {card['n_groups']:,} groups (people or sources)"
    rows = [("Videos", videos), ("What they are", card["data"])]
    rows.append(("Rights", card.get("rights", "")))
    if card["toy"]:
        toy = "a toy that shows how things work, meant for no real video"
        rows.append(("Beware", toy))
    rows += [
        (f"{name} learned from", "unknown data" if seen is None else ", ".join(seen))
        for name, seen in card["fitted_before"].items()
        if seen != []
    ]
    rows.append(("Left out", left_out_in_words(
        card["failed_detectors"], card["n_skipped"]).removeprefix("Left out: ")
    ))  # fmt: skip
    rows += _profile_in_words(card["profile"] or {})
    if card["fitted_on"]:
        rows.append(
            ("Made on", f"{card['fitted_on']}, by deepfake-ensemble {card['version']}")
        )
    rows.append(("SHA-256 of the file", facts["file"]["sha256"] or ""))
    return [(what, text) for what, text in rows if text]


def learned_from_videos(card: dict[str, Any]) -> bool:
    """Say whether a card tells that no training file was a single picture."""
    return ((card.get("profile") or {}).get("n_frames") or [1])[0] >= 2


def withheld_in_words(facts: dict[str, Any]) -> list[str]:
    """Say of which files a model gives no verdict, before one is sent.

    Parameters
    ----------
    facts : dict
        As `ensemble.serving.scanning.worker.model_facts` gives it.

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> card = {"n_real": 20, "n_fake": 10, "profile": {"n_frames": [30, 40, 50]}}
    >>> withheld_in_words({"card": card, "empty": {}})
    ['It learned from videos: of a single picture it gives a score, and UNSURE.']
    >>> why = "the threshold makes FAKE of nearly every video"
    >>> withheld_in_words({"card": card, "empty": {"FAKE": why}})[0]
    'It says UNSURE in place of FAKE: the threshold makes FAKE of nearly every video.'
    """
    card = facts.get("card") or {}
    if card.get("above_chance") is False:  # which says so of all
        return []
    said = []
    for verdict, why in facts.get("empty", {}).items():
        said.append(f"It says UNSURE in place of {verdict}: {reason_in_words(why)}.")
    if learned_from_videos(card):
        said.append(
            "It learned from videos: of a single picture it gives a score, and UNSURE."
        )
    return said


def in_turn_in_words(facts: dict[str, Any]) -> list[str]:
    """Say in which order members are asked, where not all are asked of each file.

    Parameters
    ----------
    facts : dict
        As `ensemble.serving.scanning.worker.model_facts` gives it.

    Returns
    -------
    list of str
        Sentences; none where all members are asked.

    Examples
    --------
    >>> in_turn_in_words({"cascade": {"problem": "", "said": ["a, then b."]}})
    ['a, then b.', 'Who was not asked stands in the table of members of each file.']
    >>> in_turn_in_words({"cascade": {"problem": "20 groups", "said": []}})
    ['All members are asked of every file: nothing is certain enough to stop before.']
    >>> in_turn_in_words({"cascade": None})
    []
    """
    in_turn = facts.get("cascade")
    if in_turn is None:
        return []
    if in_turn["problem"]:
        return [
            "All members are asked of every file: nothing is certain enough to stop "
            "before."
        ]
    said = [reason_in_words(sentence) for sentence in in_turn["said"]]
    return [*said, "Who was not asked stands in the table of members of each file."]


def _profile_in_words(profile):
    """Say what the videos are like; a video unlike them is in doubt."""
    units = {"short_side": "Shorter side", "face_side": "Side of a face",
             "seconds": "Length"}  # fmt: skip
    rows = []
    for name, what in units.items():
        if profile.get(name):
            low, middle, high = profile[name]
            unit = "seconds" if name == "seconds" else "pixels"
            digits = 1 if name == "seconds" else 0
            ends = [f"{value:.{digits}f}" for value in (low, middle, high)]
            said = f"{ends[0]} to {ends[2]} {unit}, half of them up to {ends[1]}"
            said = f"{ends[0]} {unit}" if ends[0] == ends[2] else said
            rows.append((what, said))
    return rows
