"""Multipart forms: they are read while they arrive, and their file is written once, where the store receives it."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.http.uploads.form_reader import FormReader
from app.core.errors import Problem
from tests.app.api.conftest import pixels
from tests.ml.conftest import MakeScene

TYPE = 'multipart/form-data; boundary="x"'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.tif"\r\n\r\nby\r\n--tes\r\n'
END = b"--x--\r\n"


def field(name: str, text: bytes) -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + text + b"\r\n"


def read(body: bytes, chunk: int = 1 << 16, content_type: str = TYPE) -> tuple[bytes, dict[str, str]]:
    """The file and the texts of a form that arrives in chunks of this number of bytes."""

    async def arriving() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]

    async def all_of(reader: FormReader) -> bytes:
        return b"".join([piece async for piece in reader.file(arriving())])

    reader = FormReader(content_type)
    return asyncio.run(all_of(reader)), reader.texts


def refusal(body: bytes, content_type: str = TYPE) -> tuple[str, str]:
    with pytest.raises(Problem) as refused:
        read(body, content_type=content_type)
    return refused.value.code, refused.value.detail


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_a_form_is_read_wherever_its_chunks_end(chunk: int) -> None:
    body = field("id", b"s1") + FILE + field("sensor", "北京二号".encode()) + END
    assert read(body, chunk) == (b"by\r\n--tes", {"id": "s1", "sensor": "北京二号"})


def test_a_file_in_a_wrong_field_is_a_field_without_text() -> None:
    assert read(FILE + FILE.replace(b'"file"', b'"more"') + END) == (b"by\r\n--tes", {"more": ""})


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (FILE, "ends before its last boundary"),
        (b"no form", "malformed"),
        (b"--x\r\nContent-Type: text/plain\r\n\r\nx\r\n--x--\r\n", "has no name"),
        (field("id", b"a") + field("id", b"b") + FILE + END, "same name"),
        (FILE + FILE + END, "same name"),
        (b"".join(field(str(number), b"") for number in range(21)) + FILE + END, "over 20 fields"),
        (field("title", "武鸣".encode("gbk")) + FILE + END, "The field 'title' is not in UTF-8"),
        (field("title", b"caf\xe9") + FILE + END, "The field 'title' is not in UTF-8"),
        (field("a", b"x" * 600_000) + field("b", b"x" * 600_000) + FILE + END, "over 1048576 bytes"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(body: bytes, detail: str) -> None:
    code, found = refusal(body)
    assert code == "invalid-form"
    assert detail in found


def test_a_boundary_that_is_too_long_is_refused(http: httpx.Client) -> None:
    kind = f"multipart/form-data; boundary={'b' * 5000}"
    answer = http.post("/v1/labels", content=FILE + END, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid-form")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (field("id", b"s1") + END, TYPE),
        (field("file", b"text") + END, TYPE),
        (b"id=s1", "application/x-www-form-urlencoded"),
        (FILE + END, "multipart/form-data"),
        (b"", ""),
    ],
)
def test_a_form_without_a_file_is_refused(body: bytes, content_type: str) -> None:
    assert refusal(body, content_type)[0] == "missing-file"


def test_no_other_folder_than_the_stores_gets_the_file(
    http: httpx.Client, make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/there-is-no-such-folder")
    scene = make_scene(np.tile(pixels(0), (1, 6, 6)), "s1.tif")
    assert scene.stat().st_size > 1_100_000  # more than Starlette keeps in memory
    answer = http.post("/v1/scenes", data={"id": "s1"}, files={"file": scene.read_bytes()})
    assert answer.status_code == 201
    checksum = answer.json()["assets"]["data"]["file:checksum"]
    assert checksum == "1220" + hashlib.sha256(scene.read_bytes()).hexdigest()


def test_a_form_over_the_limit_is_refused(http: httpx.Client, store: Path) -> None:
    answer = http.post("/v1/scenes", data={"id": "s1"}, files={"file": b"x" * 2_100_000})
    assert (answer.status_code, answer.json()["type"]) == (413, "body-too-large")
    assert [path for path in store.rglob("*") if path.is_file()] == []


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of the store of `http`."""
    return tmp_path / "data" / "store"
