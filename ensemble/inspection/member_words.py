"""What each member of an ensemble looks at, in words of people who do not program."""

from __future__ import annotations

from typing import Any

_VIEWS = {"face": "faces", "frame": "whole pictures", "crop": "the middle of pictures"}
# Of those that do not take the largest face, whose score is not of one for its size.
NOT_THE_LARGEST = {"all": "all faces", "first": "the first face found in each picture"}
# By the name of a class, or of one that it is made from; the first that fits is taken.
_KINDS = {
    "FlickerDetector": "what changes in {view} from one picture to the next",
    "FrequencyDetector": "the fine grain and the noise of {view}",
    "GeometryDetector": "how the points of a face move, and whether it stays the same",
    "FeaturePathDetector": "how smoothly {view} change over time",
    "LSTMDetector": "{view} in the order in which they come",
    "CompressionRouter": "{view}, as one of several networks by how the file is "
    "compressed",
}


def looks_at(member: Any) -> str:
    """Say what a member of an ensemble looks at.

    Parameters
    ----------
    member : VideoDetector or list of VideoDetector
        Fitted or not; a list holds several fits of one.

    Returns
    -------
    str
        Empty where that is not known, as of a function.

    Examples
    --------
    >>> from base_models import FlickerDetector, FrameDetector
    >>> looks_at(FrameDetector("xception", view="face"))
    'faces, each by itself (network: xception)'
    >>> looks_at(FlickerDetector())
    'what changes in faces from one picture to the next'
    >>> looks_at(FrameDetector("xception", view="face", faces="all"))
    'all faces, each by itself (network: xception)'
    >>> looks_at(print)
    ''
    """
    first = member[0] if isinstance(member, list) and member else member
    view = _VIEWS.get(str(getattr(first, "view", "")), "")
    if view == _VIEWS["face"]:
        view = NOT_THE_LARGEST.get(getattr(first, "faces", ""), view)
    names = [of.__name__ for of in type(first).__mro__]
    for name, words in _KINDS.items():
        if name in names:
            return words.format(view=view or "pictures") + _network(first)
    if not view:
        return ""
    return f"{view}, each by itself{_network(first)}"


def _network(member):
    """Name the network of a member, where it has one by name."""
    backbone = getattr(member, "backbone", "")
    if not isinstance(backbone, str) or not backbone:
        card = getattr(member, "card_", None) or {}
        backbone = str(card.get("backbone") or "")
    return f" (network: {backbone})" if backbone else ""
