"""The query parameters of lists, and those that routes of several resources have."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import AfterValidator, Field, StringConstraints

from app.api.documents.jobs import Kind, Status
from app.api.http.parameters import checked
from app.core.columns import TENANT_LENGTH
from app.core.names import ID, NAME
from app.core.paging import bad_token, check_token
from app.data.scenes import BBox, Interval
from app.data.selection import read_box, read_interval
from app.language.choice import Language
from app.requests.texts import shown
from ml.frozen import Frozen


def _check_name_token(token: str) -> None:
    if not NAME.fullmatch(token):
        raise bad_token()


class Paging(Frozen):
    """The query parameters of every list."""

    limit: int = Field(100, ge=1, le=1000, description="Largest number of items on a page.")
    token: Annotated[str | None, checked(check_token)] = Field(
        None, max_length=500, description="`next` of the previous page."
    )


class NamePaging(Paging):
    """The query parameters of lists of models and of versions, whose tokens are names and numbers."""

    token: Annotated[str | None, checked(_check_name_token)] = Field(
        None, max_length=500, description="`next` of the previous page."
    )


class OfJobs(Paging):
    """The query parameters that select jobs."""

    status: Status | None = Field(None, description="Only jobs with this status.")
    kind: Kind | None = Field(None, alias="processID", description="Only jobs of this kind.")
    type: Literal["process"] | None = Field(None, description="All jobs are of processes.")
    interval: Annotated[str | None, checked(read_interval)] = Field(
        None, alias="datetime", description="Time at which the job was asked for, or start/end; .. leaves an end open."
    )

    @property
    def between(self) -> Interval:
        """`datetime` as start and end in UTC, None for an open end."""
        return read_interval(self.interval or "")


class OfKeys(Paging):
    """The query parameters that select keys."""

    tenant: str | None = Field(None, max_length=TENANT_LENGTH, description="Only keys of this tenant.")


class OfAudit(OfKeys):
    """The query parameters that select entries of the audit log."""

    tenant: str | None = Field(None, max_length=TENANT_LENGTH, description="Only what was done in this tenant's name.")
    who: str | None = Field(None, max_length=100, description='Only what one did, like "key 4f7hq2x9".')
    interval: Annotated[str | None, checked(read_interval)] = Field(
        None, alias="datetime", description="Only a time, or start/end; .. leaves an end open."
    )
    f: Literal["json", "csv"] = "json"
    lang: Language | None = Field(None, description="Language of the headings of a CSV, before Accept-Language.")


class OfScenes(Paging):
    """The query parameters that select scenes."""

    bbox: Annotated[str | None, checked(read_box)] = Field(
        None,
        description="Box that the scene must touch: west,south,east,north in degrees. If west is larger than east, "
        "the box crosses the date line.",
    )
    interval: Annotated[str | None, checked(read_interval)] = Field(
        None, alias="datetime", description="Time of acquisition, or start/end; .. leaves an end open."
    )

    @property
    def box(self) -> BBox | None:
        """`bbox` as numbers in degrees, or None."""
        return None if self.bbox is None else read_box(self.bbox)

    @property
    def between(self) -> Interval:
        """`datetime` as start and end in UTC, None for an open end."""
        return read_interval(self.interval or "")


class OfPredictions(OfScenes):
    """The query parameters that select predictions."""

    status: Status | None = Field(None, description="Only predictions whose job has this status.")


Page = Annotated[Paging, Query()]
NamePage = Annotated[NamePaging, Query()]
JobQuery = Annotated[OfJobs, Query()]
AuditQuery = Annotated[OfAudit, Query()]
KeyQuery = Annotated[OfKeys, Query()]
SceneQuery = Annotated[OfScenes, Query()]
PredictionQuery = Annotated[OfPredictions, Query()]
AreaFormat = Annotated[
    Literal["json", "csv", "xlsx", "geojson"], Query(description="csv has a byte order mark, for Excel.")
]
ZonesId = Annotated[
    str | None, Query(pattern=f"^{ID.pattern}$", description="Id of a zone set, by whose zones hectares are told.")
]
LabellerName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(shown)
]
OneLabeller = Annotated[LabellerName | None, Query(description="Whose answers count alone.")]
