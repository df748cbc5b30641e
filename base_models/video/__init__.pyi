from .paths import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    VIDEO_SUFFIXES as VIDEO_SUFFIXES,
    list_videos as list_videos,
    video_digest as video_digest,
    video_id as video_id,
)
from .reading import (
    SampledFrames as SampledFrames,
    VideoInfo as VideoInfo,
    VideoReadError as VideoReadError,
    iter_frames as iter_frames,
    probe_video as probe_video,
    sample_clips as sample_clips,
    sample_frames as sample_frames,
)
from .sampling import sample_indices as sample_indices
from .writing import write_video as write_video
