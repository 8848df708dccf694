"""/v1/experiments"""

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http.deps import Id, Limit, OnceOnly, Token, Wired, link_next
from app.api.http.waiting import honour_prefer
from app.core.errors import NotReady
from app.jobs import lifecycle
from app.learning import experiments
from app.requests import ExperimentRequest
from app.tables import Experiment
from ml.evaluation.comparison import Comparison
from ml.evaluation.comparison_text import as_csv, as_markdown

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])


@router.post("", status_code=201)
async def post_experiment(
    services: Wired, request: Request, response: Response, body: ExperimentRequest, once: OnceOnly
) -> Json:
    """Train each variant with each seed, and compare them when all have ended."""
    row = await run_in_threadpool(experiments.create, services, body, once)
    await honour_prefer(request, services, row.id)
    response.headers["Location"] = f"/v1/experiments/{row.id}"
    return await run_in_threadpool(_document, services, row.id)


@router.get("")
def list_experiments(
    services: Wired, request: Request, response: Response, limit: Limit = 100, token: Token = None
) -> Json:
    """All experiments, newest first."""
    found = experiments.find(services, limit=limit, token=token)
    link_next(request, response, found.next)
    with services.database.read() as session:
        items = _documents(session, found.rows)
    return {"items": items, "next": found.next}


@router.get("/{id}", response_model=None)
def get_experiment(services: Wired, id_: Id, f: Literal["json", "csv", "md"] = "json") -> Response:
    """One experiment: its table as JSON, CSV or Markdown."""
    if f == "json":
        return JSONResponse(jsonable_encoder(_document(services, id_)))
    with services.database.read() as session:
        comparison = comparison_of(experiments.get(session, id_))
    if f == "csv":
        return Response("\ufeff" + as_csv(comparison), media_type="text/csv; charset=utf-8")  # Excel knows UTF-8 by it
    return Response(as_markdown(comparison), media_type="text/markdown; charset=utf-8")


def comparison_of(row: Experiment) -> Comparison:
    """The comparison; `NotReady` before all runs have ended."""
    if row.comparison is None:
        raise NotReady("result-not-ready", f"The runs of experiment {row.id!r} have not all ended.")
    return row.comparison


def _document(services: Wired, id_: str) -> Json:
    with services.database.read() as session:
        return _documents(session, [experiments.get(session, id_)])[0]


def _documents(session: Session, rows: Sequence[Experiment]) -> list[Json]:
    ids = [row.id for row in rows]
    work, runs = lifecycle.by_id(session, ids), experiments.summaries(session, ids)
    return [documents.experiment(row, work[row.id], runs[row.id]) for row in rows]
