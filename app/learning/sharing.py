"""Models of other tenants that a tenant was given: read where they are, and copied when they are used.

The model "cane" of the tenant "province" is called "province~cane" by those who were given it. Each version that one of
them uses is copied into their own registry under this name. So what they make refers to nothing of another tenant, and
stays whole when the grant or the version goes.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access import tenants
from app.core import tenancy
from app.core.errors import NotFound, refuse_any
from app.core.names import NAME
from app.learning import registry
from app.services import Services
from app.storage import new_place
from app.tables import ModelVersion, Tenant
from ml.faults import Fault

GIVEN = re.compile(rf"(?P<owner>{tenants.NAME.pattern})~(?P<name>{NAME.pattern})")
_SAME = (  # in a copy as in the version itself
    *("version", "title", "metrics", "contract", "config", "versions", "details", "report", "dataset_sha256"),
    *("sha256", "size_bytes"),
)


def grant(session: Session, tenant: str, models: Sequence[str]) -> None:
    """Give `models` of other tenants, like "province~cane", to a tenant, and no others.

    session: In the scope of all tenants. Raises `NotFound` for an unknown tenant, `Invalid` with all models that cannot
    be given.
    """
    row = tenants.locked(session, tenant)
    faults = [_no_model(name, index) for index, name in enumerate(models) if not _can_be_given(session, tenant, name)]
    refuse_any("unknown-model", faults)
    row.grants, row.revision = list(dict.fromkeys(models)), row.revision + 1
    session.flush()


def _can_be_given(session: Session, tenant: str, name: str) -> bool:
    match = GIVEN.fullmatch(name)
    if match is None or match["owner"] == tenant:
        return False
    with tenancy.acting_for(match["owner"]):
        whole = tenancy.whole(match["name"])
    return session.scalar(select(ModelVersion.version).where(ModelVersion.name == whole).limit(1)) is not None


def _no_model(name: str, index: int) -> Fault:
    hint = "Write tenant~model, for instance province~cane, with a model of another tenant."
    return Fault("unknown_model", f"There is no model {name!r} that can be given.", hint, f"/grants/{index}")


def grants(session: Session) -> tuple[str, ...]:
    """The models of other tenants that the tenant of the scope was given."""
    row = session.get(Tenant, tenancy.current())
    return tuple(row.grants) if row else ()


@contextmanager
def reading(services: Services, name: str) -> Iterator[tuple[Session, str]]:
    """A session in the scope of whoever has the model `name`, and its name there.

    Raises `NotFound` for a model of another tenant that the tenant of the scope was not given.
    """
    match = GIVEN.fullmatch(name)
    if match is None:
        with services.database.read() as session:
            yield session, name
        return
    with services.database.read() as session:
        if name not in grants(session):
            raise NotFound("model", name)
    with tenancy.acting_for(match["owner"]), services.database.read() as session:
        yield session, match["name"]


def own(services: Services, reference: str) -> str:
    """The reference of a version in the own registry: of the copy of a version of another tenant, which is made now.

    A reference to an own model stays as it is, also if there is no such model. Raises `NotFound` for others.
    """
    match = registry.REFERENCE.fullmatch(reference)
    if match is None or not GIVEN.fullmatch(match["name"]):
        return reference
    return f"{match['name']}:{own_version(services, match['name'], match['which'] or registry.CHAMPION)}"


def own_version(services: Services, name: str, which: str) -> int:
    """The number of a version of the model `name` of another tenant, after it was copied. Raises `NotFound`."""
    with reading(services, name) as (session, theirs):
        version = registry.get(session, theirs, which)
    with services.database.read() as session:
        if _is_copied(session, name, version):
            return version.version
    with registry.checkpoint_of(version) as key:
        source = services.store.file(key)
    stored = services.store.put(source, new_place("models", name, "model.safetensors"), sha256=version.sha256)
    with services.recording(stored.object) as session:
        registry.take_turns(session, name)
        if not (known := _is_copied(session, name, version)):
            same = {column: getattr(version, column) for column in _SAME}
            session.add(ModelVersion(name=name, object=stored.object, **same))
    if known:  # another request was quicker
        services.store.delete(stored.object)
    return version.version


def _is_copied(session: Session, name: str, version: ModelVersion) -> bool:
    return session.get(ModelVersion, (name, version.version)) is not None
