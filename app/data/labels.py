"""Labels: uploaded layers of labels, as polygons or as rasters."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.names import check_texts
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.data import uploaded
from app.services import Services
from app.storage import Upload, new_place
from app.tables import LabelSet
from ml.labels.classes import LabelOptions

get = getter(LabelSet, "label set")


def add(
    services: Services,
    name: str,
    upload: Upload,
    options: LabelOptions,
    if_match: IfMatch = ANY,
    once: IdempotentRequest = FRESH,
    title: str | None = None,
) -> tuple[LabelSet, bool]:
    """Store an uploaded layer of labels; returns it, and whether it is new.

    if_match: What the label set of this name must be. once: Where the request may be repeated.
    title: Of a new label set; that of a known one stays.

    The same bytes and options again are the same label set. Raises `InputRefused` for a layer that cannot be read, and
    `Conflict` if the name is taken by other labels.
    """

    def make() -> LabelSet:
        report = services.inspector.labels(upload.path, options)
        check_texts(report, "the layer")
        stored = services.store.put(upload.path, new_place("labels", name, "layer"), sha256=upload.sha256)
        return LabelSet(
            id=name,
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            object=stored.object,
            options=options,
            report=report,
            title=title,
        )

    def check_same(existing: LabelSet) -> None:
        _check_same(existing, upload, options)

    return uploaded.add(services, LabelSet, get, name, make, check_same, if_match=if_match, once=once)


def find(session: Session, *, limit: int, token: str | None) -> Page[LabelSet]:
    """All label sets, newest first."""
    return page(session, select(LabelSet), LabelSet.created, LabelSet.id, limit=limit, token=token)


def _check_same(existing: LabelSet, upload: Upload, options: LabelOptions) -> None:
    if existing.sha256 != upload.sha256:
        raise Conflict(
            "name-taken", f"There are other labels {existing.id!r} already: choose another name, or delete them."
        )
    if changed := _differing(existing, options):
        detail = f"Labels {existing.id!r} have these bytes, but other options ({', '.join(changed)})"
        raise Conflict("name-taken", f"{detail}: delete them and put them again, or choose another name.")


def _differing(existing: LabelSet, options: LabelOptions) -> list[str]:
    """The options by which label sets of the same bytes differ; not the background of a raster, which has none."""
    fields = [name for name in LabelOptions.model_fields if name != "background" or existing.report.kind != "raster"]
    return [name for name in fields if getattr(existing.options, name) != getattr(options, name)]
