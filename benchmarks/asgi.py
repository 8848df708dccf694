"""Asks an ASGI application for map tiles, without a network between."""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message

Tile = tuple[int, int, int]
Contender = Callable[[Tile], Awaitable[int]]


def getter(app: ASGIApp, path: str, query: str = "") -> Contender:
    """A contender that requests tiles from an application; `path` has {z}, {x} and {y}."""

    async def get(tile: Tile) -> int:
        z, x, y = tile
        where = path.format(z=z, x=x, y=y)
        scope: dict[str, object] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"}
        scope |= {"scheme": "http", "path": where, "raw_path": where.encode(), "query_string": query.encode()}
        scope |= {"root_path": "", "headers": [(b"host", b"bench")], "server": ("bench", 80), "client": ("bench", 1)}
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await app(scope, receive, send)
        assert sent[0]["status"] == 200, sent
        return sum(len(message.get("body", b"")) for message in sent)

    return get
