"""Why a file has no score or a doubtful one, and what to do, for people who send it."""

from __future__ import annotations

import mimetypes
import re

# Words of the library, and words for people who do not program.
_WORDS = (
    (r"it cannot be read as a video or an image: it cannot be opened( \([^()]*\))?",
     "it cannot be read as a video or as a picture"),
    (r"cannot be opened \([^()]*\)", "cannot be opened"),
    (r"no score of (.+?), and none of (\d+) out-of-fold videos lacked it",
     r"\1 could not score it, and could score all \2 videos that the model was tried "
     "on: how often it errs without is not known"),
    (r"no score of (.+?), and only (\d+) of (\d+) out-of-fold videos lacked it",
     r"\1 could not score it; of the \3 videos that the model was tried on, only \2 "
     "were like that: how often it errs there is not known"),
    (r"the model is not shown to beat chance out of fold \(AUC .*\)",
     "on the videos that it was tried on, the model was not shown to tell fakes from "
     "real ones better than chance"),
    (r"members disagree \((.+?) ([\d.]+), (.+?) ([\d.]+): .*\)",
     r"its members are further apart (\1 says \2, \3 says \4) than they were on "
     "nearly all videos that the model was tried on"),
    (r"(.+?) gives ([\d.]+), out of fold ([\d.]+) to ([\d.]+)",
     r"\1 says \2, and said \3 to \4 of the videos that the model was tried on: it has "
     "seen nothing like this"),
    (r"(shorter side of the frame|side of the face) (\d+) pixels, in training (.+)",
     r"the \1 has \2 pixels, and \3 in the videos that the model learned from: on "
     "others it may err more"),
    (r"the model learned from this video: .+ for a verdict",
     "the model was trained with this very file and knows its answer: what it says of "
     "it shows nothing"),
    (r"the threshold makes (FAKE|REAL) of nearly every video \(out of fold of",
     r"the threshold makes \1 of nearly every video (of those that the model had not "
     "learned from, of"),
    (r"it was looked at every (\d+) s, and training videos last up to ([\d.]+) s",
     r"it was looked at every \1 seconds, and what the model learned from lasts up to "
     r"\2 seconds"),
    (r"(\d+ frames?), in training (.+)",
     r"it has \1, and \2 in the videos that the model learned from: so few say little"),
    (r"codec (\w+), in training (.+)",
     r"it is stored as \1, and what the model learned from as \2: on others it may err "
     "more"),
    (r"quantiser -?\d+, in training .+",
     "it is compressed more or less than what the model learned from: it may err more"),
    (r"it has [\d,]+ of [\d,]+ bytes, and ([\d,]+) of ([\d,]+) frames",
     r"only \1 of its \2 frames are there"),
    (r"it has [\d,]+ of [\d,]+ bytes", "a part of it is missing"),
    (r"out-of-fold videos", "videos that it was tried on"),
    (r"it cannot be read as a video or an image: (?=reading it takes|the \w+ has)", ""),
    (r"an error of the server \(\w+\)", "an error of the server"),
    (r"^[A-Z]\w*(Error|Exception|Parameter|Warning): ", ""),
    (r"; lower min_face or drop the (video|picture)", ""),
    (r"a face of like size, seen from ([\d.]+) to ([\d.]+) s, was looked at by no "
     "detector of faces",
     lambda found: f"a face of like size, seen from {clock(float(found[1]))} to "
     f"{clock(float(found[2]))}, was not scored as a face"),
    (r"\b1 frames\b", "1 frame"),
    (r"\b(\d{1,3}),\d{3},\d{3}\b", r"\1 million"),  # of pixels or bytes
)  # fmt: skip
_OF_A_PICTURE = (
    (r"\bthe video and following its faces\b", "the picture and finding its faces"),
    (r"\beach face and frame\b", "each face"),
    (r"\bthe video\b", "the picture"),
    (r"1 frame, in training .+",
     "it is a picture, and the model learned from videos: how often it errs on "
     "pictures was not measured"),
    (r"\d+ frames?, and it takes (\d+) in a row",
     r"a member that looks at \1 frames in a row needs a video"),
    (r"no face found \(\d+ frames? tried\)", "no face found"),
    (r"\bthe image\b", "the picture"),
)  # fmt: skip
_IN_A_ROW = re.compile(r"\d+ frames?, and it takes \d+ in a row")
_PICTURES = {".heic", ".heif", ".avif", ".dng", ".raw", ".cr2", ".nef", ".arw", ".svg"}

# What to do where a file could not be looked at: words of the reason, and advice by
# what it is. The first that fits is taken.
_FACE = (
    "in which a face is seen from the front, large and sharp enough. A model that "
    "looks at faces alone can say nothing of others."
)
_SMALLER = "Send a smaller copy, for instance of 1,280 x 720 pixels"
_ADVICE = (
    (r"address could not be fetched",
     "Open the address in a browser, save the file itself, and send that. The page "
     "that a video is shown on is no video."),
    (r"takes? longer|took longer|took too long|more time|seconds allowed",
     "Cut the part that matters out of it, and send that: a minute is plenty. Or ask "
     "whoever runs this server to allow more time."),
    (r"files are gone|file is gone|disk of the server was full",
     "Send the file once more. If it happens again, tell whoever runs this server."),
    (r"\bempty\b|0 bytes",
     "Get it once more from where it came from, and send that."),
    (r"memory|pixels|too large|larger than",
     {"video": f"{_SMALLER}, or cut the part that matters out of it.",
      "picture": "Send a smaller copy, for instance with 4,000 pixels on its longer "
                 "side."}),
    (r"ended the process|ended twice|no longer answered",
     {"video": "This file breaks the program that reads it. Save it anew as MP4 "
               "(H.264) with another program, and send that.",
      "picture": "This file breaks the program that reads it. Save it anew as JPEG or "
                 "PNG with another program, and send that."}),
    (r"no face|without a face|face view|no member",
     {"video": f"Send a clip {_FACE}", "picture": f"Send a picture {_FACE}"}),
    (r"protected|encrypted|password",
     "Send a copy without protection."),
    (r"cannot be opened|cannot be read|no video|invalid|decod|damaged|no frames|trunc",
     {"video": "See whether it plays in a video player. If it does, save it as MP4 "
               "(H.264) and send that; if it does not, get it once more from where it "
               "came from.",
      "picture": "See whether a picture viewer shows it. If it does, save it as JPEG "
                 "or PNG and send that; if it does not, get it once more from where "
                 "it came from.",
      "neither": "This is no video and no picture. Send the video or the picture "
                 "itself, as MP4, JPEG or PNG."}),
)  # fmt: skip
_OTHERWISE = {
    "video": "Send it once more, or save it as MP4 (H.264) and send that. If it fails "
    "again, tell whoever runs this server.",
    "picture": "Send it once more, or save it as JPEG or PNG and send that. If it "
    "fails again, tell whoever runs this server.",
}


def clock(seconds: float) -> str:
    """Write a time in a video as its player does.

    Examples
    --------
    >>> clock(3.56), clock(71.04)
    ('0:03.6', '1:11.0')
    """
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def reason_in_words(reason: str, thing: str = "video") -> str:
    """Say a reason of the library to somebody who does not program.

    Parameters
    ----------
    reason : str
    thing : str, default="video"
        What it is about: "video" or "picture".

    Returns
    -------
    str

    Examples
    --------
    >>> reason_in_words("it cannot be opened (Invalid data found)")
    'it cannot be opened'
    >>> reason_in_words("1 frames, and it takes 3 in a row", "picture")
    'a member that looks at 3 frames in a row needs a video'
    """
    reason = of_a_picture(reason) if thing == "picture" else reason
    for pattern, words in _WORDS:
        reason = re.sub(pattern, words, reason)
    return reason


def of_a_picture(words: str) -> str:
    """Say of a picture what is said of videos.

    Examples
    --------
    >>> of_a_picture("scoring the video with 3 detectors")
    'scoring the picture with 3 detectors'
    """
    for pattern, instead in _OF_A_PICTURE:
        words = re.sub(pattern, instead, words)
    return words


def needs_a_video(reason: str) -> bool:
    """Say whether a member has no score as a picture is one frame alone.

    Examples
    --------
    >>> needs_a_video("1 frame, and it takes 3 in a row"), needs_a_video("no face")
    (True, False)
    """
    return _IN_A_ROW.search(reason) is not None


def advice(reason: str, thing: str = "video", name: str = "") -> str:
    """Say what to do about a file that could not be looked at.

    Parameters
    ----------
    reason : str
    thing : str, default="video"
        What it was taken for: "video" or "picture".
    name : str, default=""
        Of the file; its ending says what it was meant to be.

    Returns
    -------
    str

    Examples
    --------
    >>> advice("it cannot be opened (Invalid data found when processing input)")[:42]
    'See whether it plays in a video player. If'
    >>> advice("it cannot be opened", name="letter.pdf")[:34]
    'This is no video and no picture. S'
    """
    kind = _meant_as(name, thing)
    for pattern, what in (*_ADVICE, ("", _OTHERWISE)):
        if re.search(pattern, reason, re.IGNORECASE):
            if isinstance(what, str):
                return what
            return what.get(kind) or what[thing]
    raise AssertionError("the last pattern fits all")


def _meant_as(name, thing):
    if thing == "picture":
        return thing
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    kind = (mimetypes.guess_type(f"file{ending}")[0] or "video/").partition("/")[0]
    if kind == "image" or ending in _PICTURES:
        return "picture"
    return "video" if kind in ("video", "audio") else "neither"
