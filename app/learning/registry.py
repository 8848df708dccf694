"""The registry of models: versions with their metrics, and aliases that can be moved from version to version."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from app.core import acting, tenancy
from app.core.columns import now
from app.core.errors import Conflict, Damaged, NotFound, invalid
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.names import NAME, check_texts
from app.core.paging import Page, bad_token
from app.core.preconditions import ANY, IfMatch, tag_of
from app.core.room import no_room_is_told
from app.data import numbers
from app.results import ModelMetrics
from app.services import Services
from app.storage import Stored, Upload, new_place
from app.tables import Alias, AliasMove, Model, ModelVersion
from app.webhooks import outbox
from app.webhooks.outbox import AliasData, MessageLink
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
    newest = _newest(session, name)
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
    if session.get(Alias, (name, CHAMPION)) is None:
        _point(session, name, CHAMPION, version.version, "the first version")
    return version


def _newest(session: Session, name: str) -> int:
    """The number of the newest version, also if it was deleted; 0 if there was none.

    It stays so for other transactions until this one ends.
    """
    take_turns(session, name)
    largest = select(func.max(ModelVersion.version)).where(ModelVersion.name == name).scalar_subquery()
    return numbers.newest(session, "model", name, largest)


def champions(session: Session, names: Collection[str]) -> dict[str, int]:
    """The version that is the champion of each of the models `names`, by the name of the model."""
    wanted = select(Alias).where(Alias.alias == CHAMPION, Alias.model.in_(names))
    return {alias.model: alias.version for alias in session.scalars(wanted)}


def imported(services: Services, once: IdempotentRequest) -> ModelVersion | None:
    """The version that the same request made before, or None."""
    with services.database.read() as session:
        earlier = once.answered(session)
        return resolve(session, earlier) if earlier else None


def import_bundle(
    services: Services, name: str, upload: Upload, once: IdempotentRequest = FRESH, title: str | None = None
) -> ModelVersion:
    """Make an uploaded checkpoint the next version of the model `name`. The same request again is the same version.

    Raises `InputRefused` for other files.
    """
    if before := imported(services, once):
        return before
    header = services.inspector.checkpoint(upload.path)
    check_texts(header, "the checkpoint")
    stored = services.store.put(upload.path, new_place("models", name, "model.safetensors"), sha256=upload.sha256)
    with services.recording(stored.object) as session:
        earlier = once.earlier(session, f"{name}:{_newest(session, name) + 1}")
        version = resolve(session, earlier) if earlier else register(session, name, header, stored, Origin())
        version.title = version.title if earlier else title
    if version.object != stored.object:  # the same request came twice at the same moment
        services.store.delete(stored.object)
    return version


def onnx(services: Services, name: str, which: str) -> Path:
    """The path of a version as ONNX, which is made at the first call.

    Raises `NotFound`, or `InputRefused` for a model that ONNX cannot express.
    """
    from ml.onnx_model import write_onnx  # the library takes a third of a second, and few processes need it

    with services.database.read() as session:
        version = get(session, name, which)

    def make(path: Path) -> None:
        with no_room_is_told(), checkpoint_of(version) as key:
            write_onnx(services.store.file(key), path, f"{version.name}:{version.version}")

    return services.cache.get(f"{version.sha256}.{tenancy.file_name(version.name)}.{version.version}.onnx", make)


@contextmanager
def checkpoint_of(version: ModelVersion) -> Iterator[str]:
    """The key of the checkpoint. If it is found damaged in the block, clients are told the name of the version.

    Its key would name the training that made it.
    """
    try:
        yield version.object
    except Damaged as error:
        raise Damaged(error.code, error.detail, f"model '{version.name}:{version.version}'") from error


def get(session: Session, name: str, which: str) -> ModelVersion:
    """The version `which` of the model `name`: "3", "@champion" or "champion". Raises `NotFound`."""
    number = int(which) if VERSION.fullmatch(which) else None
    if number is None:
        alias = session.get(Alias, (name, which.removeprefix("@")))
        number = alias.version if alias else None
    version = session.get(ModelVersion, (name, number)) if number is not None else None
    if version is None:
        raise _no_version(session, name, which)
    return version


def _no_version(session: Session, name: str, which: str) -> NotFound:
    """The error that says whether there is no such model, or only no such version or alias of it."""
    if session.scalar(select(ModelVersion.version).where(ModelVersion.name == name).limit(1)) is None:
        return NotFound("model", name)
    if VERSION.fullmatch(which):
        return NotFound("version", f"{name}:{which}")
    return NotFound("alias", f"{name}@{which.removeprefix('@')}")


def resolve(session: Session, reference: str) -> ModelVersion:
    """The version that "cane@champion", "cane:3", "cane@3" or "cane" (its champion) names. Raises `NotFound`."""
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise NotFound("model", reference)
    return get(session, match["name"], match["which"] or CHAMPION)


def newest(session: Session, *, limit: int, token: str | None) -> Page[ModelVersion]:
    """The newest version of each model, in the order of the names. The token of a page is its last name."""
    if token and not NAME.fullmatch(token):
        raise bad_token("/token")
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
        raise bad_token("/token")
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


def described(session: Session, names: Collection[str]) -> dict[str, Model]:
    """What is said of those of the models `names` of which something is, by the name of the model."""
    return {row.name: row for row in session.scalars(select(Model).where(Model.name.in_(names)))}


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


def moves(session: Session, name: str) -> int:
    """How often aliases of a model were moved or removed."""
    return session.scalar(select(func.count()).where(AliasMove.model == name)) or 0


def tag_of_model(session: Session, name: str) -> str:
    """The ETag of a model, which changes with its versions, its aliases and what is said of it. Raises `NotFound`."""
    of_model = select(func.max(ModelVersion.created), func.max(ModelVersion.version), func.count())
    newest, number, count = session.execute(of_model.where(ModelVersion.name == name)).one()
    if newest is None:
        raise NotFound("model", name)
    said = session.get(Model, name)
    return f"{tag_of(newest, number)}-{count}-{moves(session, name)}-{said.revision if said else 0}"


def move_alias(
    session: Session, name: str, alias: str, version: int, *, reason: str, if_match: IfMatch = ANY
) -> tuple[Alias, bool]:
    """Point an alias at a version; returns the alias, and whether it is new.

    Raises `Invalid` for a bad name, `NotFound` for an unknown version, and `PreconditionFailed` if the alias has moved.
    """
    if not ALIAS.fullmatch(alias) or not NAME.fullmatch(alias):
        raise invalid(
            "invalid-name",
            "An alias cannot be a number, and has the same characters as a name.",
            "Use letters, digits, dot, underscore and hyphen, for instance champion.",
            "/alias",
        )
    take_turns(session, name)
    get(session, name, str(version))
    existing = session.get(Alias, (name, alias))
    if_match.check(existing.tag if existing else None)
    return _point(session, name, alias, version, reason), existing is None


def standing(session: Session, name: str, alias: str) -> int | None:
    """The version that an alias points at, or None. No other transaction can move the alias until this one ends."""
    take_turns(session, name)
    row = session.get(Alias, (name, alias))
    return row.version if row else None


def point(session: Session, name: str, alias: str, version: int, reason: str) -> None:
    """Point an alias at a version. `standing` must have been called before, in the same transaction."""
    _point(session, name, alias, version, reason)


def remove_alias(session: Session, name: str, alias: str, *, if_match: IfMatch = ANY) -> None:
    """Remove an alias; the version stays. Raises `NotFound`, `PreconditionFailed`, or `Conflict` for the champion."""
    take_turns(session, name)
    row = get_alias(session, name, alias)
    check_approval(session, [name])
    if_match.check(row.tag)
    if alias == CHAMPION:
        raise Conflict("champion-stays", "A model always has a champion: move the alias instead of removing it.")
    session.delete(row)
    record_move(session, name, alias, None, "removed")


def asks_for_approval(session: Session, name: str) -> bool:
    """Whether the aliases of a model can be moved only by somebody who may approve it."""
    model = session.get(Model, name)
    return model is not None and model.approval


def check_approval(session: Session, names: Iterable[str]) -> None:
    """Raise `Forbidden` if one of the models `names` asks for approval, and whoever acts may not give it."""
    for name in names:
        if asks_for_approval(session, name):
            acting.check_approver(f"Model {name!r}")


def _point(session: Session, name: str, alias: str, version: int, reason: str) -> Alias:
    check_approval(session, [name])
    row = session.get(Alias, (name, alias))
    if row is None:
        # an alias that was removed goes on counting: its removal was a move, too
        row = Alias(model=name, alias=alias, version=version, revision=len(history(session, name, alias)))
        session.add(row)
    row.version, row.updated, row.revision = version, now(), row.revision + 1
    record_move(session, name, alias, version, reason)
    session.flush()
    return row


def record_move(session: Session, name: str, alias: str, version: int | None, reason: str) -> None:
    """Record a move of an alias, and tell the webhooks of the tenant."""
    session.add(AliasMove(model=name, alias=alias, version=version, reason=reason))
    links = (MessageLink(href=f"/v1/models/{name}", rel="related"),)
    data = AliasData(model=name, alias=alias, version=version, reason=reason, links=links)
    outbox.add(session, tenancy.current(), "alias.moved", data)


def take_turns(session: Session, name: str) -> None:
    """Let transactions that change this model wait for each other on PostgreSQL. SQLite has only one writer."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"model {tenancy.whole(name)}"))))
