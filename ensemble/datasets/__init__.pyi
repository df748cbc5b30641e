from .exploring.explore import Exploration as Exploration, explore as explore
from .exploring.leak_hints import leak_hints as leak_hints
from .forge.dataset import forge_dataset as forge_dataset
from .forge.make import make_forgeries as make_forgeries
from .indexing.index import index_videos as index_videos
from .indexing.leaks import find_duplicates as find_duplicates
from .kinds.base import LabelledVideos as LabelledVideos
from .loading import load_dataset as load_dataset, read_videos as read_videos
from .prepare import prepare_dataset as prepare_dataset
from .video_table import VideoTable as VideoTable
