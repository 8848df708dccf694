"""Zones: uploaded layers of administrative polygons, each with a code."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.names import check_texts
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.room import no_room_is_told
from app.core.rows import getter
from app.data import uploaded
from app.services import Services
from app.storage import Stored, Upload, new_place
from app.storage.store import sha256_in
from app.tables import ZoneSet
from ml.zones.inspect import InspectedZones
from ml.zones.read import ZoneOptions, Zones

get = getter(ZoneSet, "zone set")


def add(
    services: Services,
    name: str,
    upload: Upload,
    options: ZoneOptions,
    if_match: IfMatch = ANY,
    once: IdempotentRequest = FRESH,
    title: str | None = None,
) -> tuple[ZoneSet, bool]:
    """Store an uploaded layer of zones; returns it, and whether it is new.

    if_match: What the zone set of this name must be. once: Where the request may be repeated.
    title: Of a new zone set; that of a known one stays.

    The same bytes and options again are the same zone set. Raises `InputRefused` for a layer that cannot be used, and
    `Conflict` if the name is taken by other zones.
    """

    def make() -> ZoneSet:
        found, features = _inspected(services, name, upload, options)
        source = services.store.put(upload.path, new_place("zones", name, "zones"), sha256=upload.sha256)
        return ZoneSet(
            id=name,
            sha256=source.sha256,
            size_bytes=source.size_bytes + features.size_bytes,
            object=source.object,
            features=features.object,
            options=options,
            report=found.report,
            zones=list(found.zones),
            title=title,
        )

    def check_same(existing: ZoneSet) -> None:
        _check_same(existing, upload, options)

    return uploaded.add(services, ZoneSet, get, name, make, check_same, if_match=if_match, once=once)


def find(session: Session, *, limit: int, token: str | None) -> Page[ZoneSet]:
    """All zone sets, newest first."""
    return page(session, select(ZoneSet), ZoneSet.created, ZoneSet.id, limit=limit, token=token)


def features(services: Services, name: str) -> Stored:
    """The zones as GeoJSON in WGS 84, one feature on each line. Raises `NotFound`."""
    with services.database.read() as session:
        row = get(session, name)
    return Stored(row.features, sha256_in(row.features), 0)


def read(services: Services, row: ZoneSet, folder: Path) -> Zones:
    """The polygons of a zone set with their codes, names and parents, in the CRS of their file.

    A stranger's file is read: do this in the process of a job, or in a child process, and not in the API.

    folder: Where the file is kept meanwhile.
    """
    return Zones(services.store.take(row.object, folder), row.options)


def _inspected(services: Services, name: str, upload: Upload, options: ZoneOptions) -> tuple[InspectedZones, Stored]:
    """The result of the inspection, and the zones as GeoJSON, which are in the store then."""
    with (
        no_room_is_told(),
        services.store.incoming() as place,
        TemporaryDirectory(prefix=place.name, dir=place.parent) as folder,
    ):
        out = Path(folder, "zones.geojson")
        found = services.inspector.zones(upload.path, options, out)
        check_texts(found, "the layer")
        return found, services.store.put(out, new_place("zones", name, out.name))


def _check_same(existing: ZoneSet, upload: Upload, options: ZoneOptions) -> None:
    if existing.sha256 != upload.sha256:
        raise Conflict(
            "name-taken", f"There are other zones {existing.id!r} already: choose another name, or delete them."
        )
    changed = [name for name in ZoneOptions.model_fields if getattr(existing.options, name) != getattr(options, name)]
    if changed:
        detail = f"Zones {existing.id!r} have these bytes, but other options ({', '.join(changed)})"
        raise Conflict("name-taken", f"{detail}: delete them and put them again, or choose another name.")
