"""The cloud-optimised GeoTIFF of a scene, which is made when it is asked for first."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool

from app.api.http.places import Places
from app.data import scenes
from app.services import Services


async def cog_of(services: Services, places: Places, name: str) -> Path:
    """The path of a scene as a cloud-optimised GeoTIFF, which is made if it is needed for the first time."""
    if ready := await run_in_threadpool(scenes.ready_cog, services, name):
        return ready
    return await places.run("copy", scenes.cog, services, name)
