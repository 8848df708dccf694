"""The bodies of requests, as `docs/http-api.md` describes them. A body with an unknown key is refused."""
