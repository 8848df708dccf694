"""What is made of an upload in pieces as soon as all bytes are there, if its metadata say it: a scene, or labels.

The metadata are the fields of a form (`app.api.http.forms`), with `kind` and what clients of tus send of themselves.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from fastapi import Request

from app.api.http import forms, receiving, tus
from app.api.http.places import Places
from app.api.labels import LabelParameters
from app.api.scenes import SceneParameters
from app.core import acting
from app.core.errors import invalid
from app.data import labels, scenes
from app.services import Services

Kind = Literal["scene", "labels"]
KIND = "kind"
NAMES = ("filename", "name")  # keys that clients use for the name of the file on their disk
OF_CLIENTS = (*NAMES, "filetype", "type", "relativePath")  # Uppy sends them all


@dataclass(frozen=True)
class Target:
    """A scene or labels that an upload becomes. name: its id. fields: its parameters."""

    kind: str
    name: str
    fields: SceneParameters | LabelParameters

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/v1/{'scenes' if self.kind == 'scene' else 'labels'}/{self.name}"


def target_of(header: str) -> Target | None:
    """The target that Upload-Metadata name, or None without a kind. Raises an error with everything that is wrong."""
    told = tus.metadata(header)
    kind = told.pop(KIND, None)
    if kind is None:
        return None
    if kind not in ("scene", "labels"):
        raise invalid("unknown-kind", "There is no such kind.", "Write scene, or labels.", "/kind")
    filename = next((told[key] for key in NAMES if told.get(key)), None)
    texts = {key: value for key, value in told.items() if key not in OF_CLIENTS}
    if kind == "scene":
        return Target(kind, *forms.read_fields(texts, filename, SceneParameters))
    return Target(kind, *forms.read_fields(texts, filename, LabelParameters))


async def make(request: Request, services: Services, id_: str, target: Target) -> None:
    """Make the target of an upload whose bytes are all there. If that is refused, the upload stays."""
    places: Places = request.app.state.places
    with acting.changing():  # HEAD makes it too, if what kept it from being made is gone
        await _make(places, request, services, id_, target)


async def _make(places: Places, request: Request, services: Services, id_: str, target: Target) -> None:
    async with receiving.whole_upload(request, services, id_, made=target.path) as upload:
        title: dict[str, Any] = {"title": target.fields.title}
        if isinstance(target.fields, SceneParameters):
            add_scene = partial(scenes.add, **title)
            await places.run("upload", add_scene, services, target.name, upload, target.fields.options())
        else:
            add_labels = partial(labels.add, **title)
            await places.run("upload", add_labels, services, target.name, upload, target.fields.options())
