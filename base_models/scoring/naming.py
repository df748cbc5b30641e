"""The names of detectors, one for each."""

from collections.abc import Sequence


def name_detectors(detectors: Sequence | dict) -> list[tuple]:
    """Return detectors as (name, detector) pairs with names that differ.

    Parameters
    ----------
    detectors : sequence of detectors, of (name, detector) pairs, or dict
        A detector without a name is called what it calls itself:
        ``<backbone>_<view>``, or its class in lower case.

    Returns
    -------
    list of (str, detector)

    Examples
    --------
    >>> from base_models import FrameDetector
    >>> from base_models.scoring import name_detectors
    >>> [name for name, _ in name_detectors([FrameDetector("resnet18")])]
    ['resnet18_face']
    """
    if isinstance(detectors, dict):
        return list(detectors.items())
    if not isinstance(detectors, (list, tuple)):
        raise TypeError(
            "detectors must be a list of detectors, a list of (name, detector) pairs "
            f"or a dict; got {type(detectors).__name__}"
        )
    named = []
    for detector in detectors:
        name = None
        if isinstance(detector, tuple):
            name, detector = detector
        if not hasattr(detector, "predict_proba"):
            raise TypeError(
                f"a detector needs fit and predict_proba; got {type(detector).__name__}"
            )
        if name is None:
            class_name = type(detector).__name__.lower()
            name = getattr(detector, "default_name", class_name)
            taken = {other for other, _ in named}
            number = 2
            first = name
            while name in taken:
                name, number = f"{first}_{number}", number + 1
        named.append((name, detector))
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"detectors must have different names; {twice[0]!r} is twice")
    return named
