"""What stands for code, versions and classes in the keys of a store."""

import inspect

_OURS = ("base_models", "ensemble")


def is_own(thing):
    """Return whether a class, a function or an object of a class is this project's.

    Parameters
    ----------
    thing : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from base_models import Augmentation
    >>> from base_models.keys import is_own
    >>> is_own(Augmentation()), is_own(Augmentation), is_own(len)
    (True, True, False)
    """
    named = inspect.isclass(thing) or inspect.isroutine(thing)
    module = getattr(thing if named else type(thing), "__module__", None) or ""
    return module.partition(".")[0] in _OURS
