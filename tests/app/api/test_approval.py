"""Models that ask for approval: what needs the scope approve then, and what does not."""

import httpx
import pytest

from app.api.http.access import ROUTES
from app.settings import Settings
from app.upkeep.deletion import OPERATED, ORDER
from tests.app.api.access import make_key, showing

MODEL = "/v1/models/cane"
CHAMPION = f"{MODEL}/aliases/champion"
MOVE = {"version": 1, "reason": "checked in the field"}


@pytest.fixture
def settings(trained: Settings) -> Settings:
    return trained.model_copy(update={"auth": "keys"})


@pytest.fixture
def approver(http: httpx.Client, settings: Settings) -> dict[str, str]:
    """The headers of somebody who may approve. `http` itself may train."""
    http.headers.update(showing(make_key(settings, scope="train")))
    return showing(make_key(settings, scope="approve"))


def test_only_approvers_move_remove_and_delete_aliases_of_a_model_that_asks(
    http: httpx.Client, approver: dict[str, str]
) -> None:
    assert http.put(f"{MODEL}/aliases/tried", json=MOVE).status_code == 201  # it does not ask yet
    for wish, status in ((True, 403), (False, 200)):  # to leave it as it is needs nobody's approval
        assert http.patch(MODEL, json={"approval": wish}).status_code == status
    assert http.patch(MODEL, json={"approval": True}, headers=approver).json()["approval"] is True
    dataset = http.get(MODEL).json()["versions"][0]["dataset"]
    attempts = [
        ("PUT", CHAMPION, MOVE),
        ("PUT", f"{MODEL}/aliases/other", MOVE),
        ("DELETE", f"{MODEL}/aliases/tried", None),
        ("DELETE", f"{MODEL}?cascade=true", None),
        ("DELETE", f"/v1/datasets/{dataset}?cascade=true", None),
        ("DELETE", f"/v1/datasets/{dataset}?cascade=true&dry_run=true", None),
        ("PATCH", MODEL, {"approval": False}),
    ]
    before = http.get(MODEL).json()
    for method, path, body in attempts:
        answer = http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["type"]) == (403, "missing-scope"), (method, path)
        assert "'approve'" in answer.json()["detail"]
    assert http.get(MODEL).json() == before
    assert http.patch(MODEL, json={"title": "甘蔗"}).json()["approval"] is True
    assert http.get("/v1/models").json()["items"][0]["approval"] is True
    assert http.put(CHAMPION, json=MOVE, headers=approver).status_code == 200
    assert http.delete(f"{MODEL}?cascade=true", headers=approver).status_code == 204


def test_a_change_of_approval_changes_the_etag_and_honours_it(http: httpx.Client, approver: dict[str, str]) -> None:
    old = http.get(MODEL).headers["etag"]
    changed = http.patch(MODEL, json={"approval": True}, headers=approver | {"If-Match": old})
    assert changed.status_code == 200 and changed.headers["etag"] != old
    stale = http.patch(MODEL, json={"approval": False}, headers=approver | {"If-Match": old})
    assert stale.status_code == 412


@pytest.mark.parametrize("path", ["/v1/scenes/s1", "/v1/labels/truth"])
def test_a_cascade_takes_along_only_what_its_sender_may_delete_alone(
    http: httpx.Client, settings: Settings, approver: dict[str, str], path: str
) -> None:
    operator = showing(make_key(settings, scope="operate"))
    for query in ("cascade=true", "cascade=true&dry_run=true"):
        refused = http.delete(f"{path}?{query}", headers=operator)
        assert (refused.status_code, refused.json()["type"]) == (403, "missing-scope")
        assert "'train'" in refused.json()["detail"] and "dataset 'gx:1' would go" in refused.json()["detail"]
    assert http.get("/v1/datasets/gx:1").status_code == http.get(MODEL).status_code == 200
    assert http.delete(path, headers=operator).status_code == 409  # as for everybody
    assert http.delete(f"{path}?cascade=true", headers=approver).status_code == 204


def test_kinds_that_a_cascade_may_take_along_are_those_that_their_routes_let_delete() -> None:
    of_operators = {kind for kind in ORDER if ROUTES.get(f"delete_{kind}") == "operate"}
    assert of_operators == set(OPERATED)
