"""Templates of the pages: text is escaped, figures are written alike everywhere."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from base_models.runtime.caches import cached
from ensemble._version import __version__
from ensemble.reporting.plain_text import printable
from ensemble.serving.pages.in_words import as_sentence, figure
from ensemble.serving.pages.reasons import clock, reason_in_words

_NONE = "\N{EN DASH}"


def render(template: str, **content: Any) -> str:
    """Fill in a template of this folder.

    Parameters
    ----------
    template : str
    **content
        What it shows; text is escaped, and names stay on their line.

    Examples
    --------
    >>> text = render("message.html", here="", kept="1 hour after",
    ...               problem={"title": "<Gone>", "detail": "It was deleted."})
    >>> "<h1>&lt;Gone&gt;</h1>" in text
    True
    """
    return _templates().get_template(template).render(version=__version__, **content)


def plural(n: float, unit: str) -> str:
    """Write a number of things.

    Examples
    --------
    >>> plural(1, "hour"), plural(1.5, "hour")
    ('1 hour', '1.5 hours')
    """
    return f"{n:.3g} {unit}{'' if n == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a duration in the largest unit that it fills.

    Examples
    --------
    >>> duration(3600), duration(90), duration(2)
    ('1 hour', '1.5 minutes', '2 seconds')
    """
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return plural(seconds / size, unit)
    return plural(seconds, "second")


def breakable(name: str) -> Markup:
    """Let a long name break behind its separators, and not within a word.

    Examples
    --------
    >>> breakable("a_b<c>.mp4")
    Markup('a_<wbr>b&lt;c&gt;.<wbr>mp4')
    """
    parts = re.split(r"(?<=[_.-])(?=[^_.-])", str(_writable(name)))
    return Markup("<wbr>").join(escape(part) for part in parts)


@cached(maxsize=1)
def _templates():
    templates = Environment(
        loader=PackageLoader("ensemble", "serving/pages/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_writable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "breakable": breakable,
        "clock": clock,
        "interval": _interval,
        "percent": _percent,
        "reason": _reason,
        "score": figure,
        "sentence": as_sentence,
    }
    return templates


def _writable(value):
    """Escape what no HTML file can hold, as in names that are no UTF-8.

    A number and its sign stay on one line.
    """
    if isinstance(value, Markup) or type(value) is not str:
        return value
    text = "\n".join(map(printable, value.split("\n")))
    return re.sub(r"(\d) %", "\\1\N{NO-BREAK SPACE}%", text)


def _reason(text, thing="video"):
    return as_sentence(reason_in_words(text, thing))


def _percent(share):
    return "unknown" if share is None else f"{100 * share:.0f} %"


def _interval(rate):
    _, low, high = rate
    if low is None or high is None:
        return _NONE
    return f"{100 * low:.0f} to {100 * high:.0f} %"
