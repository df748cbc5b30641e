from .naming import name_detectors as name_detectors
from .together import (
    iter_scores as iter_scores,
    score_videos as score_videos,
    walk_videos as walk_videos,
)
