"""Names of weights in checkpoints of the field, as timm has them."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import torch

from base_models.addresses import printable
from base_models.errors import CheckpointError, DeepfakeEnsembleWarning

HEADS = ("last_linear.1", "last_linear", "fc.1", "fc", "classifier.1", "classifier")
HEADS += ("head.fc", "head", "last_layer", "logits")
_FEW = 6  # weights: names of smaller networks are anywhere
_MOST_PREFIXES, _MOST_PARTS, _LONGEST = 10, 30, 1000  # of a name; hostile have any

# Of wrappers. What lies beside them in a state is no part of the network's body.
_PREFIXES = ("module.", "model.", "backbone.")
# Words that a network may use for a part of itself too: taken off where most have them.
_LIKELY = ("encoder.", "net.", "network.", "efficientnet.", "xception.", "_orig_mod.")

# efficientnet_pytorch (Melas-Kyriazi, 2019) -> timm, of its blocks that expand and of
# those that do not.
_OUTER = {
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
    "_fc": "classifier",
}  # fmt: skip
_EXPANDING = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
    "_bn1": "bn2", "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_PLAIN = {
    "_depthwise_conv": "conv_dw", "_bn1": "bn1", "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand", "_project_conv": "conv_pw", "_bn2": "bn2",
}  # fmt: skip
# Width of the last convolution -> variant, and the blocks of its seven stages.
_EFFICIENTNETS = {
    (1280, 16): (0, (1, 2, 2, 3, 3, 4, 1)),
    (1280, 23): (1, (2, 3, 3, 4, 4, 5, 2)),
    (1408, 23): (2, (2, 3, 3, 4, 4, 5, 2)),
    (1536, 26): (3, (2, 3, 3, 5, 5, 6, 2)),
    (1792, 32): (4, (2, 4, 4, 6, 6, 8, 2)),
    (2048, 39): (5, (3, 5, 5, 7, 7, 9, 3)),
    (2304, 45): (6, (3, 6, 6, 8, 8, 11, 3)),
    (2560, 55): (7, (4, 7, 7, 10, 10, 13, 4)),
}


def without_prefixes(state: dict) -> list[dict]:
    """Return a state dict as it was given, and with each prefix less that all can miss.

    Parameters
    ----------
    state : dict of str to Tensor

    Returns
    -------
    list of dict
        The first is the whole; the last has no prefix of a wrapper any more, and
        nothing of what lay outside of it.

    Examples
    --------
    >>> from base_models.networks.checkpoint_names import without_prefixes
    >>> without_prefixes({"module.net.conv.weight": 0, "module.fc.weight": 0})[-1]
    {'net.conv.weight': 0, 'fc.weight': 0}
    >>> state = {"encoder.conv.weight": 0, "encoder.conv.bias": 0, "fc.weight": 0}
    >>> without_prefixes(state)[-1]
    {'conv.weight': 0, 'conv.bias': 0}
    """
    levels = [state]
    while len(levels) <= _MOST_PREFIXES:
        names = levels[-1]
        for prefix in (*_PREFIXES, *_LIKELY):
            inside = [name for name in names if name.startswith(prefix)]
            enough = len(names) / 2 if prefix in _LIKELY else 0
            if len(inside) > enough:
                levels.append({name[len(prefix) :]: names[name] for name in inside})
                break
        else:
            break
    return levels


def several_networks(
    source: str | PathLike, where: Iterable[str], what: str = "networks"
) -> CheckpointError:
    """Return the error of a file in which nobody can tell which network is meant.

    Parameters
    ----------
    source : str or Path
    where : iterable of str
        Their names in it.
    what : str, default="networks"
    """
    names = ", ".join(repr(name) if name else "without a prefix" for name in where)
    return CheckpointError(
        f"{source} holds several {what} ({names}); save the one that is meant by itself"
    )


def warn_of_averages(
    state: Mapping[Any, Any], taken: str, source: str | PathLike
) -> None:
    """Say that weights of the same names lie beside those taken, such as an average.

    Parameters
    ----------
    state : mapping
        What a checkpoint holds.
    taken : str
        Which part of it is taken.
    source : str or PathLike
        The file.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warn_of_averages({"model": {"w": 1}, "ema": {"w": 2}}, "model", "a.pth")
    >>> print(str(said[0].message).partition(". ")[0])
    a.pth holds several weights of one network; 'model' is taken and not 'ema'
    """
    if not isinstance(state[taken], dict):
        return
    names = state[taken].keys()
    others = [
        repr(name)
        for name, thing in state.items()
        if name != taken and isinstance(thing, dict) and thing.keys() == names
    ]
    if others:
        warnings.warn(
            f"{source} holds several weights of one network; {taken!r} is taken and "
            f"not {printable(', '.join(others))[:200]}. Save the others by themselves "
            "to take those, a moving average for instance",
            DeepfakeEnsembleWarning,
            stacklevel=2,
        )


def check_one_network(state: dict, source: str | PathLike) -> None:
    """Refuse a state with two networks, of which nobody can tell which is meant.

    Parameters
    ----------
    state : dict of str to Tensor
        With all of its prefixes.
    source : str or Path
        For error messages.

    Raises
    ------
    CheckpointError

    Examples
    --------
    >>> from base_models.networks.checkpoint_names import check_one_network
    >>> own = {f"conv{number}.weight": 0 for number in range(6)}
    >>> check_one_network({f"model.{name}": 0 for name in own}, "a.pth")
    >>> check_one_network({**own, **{f"ema.{name}": 0 for name in own}}, "a.pth")
    Traceback (most recent call last):
    base_models.errors.CheckpointError: a.pth holds several networks (without a ...
    """
    names = without_prefixes(state)[-1].keys()
    if len(names) < _FEW:
        return
    found: Counter = Counter()
    for name in state:
        parts = name[:_LONGEST].split(".", _MOST_PARTS)
        for at in range(len(parts)):
            if ".".join(parts[at:]) in names:
                found["".join(f"{part}." for part in parts[:at])] += 1
    whole = [prefix for prefix, n in found.items() if 2 * n >= len(names)]
    if len(whole) > 1:
        raise several_networks(source, whole)


def heads_of(
    levels: Sequence[dict], n_features: int, source: str | PathLike
) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """List the classifiers of a state: name, weight and bias, first the one that fits.

    A classifier outside of a prefix goes before one within it, which is of the network
    that the other was put on.

    Parameters
    ----------
    levels : sequence of dict
        As `without_prefixes` gives them.
    n_features : int
        What one must take in.
    source : str or Path
        For error messages.

    Raises
    ------
    CheckpointError
        If two that differ fit in one place.
    """
    found, shapes = [], ((2, n_features), (1, n_features))
    for level in levels:
        heads = [head for name in HEADS for head in _head(level, name)]
        fits = [head for head in heads if tuple(head[1].shape) in shapes]
        others = [head for head in fits[1:] if not _same(head, fits[0])]
        if others:
            raise several_networks(source, [fits[0][0], others[0][0]], "classifiers")
        if fits:
            return fits[:1]
        found += heads
    return found


def _head(state, name):
    weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
    if weight is None or bias is None:
        return []
    if weight.ndim == 4 and weight.shape[2:] == (1, 1):  # a 1x1 convolution
        weight = weight[:, :, 0, 0]
    return [(name, weight, bias)] if weight.ndim == 2 else []


def _same(one, other):
    return all(
        mine.shape == its.shape and bool((mine.double() == its.double()).all())
        for mine, its in zip(one[1:], other[1:], strict=True)
    )


def timm_names(state: dict, source: str | PathLike = "the state") -> dict:
    """Return a state dict of efficientnet_pytorch under timm's names; others as is.

    Parameters
    ----------
    state : dict of str to Tensor
        Without prefixes.
    source : str or Path
        For error messages.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    CheckpointError
        If it is of an EfficientNet that was changed.
    """
    if "_conv_stem.weight" not in state:
        return state
    width, n_blocks = _size(state, "_conv_head.weight", r"_blocks\.(\d+)\.")
    if (width, n_blocks) not in _EFFICIENTNETS:
        raise CheckpointError(
            f"{source} has the names of efficientnet_pytorch, but {n_blocks} blocks "
            f"and {width} features are of none from b0 to b7; convert it to a network "
            "of timm's, or score with your own code in a CallableDetector"
        )
    _, stages = _EFFICIENTNETS[width, n_blocks]
    places = [(stage, at) for stage, n in enumerate(stages) for at in range(n)]
    renamed = {}
    for name, value in state.items():
        new = _renamed(name, places, state)
        if new is None:
            raise CheckpointError(
                f"{source} has the names of efficientnet_pytorch and {name!r} beside, "
                "which no EfficientNet has; without it the scores would be others. "
                "Score with your own code in a CallableDetector"
            )
        renamed[new] = value
    return renamed


def efficientnet_of(state: dict, source: str | PathLike) -> str | None:
    """Tell which EfficientNet a state dict is of, by its size; None if of none.

    Parameters
    ----------
    state : dict of str to Tensor
        Without prefixes, as `without_prefixes` gives it last.
    source : str or Path
        The file, whose name may say more.

    Returns
    -------
    str or None

    Raises
    ------
    CheckpointError
        If it has timm's names, by which TensorFlow's padding cannot be told from
        PyTorch's.
    """
    if "_conv_stem.weight" in state:
        size = _size(state, "_conv_head.weight", r"_blocks\.(\d+)\.")
        return (
            f"efficientnet_b{_EFFICIENTNETS[size][0]}"
            if size in _EFFICIENTNETS
            else None
        )
    if not {"conv_stem.weight", "conv_head.weight"} <= state.keys():
        return None
    size = _size(state, "conv_head.weight", r"blocks\.(\d+\.\d+)\.")
    if size not in _EFFICIENTNETS or "blocks.0.0.se.conv_reduce.weight" not in state:
        return None
    variant = f"efficientnet_b{_EFFICIENTNETS[size][0]}"
    if f"tf_{variant}" in str(source):
        return f"tf_{variant}"
    raise CheckpointError(
        f"{source} is of an EfficientNet-B{variant[-1]}; whether it pads images as "
        "TensorFlow does cannot be told from its weights. Give "
        f"backbone='tf_{variant}' if it was made so in timm (as most were), or "
        f"backbone='{variant}.ra_in1k' or its like for timm's own"
    )


def _size(state, last, block):
    """Width of the last convolution and the number of blocks."""
    blocks = {found[1] for name in state if (found := re.match(block, name))}
    width = state[last].shape[0] if last in state else 0
    return int(width), len(blocks)


def _renamed(name, places, state):
    part, _, kind = name.rpartition(".")
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", part)
    if found is None:
        return f"{_OUTER[part]}.{kind}" if part in _OUTER else None
    number = int(found[1])
    expands = f"_blocks.{number}._expand_conv.weight" in state
    names = _EXPANDING if expands else _PLAIN
    if found[2] not in names or number >= len(places):
        return None
    stage, at = places[number]
    return f"blocks.{stage}.{at}.{names[found[2]]}.{kind}"
