from .forge.make import make_forgeries as make_forgeries
from .kinds.base import LabelledVideos as LabelledVideos
from .loading import load_dataset as load_dataset, read_videos as read_videos
from .prepare import prepare_dataset as prepare_dataset
from .video_table import VideoTable as VideoTable
