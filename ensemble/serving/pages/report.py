"""Report: what was found in one file, as one page to print, to send and to keep."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ensemble.serving.pages.rendering import render
from ensemble.serving.pages.view import moment, scan_view, thing_of
from ensemble.serving.scanning.pictures import FACES, FRAMES


def report_page(job: Any, scan: dict[str, Any], folder: Path, upload: Path) -> str:
    """Return a report as one HTML file that loads nothing and runs no script.

    Parameters
    ----------
    job : ScanJob
    scan : dict
        As `ensemble.inspection.scan.ScanResult.to_dict` gives it.
    folder : Path
        Of the job: ``faces/N.jpg`` are put in, and one of ``frames/N.jpg``.
    upload : Path
        The file, whose SHA-256 says which one was looked at.

    Returns
    -------
    str
    """
    from base_models.runtime.file_digest import read_sha256

    pictures = {
        face["face"]: _data_url(path)
        for face in scan["faces"]
        if (path := folder / FACES / f"{face['face']}.jpg").exists()
    }
    return render(
        "report.html",
        job=job,
        still=_still(folder / FRAMES),
        view=scan_view(scan, thing_of(job), pictures),
        sha256=read_sha256(upload),
        n_bytes=upload.stat().st_size,
        scanned=moment(job.finished or job.created),
        written=moment(datetime.now(timezone.utc).timestamp()),
        style=_style(),
    )


def _still(folder):
    paths = sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))
    return _data_url(paths[len(paths) // 2]) if paths else ""


def _data_url(path):
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def _style():
    here = Path(__file__).parent
    files = [here.parents[1] / "reporting" / "templates" / "page.css",
             here / "static" / "serve.css"]  # fmt: skip
    return "\n".join(file.read_text("utf-8") for file in files)
