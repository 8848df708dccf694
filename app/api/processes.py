"""Routes of OGC API - Processes 1.0: the kinds of work as processes, over the same functions as the other routes.

Their jobs are those of /v1/jobs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.documents.processes import InputDescription, OutputDescription, outputs_of, status_of
from app.api.http.access import Sender, require
from app.api.http.answers import APPLIED, LOCATION, answer
from app.api.http.deps import Address, Id, OnceOnly, PreferredWait, Wired
from app.api.http.json_bodies import JsonRoute
from app.api.http.plain_schemas import schemas_of
from app.api.http.problems import IN_BODIES, problems
from app.api.http.waiting import wait_for_end
from app.core.errors import Invalid, NotFound, Problem
from app.core.idempotency import IdempotentRequest
from app.data import datasets
from app.learning import evaluations, experiments, registry, sharing, trainings
from app.mapping import predictions, samples, surveys
from app.requests.data import DatasetRequest
from app.requests.learning import ExperimentRequest, TrainingRequest
from app.requests.mapping import PredictionRequest, SampleRequest, SurveyRequest
from app.requests.processes import EvaluationInputs, Execution
from app.services import Services
from app.tables import Evaluation
from ml.faults import Fault, InputRefused
from ml.frozen import Frozen

router = APIRouter(prefix="/v1", tags=["processes"], route_class=JsonRoute)
NO_SUCH_PROCESS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/no-such-process"


def _evaluate(services: Services, inputs: EvaluationInputs, once: IdempotentRequest) -> Evaluation:
    try:
        reference = sharing.own(services, inputs.model)
        with services.database.read() as session:
            model = registry.resolve(session, reference)
    except NotFound as error:
        raise predictions.unknown_model(error) from error
    return evaluations.create(services, model.name, str(model.version), inputs, once)


@dataclass(frozen=True)
class Work:
    """A kind of work. inputs: the model of its inputs. create: accepts it. route: whose scope it needs."""

    inputs: type[Frozen]
    create: Callable[[Services, Any, IdempotentRequest], Any]
    route: str


WORK = {
    "dataset": Work(DatasetRequest, datasets.create, "post_dataset"),
    "training": Work(TrainingRequest, trainings.create, "post_training"),
    "experiment": Work(ExperimentRequest, experiments.create, "post_experiment"),
    "evaluation": Work(EvaluationInputs, _evaluate, "post_evaluation"),
    "prediction": Work(PredictionRequest, predictions.create, "post_prediction"),
    "survey": Work(SurveyRequest, surveys.create, "post_survey"),
    "sample": Work(SampleRequest, samples.create, "post_sample"),
}


@router.get("/conformance")
def get_conformance() -> documents.ProcessConformance:
    """What the service conforms to."""
    return documents.ProcessConformance()


@router.get("/processes")
def list_processes(address: Address) -> documents.Processes:
    """List the processes."""
    summaries = (documents.ProcessSummary.of(id_, _about(work), address) for id_, work in WORK.items())
    return documents.Processes.of(summaries, address)


@router.get("/processes/{id}", responses=problems(404))
def get_process(id_: Id, address: Address) -> documents.Process:
    """Describe one process: its inputs, with a JSON Schema for each, and its outputs."""
    work = _known(id_)
    inputs = {
        name: InputDescription.of(name, schema, required=work.inputs.model_fields[name].is_required())
        for name, schema in schemas_of(work.inputs).items()
    }
    outputs = {name: OutputDescription.of(name, media_type) for name, media_type in outputs_of(id_).items()}
    return documents.Process.of(id_, _about(work), address, inputs=inputs, outputs=outputs)


@router.post(
    "/processes/{id}/execution",
    status_code=201,
    responses=answer(201, LOCATION | APPLIED) | problems(*IN_BODIES, 404, 409),
)
async def post_execution(
    services: Wired,
    request: Request,
    response: Response,
    id_: Id,
    body: Execution,
    sender: Sender,
    once: OnceOnly,
    wait_s: PreferredWait,
    address: Address,
) -> documents.StatusInfo:
    """Do the work of a process as a job, of which the answer tells the state."""
    work = _known(id_)
    require(sender, work.route)
    _check_outputs(id_, body.outputs)
    with _of_inputs():
        inputs = work.inputs.model_validate({name: _value(given) for name, given in body.inputs.items()})
        row = await run_in_threadpool(work.create, services, inputs, once)
    response.headers["Location"] = f"{address}/v1/jobs/{row.id}"
    if "respond-async" in request.headers.get("prefer", ""):
        response.headers["Preference-Applied"] = "respond-async"
    return status_of(await wait_for_end(services, row.id, wait_s), address)


def _known(id_: str) -> Work:
    """The work of the process `id_`. Raises `NotFound` with the type that the standard asks for."""
    if work := WORK.get(id_):
        return work
    error = NotFound("process", id_)
    error.code = NO_SUCH_PROCESS
    raise error


def _about(work: Work) -> str:
    return (work.inputs.__doc__ or "").partition("\n")[0]


def _value(given: Any) -> Any:
    """The value of an input, which is plain or qualified, as the standard asks of objects: {"value": ...}."""
    return given["value"] if isinstance(given, dict) and "value" in given else given


def _check_outputs(id_: str, outputs: Mapping[str, Any]) -> None:
    known = outputs_of(id_)
    hint = f"Known: {', '.join(known)}."
    faults = [
        Fault("unknown_output", f"The process has no output {name[:80]!r}.", hint, f"/outputs/{name[:80]}")
        for name in outputs
        if name not in known
    ]
    if faults:
        raise Invalid("unknown-output", *faults)


@contextmanager
def _of_inputs() -> Iterator[None]:
    """Give the faults of inputs their place in the body."""
    try:
        yield
    except ValidationError as error:
        items = error.errors(include_url=False)
        raise RequestValidationError([item | {"loc": ("body", "inputs", *item["loc"])} for item in items]) from error
    except (Problem, InputRefused) as refused:
        refused.faults = tuple(fault.at(f"/inputs{fault.pointer}") for fault in refused.faults)
        raise
