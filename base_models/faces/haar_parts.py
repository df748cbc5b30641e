"""Faces, eyes, smiles and profiles by OpenCV's Haar cascades, found and drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np

from base_models.faces.face import check_frame
from base_models.faces.finders import _load_cascade, loaded
from base_models.naming import did_you_mean

CASCADES = {
    "face": "haarcascade_frontalface_default.xml",
    "eye": "haarcascade_eye.xml",
    "smile": "haarcascade_smile.xml",
    "profile": "haarcascade_profileface.xml",
}
SMILES = ("off", "in_faces", "anywhere")
# RGB, and the thickness of lines, in pixels
_GREEN, _RED, _BLUE, _THICK = (0, 255, 0), (255, 0, 0), (0, 0, 255), 3
_SURE_SMILE = 20  # neighbours: a mouth gives many hits, a shadow in a face few


@dataclass(frozen=True)
class HaarCascade:
    """Find one kind of thing in a frame by a Haar cascade.

    Parameters
    ----------
    name : str
        face (frontal), eye, smile or profile; or the path of a cascade's XML file.

    Examples
    --------
    >>> HaarCascade("face").detect(np.zeros((120, 160, 3), np.uint8))
    []
    """

    name: str

    def detect(
        self,
        frame: np.ndarray,
        scale_factor: float = 1.3,
        min_neighbors: int = 5,
        min_size: tuple[int, int] = (20, 20),
    ) -> list[tuple[int, int, int, int]]:
        """Return what is found in a frame, or in a grey image.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3) or (H, W)
            RGB or grey, uint8.
        scale_factor : float, default=1.3
            Step of the image pyramid, above 1.
        min_neighbors : int, default=5
            Overlapping hits that are one find.
        min_size : (int, int), default=(20, 20)
            Width and height, pixels: smaller ones are not looked for.

        Returns
        -------
        list of (x, y, width, height)
            Pixels, sorted.
        """
        grey = frame if frame.ndim == 2 else _grey(frame)
        file = os.fspath(self.name)
        if file in CASCADES:
            file = os.path.join(cv2.data.haarcascades, CASCADES[file])
        elif not os.path.exists(file):
            raise ValueError(
                f"name must be one of {', '.join(CASCADES)}, or a cascade's XML file; "
                f"got {file!r}{did_you_mean(file, CASCADES)}"
            )
        found = loaded.get(_load_cascade, file).detectMultiScale(
            grey,
            scaleFactor=scale_factor,
            minNeighbors=min_neighbors,
            minSize=tuple(min_size),
        )
        # Its threads give them in any order.
        return sorted(tuple(map(int, box)) for box in found)


def haar_parts(
    frame: np.ndarray,
    scale_factor: float = 1.3,
    min_neighbors: int = 5,
    min_size: tuple[int, int] = (50, 50),
    smiles: str = "off",
) -> dict[str, list[tuple[int, int, int, int]]]:
    """Find frontal faces, eyes, smiles and profiles in a frame.

    Haar cascades miss faces that are turned, and dark ones.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    scale_factor, min_neighbors, min_size
        As for `HaarCascade.detect`; eyes may be half as large.
    smiles : {"off", "in_faces", "anywhere"}, default="off"
        The cascade for smiles sees many that are none. ``in_faces`` looks at the lower
        half of frontal faces alone, where a mouth gives many hits.

    Returns
    -------
    dict of list of (x, y, width, height)
        By ``face``, ``eye``, ``smile``, ``profile``.

    Examples
    --------
    >>> haar_parts(np.zeros((120, 160, 3), np.uint8))
    {'face': [], 'eye': [], 'smile': [], 'profile': []}
    """
    if smiles not in SMILES:
        raise ValueError(f"smiles must be one of {SMILES}; got {smiles!r}")
    grey = _grey(frame)
    how = (scale_factor, min_neighbors)
    half = (min_size[0] // 2, min_size[1] // 2)
    parts = {
        "face": HaarCascade("face").detect(grey, *how, min_size),
        "eye": HaarCascade("eye").detect(grey, *how, half),
        "smile": [],
        "profile": HaarCascade("profile").detect(grey, *how, min_size),
    }
    if smiles == "anywhere":
        parts["smile"] = HaarCascade("smile").detect(grey, *how, min_size)
    elif smiles == "in_faces":
        for x, y, width, height in parts["face"]:
            top = y + height // 2
            lower = np.ascontiguousarray(grey[top : y + height, x : x + width])
            found = HaarCascade("smile").detect(lower, 1.1, _SURE_SMILE, half)
            parts["smile"] += [(x + a, top + b, w, h) for a, b, w, h in found[:1]]
    return parts


def draw_haar_parts(
    frame: np.ndarray, parts: dict[str, list[tuple[int, int, int, int]]]
) -> np.ndarray:
    """Draw what `haar_parts` found: faces green, eyes and smiles red, profiles blue.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    parts : dict of list of (x, y, width, height)

    Returns
    -------
    ndarray of shape (H, W, 3)
        A copy: rectangles, and a circle for each eye.

    Examples
    --------
    >>> frame = np.zeros((40, 40, 3), np.uint8)
    >>> draw_haar_parts(frame, {"face": [(9, 9, 9, 9)]})[9, 9].tolist()
    [0, 255, 0]
    """
    image = np.array(frame)
    thick = max(1, round(_THICK * max(image.shape[:2]) / 640))
    for x, y, width, height in parts.get("eye", []):
        centre = int(x + width / 2), int(y + height / 2)
        cv2.circle(image, centre, int((width + height) / 4), _RED, thick)
    for name, colour in (("smile", _RED), ("profile", _BLUE), ("face", _GREEN)):
        for x, y, width, height in parts.get(name, []):
            cv2.rectangle(image, (x, y), (x + width, y + height), colour, thick)
    return image


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(check_frame(frame), cv2.COLOR_RGB2GRAY)
