"""Makes names of files and detectors safe to show: nothing in them is markup."""

import unicodedata

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control, surrogate, ends of lines
_TURNING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def printable(text: object) -> str:
    """Return a name as text that any program can write and that stays on its line.

    Parameters
    ----------
    text : object
        Usually the name of a file, in which bytes that are no UTF-8 are surrogates.

    Returns
    -------
    str
        Control characters, marks that turn the direction of writing, and surrogates
        are replaced by their escapes.

    Examples
    --------
    >>> print(printable("one\\ntwo"), printable("caf\\udce9.mp4"))
    one\\ntwo caf\\udce9.mp4
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        repr(character)[1:-1]
        if unicodedata.category(character) in _UNPRINTABLE or character in _TURNING
        else character
        for character in text
    )


def printable_lines(text: object) -> str:
    """Return a text of several lines, such as an error, as `printable` does each.

    Parameters
    ----------
    text : object

    Returns
    -------
    str

    Examples
    --------
    >>> print(printable_lines("cannot read a\\x1b[2J.mp4:\\n  it is empty"))
    cannot read a\\x1b[2J.mp4:
      it is empty
    """
    return "\n".join(map(printable, str(text).split("\n")))


def in_plot(text: object) -> str:
    """Return a name as matplotlib draws it letter by letter, without mathematics.

    Returns
    -------
    str
        `printable`, with a backslash before each dollar sign, and a space before an
        underscore at the beginning, which would keep it out of legends.

    Examples
    --------
    >>> print(in_plot("$100_$200.mp4"))
    \\$100_\\$200.mp4
    """
    plain = printable(text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain
