"""The documents of OGC API - Processes 1.0, whose links are full URLs, as foreign clients expect."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Literal, Self

from pydantic import Field

from app import tables
from app.api.documents.base import Document, Link, link
from app.api.documents.jobs import OGC_REL, Job, StatusInfo, result_of
from app.api.documents.stac import GEOJSON, MEDIA_TYPES

CONFORMS_TO = tuple(
    f"http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/{name}"
    for name in ("core", "ogc-process-description", "json", "dismiss")
)


class ProcessConformance(Document):
    """What the service conforms to. That of the catalogue is at /v1/stac/conformance."""

    conforms_to: tuple[str, ...] = Field(CONFORMS_TO, alias="conformsTo")


class ProcessSummary(Document):
    """A kind of work that the service does."""

    id: str
    title: str
    description: str
    version: str = Field(description="Version of canemap.")
    job_control_options: tuple[str, ...] = Field(("async-execute", "dismiss"), alias="jobControlOptions")
    output_transmission: tuple[str, ...] = Field(("reference",), alias="outputTransmission")
    links: tuple[Link, ...]

    @classmethod
    def of(cls, id_: str, about: str, address: str, **more: Any) -> Self:
        """The summary of the process `id_`. about: A sentence. address: of the service."""
        here = f"{address}/v1/processes/{id_}"
        links = (
            link(here, "self"),
            link(f"{address}/v1/processes", "up"),
            link(f"{here}/execution", f"{OGC_REL}execute"),
        )
        return cls(id=id_, title=id_.capitalize(), description=about, version=version("canemap"), links=links, **more)


class InputDescription(Document):
    """An input. `schema` is a JSON Schema as in OpenAPI 3.0, without references."""

    title: str
    description: str
    min_occurs: Literal[0, 1] = Field(alias="minOccurs")
    max_occurs: Literal[1] = Field(alias="maxOccurs")
    schema_: dict[str, Any] = Field(alias="schema")

    @classmethod
    def of(cls, name: str, schema: Mapping[str, Any], *, required: bool) -> "InputDescription":
        """The description of an input with this schema."""
        title, about = str(schema.get("title", name)), str(schema.get("description", ""))
        return cls(title=title, description=about, min_occurs=int(required), max_occurs=1, schema_=dict(schema))


class OutputDescription(Document):
    """An output, which is given by its address. `schema` says of which media type it is."""

    title: str
    schema_: dict[str, Any] = Field(alias="schema")

    @classmethod
    def of(cls, name: str, media_type: str) -> "OutputDescription":
        """The description of an output of this media type."""
        is_json = media_type.endswith("json")
        content = {"type": "object"} if is_json else {"type": "string", "contentEncoding": "binary"}
        return cls(title=name, schema_=content | {"contentMediaType": media_type})


class Process(ProcessSummary):
    """A process with its inputs and outputs, by name."""

    inputs: dict[str, InputDescription]
    outputs: dict[str, OutputDescription]


class Processes(Document):
    """All processes."""

    processes: tuple[ProcessSummary, ...]
    links: tuple[Link, ...]

    @classmethod
    def of(cls, summaries: Iterable[ProcessSummary], address: str) -> "Processes":
        """The list of these processes. address: of the service."""
        return cls(processes=tuple(summaries), links=(link(f"{address}/v1/processes", "self"),))


def outputs_of(process: str) -> dict[str, str]:
    """The outputs of a process: media types by name. The first is the resource that the job makes."""
    return {process: GEOJSON} | MEDIA_TYPES if process == "prediction" else {process: "application/json"}


def results_of(job: tables.Job, products: Iterable[str], address: str) -> dict[str, Link]:
    """The outputs of a job that has succeeded, by name. products: files of a prediction. address: of the service."""
    resource = f"{address}{result_of(job).href}"
    main = "prediction" if job.kind == "part" else job.kind
    media_types = outputs_of(main)
    hrefs = {main: resource} | {name: f"{resource}/{name}" for name in sorted(products)}
    return {name: link(href, "related", media_types[name]) for name, href in hrefs.items()}


def status_of(row: tables.Job, address: str) -> StatusInfo:
    """The state of the job in `row`. address: of the service."""
    info = StatusInfo.of(Job.of(row))
    links = tuple(link(f"{address}{each.href}", each.rel, each.type) for each in info.links)
    return info.model_copy(update={"links": links})
