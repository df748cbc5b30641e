"""The application: its parts put together, and how it begins and ends."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from os import PathLike

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from ensemble._version import __version__
from ensemble.serving import api
from ensemble.serving.access_log import AccessLog
from ensemble.serving.fetching import fetch
from ensemble.serving.files import ServerFiles
from ensemble.serving.guard import Guard
from ensemble.serving.jobs import JobStore
from ensemble.serving.metrics import Figures
from ensemble.serving.pages import routes
from ensemble.serving.problems import answer_with_problems
from ensemble.serving.scanner import Scanner
from ensemble.serving.settings import ServedModel, ServerSettings
from ensemble.serving.submissions import Submissions

_WHAT = (
    "Scores videos and images with an ensemble of deepfake detectors. A score is "
    "evidence and not proof: have a person look."
)


def create_app(
    model: ServedModel | str | PathLike | Sequence, settings: ServerSettings
) -> FastAPI:
    """Return the application of a server; it begins to work when it is run.

    Parameters
    ----------
    model : str, Path or ServedModel
        A file that ``DeepfakeEnsemble.save`` wrote, or how to come by a model.
    settings : ServerSettings

    Returns
    -------
    FastAPI
        ``app.state`` has ``settings``, ``jobs``, ``files``, ``scanner`` and
        ``submissions``.

    Raises
    ------
    ValueError
        If the folder is open to others or holds other things.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.serving.app import create_app
    >>> from ensemble.serving.settings import ServerSettings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     app = create_app("m.dfe", ServerSettings(folder=Path(folder) / "serve"))
    ...     app.state.jobs.close()
    >>> "/v1/scans" in app.openapi()["paths"]
    True
    """
    # Its own pages of documentation load scripts from elsewhere.
    app = FastAPI(
        title="deepfake-ensemble",
        version=__version__,
        description=_WHAT,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    state = app.state
    state.settings, state.is_at_work = settings, False
    state.files = ServerFiles(settings.files, settings.disk_bytes)
    state.jobs = JobStore(state.files.database)
    state.scanner = Scanner(ServedModel.of(model), settings, state.jobs, state.files)
    state.submissions = Submissions(
        settings, state.jobs, state.files, state.scanner, fetch
    )
    answers: Counter = Counter()
    state.figures = Figures(state.jobs, state.files, state.scanner, answers)
    answer_with_problems(app, routes.problem_page)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(AccessLog, token=settings.token, counted=answers)
    app.include_router(api.router)
    app.include_router(api.open_router)
    for path, answer in (("/health", api.health), ("/ready", api.ready)):  # of monitors
        app.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    app.include_router(routes.report_router)
    app.include_router(routes.router)
    return app


@contextmanager
def at_work(app: FastAPI) -> Iterator[None]:
    """Load the model and scan what waits, while this block lasts.

    What is not done then is kept for the next server on the same folder.

    Raises
    ------
    ValueError
        If the model cannot be loaded, or another server works in the folder.
    """
    state = app.state
    with state.files.locked():
        try:
            state.scanner.start()
            state.submissions.start()
            state.is_at_work = True
            yield
        finally:
            state.is_at_work = False
            state.submissions.stop()
            state.scanner.stop()
            state.jobs.close()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    if app.state.is_at_work:  # whoever runs it sees to that
        yield
        return
    with ExitStack() as stack:
        await run_in_threadpool(stack.enter_context, at_work(app))
        yield
        await run_in_threadpool(stack.close)
