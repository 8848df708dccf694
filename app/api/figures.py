"""Routes of /v1/{datasets,trainings,experiments}/{id}/figures: the figures of the paper, drawn from the user's data."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.documents import whole as documents
from app.api.http.answers import BINARY, TEXT, content
from app.api.http.deps import Id, Wired
from app.api.http.places import Placed
from app.api.http.problems import problems
from app.requests.learning import FiguresOf
from app.services import Services
from ml.figures import Format, Lang

router = APIRouter(prefix="/v1", tags=["figures"])
MEDIA_TYPES: dict[Format, str] = {"png": "image/png", "svg": "image/svg+xml"}
Language = Annotated[Lang, Query(description="Language of the text in the figure.")]
Name = Annotated[str, Path(pattern="^[a-z]{1,40}$", description="Name of the figure, as in the list.")]


def _names(services: Services, kind: FiguresOf, id_: str) -> list[str]:
    from app.learning import figures

    return figures.names(services, kind, id_)


def _draw(services: Services, kind: FiguresOf, id_: str, name: str, lang: Lang, format_: Format) -> bytes:
    from app.learning import figures

    return figures.draw(services, kind, id_, name, lang=lang, format_=format_)


@router.get("/{kind}/{id}/figures", responses=problems(404, 503))
async def list_figures(services: Wired, places: Placed, kind: FiguresOf, id_: Id) -> documents.Figures:
    """List the figures of a dataset, a training or an experiment."""
    base = f"/v1/{kind}/{id_}/figures"
    items = (
        documents.FigureLinks(name=name, png=f"{base}/{name}.png", svg=f"{base}/{name}.svg")
        for name in await places.run("figure", _names, services, kind, id_)
    )
    return documents.Figures(items=tuple(items))


@router.get(
    "/{kind}/{id}/figures/{name}.{format}",
    response_class=Response,
    responses=content({"image/png": BINARY, "image/svg+xml": TEXT}) | problems(404, 503),
)
async def get_figure(
    services: Wired,
    places: Placed,
    kind: FiguresOf,
    id_: Id,
    name: Name,
    format_: Annotated[Format, Path(alias="format")],
    lang: Language = "en",
) -> Response:
    """Draw one figure of a dataset, a training or an experiment, as PNG or SVG."""
    drawn = await places.run("figure", _draw, services, kind, id_, name, lang, format_)
    return Response(drawn, media_type=MEDIA_TYPES[format_])
