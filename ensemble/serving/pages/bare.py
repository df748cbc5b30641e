"""A page that loads nothing: for who may not load anything yet."""

import base64
import hashlib
import html

from starlette.responses import HTMLResponse

_STYLE = (
    ":root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:"
    "38rem;margin:10vh auto;padding:0 1rem}input,button{font:inherit;"
    "padding:.5rem .75rem;margin:.25rem .25rem .25rem 0;max-width:100%}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def bare_page(
    status: int, title: str, detail: str, head: str = "", more: str = ""
) -> HTMLResponse:
    """Return a page of a title and a sentence, with its style in it.

    Parameters
    ----------
    status : int
        Of HTTP.
    title, detail : str
        Text.
    head, more : str, default=""
        HTML of ours, in the head and after the sentence.

    Examples
    --------
    >>> from ensemble.serving.pages.bare import bare_page
    >>> b"<h1>&lt;No&gt;</h1>" in bare_page(404, "<No>", "It is not there.").body
    True
    """
    title, detail = html.escape(title), html.escape(detail)
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">{head}'
        f"<style>{_STYLE}</style>\n<title>{title} · Deepfake ensemble</title></head>\n"
        f"<body><main><p>Deepfake ensemble</p><h1>{title}</h1><p>{detail}</p>{more}"
        "</main></body></html>\n"
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": _POLICY})
