"""The composition root of the API."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import Depends, FastAPI
from starlette.routing import BaseRoute

from app.access import meter
from app.access.keyring import RECORD_S, Keyring
from app.access.signatures import Signer
from app.api import (
    audit,
    datasets,
    estimates,
    evaluations,
    experiments,
    figures,
    health,
    home,
    jobs,
    keys,
    labels,
    models,
    predictions,
    processes,
    samples,
    scene_tiles,
    scenes,
    schedules,
    sheets,
    signed_urls,
    stac,
    survey_tiles,
    surveys,
    tenants,
    tiles,
    trainings,
    uploads,
    webhooks,
    zoned_polygons,
    zones,
)
from app.api.http import access, body_limits, callers, copies, cors, heads, languages, limits, problems, request_log
from app.api.http.deps import known_query
from app.api.http.description import described_app
from app.api.http.places import Places
from app.api.http.shared_work import SharedWork
from app.api.http.uploads import tus
from app.core import tracing
from app.core.periodic import start_every
from app.core.startup import calm_collection, configure_logs
from app.inspection.inspector import SERVER
from app.operations.background import start_deliveries, start_rounds, start_upkeep
from app.operations.job_counts import RENEW_S, JobCounter
from app.operations.readiness import Readiness
from app.services import Services
from app.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the API. The database must have its schema already: `canemap migrate` makes it.

    settings: by default those of the environment.
    """
    chosen = settings or Settings()
    configure_logs(chosen)
    tracing.begin("canemap-api")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services.open(chosen)
        stop = threading.Event()
        counter = JobCounter(services.database)
        app.state.services, app.state.tally, app.state.readiness = services, counter, Readiness(services)
        app.state.keyring, app.state.signer = Keyring(services.database), Signer(services.database)
        app.state.meter = meter.Meter(services.database, chosen)
        app.state.places, app.state.shared_work = Places(chosen.inspection_wait_s), SharedWork()
        SERVER.start()  # now, because its imports would delay the first upload by a second
        threads = [start_every(RENEW_S, counter.renew, stop, name="job counts"), *start_rounds(services, stop)]
        threads.append(start_every(RECORD_S, app.state.keyring.record, stop, name="use of keys"))
        threads.append(start_every(meter.RENEW_S, app.state.meter.renew, stop, name="limits of tenants"))
        threads += [*start_upkeep(services, stop), start_deliveries(services, stop)]
        calm_collection()
        yield
        stop.set()
        for thread in threads:
            thread.join()
        services.close()

    app = described_app(lifespan=lifespan)
    problems.install(app)
    body_limits.install(app, chosen.upload_idle_s)
    limits.install(app)  # inside of what finds out whose key a request shows
    access.install(app, chosen)
    callers.install(app, chosen)
    tus.install(app)  # around them, because it says which method a request has
    languages.install(app)  # around those that refuse requests, whose reasons are translated, too
    copies.install(app)  # around languages, since each has documents of its own
    cors.install(app, chosen.origins)
    request_log.install(app)
    app.router.routes.extend(_routes())
    access.check_routes(app)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """The routes of all resources, the same for all settings: FastAPI takes 0.14 s to make them."""
    app = described_app(dependencies=[Depends(access.allowed), Depends(limits.take_turn), Depends(known_query)])
    of_documentation = len(app.routes)
    # Routes are tried in this order. Jobs are first, because most requests ask for the status of a job. Tiles come
    # before predictions, whose `/{id}/{product}` would also match tilejson.json and preview.png.
    modules = (
        *(jobs, uploads, scenes, scene_tiles, labels, datasets, trainings, experiments, figures, models, evaluations),
        *(
            schedules,
            stac,
            tiles,
            sheets,
            zoned_polygons,
            predictions,
            survey_tiles,
            surveys,
            samples,
            estimates,
            zones,
            processes,
        ),
        *(keys, audit),
        *(tenants, signed_urls, webhooks, health, home),
    )
    for module in modules:
        app.include_router(module.router)
    heads.install(app)
    return tuple(app.routes[of_documentation:])
