"""Pictures of scenes: how a client says what is drawn, and how they are answered."""

from typing import Annotated

from pydantic import Field

from app.api.http.answers import BINARY, DRAWN, UNCHANGED, content
from app.api.http.parameters import checked
from app.api.http.problems import problems
from app.mapping.scene_tiles import read_stretch
from ml.frozen import Frozen

PICTURE = content({"image/png": BINARY}, DRAWN) | UNCHANGED | problems(404, 503, 507)


class DrawingQuery(Frozen):
    """The query parameters that say how a scene is drawn."""

    bands: str | None = Field(
        None,
        max_length=400,
        description="Names or numbers of one band, drawn in grey, or of three, drawn in red, green and blue. The "
        "default is those that the names call red, green and blue, else the first three, else the first.",
    )
    stretch: Annotated[str | None, checked(read_stretch)] = Field(
        None,
        max_length=200,
        description="What is drawn dark and bright: percentiles over the whole scene, p2,p98 by default, or values in "
        "physical units: 0,3000 for every band, or a pair for each, 0,3000,0,2500,0,2000.",
    )
