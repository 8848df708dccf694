"""Proves that a proxy passes on what canemap needs: the files of deploy/proxy are used as they are, on other ports.

    python deploy/prove_proxy.py nginx [--program /usr/sbin/nginx]
    python deploy/prove_proxy.py caddy

It needs that program and openssl, and no root: it starts the service in a new folder, with the proxy on a free port of
the loopback, and ends both. Each line of its output is something that was tried over TLS and was as it should be.
"""

import argparse
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

FOLDER = Path(__file__).resolve().parent / "proxy"
NAME = "maps.example.org"
BINARY = [sys.executable, "-m", "app.cli"]


def main() -> None:
    """Start all, try all, and say what was tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proxy", choices=("nginx", "caddy"))
    parser.add_argument("--program", help="by default the one on PATH")
    options = parser.parse_args()
    program = options.program or shutil.which(options.proxy)
    if program is None:
        parser.error(f"there is no {options.proxy} on PATH: name it with --program")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = free_ports(3)
        make_certificate(folder)
        environment = os.environ | {
            "CANEMAP_DATA_DIR": str(folder / "data"),
            "CANEMAP_PUBLIC_URL": f"https://{NAME}:{ports[1]}",
        }
        command = COMMANDS[options.proxy](program, folder, ports)
        with running([*BINARY, "up", "--port", str(ports[0]), "--verbose"], environment, folder / "service.log"):
            ready = f"http://127.0.0.1:{ports[0]}/readyz"
            wait_for(lambda: httpx.get(ready).status_code == 200, folder / "service.log")
            with running(command, environment | {"HOME": name, "XDG_DATA_HOME": name}, folder / "proxy.log"):
                prove(folder, ports[1], environment)


def prove(folder: Path, port: int, environment: dict[str, str]) -> None:
    """Try everything."""
    trusted = ssl.create_default_context(cafile=folder / "maps.pem")
    made = subprocess.run([*BINARY, "keys", "create", "x", "--scope", "admin"], env=environment, capture_output=True)
    key = {"Authorization": f"Bearer {made.stdout.decode().strip()}"}
    with client(port, trusted) as stranger, client(port, trusted, key) as http:
        wait_for(lambda: stranger.get("/healthz").status_code == 200, folder / "proxy.log")
        refused = stranger.get("/v1/scenes")
        said("a stranger is asked for a key, although the service listens on the loopback", refused, 401)
        said("metrics stay on the machine", http.get("/metrics"), 404)
        said("a key lets in", http.get("/v1/whoami"), 200)
        early = stranger.put("/v1/scenes/big", content=slow_body())
        said("an upload without a key is refused before its end", early, 401)
        upload(http, folder)
        part = http.get("/v1/scenes/s1/data", headers={"Range": "bytes=0-3"})
        said("a part of a file", part, 206)
        links = http.get("/v1/scenes/s1").json()["links"]
        assert all(link["href"].startswith(f"https://{NAME}:{port}/") for link in links), links
        said("links lead to the proxy", part, 206)
        signed = http.post("/v1/signed-urls", json={"path": "/v1/scenes/s1/preview.png"}).json()["url"]
        said("a signed address needs no key", stranger.get(signed), 200)
        events(http)
        forged = http.patch("/v1/scenes/s1", json={"title": "x"}, headers={"X-Forwarded-For": "203.0.113.9"})
        said("a change", forged, 200)
        entries = http.get("/v1/audit").json()["items"]
        peers = {entry["peer"] for entry in entries if entry["who"] != "command line"}
        assert peers == {"127.0.0.2"}, peers
        said("the audit log names the client's address, not the proxy's or a forged one", forged, 200)
        foreign = http.post("/v1/uploads", headers={"Origin": "https://evil.example"})
        said("a page of another site is refused", foreign, 403)
        own = http.post("/v1/uploads", headers={"Origin": f"https://{NAME}:{port}"})
        said("an own page is not", own, 201)


def upload(http: httpx.Client, folder: Path) -> None:
    """Upload a scene with its length, and another one in chunks."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    numbers = np.random.default_rng(0).integers(0, 3000, (4, 2048, 2048), dtype="uint16")
    where = {"crs": "EPSG:32649", "transform": from_origin(300000, 2500000, 10, 10)}
    path = folder / "s1.tif"
    with rasterio.open(path, "w", "GTiff", 2048, 2048, 4, dtype="uint16", **where) as file:
        file.write(numbers)
    said("33 MB with a length", http.put("/v1/scenes/s1", content=path.read_bytes()), 201)
    said("the same without a length", http.put("/v1/scenes/s2", content=iter([path.read_bytes()])), 201)


def slow_body() -> Iterator[bytes]:
    """A body that goes on for a minute, unless somebody stops it."""
    for _ in range(60):
        yield bytes(1024)
        time.sleep(1)


def events(http: httpx.Client) -> None:
    """The events of a job arrive one by one, while the job goes on; and a long poll of ten seconds is answered."""
    labels = {"type": "FeatureCollection", "features": [square("cane", 300100), square("other", 305000)]}
    classes = {"class_field": "crop", "classes": '{"cane": 1, "other": 0}', "crs": "EPSG:32649"}
    said("labels", http.put("/v1/labels/plots", content=json.dumps(labels).encode(), params=classes), 201)
    split = {"by": "block", "block_px": 256, "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}, "seed": 0}
    made = http.post("/v1/datasets", json={"name": "d", "scenes": ["s1"], "labels": ["plots"], "split": split})
    said("a job", made, 201)
    begun = time.monotonic()
    with http.stream("GET", f"/v1/jobs/{made.json()['id']}/events") as stream:
        arrived = [time.monotonic() - begun for line in stream.iter_lines() if line.startswith("data:")]
    said(f"{len(arrived)} events, the first after {arrived[0]:.1f} s, the last after {arrived[-1]:.1f} s", stream, 200)
    assert arrived[0] < arrived[-1], arrived


def square(crop: str, west: float) -> dict[str, object]:
    """A field of 4 km."""
    ring = [[west, 2499000], [west + 4000, 2499000], [west + 4000, 2495000], [west, 2495000], [west, 2499000]]
    return {"type": "Feature", "properties": {"crop": crop}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def said(what: str, answer: httpx.Response, status: int) -> None:
    """Say what was tried, or stop with what was answered."""
    if answer.status_code != status:
        raise SystemExit(f"FAILED: {what}: {answer.status_code}, not {status}: {answer.read()[:500]!r}")
    print(f"ok: {what}", flush=True)


def client(port: int, trusted: ssl.SSLContext, headers: dict[str, str] | None = None) -> httpx.Client:
    """A client at 127.0.0.2, for which the name means the proxy."""
    mounts = {"all://": Renamed(verify=trusted, local_address="127.0.0.2")}
    return httpx.Client(base_url=f"https://{NAME}:{port}", headers=headers, mounts=mounts, timeout=60)


class Renamed(httpx.HTTPTransport):
    """Sends requests for the proxy's name to the loopback, as its entry in the name server would."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        request.extensions["sni_hostname"] = NAME
        request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)


def nginx(program: str, folder: Path, ports: list[int]) -> list[str]:
    """The command that runs nginx with deploy/proxy/nginx.conf."""
    site = placed((FOLDER / "nginx.conf").read_text(), folder, ports)
    site = site.replace("listen 443", f"listen 127.0.0.1:{ports[1]}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    start = f"daemon off; pid {folder}/nginx.pid; error_log stderr; events {{}}"
    (folder / "nginx.conf").write_text(f"{start} http {{ access_log off; {temporary}\n{site}}}")
    return [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)]


def caddy(program: str, folder: Path, ports: list[int]) -> list[str]:
    """The command that runs Caddy with deploy/proxy/Caddyfile."""
    site = placed((FOLDER / "Caddyfile").read_text(), folder, ports)
    site = site.replace(f"{NAME}:443 {{", f"{NAME}:{ports[1]} {{\n\tbind 127.0.0.1")
    options = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\thttp_port {ports[2]}\n}}\n"
    (folder / "Caddyfile").write_text(options + site)
    return [program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


COMMANDS = {"nginx": nginx, "caddy": caddy}


def placed(text: str, folder: Path, ports: list[int]) -> str:
    """The file of a proxy with the certificate and the port of this proof."""
    return text.replace("/etc/ssl", str(folder)).replace("127.0.0.1:8000", f"127.0.0.1:{ports[0]}")


def make_certificate(folder: Path) -> None:
    """Make a certificate for the name, which signs itself."""
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / "maps.key"), "-out", str(folder / "maps.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *files]
    subprocess.run(command, check=True, capture_output=True)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process that is ended with the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    """Wait a minute at most until `condition` is true."""
    for _ in range(120):
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"it does not answer:\n{log.read_text()[-3000:]}")


if __name__ == "__main__":
    main()
