"""What the API says of itself: /openapi.json (OpenAPI 3.1) and /docs."""

from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import documents
from app.api.http.problems import problems

DESCRIPTION = "Trains U-Nets on satellite GeoTIFFs and maps sugarcane with them. See /v1 for the resources."
TAGS = [
    {"name": "jobs", "description": "One mechanism for every kind of work: status, events, log, dismissal."},
    {"name": "uploads", "description": "Files in pieces, over a line that breaks."},
    {"name": "scenes", "description": "GeoTIFFs, as STAC Items."},
    {"name": "labels", "description": "Layers of truth: polygons or rasters."},
    {"name": "datasets", "description": "Immutable versions of scenes, labels and a split."},
    {"name": "trainings", "description": "From a dataset to a registered model."},
    {"name": "experiments", "description": "Variants x seeds, compared."},
    {"name": "figures", "description": "The paper's figures for your own data."},
    {"name": "models", "description": "The registry: versions, metrics, aliases."},
    {"name": "evaluations", "description": "Any version scored on any split of a dataset."},
    {"name": "schedules", "description": "Retraining by the clock, with a gate before promotion."},
    {"name": "tiles", "description": "Class maps for web maps, as users of TiTiler expect them."},
    {"name": "predictions", "description": "One scene mapped with one model: maps, polygons, hectares."},
    {"name": "health", "description": "For whoever runs the service."},
]
# FastAPI finds only the models of JSON
IN_OTHER_MEDIA_TYPES: list[tuple[type[BaseModel], Literal["validation"]]] = [(documents.AreaFeatures, "validation")]


def described_app(**options: Any) -> FastAPI:
    """FastAPI that describes itself so that clients can be generated; its documentation needs no other host."""
    app: FastAPI = FastAPIOffline(
        title="canemap",
        description=DESCRIPTION,
        version=version("canemap"),
        responses=problems(422, 500, 503),
        openapi_tags=TAGS,
        generate_unique_id_function=lambda route: route.name,
        separate_input_output_schemas=False,
        **options,
    )
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or _completed(plain())  # type: ignore[method-assign]
    return app


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    _, others = models_json_schema(IN_OTHER_MEDIA_TYPES, ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= others["$defs"]
    events = document["paths"]["/v1/jobs/{id}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    del events["itemSchema"]  # of OpenAPI 3.2
    return document
