"""Routes of /v1/experiments: compare variants of a config."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.http.answers import ETAG, NEXT, TEXT, answer, content, created
from app.api.http.csv_tables import Spoken, csv_answer
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, OnceOnly, PreferredWait, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.jobs import lifecycle
from app.learning import experiments
from app.requests.learning import ExperimentRequest
from app.requests.texts import TitlePatch
from app.tables import Experiment
from app.upkeep.references import Thing
from ml.evaluation.comparison_text import as_csv, as_markdown

router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=JsonRoute)
Format = Annotated[Literal["json", "csv", "md"], Query(description="csv and md give only the table.")]


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_experiment(
    services: Wired, response: Response, body: ExperimentRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Experiment:
    """Train each variant with each seed, and compare the variants when all trainings have ended."""
    row = await run_in_threadpool(experiments.create, services, body, once)
    response.headers["Location"] = f"/v1/experiments/{row.id}"
    return await document_after_wait(services, row.id, wait_s, _document)


@router.get("", responses=answer(200, NEXT))
def list_experiments(session: Reading, request: Request, response: Response, page: Page) -> documents.Experiments:
    """List all experiments, newest first."""
    found = experiments.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Experiments(items=_documents(session, found.rows), next=found.next)


@router.get(
    "/{id}",
    response_model=documents.Experiment,
    responses=content({"text/csv": TEXT, "text/markdown": TEXT}, ETAG) | problems(404),
)
def get_experiment(
    session: Reading, id_: Id, response: Response, language: Spoken, f: Format = "json"
) -> documents.Experiment | Response:
    """Read one experiment, or only its table as CSV or Markdown once all its trainings have ended."""
    if f == "json":
        found = _document(session, id_)
        etag(response, lifecycle.get(session, id_).tag)
        return found
    comparison = experiments.comparison(session, id_)
    if f == "csv":
        return csv_answer(as_csv(comparison), language)
    return Response(as_markdown(comparison), media_type="text/markdown; charset=utf-8")


@router.patch("/{id}", responses=TITLED)
def patch_experiment(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.Experiment:
    """Change the title of an experiment."""
    retitle(session, Thing("experiment", id_), change, if_match)
    etag(response, lifecycle.get(session, id_).tag)
    return _document(session, id_)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_experiment(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete an experiment whose job has ended, with its trainings. Refused while something needs one of these."""
    return deleted(services, Thing("experiment", id_), if_match, how)


def _document(session: Session, id_: str) -> documents.Experiment:
    (document,) = _documents(session, [experiments.get(session, id_)])
    return document


def _documents(session: Session, rows: Sequence[Experiment]) -> tuple[documents.Experiment, ...]:
    ids = [row.id for row in rows]
    work, runs = lifecycle.by_id(session, ids), experiments.summaries(session, ids)
    return tuple(documents.Experiment.of(row, work[row.id], runs[row.id]) for row in rows)
