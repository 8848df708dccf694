"""The registry of models: versions with their metrics, and aliases that can be moved from version to version."""

import re
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from app.core.columns import now
from app.core.errors import Conflict, NotFound, PreconditionFailed, invalid
from app.core.names import NAME, check_texts
from app.core.paging import Page, bad_token
from app.results import ModelMetrics
from app.services import Services
from app.storage import Stored, Upload, new_place
from app.tables import Alias, AliasMove, ModelVersion
from ml.checkpoint_header import CheckpointHeader

CHAMPION = "champion"
ALIAS = re.compile(r"(?:[A-Za-z_-]|[0-9]+[A-Za-z._-])[A-Za-z0-9._-]{0,79}")  # a name that is not a number
VERSION = re.compile(r"[0-9]{1,9}")
REFERENCE = re.compile(r"(?P<name>[^@:]+)(?:[@:](?P<which>[^@:]+))?")


@dataclass(frozen=True)
class Origin:
    """The training and the dataset from which a version comes. Both are None for an imported version."""

    training: str | None = None
    dataset: str | None = None


def register(session: Session, name: str, header: CheckpointHeader, stored: Stored, origin: Origin) -> ModelVersion:
    """Add the next version of the model `name`. The first version becomes its champion."""
    _take_turns(session, name)
    newest = session.scalar(select(func.max(ModelVersion.version)).where(ModelVersion.name == name)) or 0
    version = ModelVersion(
        name=name,
        version=newest + 1,
        training=origin.training,
        dataset=origin.dataset,
        metrics=ModelMetrics(val=header.val, test=header.test),
        contract=header.contract,
        config=header.config,
        versions=header.versions,
        details=header.details,
        report=header.report,
        dataset_sha256=header.dataset_sha256,
        object=stored.object,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
    )
    session.add(version)
    session.flush()
    if newest == 0:
        _point(session, name, CHAMPION, version.version, "the first version")
    return version


def import_bundle(services: Services, name: str, upload: Upload) -> ModelVersion:
    """Make an uploaded checkpoint the next version of the model `name`. Raises `InputRefused` for other files."""
    header = services.inspector.checkpoint(upload.path)
    check_texts(header, "the checkpoint")
    stored = services.store.put(upload.path, new_place(f"models/{name}", "model.safetensors"), sha256=upload.sha256)
    with services.database.write() as session:
        return register(session, name, header, stored, Origin())


def get(session: Session, name: str, which: str) -> ModelVersion:
    """The version `which` of the model `name`: "3", "@champion" or "champion". Raises `NotFound`."""
    number = int(which) if VERSION.fullmatch(which) else None
    if number is None:
        alias = session.get(Alias, (name, which.removeprefix("@")))
        number = alias.version if alias else None
    version = session.get(ModelVersion, (name, number)) if number is not None else None
    if version is None:
        raise NotFound("model", f"{name}@{which.removeprefix('@')}")
    return version


def resolve(session: Session, reference: str) -> ModelVersion:
    """The version that "cane@champion", "cane:3", "cane@3" or "cane" (its champion) names. Raises `NotFound`."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise NotFound("model", reference)
    return get(session, match["name"], match["which"] or CHAMPION)


def newest(session: Session, *, limit: int, token: str | None) -> Page[ModelVersion]:
    """The newest version of each model, in the order of the names. The token of a page is its last name."""
    if token and not NAME.fullmatch(token):
        raise bad_token()
    # every model has a champion, so the names are found without reading all versions
    names = select(Alias.model).where(Alias.alias == CHAMPION, Alias.model > (token or ""))
    of_page = names.order_by(Alias.model).limit(limit + 1).subquery()
    any_version = aliased(ModelVersion)
    latest = select(func.max(any_version.version)).where(any_version.name == of_page.c.model).scalar_subquery()
    chosen = select(ModelVersion).join(
        of_page, and_(ModelVersion.name == of_page.c.model, ModelVersion.version == latest)
    )
    rows = session.scalars(chosen.order_by(ModelVersion.name)).all()
    return Page(rows[:limit], rows[limit - 1].name if len(rows) > limit else None)


def versions(session: Session, name: str, *, limit: int, token: str | None) -> Page[ModelVersion]:
    """The versions of a model, newest first. The token of a page is its last number. Raises `NotFound`."""
    if token and not VERSION.fullmatch(token):
        raise bad_token()
    chosen = select(ModelVersion).where(ModelVersion.name == name)
    if token:
        chosen = chosen.where(ModelVersion.version < int(token))
    rows = session.scalars(chosen.order_by(ModelVersion.version.desc()).limit(limit + 1)).all()
    if not rows and token is None:
        raise NotFound("model", name)
    return Page(rows[:limit], str(rows[limit - 1].version) if len(rows) > limit else None)


def aliases(session: Session, name: str) -> list[Alias]:
    """The aliases of a model, in alphabetical order."""
    return aliases_between(session, name, name)[name]


def aliases_between(session: Session, first: str, last: str) -> dict[str, list[Alias]]:
    """The aliases of all models from the name `first` to the name `last`, by model, each list in alphabetical order."""
    wanted = select(Alias).where(Alias.model.between(first, last)).order_by(Alias.model, Alias.alias)
    found: dict[str, list[Alias]] = defaultdict(list)
    for row in session.scalars(wanted):
        found[row.model].append(row)
    return found


def get_alias(session: Session, name: str, alias: str) -> Alias:
    """The alias of a model. Raises `NotFound`."""
    row = session.get(Alias, (name, alias))
    if row is None:
        raise NotFound("alias", f"{name}@{alias}")
    return row


def history(session: Session, name: str, alias: str) -> list[AliasMove]:
    """All moves of an alias, oldest first."""
    moves = select(AliasMove).where(AliasMove.model == name, AliasMove.alias == alias).order_by(AliasMove.id)
    return list(session.scalars(moves))


def move_alias(
    session: Session, name: str, alias: str, version: int, *, reason: str, if_match: int | None
) -> tuple[Alias, bool]:
    """Point an alias at a version; returns the alias, and whether it is new.

    if_match: the revision that the client has read, or None. Raises `Invalid` for a bad name, `NotFound` for an unknown
    version, and `PreconditionFailed` if the alias has another revision.
    """
    if not ALIAS.fullmatch(alias) or not NAME.fullmatch(alias):
        raise invalid(
            "invalid-name",
            "An alias cannot be a number, and has the same characters as a name.",
            "Use letters, digits, dot, underscore and hyphen, for instance champion.",
            "/alias",
        )
    _take_turns(session, name)
    get(session, name, str(version))
    existing = session.get(Alias, (name, alias))
    _check_unmoved(existing, if_match)
    return _point(session, name, alias, version, reason), existing is None


def standing(session: Session, name: str, alias: str) -> int | None:
    """The version that an alias points at, or None. No other transaction can move the alias until this one ends."""
    _take_turns(session, name)
    row = session.get(Alias, (name, alias))
    return row.version if row else None


def point(session: Session, name: str, alias: str, version: int, reason: str) -> None:
    """Point an alias at a version. `standing` must have been called before, in the same transaction."""
    _point(session, name, alias, version, reason)


def remove_alias(session: Session, name: str, alias: str, *, if_match: int | None) -> None:
    """Remove an alias; the version stays. Raises `NotFound`, `PreconditionFailed`, or `Conflict` for the champion."""
    row = get_alias(session, name, alias)
    _check_unmoved(row, if_match)
    if alias == CHAMPION:
        raise Conflict("champion-stays", "A model always has a champion: move the alias instead of removing it.")
    session.delete(row)
    session.add(AliasMove(model=name, alias=alias, version=None, reason="removed"))


def _check_unmoved(alias: Alias | None, if_match: int | None) -> None:
    if if_match is not None and (alias is None or alias.revision != if_match):
        raise PreconditionFailed("alias-moved", "The alias has been moved since you read it: read it again.")


def _point(session: Session, name: str, alias: str, version: int, reason: str) -> Alias:
    row = session.get(Alias, (name, alias))
    if row is None:
        row = Alias(model=name, alias=alias, version=version, revision=0)
        session.add(row)
    row.version, row.updated, row.revision = version, now(), row.revision + 1
    session.add(AliasMove(model=name, alias=alias, version=version, reason=reason))
    session.flush()
    return row


def _take_turns(session: Session, name: str) -> None:
    """Let transactions that change this model wait for each other on PostgreSQL. SQLite has only one writer."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"model {name}"))))
