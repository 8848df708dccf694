"""Uploads a large scene over a connection that breaks, with httpx alone.

    python examples/resumed_upload.py FILE NAME

Run it again after whatever interrupted it: it goes on where the service has got to, and sends nothing twice.
FILE.upload keeps the path of the upload until the scene is there. CANEMAP_URL names the service, CANEMAP_KEY is your
key. `upload_scene` of app/client.py does the same as long as its process lives.
"""

import base64
import hashlib
import os
import sys
import time
from pathlib import Path

import httpx

PIECE_BYTES = 8 * 1024**2


def main(path: Path, name: str) -> None:
    """Upload the file as the scene `name`, and print its STAC Item."""
    note = path.with_name(f"{path.name}.upload")
    headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get("CANEMAP_KEY")) else {}
    with httpx.Client(base_url=os.environ.get("CANEMAP_URL", "http://127.0.0.1:8000"), headers=headers) as http:
        if not note.exists():
            note.write_text(begin(http, path))
        while True:
            try:
                send(http, note.read_text(), path)
                break
            except httpx.TransportError as error:
                print(f"{error}: trying again", file=sys.stderr)
                time.sleep(2)
        made = http.put(f"/v1/scenes/{name}", params={"upload": note.read_text().rpartition("/")[2]}, timeout=600)
    if made.is_error:
        sys.exit(made.text)  # it lists every fault and how to correct it
    note.unlink()
    print(made.text)


def begin(http: httpx.Client, path: Path) -> str:
    """Begin an upload, and say what its bytes must be; its path."""
    with path.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
    announced = {"Upload-Length": str(path.stat().st_size), "Repr-Digest": f"sha-256=:{digest}:"}
    return str(http.post("/v1/uploads", headers=announced).raise_for_status().headers["location"])


def send(http: httpx.Client, url: str, path: Path) -> None:
    """Send what the service does not have yet."""
    offset = int(http.head(url).raise_for_status().headers["upload-offset"])
    with path.open("rb") as file:
        file.seek(offset)
        while piece := file.read(PIECE_BYTES):
            print(f"{offset} of {path.stat().st_size} bytes", file=sys.stderr)
            sent = http.patch(url, content=piece, headers={"Upload-Offset": str(offset)}, timeout=600)
            offset = int(sent.raise_for_status().headers["upload-offset"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
