"""HEAD for every GET route, and the methods that a path has."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts


def install(app: FastAPI) -> None:
    """Add a HEAD route for each GET route whose path has none yet. The server leaves the body out."""
    routes = list(routes_of(app))
    with_head = {route.path for route in routes if "HEAD" in (route.methods or ())}
    for route in routes:
        if "GET" in (route.methods or ()) and route.path and route.endpoint and route.path not in with_head:
            app.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                response_model=route.response_model,
                response_class=route.response_class,
                status_code=route.status_code,
                include_in_schema=False,
            )


def methods_of(app: FastAPI, path: str) -> list[str]:
    """The methods of all routes that match `path`, in alphabetical order."""
    return sorted(
        {method for route in routes_of(app) if route.path_regex.match(path) for method in route.methods or ()}
    )


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """All routes of the app that have a function."""
    return (route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute))
