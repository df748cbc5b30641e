from .files import read_videos as read_videos
from .forge.make import make_forgeries as make_forgeries
