"""Data sets of videos and labels: read from disk, or forged on the spot."""

from ensemble.datasets.forge import make_forgeries
from ensemble.datasets.labelled import LabelledVideos, read_videos

__all__ = ["LabelledVideos", "make_forgeries", "read_videos"]
