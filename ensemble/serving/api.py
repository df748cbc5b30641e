"""The API: scans are asked for, looked at, and deleted."""

import json
import os
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Path as PathParameter, Request, Response, Security
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from ensemble.serving.jobs import DONE, FAILED, ScanJob
from ensemble.serving.metrics import CONTENT_TYPE
from ensemble.serving.problems import Refused, responses
from ensemble.serving.scanning.pictures import FACES, FRAMES
from ensemble.serving.scanning.products import (
    ANNOTATED,
    BY_MODEL,
    EVIDENCE,
    FILES,
    SCAN_FILE,
    TIMELINE,
)

# The guard looks at the token; here it is said in the description of the API.
_TOKEN = HTTPBearer(auto_error=False, description="The token of the server.")
router = APIRouter(dependencies=[Security(_TOKEN)])
open_router = APIRouter()  # needs no token
_SOON = {"Retry-After": "2"}
_PRIVATE = {"Cache-Control": "no-store"}
# A page with its style and pictures in it, and no script: nothing else is let in.
PAGE_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'"
)
_GONE = "its files are gone from the server's folder; send it once more"
_MOST_JSON = 2**16  # bytes of a request
ScanId = Annotated[
    str, PathParameter(pattern=r"^[A-Za-z0-9_-]{22}$", description="As it was given.")
]
Number = Annotated[str, PathParameter(pattern=r"^[0-9]{1,9}$")]


class Links(BaseModel):
    """Addresses of what there is of a scan; of what is made on demand, too."""

    self: str
    scan: str | None = None
    report: str | None = None
    evidence: str | None = None
    annotated: str | None = None
    timeline: str | None = None
    video: str | None = None
    faces: dict[str, str] = Field(default_factory=dict)
    frames: dict[str, str] = Field(default_factory=dict)


class Scan(BaseModel):
    """A scan: how far it is, and once it is done what was found."""

    id: str
    status: str = Field(description="queued, running, done or failed")
    name: str = Field(description="Of the file, as it was uploaded.")
    media: str = Field(description="video or image")
    progress: float = Field(description="0 to 1", ge=0, le=1)
    doing: str = Field(description="What is being done, in words.")
    reason: str = Field(description="Why it failed.")
    created: str
    finished: str | None
    expires: str | None = Field(description="When all of it is deleted.")
    links: Links
    result: dict[str, Any] | None = Field(
        None, description="As `deepfake-ensemble scan --json` gives it."
    )


class Making(BaseModel):
    """Something that is being made of a scan; ask again."""

    status: str
    progress: float
    doing: str


class ModelFacts(BaseModel):
    """The model: what it learned from, how often it errs, where it says fake."""

    file: dict[str, Any]
    members: list[str]
    looks_at: dict[str, str]
    threshold: dict[str, float | None]
    grounds: list[str]
    card: dict[str, Any]
    summary: str
    cascade: dict[str, Any] | None = Field(
        None, description="How members are asked in turn; null where all are asked."
    )


class Address(BaseModel):
    """A file to fetch."""

    url: str = Field(
        min_length=1, max_length=4096, json_schema_extra={"pattern": "^https?://"}
    )


class Health(BaseModel):
    """Whether the server runs."""

    status: str


def found_job(request: Request, scan: str) -> ScanJob:
    """Return a job by its id.

    Raises
    ------
    Refused
        If there is none.
    """
    job: ScanJob | None = request.app.state.jobs.get(scan)
    if job is None or (job := settled_job(request, job)) is None:
        raise no_such_scan()
    return job


def no_such_scan() -> Refused:
    """Return the error of what was never there, or is deleted."""
    return Refused(404, "there is no such scan, or it is no longer kept")


def settled_job(request: Request, job: ScanJob) -> ScanJob | None:
    """Return a job as failed where its scan is done and its files are gone.

    None if it was deleted meanwhile, or is kept no longer.
    """
    if not job.is_kept(request.app.state.settings.keep_seconds):
        return None
    if job.status != DONE or (folder_of(request, job) / SCAN_FILE).exists():
        return job
    if request.app.state.jobs.get(job.id) is None:
        return None
    return replace(job, status=FAILED, reason=_GONE)


def folder_of(request: Request, job: ScanJob) -> Path:
    """Return where the files of a job lie."""
    folder: Path = request.app.state.files.job(job.folder)
    return folder


def result_of(request: Request, job: ScanJob) -> dict[str, Any] | None:
    """Return what was found in a file; None while its scan is not done."""
    if job.status != DONE:
        return None
    try:
        text = (folder_of(request, job) / SCAN_FILE).read_text("utf-8")
    except FileNotFoundError:  # it was deleted meanwhile
        return None
    found: dict[str, Any] = json.loads(text, parse_constant=lambda name: None)
    return found


def described(request: Request, job: ScanJob, with_result: bool = True) -> Scan:
    """Return what the API says of a job."""
    result = result_of(request, job) if with_result else None
    if with_result and job.status == DONE and result is None:
        raise no_such_scan()  # it was deleted meanwhile
    expires = None
    if job.finished is not None:
        expires = job.finished + request.app.state.settings.keep_seconds
    return Scan(
        id=job.id,
        status=job.status,
        name=job.name,
        media=job.media,
        progress=job.progress,
        doing=request.app.state.scanner.doing(job),
        reason=job.reason,
        created=_time(job.created),
        finished=None if job.finished is None else _time(job.finished),
        expires=None if expires is None else _time(expires),
        links=links_of(request, job),
        result=result,
    )


def links_of(request: Request, job: ScanJob) -> Links:
    """Return the addresses of what there is of a job."""
    here = f"/v1/scans/{job.id}"
    if job.status != DONE:
        return Links(self=here)
    folder = folder_of(request, job)
    return Links(
        self=here,
        scan=f"{here}/{SCAN_FILE}",
        report=f"{here}/report.html",
        evidence=f"{here}/{FILES[EVIDENCE]}",
        annotated=f"{here}/{FILES[ANNOTATED]}" if job.media == "video" else None,
        timeline=_link(here, folder, TIMELINE),
        video=None if request.app.state.scanner.video(job) is None else f"{here}/video",
        faces=_pictures(here, folder, FACES),
        frames=_pictures(here, folder, FRAMES),
    )


def _link(here, folder, name):
    return f"{here}/{name}" if (folder / name).exists() else None


def _pictures(here, folder, kind):
    try:
        numbers = sorted(int(path.stem) for path in (folder / kind).glob("*.jpg"))
    except FileNotFoundError:  # it was deleted meanwhile
        numbers = []
    return {str(number): f"{here}/{kind}/{number}.jpg" for number in numbers}


def _time(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def session_of(request: Request) -> str:
    """Return the browser's session; empty of who came with the token itself."""
    return str(getattr(request.state, "session", ""))


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "minLength": 1}
                    },
                }
            },
            "application/json": {"schema": Address.model_json_schema()},
        },
    }
}


@router.post(
    "/v1/scans",
    status_code=202,
    response_model=Scan,
    responses=responses(400, 413, 415, 422, 503, 507),
    openapi_extra=_BODY,
)
async def add_scan(request: Request, response: Response) -> Scan:
    """Have one file scanned: the field ``file`` of a form, or ``{"url": ...}``."""
    submissions = request.app.state.submissions
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        job = submissions.add_address(await _address(request), session_of(request))
    else:
        form = await submissions.take_form(request)
        if not form.uploads:
            raise Refused(422, "send the file in the field file of the form")
        (job,) = submissions.add_form(form, session_of(request))
    response.headers["Location"] = f"/v1/scans/{job.id}"
    return described(request, job)


async def _address(request):
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_JSON:
            raise Refused(413, "the request is too long")
    try:
        return Address.model_validate_json(bytes(content)).url
    except ValueError:
        raise Refused(422, 'send {"url": "https://..."}') from None


@router.get("/v1/scans", response_model=list[Scan], responses=responses())
def list_scans(request: Request) -> list[Scan]:
    """List the scans of this session, the latest first, without what was found."""
    jobs = request.app.state.jobs.of_session(session_of(request))
    settled = [settled_job(request, job) for job in jobs]
    return [described(request, job, with_result=False) for job in settled if job]


@router.get("/v1/scans/{scan}", response_model=Scan, responses=responses(404, 422))
def get_scan(request: Request, scan: ScanId) -> Scan:
    """Say how far a scan is; once it is done, what was found."""
    return described(request, found_job(request, scan))


@router.delete("/v1/scans/{scan}", status_code=204, responses=responses(404, 422))
def delete_scan(request: Request, scan: ScanId) -> Response:
    """Delete a scan and all its files; one that runs is broken off."""
    if not request.app.state.scanner.delete(scan):
        found_job(request, scan)
    return Response(status_code=204)


def _file(request, job, name, kind, **headers):
    """Answer with a file of a job."""
    if job.status != DONE:
        raise _not_done(job)
    path = folder_of(request, job) / name
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise Refused(404, f"this scan has no {name}") from None
    return FileResponse(
        path, headers=_PRIVATE | headers, media_type=kind, stat_result=facts
    )


def _not_done(job):
    if job.status == FAILED:
        return Refused(409, f"the scan failed: {job.reason}")
    return Refused(409, "the scan is not done yet; ask again later", _SOON)


def _files(kind):
    """Describe answers that are a file of some type."""
    return {200: {"content": {kind: {}}}, **responses(404, 409, 422)}


@router.get(
    "/v1/scans/{scan}/scan.json",
    response_class=FileResponse,
    responses=_files("application/json"),
)
def get_scan_file(request: Request, scan: ScanId) -> Response:
    """Return what was found, as a file to keep."""
    return _file(request, found_job(request, scan), SCAN_FILE, "application/json")


@router.get(
    "/v1/scans/{scan}/timeline.png",
    response_class=FileResponse,
    responses=_files("image/png"),
)
def get_timeline(request: Request, scan: ScanId) -> Response:
    """Return the plot of frame scores over time."""
    return _file(request, found_job(request, scan), TIMELINE, "image/png")


@router.get(
    "/v1/scans/{scan}/faces/{number}.jpg",
    response_class=FileResponse,
    responses=_files("image/jpeg"),
)
def get_face(request: Request, scan: ScanId, number: Number) -> Response:
    """Return a picture of one face."""
    name = f"{FACES}/{int(number)}.jpg"
    return _file(request, found_job(request, scan), name, "image/jpeg")


@router.get(
    "/v1/scans/{scan}/frames/{number}.jpg",
    response_class=FileResponse,
    responses=_files("image/jpeg"),
)
def get_frame(request: Request, scan: ScanId, number: Number) -> Response:
    """Return a small picture of one frame."""
    name = f"{FRAMES}/{int(number)}.jpg"
    return _file(request, found_job(request, scan), name, "image/jpeg")


@router.get(
    "/v1/scans/{scan}/video",
    response_class=FileResponse,
    responses=_files("video/mp4"),
)
def get_video(request: Request, scan: ScanId) -> Response:
    """Return the video as browsers play it; parts of it, too."""
    job = found_job(request, scan)
    if job.status != DONE:
        raise _not_done(job)
    path = request.app.state.scanner.video(job)
    if path is None:
        raise Refused(404, "there is no video of this scan, or no copy of it yet")
    try:
        with open(path, "rb") as file:
            kind = "video/webm" if file.read(4) == b"\x1aE\xdf\xa3" else "video/mp4"
            facts = os.fstat(file.fileno())
    except FileNotFoundError:  # it was deleted meanwhile
        raise no_such_scan() from None
    return FileResponse(path, headers=_PRIVATE, media_type=kind, stat_result=facts)


_ON_DEMAND = {202: {"model": Making, "description": "It is being made; ask again."}}


@router.get(
    "/v1/scans/{scan}/evidence.html",
    response_class=FileResponse,
    responses={**_files("text/html"), **_ON_DEMAND},
)
def get_evidence(request: Request, scan: ScanId) -> Response:
    """Return the page with what each network saw; the first call has it made."""
    return on_demand(request, scan, EVIDENCE, "text/html")


@router.get(
    "/v1/scans/{scan}/annotated.mp4",
    response_class=FileResponse,
    responses={**_files("video/mp4"), **_ON_DEMAND},
)
def get_annotated(request: Request, scan: ScanId) -> Response:
    """Return the video with boxes and scores; the first call has it made."""
    return on_demand(request, scan, ANNOTATED, "video/mp4")


def on_demand(request: Request, scan: str, kind: str, media_type: str) -> Response:
    """Answer with what is made of a scan when it is asked for first.

    Parameters
    ----------
    request : Request
    scan : str
        Its id.
    kind : str
        See `ensemble.serving.scanning.products.FILES`.
    media_type : str

    Returns
    -------
    Response
        202 while it is made.
    """
    job, jobs = found_job(request, scan), request.app.state.jobs
    if job.status != DONE:
        raise _not_done(job)
    ask_for(request, job, kind)
    task = jobs.task(job.id, kind)
    if task is None:  # it was deleted meanwhile
        raise no_such_scan()
    if task["status"] == FAILED:
        raise Refused(409, f"it could not be made: {task['reason']}")
    if task["status"] != DONE:
        making = Making(**{name: task[name] for name in Making.model_fields})
        return JSONResponse(making.model_dump(), 202, {**_SOON, **_PRIVATE})
    policy = {"Content-Security-Policy": PAGE_POLICY} if kind == EVIDENCE else {}
    return _file(request, job, FILES[kind], media_type, **policy)


def ask_for(request: Request, job: ScanJob, kind: str) -> None:
    """Have something made of a scan that is done, unless it was asked for before.

    Raises
    ------
    Refused
        If it was not, and another model is loaded now.
    """
    jobs, scanner = request.app.state.jobs, request.app.state.scanner
    is_new = kind in BY_MODEL and jobs.task(job.id, kind) is None
    if is_new and (other := scanner.other_model(job)):
        raise Refused(409, other)
    jobs.ask(job.id, kind)
    scanner.wake()


@router.get("/v1/model", response_model=ModelFacts, responses=responses())
def get_model(request: Request) -> Any:
    """Say what the model is, what it learned from and how often it errs."""
    return request.app.state.scanner.model_facts


@open_router.get("/health", response_model=Health)
def health() -> Health:
    """Say that the server runs; without a token."""
    return Health(status="ok")


@router.get("/ready", response_model=Health, responses=responses(503))
def ready(request: Request) -> Health:
    """Say whether the model is loaded and scans can begin."""
    if not (scanner := request.app.state.scanner).is_ready:
        raise Refused(503, scanner.why_not_ready, _SOON)
    return Health(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **responses()},
)
def metrics(request: Request) -> Response:
    """Return figures of the server, for Prometheus."""
    return Response(request.app.state.figures.text(), media_type=CONTENT_TYPE)
