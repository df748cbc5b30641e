from .naming import name_detectors as name_detectors
from .sharing import walk_videos as walk_videos
from .together import (
    iter_scores as iter_scores,
    score_videos as score_videos,
)
