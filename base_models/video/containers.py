"""Which kinds of files are opened as videos: those that hold the pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av

from base_models.errors import VideoReadError
from base_models.video.paths import IMAGE_SUFFIXES

# FFmpeg also opens playlists, manifests and session descriptions (hls, dash, concat,
# sdp, image2, ...), which lead to other files and to the network: they are not here.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,"
    "asf,asf_o,mxf,nut,rm,dv,wtv,amv,ivf,yuv4mpegpipe,gif,apng,webp,"
    "m4v,h261,h263,h264,hevc,vvc,av1,obu,vc1,mjpeg,"
    "png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}

# By its name FFmpeg may take an image for one of a series, so the kind is given.
_IMAGES = {
    rb"\xff\xd8\xff": "jpeg_pipe",
    rb"\x89PNG\r\n\x1a\n.*acTL": "apng",
    rb"\x89PNG\r\n\x1a\n": "png_pipe",
    rb"BM": "bmp_pipe",
    rb"RIFF....WEBP": "webp_pipe",
    rb"II\*\0|MM\0\*": "tiff_pipe",
}
_LEADS_ELSEWHERE = {  # how the text begins: what it is
    rb"#EXTM3U": "an HLS playlist",
    rb"ffconcat version": "a list of files for FFmpeg to join",
    rb"v=0\r?\n": "a session description (SDP)",
    rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<MPD\b": "a DASH manifest",
    rb"(<\?xml[^>]*>\s*)?<SmoothStreamingMedia": "a Smooth Streaming manifest",
    rb"(?i)(<\?xml[^>]*>\s*)?<(playlist|asx|smil)\b": "a playlist",
    rb"(?i)\[playlist\]": "a playlist",
    rb"(?i)\[InternetShortcut\]": "an internet shortcut",
}
_BEGINNING = 4096  # bytes


def open_container(path: str | Path) -> Any:
    """Open a video file for reading; nothing but that file is opened.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    av.container.InputContainer

    Raises
    ------
    VideoReadError
        If it is of a kind that leads to other files, or cannot be opened.
    """
    path, kind = Path(path), None
    if path.suffix.lower() in IMAGE_SUFFIXES:
        kind = _matching(_IMAGES, _beginning(path))
    try:
        return av.open(
            f"file:{path.resolve()}",
            format=kind,
            metadata_errors="replace",
            container_options=_OPTIONS,
        )
    except av.FFmpegError as error:
        text = _beginning(path).removeprefix(b"\xef\xbb\xbf").lstrip()
        found = _matching(_LEADS_ELSEWHERE, text)
        if found:
            raise VideoReadError(
                path,
                f"it is {found}, which leads to other files, and not a video",
                "give the video that it leads to, as a file",
            ) from error
        if error.errno == 22:  # of the formats that FFmpeg knows, not one of ours
            raise VideoReadError(
                path,
                "it is of no kind of file that is read as a video (such as MP4, MOV, "
                "Matroska, WebM, AVI, MPEG, FLV)",
                "convert it to MP4",
            ) from error
        raise VideoReadError(path, f"it cannot be opened ({error.strerror})") from error


def _beginning(path):
    try:
        with open(path, "rb") as file:
            return file.read(_BEGINNING)
    except OSError:
        return b""


def _matching(patterns, content):
    for pattern, found in patterns.items():
        if re.match(pattern, content, re.DOTALL):
            return found
    return None
