"""The page at / for people who look at the service with a browser, and the landing document at /v1 for programs."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from app.api.documents import whole as documents
from app.api.documents.base import link
from app.api.documents.jobs import OGC_REL
from app.api.http.deps import Reading
from app.data import scenes
from app.jobs import lifecycle
from app.learning import registry
from app.mapping import predictions

NEWEST = 20  # rows of each table
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
COLLECTIONS = (
    *("scenes", "labels", "datasets", "trainings", "experiments", "models", "predictions", "zones", "schedules"),
    "jobs",
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>canemap</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }} th, td {{ text-align: left; padding: .2rem .8rem .2rem 0 }}
tr + tr {{ border-top: 1px solid #ddd }}
</style></head><body>
<h1>canemap</h1>
<p><a href="docs">The API and its documentation</a> · <a href="v1">landing document</a> · <a href="readyz">state</a></p>
{tables}
</body></html>
"""
router = APIRouter()
Cell = str | tuple[str, str]  # a text, or the address and the text of a link


@router.get("/", include_in_schema=False)
def home(session: Reading) -> HTMLResponse:
    """The newest scenes, jobs, models and maps as a plain page."""
    tables = (_maps(session), _jobs(session), _models(session), _scenes(session))
    return HTMLResponse(PAGE.format(tables="\n".join(tables)), headers=HEADERS)


@router.get("/v1", tags=["health"])
async def get_landing() -> documents.Landing:
    """What the service offers: a link to each collection, and to the description of the API."""
    collections = (link(f"/v1/{name}", "data") for name in COLLECTIONS)
    about = (
        link("/v1", "self"),
        link("/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.1"),
        link("/docs", "service-doc", "text/html"),
        *(link("/v1/conformance", rel) for rel in ("conformance", f"{OGC_REL}conformance")),
        link("/v1/processes", f"{OGC_REL}processes"),
        link("/v1/jobs", f"{OGC_REL}job-list"),
    )
    return documents.Landing(links=(*about, *collections))


def _maps(session: Session) -> str:
    found = predictions.find(session, limit=NEWEST, token=None).rows
    jobs = lifecycle.by_id(session, (row.id for row in found))
    rows = [
        (
            (f"v1/predictions/{row.id}", row.id),
            row.scene,
            f"{row.model}:{row.version}",
            jobs[row.id].reported_status,
            _time(row.created),
            (f"v1/predictions/{row.id}/preview.png", "picture") if "web.tif" in (row.products or {}) else "",
            (f"v1/predictions/{row.id}/areas?f=csv", "hectares") if row.products else "",
        )
        for row in found
    ]
    return _table("Maps", ("map", "scene", "model", "status", "made", "", ""), rows)


def _jobs(session: Session) -> str:
    found = lifecycle.find(session, status=None, kind=None, limit=NEWEST, token=None).rows
    rows = [
        ((f"v1/jobs/{row.id}", row.id), row.kind, row.reported_status, row.stage, _time(row.created), row.message)
        for row in found
    ]
    return _table("Jobs", ("job", "kind", "status", "stage", "made", "message"), rows)


def _models(session: Session) -> str:
    found = registry.newest(session, limit=NEWEST, token=None).rows
    aliases = {row.name: registry.aliases(session, row.name) for row in found}
    rows = [
        (
            (f"v1/models/{row.name}", row.name),
            str(row.version),
            ", ".join(f"{alias.alias}: {alias.version}" for alias in aliases[row.name]),
            _time(row.created),
        )
        for row in found
    ]
    return _table("Models", ("model", "newest version", "aliases", "made"), rows)


def _scenes(session: Session) -> str:
    found = scenes.find(session, limit=NEWEST, token=None).rows
    rows = [
        ((f"v1/scenes/{row.id}", row.id), f"{row.info.rows} x {row.info.cols}", _time(row.created)) for row in found
    ]
    return _table("Scenes", ("scene", "pixels", "uploaded"), rows)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    heads = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2>\n" + (f"<table><tr>{heads}</tr>\n{lines}</table>" if lines else "<p>none yet</p>")


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    address, shown = cell
    return f'<td><a href="{escape(address)}">{escape(shown)}</a></td>'


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
