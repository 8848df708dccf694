"""Waiting for what a map has in each zone, which one request measures for all."""

from collections.abc import Callable

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from app.api.http.places import Places
from app.api.http.shared_work import once_for_all
from app.mapping import sample_zones, sampled_maps, samples, zone_areas
from app.services import Services

TaskOf = Callable[[Services, str, str], zone_areas.Task | None]


async def measured(
    request: Request, services: Services, places: Places, map_: str, zones: str, task_of: TaskOf
) -> None:
    """Wait until the areas by zone are known, and let them be measured if nobody does it yet. Raises `Busy`.

    map_: Id of the prediction or survey. task_of: Says what must be measured of it.
    """
    task = await run_in_threadpool(task_of, services, map_, zones)
    if task is not None:
        await once_for_all(request, places, (map_, task.zones.object), zone_areas.measure, services, task)


async def sample_measured(request: Request, services: Services, places: Places, sample: str, zones: str) -> None:
    """Wait until it is known what the map and the sample have in each zone. Raises `Busy`."""
    task = await run_in_threadpool(sample_zones.task, services, sample, zones)
    map_ = await run_in_threadpool(_map_of, services, sample)
    await measured(request, services, places, map_, zones, sampled_maps.zone_task)
    if task is not None:
        await once_for_all(request, places, (sample, task.zones.object), sample_zones.find, services, task)


def _map_of(services: Services, sample: str) -> str:
    """The id of the prediction or survey of whose map a sample is."""
    with services.database.read() as session:
        return sampled_maps.id_of(samples.get(session, sample))
