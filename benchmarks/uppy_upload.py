"""Uploads a scene from a web page of another site with Uppy, in Chromium, with a pause in the middle.

    python benchmarks/uppy_upload.py [--megabytes 40] [--folder FOLDER]

The script installs Uppy (npm) into FOLDER, starts a service that asks for keys and that names the page's site in
CANEMAP_CORS_ORIGINS, and opens the page in Debian's chromium. It prints the bytes that had arrived when Uppy paused,
and whether the scene has the bytes of the file at the end.
"""

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench_api import make_scene, service
from benchmarks.foreign_uploads import CHUNK_BYTES, check, make_key
from benchmarks.side_by_side import show

PACKAGE = "uppy@5.2.1"
MOST_S = 600
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
PAGE = """<!doctype html><meta charset="utf-8"><script src="/uppy.js"></script><script>
const tell = (what) => fetch('/told', {method: 'POST', body: JSON.stringify(what)});
window.onerror = (message) => tell({error: String(message)});
(async () => {
  const {endpoint, key, chunk} = SETTINGS;
  const data = await (await fetch('/scene.tif')).blob();
  const uppy = new Uppy.Uppy({autoProceed: false, meta: {kind: 'scene', id: 'uppy', acquired: '2018-10-12'}});
  uppy.use(Uppy.Tus, {endpoint, chunkSize: chunk, retryDelays: [0, 1000], headers: {Authorization: `Bearer ${key}`}});
  let paused = 0;
  uppy.on('upload-progress', (file, {bytesUploaded}) => {
    if (paused || bytesUploaded < data.size / 2) return;
    paused = bytesUploaded;
    uppy.pauseResume(file.id);
    setTimeout(() => uppy.pauseResume(file.id), 1000);
  });
  uppy.addFile({name: '场景.tif', type: 'image/tiff', data});
  const {successful, failed} = await uppy.upload();
  await tell({paused, uploaded: successful.length, error: failed.map((file) => String(file.error))[0]});
})().catch((error) => tell({error: String(error)}));
</script>"""


def main() -> None:
    """Install Uppy, upload, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "canemap-uppy")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("Install chromium: apt-get install chromium.")
    options.folder.mkdir(parents=True, exist_ok=True)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", options.folder, PACKAGE]
    subprocess.run(install, check=True)
    with tempfile.TemporaryDirectory() as folder, site(options.folder, Path(folder)) as (origin, files, told):
        os.environ |= {"CANEMAP_AUTH": "keys", "CANEMAP_CORS_ORIGINS": origin}
        with service(Path(folder) / "data", "") as (base, _):
            scene, key = make_scene(Path(folder) / "scene.tif", options.megabytes), make_key(Path(folder) / "data")
            settings = {"endpoint": f"{base}/v1/uploads", "key": key, "chunk": CHUNK_BYTES}
            files["/"] = PAGE.replace("SETTINGS", json.dumps(settings)).encode()
            command = [chromium, *FLAGS, f"--user-data-dir={folder}/profile", origin]
            browser = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # where it misses a desktop
            try:
                answer = told.get(timeout=MOST_S)
            finally:
                browser.terminate()
                browser.wait()
            if answer.get("error"):
                sys.exit(answer["error"])
            row = (PACKAGE, *check(base, scene, key, answer["paused"], "uppy"))
    show(f"A scene of {options.megabytes} MB", ("client", "paused at byte", "the scene is the file"), [row])


@contextmanager
def site(packages: Path, folder: Path) -> Iterator[tuple[str, dict[str, bytes], "queue.Queue[dict[str, Any]]"]]:
    """A web site of its own: its origin, what it serves beside Uppy and the scene, and what its page tells."""
    files: dict[str, bytes] = {}
    told: queue.Queue[dict[str, Any]] = queue.Queue()
    places = {"/uppy.js": packages / "node_modules/uppy/dist/uppy.min.js", "/scene.tif": folder / "scene.tif"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = places[self.path].read_bytes() if self.path in places else files.get(self.path)
            self.send_response(404 if content is None else 200)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}", files, told  # another site than 127.0.0.1
        server.shutdown()


if __name__ == "__main__":
    main()
