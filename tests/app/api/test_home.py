"""The page at / and the landing document at /v1, on both databases."""

import re

import httpx
import pytest
from sqlalchemy import text

from app.services import Services
from tests.app.api.conftest import trained as settings

__all__ = ["settings"]
TRACED = "<script>alert('&')</script>"


def test_the_page_shows_what_there_is_and_its_links_lead_there(http: httpx.Client) -> None:
    answer = http.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for word in ("s1", "cane:1", "champion: 1", "gx:1", "successful"):
        assert word in answer.text
    links = re.findall(r'href="([^"]+)"', answer.text)
    assert len(links) > 10
    assert [link for link in links if not http.get(f"/{link}").status_code < 500] == ["readyz"]  # there is no worker
    assert {http.get(f"/{link}").status_code for link in links if link != "readyz"} == {200}


@pytest.mark.parametrize("column", ["message", "stage"])
def test_no_text_of_the_database_becomes_html(http: httpx.Client, services: Services, column: str) -> None:
    with services.database.write() as session:
        session.execute(text(f"UPDATE jobs SET {column} = :text"), {"text": TRACED})
    page = http.get("/").text
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in page


def test_the_landing_document_links_to_every_collection(http: httpx.Client) -> None:
    document = http.get("/v1").json()
    by_rel: dict[str, list[str]] = {}
    for link in document["links"]:
        by_rel.setdefault(link["rel"], []).append(link["href"])
    assert by_rel["service-desc"] == ["/openapi.json"]
    assert {"/v1/scenes", "/v1/models", "/v1/jobs"} <= set(by_rel["data"])
    assert {http.get(href).status_code for hrefs in by_rel.values() for href in hrefs} == {200}
    assert http.get("/v1/", follow_redirects=True).json() == document
