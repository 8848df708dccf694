"""The limits in force of a tenant: its own, or else those of the service. The tenant "local" has only its own."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import tenancy
from app.requests.access import Limits
from app.settings import Settings
from app.tables import Tenant

OF_KEYS = ("requests_per_minute", "uploads", "downloads", "streams")  # all others are of the tenant as a whole
NONE = Limits(**dict.fromkeys(Limits.model_fields, 0))


def in_force(settings: Settings, tenant: str, own: Limits) -> Limits:
    """The limits of a tenant with no null among them; 0 is no limit. own: What was set for it."""
    defaults: Mapping[str, int] = {name: getattr(settings, f"limit_{name}") for name in Limits.model_fields}
    if tenant == tenancy.LOCAL:  # it belongs to whoever runs the service, whose disk and whose processors these are
        defaults = {name: value if name in OF_KEYS else 0 for name, value in defaults.items()}
    return Limits(**{**defaults, **own.model_dump(exclude_none=True)})


def of_scope(session: Session, settings: Settings) -> Limits:
    """The limits in force of the tenant in whose scope this is."""
    tenant = tenancy.current()
    own = session.scalar(select(Tenant.limits).where(Tenant.id == tenant))
    return in_force(settings, tenant, own or Limits())
