"""Models from elsewhere: a bundle becomes the next version of a name."""

from app import registry
from app.models import ModelVersion
from app.scenes import Upload
from app.services import Services
from ml.checkpoint_header import read_header


def import_bundle(services: Services, name: str, upload: Upload) -> ModelVersion:
    """Register an uploaded checkpoint; `InputRefused` when it is none."""
    header = read_header(upload.path)
    stored = services.store.put(upload.path, f"models/{name}/model.safetensors", sha256=upload.sha256)
    with services.database.write() as session:
        return registry.register(session, name, header, stored, registry.Origin())
