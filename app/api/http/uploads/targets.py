"""What is made of an upload in pieces as soon as all bytes are there, if its metadata say it: a scene, labels or zones.

The metadata are the fields of a form (`app.api.http.uploads.forms`), with `kind` and what clients of tus send of
themselves.
"""

from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request

from app.api.http.places import Places
from app.api.http.uploads import forms, receiving, tus
from app.api.http.uploads.parameters import LabelParameters, SceneParameters, ZoneParameters
from app.core import acting
from app.core.errors import invalid
from app.data import labels, scenes
from app.mapping import zones
from app.services import Services
from app.storage import Upload

Kind = Literal["scene", "labels", "zones"]
Parameters = SceneParameters | LabelParameters | ZoneParameters
PARAMETERS: dict[str, type[Parameters]] = {
    "scene": SceneParameters,
    "labels": LabelParameters,
    "zones": ZoneParameters,
}
KIND = "kind"
NAMES = ("filename", "name")  # keys that clients use for the name of the file on their disk
OF_CLIENTS = (*NAMES, "filetype", "type", "relativePath")  # Uppy sends them all


@dataclass(frozen=True)
class Target:
    """A scene, labels or zones that an upload becomes. name: its id. fields: its parameters."""

    kind: str
    name: str
    fields: Parameters

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/v1/{'scenes' if self.kind == 'scene' else self.kind}/{self.name}"


def target_of(header: str) -> Target | None:
    """The target that Upload-Metadata name, or None without a kind. Raises an error with everything that is wrong."""
    told = tus.metadata(header)
    kind = told.pop(KIND, None)
    if kind is None:
        return None
    if kind not in PARAMETERS:
        raise invalid("unknown-kind", "There is no such kind.", "Write scene, labels or zones.", "/kind")
    filename = next((told[key] for key in NAMES if told.get(key)), None)
    texts = {key: value for key, value in told.items() if key not in OF_CLIENTS}
    return Target(kind, *forms.read_fields(texts, filename, PARAMETERS[kind]))


async def make(request: Request, services: Services, id_: str, target: Target) -> None:
    """Make the target of an upload whose bytes are all there. If that is refused, the upload stays."""
    places: Places = request.app.state.places
    with acting.changing():  # HEAD makes it too, if what kept it from being made is gone
        await _make(places, request, services, id_, target)


async def _make(places: Places, request: Request, services: Services, id_: str, target: Target) -> None:
    async with receiving.whole_upload(request, services, id_, made=target.path) as upload:
        await places.run("upload", _add, services, target, upload)


def _add(services: Services, target: Target, upload: Upload) -> None:
    title: dict[str, Any] = {"title": target.fields.title}
    match target.fields:
        case SceneParameters() as scene:
            scenes.add(services, target.name, upload, scene.options(), **title)
        case LabelParameters() as layer:
            labels.add(services, target.name, upload, layer.options(), **title)
        case ZoneParameters() as found:
            zones.add(services, target.name, upload, found.options(), **title)
