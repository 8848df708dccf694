"""Calls of every operation of /openapi.json with ids, tokens and signatures of several tenants, by a seed."""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

ODD = (
    *("", ".", "..", "0", "@champion", "%", "%2F", "~", "*", "local", "cane~", "甘蔗", "a b", "'", "x" * 300),
    "\0",
    "a\nb",
)
KEPT = 300  # values of a kind that a pool remembers
READS = ("get", "head", "options")
HARMLESS = ("post_evaluation", "post_signed_url", "post_search")  # they change nothing of what they name
BASE64 = "ZmlsZW5hbWUgeA=="


@dataclass
class Pool:
    """What one tenant has.

    canary: In all its titles, and never sent by another tenant. kept: Ids, by collection, of what its own senders only
    read. made: Ids of what they have made since, which they also change. words: Tokens, ETags and ids of answers.
    """

    tenant: str
    canary: str
    kept: dict[str, str]
    made: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    words: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def learn(self, kind: str, word: str, of: dict[str, list[str]] | None = None) -> None:
        """Remember a word, and forget an old one if there are too many."""
        known = self.words[kind] if of is None else of[kind]
        known.append(word)
        if len(known) > KEPT:
            known.pop(0)


@dataclass(frozen=True)
class Call:
    """A request. foreign: The id of another tenant in its path, if it has one."""

    operation: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    foreign: str | None = None

    def instead(self, id_: str) -> "Call":
        """The same call with another id in the place of the foreign one."""
        return replace(self, path=self.path.replace(quote(str(self.foreign), safe=""), id_), foreign=None)


@dataclass
class Caller:
    """Makes calls on behalf of a tenant: `own` is its pool, `other` that of the one whose things it tries to reach."""

    document: Mapping[str, Any]
    own: Pool
    other: Pool
    random: random.Random

    def __post_init__(self) -> None:
        paths = self.document["paths"].items()
        self._operations = [(path, method, said) for path, methods in paths for method, said in methods.items()]
        reads = [each for each in self._operations if each[1] == "get"]
        self._operations += [(path, "head", said) for path, _, said in reads[::4]]

    def call(self) -> Call:
        """The next call."""
        pattern, method, said = self.random.choice(self._operations)
        ids, foreign = {}, None
        for name in re.findall(r"\{(\w+)\}", pattern):
            value, is_foreign = self._id(pattern, name, harmless=method in READS or said["operationId"] in HARMLESS)
            ids[name] = value
            foreign = value if is_foreign else foreign
        path = re.sub(r"\{(\w+)\}", lambda match: quote(ids[match[1]], safe=""), pattern)
        parameters = [each for each in said.get("parameters", ()) if self.random.random() < 0.3]
        query = tuple((each["name"], self._value(each)) for each in parameters if each["in"] == "query")
        headers = {each["name"]: self._header(each["name"]) for each in parameters if each["in"] == "header"}
        headers = {name: value for name, value in headers.items() if value}
        body, media_type = self._body(said)
        if media_type and self.random.random() < 0.95:
            headers["Content-Type"] = media_type
        return Call(said["operationId"], method.upper(), path, query, headers, body, foreign)

    def _id(self, pattern: str, name: str, *, harmless: bool) -> tuple[str, bool]:
        """A value for a part of a path, and whether it is an id of the other tenant."""
        fixed = {"kind": ("trainings", "experiments", "datasets"), "which": ("1", "@champion", "2"), "z": "0123"}
        fixed |= {"alias": ("champion", "beta"), "format": ("png", "svg", "pdf"), "x": "012", "y": "012"}
        fixed |= {"name": ("loss", "leaks"), "product": ("classes.tif", "areas", "class.qml")}
        if name in fixed:
            return self.random.choice(fixed[name]), False
        collection = name if name in ("run", "delivery") else pattern.split("/")[2]
        collection = {"stac": "scenes", "{kind}": "trainings"}.get(collection, collection)
        if "stac" in pattern and name == "id":
            return self.random.choice(("scenes", "predictions", "models", self.other.tenant)), False
        if collection == "processes":
            return self.random.choice(("dataset", "training", "experiment", "evaluation", "prediction")), False
        theirs = self.other.kept.get(collection, self.other.tenant)
        dice = self.random.random()
        if dice < 0.35:
            return self.random.choice([theirs, *self.other.made[collection][-5:]]), True
        if dice < 0.45:
            joined = self.random.choice(("{}/{}", "{}~{}", "{}%2F{}", "{}@{}", "../{}/{}", "{}:{}"))
            return joined.format(self.other.tenant, theirs), False
        if dice < 0.55:
            return self.random.choice((*ODD, unknown(theirs), theirs.upper())), False
        mine = self.own.made[collection] + ([self.own.kept.get(collection, self.own.tenant)] * 9 if harmless else [])
        return (self.random.choice(mine), False) if mine else (f"new-{self.random.randrange(50)}", False)

    def _word(self) -> str:
        """Any word: of the own tenant, of the other, or of nobody."""
        pool = self.random.choice((self.own, self.other, self.other))
        kind = self.random.choice(("kept", "made", "words", "odd"))
        if kind == "kept":
            word = self.random.choice([*pool.kept.values(), pool.tenant])
            return self.random.choice((word, f"{pool.tenant}/{word}", f"{pool.tenant}~{word}", f"{word}@champion"))
        found = [word for words in (pool.made if kind == "made" else pool.words).values() for word in words[-20:]]
        return self.random.choice(found if found and kind != "odd" else ODD)

    def _value(self, parameter: Mapping[str, Any]) -> str:
        name, schema = parameter["name"], parameter.get("schema", {})
        if name == "wait":
            return "0"  # others than 0 would only wait
        if name == "token":
            return self.random.choice(self.own.words["token"] + self.other.words["token"] or ["x"])
        if name == "limit" and self.random.random() < 0.8:
            return str(self.random.randrange(1, 1000))
        options = [each for part in (schema, *schema.get("anyOf", ())) for each in part.get("enum", ())]
        if options and self.random.random() < 0.7:
            return str(self.random.choice(options))
        return self.random.choice((self._word(), "true", "1", "-1", "70,15,140,60", "../2030-01-01T00:00:00Z"))

    def _header(self, name: str) -> str:
        if name == "idempotency-key":
            return self.random.choice(("same", f"{self.other.tenant}/same", str(self.random.randrange(10**6))))
        if name in ("if-match", "if-none-match"):
            tags = self.own.words["etag"] + self.other.words["etag"]
            return self.random.choice(("*", '"0"', *tags[-20:]))
        numbers = {"upload-length": ("0", "5", "100"), "Upload-Offset": ("0", "5", "99"), "last-event-id": ("0", "99")}
        texts = {"content-range": ("bytes 0-4/5", "bytes 0-4/*", "bytes 9-3/2"), "Upload-Metadata": (self._metadata(),)}
        return self.random.choice((numbers | texts).get(name, ("",)))

    def _metadata(self) -> str:
        """Upload-Metadata that ask for a scene."""
        name = self.random.choice((self.other.kept["scenes"], f"new-{self.random.randrange(50)}"))
        pairs = (("kind", "scene"), ("id", name), ("filename", f"{name}.tif"))
        return ",".join(f"{key} {_base64(value)}" for key, value in pairs)

    def _body(self, said: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
        content = said.get("requestBody", {}).get("content", {})
        if "application/octet-stream" in content:
            return self.random.choice((b"", b"hello", b"II*\0", b'{"a":1}')), "application/octet-stream"
        if "application/json" not in content:
            return None, None
        schema = content["application/json"]["schema"]
        schema = schema.get("anyOf", [schema])[0]
        model = self.document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
        body = self._changed(self.random.choice(model.get("examples", [{}])))
        if isinstance(body, dict) and "title" in model.get("properties", {}):
            body["title"] = self.own.canary
        return json.dumps(body).encode(), "application/json"

    def _changed(self, value: Any) -> Any:
        """A value of JSON in which some words are others."""
        if isinstance(value, dict):
            return {key: self._changed(each) for key, each in value.items() if self.random.random() < 0.95}
        if isinstance(value, list):
            return [self._changed(each) for each in value]
        if isinstance(value, str) and value.startswith("http"):
            return f"http://127.0.0.1:9/{self.random.randrange(100)}"  # nothing listens there
        if self.random.random() < (0.4 if isinstance(value, str) else 0.05):
            return self._word() if self.random.random() < 0.95 else self.random.choice((None, -1, 1e300, [], {}, True))
        return value


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def unknown(id_: str) -> str:
    """An id of the form of `id_` that nothing has."""
    return re.sub("[a-z]", "a", re.sub("[02-9]", "9", id_))


def words_of(answer: str) -> Iterator[tuple[str, str]]:
    """The tokens of pages and the signatures in a document of JSON."""
    for match in re.finditer(r"[?&](token|signature)=([^\"&\\]+)", answer):
        yield match[1], match[2]
