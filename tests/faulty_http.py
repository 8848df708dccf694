"""A proxy before an HTTP server that writes down each request and can cut answers, as a bad network does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ALL = -1


@dataclass(frozen=True)
class Asked:
    """A request. range: Its header Range."""

    method: str
    path: str
    range: str | None


@dataclass
class Proxy:
    """A running proxy.

    asked: All requests that the server got. cut: How many bytes of the body of an answer go through before the
        connection is closed; None (the default) for all of them, `ALL` to close it before the answer begins.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    cut: Callable[[Asked], int | None] = lambda asked: None


@contextmanager
def proxy_before(url: str) -> Iterator[Proxy]:
    """A proxy before the server at `url`, which is http://host:port."""
    parts, proxy, lock = urlsplit(url), Proxy(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            asked = Asked(self.command, self.path, self.headers.get("Range"))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    server.putheader(name, value)
            server.endheaders(body)
            answer = server.getresponse()
            content = answer.read()
            server.close()
            with lock:
                proxy.asked.append(asked)
                cut = proxy.cut(asked)
            if cut == ALL:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content[:cut])
            self.close_connection = cut is not None

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._pass_on)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
