"""Ids that are made from the names of files, by the client and by the service."""

from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client import ID, Client, id_of_file, title_of_file
from app.core.names import NAME
from tests.app.api.test_problems import assert_problem

CHINESE = "武鸣2018.tif"


@pytest.mark.parametrize(
    ("file", "id_"),
    [
        ("wuming-2018.tif", "wuming-2018"),
        ("s1.ortho.tif", "s1"),
        ("scene (1).tif", "scene-1"),
        ("São Paulo.tif", "Sao-Paulo"),
        ("２０１８.tif", "2018"),
        (".hidden.tif", "hidden"),
        ("GF2_2018_x" + ".tif", "GF2_2018_x"),
    ],
)
def test_what_a_name_can_hold_is_kept(file: str, id_: str) -> None:
    assert id_of_file(file) == id_


@pytest.mark.parametrize("file", [CHINESE, "อ้อย.tif", "गन्ना 1.zip", "🌾.tif", "()", "x" * 81, "\udce4.tif", "", "."])
def test_other_names_get_a_digest(file: str) -> None:
    assert NAME.fullmatch(id_of_file(file))
    assert NAME.fullmatch(id_of_file(file)[-9:].removeprefix("-"))


def test_names_that_differ_only_in_lost_letters_have_different_ids() -> None:
    assert len({id_of_file(name) for name in (CHINESE, "宾阳2018.tif", "邕宁2018.tif", "2018.tif", "𠮷2018.tif")}) == 5
    assert id_of_file("é甘.tif") == id_of_file("e\u0301甘.tif"), "macOS decomposes letters"


@given(st.text())
def test_every_name_of_a_file_gives_an_id(name: str) -> None:
    assert NAME.fullmatch(id_of_file(name))
    assert ID.pattern == NAME.pattern


def test_the_client_names_a_file_and_keeps_its_own_name_as_title(http: httpx.Client, scene: Path) -> None:
    file = scene.rename(scene.with_name(CHINESE))
    with Client(str(http.base_url)) as client:
        item = client.upload_scene(file)
        assert (item["id"], item["properties"]["title"]) == (id_of_file(CHINESE), CHINESE)
        assert client.upload_scene(file)["id"] == item["id"]
        assert client.upload_scene(file, title="武鸣")["properties"]["title"] == CHINESE
        assert client.set_title("scene", item["id"], "武鸣")["properties"]["title"] == "武鸣"
        named = client.upload_scene(file, "wuming")
        assert (named["id"], named["properties"].get("title")) == ("wuming", None)


@pytest.mark.parametrize("kind", ["scenes", "labels"])
def test_a_form_without_an_id_takes_it_from_the_file(http: httpx.Client, scene: Path, mask: Path, kind: str) -> None:
    content = (scene if kind == "scenes" else mask).read_bytes()
    for name, title in ((CHINESE, CHINESE), (f"C:\\地图\\{CHINESE}", CHINESE), ("plain.tif", None)):
        for fields in ({}, {"id": ""}):  # the second as a browser sends it
            sent = http.post(f"/v1/{kind}", data=fields, files={"file": (name, content)})
            assert sent.status_code in (200, 201), sent.text
            document = sent.json()
            assert document["id"] == (id_of_file(CHINESE) if title else "plain")
            assert document.get("properties", document).get("title") == title
    other = (mask if kind == "scenes" else scene).read_bytes()
    assert_problem(http.post(f"/v1/{kind}", files={"file": (CHINESE, other)}), 409)
    titled = http.post(f"/v1/{kind}", data={"title": "武鸣"}, files={"file": ("武鸣.tif", content)}).json()
    assert titled.get("properties", titled)["title"] == "武鸣"


def test_a_file_name_in_the_encoding_of_chinese_windows_is_read(http: httpx.Client, scene: Path) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{CHINESE}"\r\n\r\n'.encode("gbk")
    body = head + scene.read_bytes() + b"\r\n--x--\r\n"
    sent = http.post("/v1/scenes", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (sent.json()["id"], sent.json()["properties"]["title"]) == (id_of_file(CHINESE), CHINESE)


@pytest.mark.parametrize("plain", ["", 'filename="=?utf-8?B?5q2m6bij?="; ', 'filename="wu-ming.tif"; '])
def test_the_extended_name_of_a_file_counts_more_than_a_plain_one_beside_it(
    http: httpx.Client, scene: Path, plain: str
) -> None:
    extended = f"{plain}filename*=utf-8''{quote(CHINESE)}"
    head = f'--x\r\nContent-Disposition: form-data; name="file"; {extended}\r\n\r\n'.encode()
    body = head + scene.read_bytes() + b"\r\n--x--\r\n"
    sent = http.post("/v1/scenes", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (sent.json()["id"], sent.json()["properties"]["title"]) == (id_of_file(CHINESE), CHINESE)


def test_an_id_that_is_not_valid_is_refused_with_one_that_is(http: httpx.Client) -> None:
    problem = assert_problem(http.put("/v1/scenes/武鸣2018", content=b"x"), 422)
    assert problem["errors"][0]["pointer"] == "path:id"
    assert id_of_file(CHINESE) in problem["errors"][0]["hint"]


def test_what_cannot_be_a_title_is_none() -> None:
    assert title_of_file("a\x01甘.tif") is None
    assert title_of_file("甘" * 300) == "甘" * 200
