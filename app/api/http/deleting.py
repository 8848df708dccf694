"""What all DELETE routes of resources share: ?cascade=true and ?dry_run=true, and what they answer."""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from app.api.documents import whole as documents
from app.api.http.answers import answer
from app.api.http.problems import problems
from app.core.preconditions import IfMatch
from app.services import Services
from app.upkeep import deletion
from app.upkeep.references import Thing
from ml.frozen import Frozen

DELETED = {
    200: answer(200, model=documents.Deletion)[200] | {"description": "With `dry_run`: what would be deleted."}
} | problems(404, 409, 412)


class DeletionParameters(Frozen):
    """How a resource is deleted."""

    cascade: bool = Field(False, description="Delete everything that needs the resource with it.")
    dry_run: bool = Field(False, description="Delete nothing, and answer what would be deleted.")


Deleting = Annotated[DeletionParameters, Query()]


def deleted(services: Services, thing: Thing, if_match: IfMatch, how: DeletionParameters) -> Response:
    """Delete a resource and answer with 204; or answer what would go. Raises `NotFound`, `Conflict`, ..."""
    if how.dry_run:
        plan = deletion.preview(services, thing, if_match, cascade=how.cascade)
        return JSONResponse(documents.Deletion.of(plan.all).model_dump(mode="json"))
    deletion.delete(services, thing, if_match, cascade=how.cascade)
    return Response(status_code=204)
