"""What the files of a store belong to, in words that clients know: they are never told a key."""

from app.core import tenancy

_KINDS = {
    "scenes": "scene",
    "labels": "labels",
    "zones": "zones",
    "models": "model",
    "datasets": "dataset",
    "trainings": "training",
    "experiments": "experiment",
    "predictions": "prediction",
    "evaluations": "evaluation",
    "surveys": "survey",
    "samples": "sample",
    "resume": "job",
    "uploads": "upload",
}


def owner_of(key: str) -> str:
    """What the object belongs to, like "scene 's1'". key: it begins with a collection and a name in it."""
    collection, name, *rest = *key.split("/"), ""
    if collection not in _KINDS:
        return "the service"
    version = f":{rest[0]}" if collection == "datasets" else ""  # the keys of dataset gx:1 begin with datasets/gx/1/
    name = tenancy.plain(name.replace("@", tenancy.SEPARATOR))
    return f"{_KINDS[collection]} {name + version!r}"
