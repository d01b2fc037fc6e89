"""The page for people at `/`: one patient, what the model says about them and why; made from the schema.

It is the same for everybody and holds no patient, so it needs no token. Its script asks /model, /explain and
/predict.csv like any other client, with the token that the visitor types. It loads nothing from elsewhere, and nothing
on it is stored.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from heart_disease.model import schema
from heart_disease.reporting import pages
from heart_disease.serving import patients
from heart_disease.serving.limits import BYTES

ROOM = "heart_disease.serving"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add(app: FastAPI) -> None:
    """Add the page, its style and its script to the routes."""
    page = pages.fill(ROOM, "page.html", columns=schema.COLUMNS, example=patients.EXAMPLE, most=BYTES)
    style = pages.fill("heart_disease.reporting", "style.css") + pages.fill(ROOM, "page.css")
    script = pages.fill(ROOM, "page.js")

    @app.get("/", include_in_schema=False)
    async def html() -> HTMLResponse:
        return HTMLResponse(page, headers=HEADERS)

    @app.get("/page.css", include_in_schema=False)
    async def css() -> Response:
        return Response(style, media_type="text/css", headers=HEADERS)

    @app.get("/page.js", include_in_schema=False)
    async def js() -> Response:
        return Response(script, media_type="text/javascript", headers=HEADERS)
