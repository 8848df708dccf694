"""Uploads a scene with clients that others wrote, interrupts each, and resumes: tus-js-client, tuspy and curl.

    python benchmarks/foreign_uploads.py [--megabytes 100] [--folder FOLDER]

The script installs tus-js-client (npm, node) and tuspy (PyPI) into FOLDER, starts a service that asks for keys, and
prints for each client the bytes that had arrived when it was interrupted, and whether the scene has the bytes of the
file at the end.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from app.access import keys
from app.core import tenancy
from app.core.db import Database
from app.settings import Settings
from benchmarks.bench_api import make_scene, service
from benchmarks.side_by_side import show

NODE, PYTHON = "tus-js-client@4.3.1", "tuspy==1.1.0"
CHUNK_BYTES = 5 * 1024**2
WITH_NODE = """
const tus = require('tus-js-client'), fs = require('fs');
const [endpoint, path, key, chunk, half] = process.argv.slice(2);
const size = fs.statSync(path).size;
function upload(more) {
  return new tus.Upload(fs.createReadStream(path), {
    endpoint, uploadSize: size, chunkSize: Number(chunk), retryDelays: [0, 1000],
    headers: {Authorization: `Bearer ${key}`},
    metadata: {kind: 'scene', id: 'node', filename: 'scene.tif', acquired: '2018-10-12'},
    onError: (error) => { console.error(String(error)); process.exit(1); }, ...more});
}
const first = upload({
  onChunkComplete: async (_, sent) => {
    if (sent < Number(half)) return;
    await first.abort();
    console.log(sent, first.url);
    upload({uploadUrl: first.url, onSuccess: () => process.exit(0)}).start();
  },
});
first.start();
"""
WITH_PYTHON = """
import sys
from tusclient.client import TusClient
endpoint, path, key, chunk, half = sys.argv[1:]
client = TusClient(endpoint, headers={"Authorization": f"Bearer {key}"})
about = {"kind": "scene", "id": "python", "filename": "scene.tif", "acquired": "2018-10-12"}
options = {"chunk_size": int(chunk), "upload_checksum": True, "metadata": about}
first = client.uploader(path, **options)
first.upload(stop_at=int(half))
print(first.offset, first.url)
client.uploader(path, url=first.url, **options).upload()
"""


def main() -> None:
    """Install the clients, run each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "canemap-foreign-clients")
    options = parser.parse_args()
    install(options.folder)
    os.environ["CANEMAP_AUTH"] = "keys"
    with tempfile.TemporaryDirectory() as data, service(Path(data) / "data", "") as (base, _):
        scene, key = make_scene(Path(data) / "scene.tif", options.megabytes), make_key(Path(data) / "data")
        with_node: list[str | Path] = ["node", options.folder / "upload.js"]
        with_python: list[str | Path] = [options.folder / "venv/bin/python", "-c", WITH_PYTHON]
        clients: dict[str, Callable[[], tuple[int, str]]] = {
            NODE: lambda: with_tus(base, scene, key, with_node, "node"),
            PYTHON: lambda: with_tus(base, scene, key, with_python, "python"),
            version_of_curl(): lambda: with_curl(base, scene, key),
        }
        rows = [(name, *check(base, scene, key, *upload())) for name, upload in clients.items()]
    show(f"A scene of {options.megabytes} MB", ("client", "interrupted at byte", "the scene is the file"), rows)


def install(folder: Path) -> None:
    """Install both clients into `folder`, if they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "upload.js").write_text(WITH_NODE)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, NODE], check=True)
    if not (folder / "venv").exists():
        venv.create(folder / "venv", with_pip=True)
    subprocess.run([folder / "venv/bin/pip", "install", "--quiet", PYTHON], check=True)


def make_key(data: Path) -> str:
    """A new key that may upload."""
    database = Database(Settings(data_dir=data).database)
    with tenancy.acting_for(tenancy.ALL), database.write() as session:
        made = keys.create(session, tenancy.LOCAL, "foreign clients", "operate", None)
    database.close()
    return made.text


def with_tus(base: str, scene: Path, key: str, command: list[str | Path], name: str) -> tuple[int, str]:
    """Upload with a client of tus; the bytes that had arrived when it was interrupted, and the id of the scene."""
    arguments = [f"{base}/v1/uploads", str(scene), key, str(CHUNK_BYTES), str(scene.stat().st_size // 2)]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{name}: {ran.stdout}{ran.stderr}")
    return int(ran.stdout.split()[0]), name


def with_curl(base: str, scene: Path, key: str) -> tuple[int, str]:
    """Upload with curl, which is stopped in the middle, and goes on with -C."""
    curl = ["curl", "--silent", "--show-error", "--fail", "--header", f"Authorization: Bearer {key}"]

    def ask(*arguments: str) -> str:
        return subprocess.run([*curl, *arguments], capture_output=True, text=True, check=True).stdout

    url = f"{base}/v1/uploads/{json.loads(ask('-X', 'POST', f'{base}/v1/uploads'))['id']}"
    slowly = ["--limit-rate", str(scene.stat().st_size // 6), "--max-time", "3"]
    subprocess.run([*curl, *slowly, "-T", str(scene), url], capture_output=True, check=False)
    offset = ask("--head", "--retry", "5", "--retry-all-errors", url).lower().split("upload-offset: ")[1].split()[0]
    ask("-C", offset, "-T", str(scene), url)
    ask("-X", "PUT", f"{base}/v1/scenes/curl?upload={url.rpartition('/')[2]}")
    return int(offset), "curl"


def version_of_curl() -> str:
    """Name and version of the curl of this machine."""
    assert shutil.which("curl")
    return " ".join(subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split()[:2])


def check(base: str, scene: Path, key: str, offset: int, name: str) -> tuple[int, bool]:
    """The offset, and whether the scene has the bytes of the file."""
    item = httpx.get(f"{base}/v1/scenes/{name}", headers={"Authorization": f"Bearer {key}"}).raise_for_status().json()
    with scene.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return offset, bool(item["assets"]["data"]["file:checksum"].endswith(digest))


if __name__ == "__main__":
    main()
