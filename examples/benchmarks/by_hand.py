"""What people write without a library: decode, dlib, Pillow, one detector at a time."""

import cv2
import dlib
import numpy as np
from PIL import Image

from base_models.faces import face_square


def read_frames(video, n_frames):
    """Frames spread over a video, by OpenCV, which reads on to each of them.

    Parameters
    ----------
    video : str or Path
    n_frames : int

    Returns
    -------
    list of ndarray of shape (H, W, 3)
        RGB uint8.
    """
    capture = cv2.VideoCapture(str(video))
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(np.linspace(0, total - 1, n_frames).round().astype(int).tolist())
    frames = []
    for index in range(total):
        found, frame = capture.read()
        if not found:
            break
        if index in wanted:
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    capture.release()
    return frames


def crop_by_dlib(frame, finder):
    """Cut out the first face that dlib's HOG sees in a frame, enlarged once.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
    finder : dlib.fhog_object_detector

    Returns
    -------
    ndarray or None
        None where it sees none.
    """
    for box in finder(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 1):
        edges = box.left(), box.top(), box.right(), box.bottom()
        x, y, side = face_square(edges, frame.shape[1], frame.shape[0])
        return frame[y : y + side, x : x + side]
    return None


def view_images(frames, view, finder):
    """The frames as they are, or their faces.

    Parameters
    ----------
    frames : list of ndarray
    view : {"frame", "face"}
    finder : dlib.fhog_object_detector

    Returns
    -------
    list of ndarray
    """
    if view == "frame":
        return frames
    crops = [crop_by_dlib(frame, finder) for frame in frames]
    return [crop for crop in crops if crop is not None]


def resized(image, size):
    """An image as a square of some pixels, by Pillow."""
    image = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def hog():
    """dlib's frontal face detector."""
    return dlib.get_frontal_face_detector()
