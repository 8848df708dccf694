"""Bodies of requests for keys, tenants and signed addresses."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from app.requests.texts import Reference, Title, example, storable
from ml.frozen import Frozen

Scope = Literal["view", "operate", "train", "approve", "admin"]  # what a key allows; each includes those before it
Lifetime = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{0,4}[dhm]$"),
    Field(description="Number of days, hours or minutes: 90d, 12h, 30m."),
]


def period(text: str) -> timedelta:
    """The length of time that a `Lifetime` names."""
    unit = {"d": "days", "h": "hours", "m": "minutes"}[text[-1]]
    return timedelta(**{unit: int(text[:-1])})


class KeyRequest(Frozen):
    """Make a key for a program."""

    model_config = example({"name": "portal of Nanning", "tenant": "nanning", "scope": "operate", "expires": "90d"})

    name: Annotated[Title, Field(max_length=80, description="What the key is for, in any script.")]
    scope: Scope = Field(description="What the key allows; each of them includes those before it.")
    tenant: Reference | None = Field(None, description="Whose key it is; by default that of your own key.")
    expires: Lifetime | None = Field(None, description="After what time it is refused: 90d, 12h, 30m; null for never.")


class KeyRotation(Frozen):
    """Replace a key by a new one."""

    model_config = example({"overlap": "1d"})

    overlap: Lifetime = Field("1d", description="For how long the old key stays valid beside the new one.")


Amount = Annotated[int, Field(ge=0, lt=10**18)]


class Limits(Frozen):
    """What a tenant may use, and each of its keys. null is the default of the service, and 0 is no limit."""

    requests_per_minute: Amount | None = Field(None, description="Requests that each key may send in a minute.")
    uploads: Amount | None = Field(None, description="Files that each key may send at once.")
    downloads: Amount | None = Field(None, description="Files that each key may fetch at once.")
    streams: Amount | None = Field(None, description="Requests of each key that wait for jobs at once, also by events.")
    queued_jobs: Amount | None = Field(None, description="Jobs of the tenant that wait or run.")
    stored_bytes: Amount | None = Field(None, description="Bytes of all files of the tenant, also of arriving ones.")
    pixels_per_day: Amount | None = Field(
        None, description="Pixels of the scenes that the tenant has mapped on one day of UTC."
    )


class TenantRequest(Frozen):
    """Make a tenant, or change it."""

    model_config = example({"title": "南宁市农业农村局", "limits": {"queued_jobs": 100, "stored_bytes": 500 * 10**9}})

    title: Title | None = Field(None, description="null for none.")
    grants: tuple[Reference, ...] | None = Field(
        None,
        max_length=1000,
        description="Models of other tenants that it may use, like province~cane; null leaves them as they are.",
    )
    limits: Limits | None = Field(None, description="All limits of the tenant; null leaves them as they are.")


class SignedUrlRequest(Frozen):
    """Sign the address of a file, a picture or tiles."""

    model_config = example({"path": "/v1/predictions/prd_1/classes.tif", "expires_s": 600})

    path: Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(storable)] = Field(
        description="Path on the service, without a query. {z}/{x}/{y} may stand in that of tiles."
    )
    expires_s: int = Field(3600, ge=1, le=366 * 86400, description="Seconds for which the address is valid.")
