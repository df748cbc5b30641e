"""Tells files that our commands wrote from those of others, by what they hold."""

import csv
import json
import re
import zipfile

_BEGINNING = 2**16  # bytes of a file that tell what it is
_LARGEST_MANIFEST = 2**28  # bytes of what a model says of itself
ENSEMBLES = ("fit", "assemble", "demo", "lean")  # what makes an ensemble that is saved
_GENERATOR = re.compile(r'name="generator" content="deepfake-ensemble \S+ (\w+)"')
FILM_MARK = "P(fake) while it played"  # in the comment of every film of `watch`
_VIDEO_MARKS = (b"P(fake) ", b"unknown calibration", b"FAKE TRACES or UNSURE")
PLOT_MARK = "plot of deepfake-ensemble"  # in the metadata of every plot
SCORES = ("video", "change", "strength")  # columns of stress' scores
VERDICTS = ("p_fake", "lower", "upper", "verdict")  # of apply's table
_OUR_COLUMN = re.compile(
    r"video|p_.*|verdict|status|reason|doubts|calibration|face|first|last|face_p_fake"
    r"|suspicion|face_suspicion"
    r"|face_verdict|lower|upper|missing|contribution_.*"
    r"|change|strength|scorer|videos|lost|drift|size|flipped|auc_before"
    r"|strategy|kind|worst|worst_at|coverage|above_chance|(auc|average_precision|log_loss|brier"
    r"|equal_error_rate|tpr_at_fpr_\d+|balanced_accuracy|expected_calibration_error"
    r"|over_\w+|log_loss_over_mean)(_low|_high)?"
)


def _begins(path):
    with open(path, "rb") as file:
        return file.read(_BEGINNING)


def _text(path):
    """The beginning of a text file; None of a binary one."""
    content = _begins(path)
    if b"\0" in content:
        return None
    return content.decode("utf-8", "replace")


def _is_model(path, marks):
    """Whether it is a saved model, made by one of the commands in `marks`."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive, archive.open("manifest.json") as text:
            manifest = json.loads(text.read(_LARGEST_MANIFEST))
        known = "deepfake-ensemble" in manifest["versions"]
        return known and _maker_of(manifest) in marks
    except Exception:  # of an archive that is damaged it may be anything
        return False


def _maker_of(manifest):
    """Say which command makes such a model."""
    if "rule" in manifest:
        return "combine"
    members = [m for entry in manifest["detectors"] for m in entry["members"]]
    params = json.dumps([member.get("params") for member in members])
    if any(f'["engine", "{engine}"]' in params for engine in ("bfloat16", "int8")):
        return "lean"
    if (manifest.get("card") or {}).get("toy"):
        return "demo"
    return "assemble" if all(m.get("prefit") for m in members) else "fit"


def _is_csv(path, marks):
    text = _text(path)
    if text is None:
        return False
    header = next(csv.reader(text.splitlines()[:1]), [])
    if not (marks and set(marks) <= set(header)):
        return False
    # A column that no command writes is somebody's own work. Names of detectors stand
    # in the file of stress' scores, which that command compares with its own; apply
    # hands on columns of its table, which are among the marks.
    return marks == SCORES or all(
        _OUR_COLUMN.fullmatch(name) or name in marks for name in header
    )


def _is_json(path, marks):
    text = (_text(path) or "").lstrip()
    if text[:2] == "[]":
        return True
    keys = [f'"{mark}":' in text for mark in marks]
    return text[:1] in ("[", "{") and bool(keys) and all(keys)


def _is_index(path, marks):
    """Whether a table of videos has the columns that `index` adds."""
    if path.suffix.lower() == ".csv":
        header = next(csv.reader((_text(path) or "").splitlines()[:1]), [])
        return set(marks) <= set(header)
    with open(path, "rb") as file:  # parquet names its columns at its end
        file.seek(max(0, path.stat().st_size - _BEGINNING))
        end = file.read()
    return end.endswith(b"PAR1") and all(mark.encode() in end for mark in marks)


def _is_html(path, marks):
    """Whether it is a page of one of the commands in `marks`, as its head says."""
    text = (_text(path) or "").lstrip().lower()
    found = _GENERATOR.search(text)
    is_page = text.startswith(("<!doctype html", "<html"))
    return is_page and found is not None and found[1] in marks


def _is_plot(path, marks):
    """Whether it is a plot of one of the commands in `marks`, as its metadata say."""
    content = path.read_bytes() if path.stat().st_size < 2**25 else _begins(path)
    if not content.startswith(b"%PDF"):
        content = content[:4096]
    return any(f"{PLOT_MARK}: {command}".encode() in content for command in marks)


def _is_video(path, marks):
    """Whether it is an MP4 whose comment is that of `annotate`."""
    said = _head_of_mp4(path)
    ours = any(mark in said for mark in _VIDEO_MARKS)
    return ours and FILM_MARK.encode() not in said


def _is_film(path, marks):
    """Whether it is an MP4 whose comment is that of `watch`."""
    return FILM_MARK.encode() in _head_of_mp4(path)


def _head_of_mp4(path):
    """Return the part of an MP4 that holds what it says of itself; empty of others."""
    at = 0
    with open(path, "rb") as file:
        while len(head := file.read(16)) >= 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            if kind == b"moov":
                file.seek(at)
                return file.read(min(size, 2**26))
            if size < 8 or (at == 0 and kind != b"ftyp"):
                return b""
            at += size
            file.seek(at)
    return b""


def _is_onnx(path, marks):
    """Whether a card of ours lies beside it, or it is a rule on scores."""
    if b"\x12\x11deepfake-ensemble" in _begins(path)[:64]:  # the field of its producer
        return True
    name = path.name.removesuffix(".onnx").removesuffix(".int8")
    return _is_json(path.with_name(f"{name}.json"), ("weights_sha256",))


WROTE = {
    "model": _is_model,
    "csv": _is_csv,
    "json": _is_json,
    "index": _is_index,
    "html": _is_html,
    "plot": _is_plot,
    "video": _is_video,
    "film": _is_film,
    "onnx": _is_onnx,
    "card": _is_json,
    "weights": lambda path, marks: _is_json(path.with_name("card.json"), marks),
}
