"""Pages that are one HTML file: nothing is loaded, no script runs."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from base_models.addresses import remote_address
from base_models.runtime.file_writing import write_text
from ensemble.reporting.outputs import check_ending
from ensemble.reporting.plain_text import printable

_THUMBNAIL = (192, 144)  # at most, in pixels
_NONE = "\N{EN DASH}"


def write_page(template: str, content: dict[Any, Any], path: str | Path) -> Path:
    """Fill in a template of this package and write it.

    Parameters
    ----------
    template : str
        File in ``ensemble/reporting/templates``.
    content : dict
        What it shows; text is escaped.
    path : str or Path
        Folders that are missing are made.

    Raises
    ------
    ImportError
        If jinja2 is not installed.
    OutputError
        If the name is that of a table, a model or another kind of file.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError(
            "pages need jinja2: pip install 'deepfake-ensemble[report]'"
        ) from error
    check_ending(path, "html")
    templates = Environment(
        loader=PackageLoader("ensemble", "reporting/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_writable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"figure": _figure, "ahead": _ahead, "p": _p}
    text = templates.get_template(template).render(content)
    write_text(path, text)
    return Path(path)


def image_url(image: np.ndarray, largest: Any = _THUMBNAIL, quality: int = 80) -> str:
    """Return an image as a data URL, shrunk where it is too large.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3)
        RGB uint8.
    largest : (int, int), default=(192, 144)
        Width and height that it may have, pixels.
    quality : int, default=80
        Of the JPEG.

    Examples
    --------
    >>> image_url(np.zeros((90, 60, 3), np.uint8))[:27]
    'data:image/jpeg;base64,/9j/'
    """
    from PIL import Image

    image = Image.fromarray(image)
    image.thumbnail(largest)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnail(video: str | Path | np.ndarray) -> str | None:
    """Return the middle frame as a data URL; None where there is no video to read.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    """
    from base_models.errors import VideoReadError
    from base_models.video.reading import sample_frames

    if not isinstance(video, np.ndarray):
        try:
            if not (Path(str(video)).exists() or remote_address(str(video))):
                return None
        except OSError:  # an id too long for a file name
            return None
    try:
        return image_url(sample_frames(video, 1)[0])
    except VideoReadError:
        return None


def _writable(value):
    """Escape what no HTML file can hold, as in names that are no UTF-8; keep lines."""
    if type(value) is not str:  # a number, or markup of our own
        return value
    return "\n".join(map(printable, value.split("\n")))


def _figure(value, digits=4):
    return _NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _ahead(value, digits=4):
    if value is None or not math.isfinite(value):
        return _NONE
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def _p(value):
    if value is None or math.isnan(value):
        return _NONE
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
