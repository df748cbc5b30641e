from .forge.make import make_forgeries as make_forgeries
from .registry import read_videos as read_videos
