"""How the API describes itself at /openapi.json (OpenAPI 3.1) and /docs."""

from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.documents import whole as documents
from app.api.http.problems import problems
from app.api.http.request_log import POLLED

DESCRIPTION = "Trains U-Nets on satellite GeoTIFFs and maps sugarcane with them. All resources are under /v1."
TAGS = [
    {
        "name": "jobs",
        "description": "Jobs do all work: each has a status, events and a log, and can be dismissed.",
    },
    {"name": "uploads", "description": "Files that are sent in pieces, over a connection that may break."},
    {"name": "scenes", "description": "GeoTIFFs, as STAC Items."},
    {"name": "labels", "description": "Layers of labels: polygons or rasters."},
    {"name": "zones", "description": "Administrative polygons, by which areas are counted."},
    {"name": "datasets", "description": "Immutable versions of scenes, labels and a split."},
    {"name": "trainings", "description": "A net is trained on a dataset and registered as a model version."},
    {"name": "experiments", "description": "Variants of a config, each trained with several seeds, and compared."},
    {"name": "figures", "description": "The figures of the paper, drawn from your own data."},
    {"name": "models", "description": "The registry of models: versions, metrics and aliases."},
    {"name": "evaluations", "description": "A model version scored on a split of a dataset."},
    {"name": "schedules", "description": "Trainings that are repeated by the clock, with a gate before promotion."},
    {
        "name": "tiles",
        "description": "Scenes and class maps as tiles for web maps, at addresses like those of TiTiler.",
    },
    {"name": "predictions", "description": "One scene mapped with one model version: maps, polygons and hectares."},
    {"name": "surveys", "description": "Many scenes as one map: a mosaic, hectares by zone, and their change."},
    {"name": "samples", "description": "Points of a map that people label, and hectares estimated from their answers."},
    {
        "name": "stac",
        "description": "Scenes, maps and models as one STAC API, for QGIS and pystac-client.",
    },
    {"name": "processes", "description": "All work as OGC API - Processes 1.0, for clients that know this standard."},
    {"name": "keys", "description": "Keys of programs, and the tenants that they belong to."},
    {"name": "webhooks", "description": "Addresses to which signed messages about events are sent."},
    {"name": "health", "description": "For the operator of the service."},
]
# FastAPI finds only the models that are answered as application/json
IN_OTHER_MEDIA_TYPES: list[tuple[type[BaseModel], Literal["validation"]]] = [
    (documents.AreaFeatures, "validation"),
    (documents.SurveyFeatures, "validation"),
    (documents.ChangeFeatures, "validation"),
    (documents.EstimateFeatures, "validation"),
]


# Only traces, of what is not polled all the time; `app.core.tracing` says where they go. The log has the messages of
# exceptions, without secrets, and /metrics the numbers.
TELEMETRY = {"auto_configure": False, "logs": False, "metrics": False, "exclude": lambda scope: scope["path"] in POLLED}


def described_app(**options: Any) -> FastAPI:
    """A FastAPI app from whose description clients can be generated. Its documentation pages need no other host."""
    app: FastAPI = FastAPIOffline(
        title="canemap",
        description=DESCRIPTION,
        version=version("canemap"),
        responses=problems(401, 403, 422, 429, 500, 503, 507),
        openapi_tags=TAGS,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
        telemetry=TELEMETRY,
        **options,
    )
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or _completed(plain())  # type: ignore[method-assign]
    return app


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    _, others = models_json_schema(IN_OTHER_MEDIA_TYPES, ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= others["$defs"]
    events = document["paths"]["/v1/jobs/{id}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    del events["itemSchema"]  # a keyword of OpenAPI 3.2
    return document


def _header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


# Of uploads in pieces; `tus` and `draft` of `app.api.http.uploads` read them, and `digests`. Those that name a protocol
# are not here: they are for its clients, and change what the others mean.
UPLOAD_HEADERS: dict[str, Any] = {
    "parameters": [
        _header(
            "Upload-Metadata",
            "What to make of it, as tus has it: `kind` (scene, labels or zones) and the fields of a form.",
        ),
        _header("Upload-Checksum", "sha1, sha256 or sha512 of the body, as tus has it."),
        _header("Upload-Complete", "?1 if the file ends with the body, and else ?0, as the draft has it."),
        _header("Content-Digest", "sha-256 or sha-512 of the body (RFC 9530)."),
        _header("Repr-Digest", "sha-256 or sha-512 of the whole file (RFC 9530)."),
    ]
}
