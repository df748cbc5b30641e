"""Addresses of the pages: plain forms and links do all; a script only helps."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from ensemble.serving.api import (
    PAGE_POLICY,
    ScanId,
    ask_for,
    folder_of,
    found_job,
    links_of,
    no_such_scan,
    result_of,
    session_of,
    settled_job,
)
from ensemble.serving.jobs import DONE, FAILED, QUEUED, RUNNING, ScanJob
from ensemble.serving.pages.in_words import (
    as_sentence,
    errors_in_words,
    grounds_in_words,
)
from ensemble.serving.pages.model_facts import (
    facts_in_words,
    in_turn_in_words,
    withheld_in_words,
)
from ensemble.serving.pages.reasons import advice
from ensemble.serving.pages.rendering import duration, render
from ensemble.serving.pages.report import report_page
from ensemble.serving.pages.view import (
    JobView,
    doing_of,
    job_view,
    moment,
    scan_view,
    stem_of,
    thing_of,
)
from ensemble.serving.problems import Refused, responses
from ensemble.serving.scanning.products import (
    ANNOTATED,
    EVIDENCE,
    FILES,
    HEAT_MAPS,
    PLAYABLE,
)
from ensemble.serving.settings import POLICY

_STATIC = Path(__file__).parent / "static"
_STYLE = Path(__file__).parents[2] / "reporting" / "templates" / "page.css"
_FILES = {
    "page.css": (_STYLE, "text/css"),
    "serve.css": (_STATIC / "serve.css", "text/css"),
    "serve.js": (_STATIC / "serve.js", "text/javascript"),
    "icon.svg": (_STATIC / "icon.svg", "image/svg+xml"),
}
_MOST_FILES = 20  # in one form
_MOST_SHOWN = 50  # of a session's history
_MOST_BESIDE = 12
_WAITS = (QUEUED, RUNNING)
_MOST_FORM = 2**14  # bytes of a form without files
_NO_TASK = {"status": "", "progress": 0.0, "doing": "", "reason": ""}
_TITLES = {
    403: "That is not allowed here",
    404: "It is not there, or not any more",
    409: "That cannot be had of this scan",
    413: "The file is too large",
    422: "Something is missing",
    429: "Too many requests at once",
    503: "Too many scans wait",
    507: "The server is full",
}


class _PageRoute(APIRoute):
    """Answers errors with a page in place of JSON."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except HTTPException as error:
                return problem_page(
                    request, error.status_code, str(error.detail), error.headers
                )
            except RequestValidationError:
                return problem_page(request, 404, "There is no such page.")

        return handle


router = APIRouter(route_class=_PageRoute, include_in_schema=False)


@router.get("/")
def start(request: Request) -> Response:
    """Show where files are sent, and what was sent in this session."""
    settings, state = request.app.state.settings, request.app.state
    jobs = state.jobs.of_session(session_of(request))
    rows = _rows(request, jobs[:_MOST_SHOWN])
    return _html(
        request, "start.html", "start", jobs=rows, older=len(jobs[_MOST_SHOWN:]),
        most_bytes=settings.upload_bytes,
        limit=f"{settings.upload_bytes / 2**20:.4g} MB",
        allow_urls=settings.allow_urls, errors=_errors(request),
        withheld=withheld_in_words(state.scanner.model_facts),
        deleted="deleted" in request.query_params,
        loaded=state.scanner.model_facts.get("file", {}).get("name"),
        lasts=settings.token_lasts,
        again=_again(request, any(not row.is_over for row in rows)),
    )  # fmt: skip


@router.post("/scans")
async def add_files(request: Request) -> Response:
    """Take the files of a plain form."""
    submissions = request.app.state.submissions
    form = await submissions.take_form(request, _MOST_FILES)
    if not form.uploads:
        for _, refused in form.refused[:1]:
            raise refused
        raise Refused(422, "no file was chosen; go back and choose one")
    session = session_of(request)
    jobs = submissions.add_form(form, session)
    for name, refused in form.refused:  # stands beside the others, with its reason
        jobs.append(submissions.add_refused(name, refused.detail, session))
    return _shown([job.id for job in jobs])


@router.post("/scans/address")
async def add_address(request: Request) -> Response:
    """Take an address from a plain form."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_FORM:
            raise Refused(413, "the address is too long")
    fields = parse_qs(content.decode("utf-8", "replace"))
    address = fields.get("url", [""])[0].strip()
    if address and "//" not in address:
        address = f"https://{address}"
    job = request.app.state.submissions.add_address(address, session_of(request))
    return _shown([job.id])


@router.get("/scans/{scan}")
def scan_page(request: Request, scan: ScanId) -> Response:
    """Show how far a scan is, and then what was found."""
    job = found_job(request, scan)
    return _html(request, "scan.html", **_scan_content(request, job))


@router.get("/scans/{scan}/evidence")
def evidence_page(request: Request, scan: ScanId) -> Response:
    """Show what was made of the frames that weigh most: pictures and heat maps."""
    job = found_job(request, scan)
    found = result_of(request, job)
    task = request.app.state.jobs.task(job.id, EVIDENCE) or _NO_TASK
    if found is None or task["status"] != DONE:
        return RedirectResponse(f"/scans/{job.id}#evidence-head", 303)
    try:
        text = (folder_of(request, job) / HEAT_MAPS).read_text("utf-8")
    except FileNotFoundError:  # it was deleted meanwhile
        raise no_such_scan() from None
    view = scan_view(found, thing_of(job))
    faces = {face.face: face for face in view.faces}
    page = _html(
        request, "evidence.html", job=job, view=view, faces=faces,
        sections=json.loads(text), stem=stem_of(job.name),
    )  # fmt: skip
    # Its pictures are in it: they are what a network saw, and files of nobody.
    images = POLICY.replace("img-src 'self'", "img-src 'self' data:")
    page.headers["Content-Security-Policy"] = images
    return page


@router.post("/scans/{scan}/{kind}")
def ask_or_delete(request: Request, scan: ScanId, kind: str) -> Response:
    """Have something made of a scan, or delete it."""
    job, state = found_job(request, scan), request.app.state
    if kind == "delete":
        if "sure" not in request.query_params:
            return _ask_whether_to_delete(request, job)
        state.scanner.delete(job.id)
        return RedirectResponse("/?deleted=1#history", 303)
    if kind not in (EVIDENCE, ANNOTATED, PLAYABLE):
        raise Refused(404, "there is no such page")
    if job.status != DONE:
        raise Refused(409, "the scan is not done")
    ask_for(request, job, kind)
    return RedirectResponse(f"/scans/{job.id}#{kind}", 303)


@router.get("/compare")
def compare(
    request: Request,
    ids: Annotated[list[str], Query(default_factory=list)],
) -> Response:
    """Show several files side by side."""
    asked = list(dict.fromkeys(ids))
    jobs = [request.app.state.jobs.get(id) for id in asked[:_MOST_BESIDE]]
    rows = _rows(request, [job for job in jobs if job is not None])
    if not ids:
        raise Refused(422, "choose some files of the history to see them side by side")
    if not rows:
        raise Refused(404, "none of these files is kept any more")
    models = {row.model_key: row.errors for row in rows if row.said}
    errors = next(iter(models.values()), _errors(request))
    names = {row.model for row in rows if row.said}
    return _html(
        request, "compare.html", rows=rows, missing=len(jobs) - len(rows),
        one_name=len(names) < len(models),
        errors=errors, n_models=len(models), more=len(asked[_MOST_BESIDE:]),
        again=_again(request, any(not row.is_over for row in rows)),
    )  # fmt: skip


@router.get("/model")
def model_page(request: Request) -> Response:
    """Show what the model is and how often it errs."""
    facts = request.app.state.scanner.model_facts
    return _html(
        request, "model.html", "model", model=facts["file"], card=facts["card"],
        errors=_errors(request), threshold=facts["threshold"],
        withheld=withheld_in_words(facts),
        grounds=grounds_in_words(facts["grounds"][:2], facts["card"]),
        members={name: facts["looks_at"].get(name, "") for name in facts["members"]},
        facts=facts_in_words(facts), in_turn=in_turn_in_words(facts),
    )  # fmt: skip


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """Return a file that pages load."""
    if name not in _FILES:
        raise Refused(404, "there is no such file")
    path, kind = _FILES[name]
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})


report_router = APIRouter()


@report_router.get(
    "/v1/scans/{scan}/report.html",
    response_class=HTMLResponse,
    responses=responses(404, 409, 422),
)
def get_report(request: Request, scan: ScanId) -> Response:
    """Return what was found as one page to print or to send."""
    job = found_job(request, scan)
    found = result_of(request, job)
    if found is None:
        failed = f"the scan failed: {job.reason}" if job.reason else ""
        raise Refused(409, failed or "the scan is not done yet; ask again later")
    try:
        upload = request.app.state.scanner.upload(job)
        text = report_page(job, found, folder_of(request, job), upload)
    except FileNotFoundError:
        raise Refused(404, "there is no such scan, or it is no longer kept") from None
    policy = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(text, headers=policy)


def _ask_whether_to_delete(request, job):
    """Ask on a page of its own, where no script could ask."""
    name = job.name or "the file"
    problem = {"title": "Delete this scan?",
               "detail": f"{name}, its scan and all that was made of it are deleted. "
                         "They cannot be brought back."}  # fmt: skip
    return _html(
        request, "message.html", problem=problem, back=f"/scans/{job.id}",
        delete=f"/scans/{job.id}/delete?sure=1",
    )  # fmt: skip


def problem_page(
    request: Request,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Show what went wrong, and the way back to the start."""
    problem = {"title": _TITLES.get(status, "It did not work"),
               "detail": as_sentence(detail), "status": status}  # fmt: skip
    page = _html(request, "message.html", "", status, problem=problem)
    page.headers.update(headers or {})
    return page


def _html(request, template, here="", status=200, **content):
    kept = duration(request.app.state.settings.keep_seconds)
    text = render(template, here=here, kept=kept, **content)
    return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def _again(request, waits, fragment=""):
    """Return the address under which a browser without a script looks again, or "".

    It differs each time: one that is the same up to its fragment would load nothing.
    """
    if not waits:
        return ""
    asked = [pair for pair in request.query_params.multi_items() if pair[0] != "again"]
    number = request.query_params.get("again", "")
    number = int(number) + 1 if re.fullmatch(r"[0-9]{1,6}", number) else 1
    query = urlencode([*asked, ("again", number)])
    return f"{request.url.path}?{query}" + (f"#{fragment}" if fragment else "")


def _shown(ids):
    """Lead to the page of what was sent: a file's own, or all side by side."""
    if len(ids) == 1:
        return RedirectResponse(f"/scans/{ids[0]}", 303)
    if len(ids) > _MOST_BESIDE:
        return RedirectResponse("/#history", 303)
    return RedirectResponse(f"/compare?ids={'&ids='.join(ids)}", 303)


def _errors(request):
    return errors_in_words(request.app.state.scanner.model_facts.get("card"))


def _until(request, job):
    """Return when a job is deleted, or "" while that is not known."""
    if job.finished is None:
        return ""
    return moment(job.finished + request.app.state.settings.keep_seconds)


def _rows(request: Request, jobs: list[ScanJob]) -> list[JobView]:
    rows = [_row(request, job) for job in jobs]
    return [row for row in rows if row is not None]


def _row(request: Request, listed: ScanJob) -> JobView | None:
    """Return one file of a list; None if it was deleted meanwhile."""
    job = settled_job(request, listed)
    if job is None:
        return None
    links, scan = links_of(request, job), result_of(request, job)
    if job.status == DONE and scan is None:
        return None
    frames = list(links.frames.values())
    is_other = job.status == DONE and request.app.state.scanner.other_model(job)
    return job_view(
        job,
        scan,
        frames[len(frames) // 2] if frames else "",
        _by_number(links.faces),
        bool(is_other),
        _until(request, job),
    )


def _by_number(addresses):
    return {int(number): address for number, address in addresses.items()}


def _scan_content(request: Request, job: ScanJob) -> dict[str, Any]:
    """Return what the page of one file shows."""
    api = f"/v1/scans/{job.id}"
    content = {"job": job, "api": api, "stem": stem_of(job.name), "files": FILES,
               "view": None, "thing": thing_of(job),
               "advice": advice(job.reason, thing_of(job), job.name),
               "when": moment(job.finished or job.created),
               "until": _until(request, job),
               "again": _again(request, job.status not in (DONE, FAILED)),
               "doing": doing_of(job)}  # fmt: skip
    if request.app.state.scanner.is_stuck:
        content["doing"] = request.app.state.scanner.doing(job)
    scan = result_of(request, job)
    if scan is None and job.status == DONE:
        raise no_such_scan()  # it was deleted meanwhile
    if scan is None:
        return content
    links, jobs = links_of(request, job), request.app.state.jobs
    tasks = {kind: jobs.task(job.id, kind) or _NO_TASK for kind in FILES}
    frames = list(links.frames.values())
    poster = frames[0] if frames else ""
    thing = thing_of(job)
    view = scan_view(
        scan, thing, _by_number(links.faces), poster=poster,
        media=poster if thing == "picture" else f"{api}/video",
        plays=links.video is not None, copy=tasks[PLAYABLE], evidence=tasks[EVIDENCE],
        annotated=tasks[ANNOTATED],
        other_model=as_sentence(request.app.state.scanner.other_model(job)),
    )  # fmt: skip
    waits = [kind for kind, task in tasks.items() if task["status"] in _WAITS]
    advised = advice(scan["reason"] or scan["doubts"] or "", thing, job.name)
    again = _again(request, bool(waits), "".join(waits[:1]))
    return content | {"view": view, "advice": advised, "again": again}
