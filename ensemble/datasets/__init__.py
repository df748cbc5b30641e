"""Data sets of videos and labels: read from disk, or forged on the spot."""

from ensemble.datasets.forge import Forgeries, make_forgeries
from ensemble.datasets.labelled import LabelledVideos, read_videos

__all__ = ["Forgeries", "LabelledVideos", "make_forgeries", "read_videos"]
