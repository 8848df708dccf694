"""Models from elsewhere: a bundle becomes the next version of a name."""

from app.data.scenes import Upload
from app.learning import registry
from app.services import Services
from app.tables import ModelVersion
from ml.checkpoint_header import read_header


def import_bundle(services: Services, name: str, upload: Upload) -> ModelVersion:
    """Register an uploaded checkpoint; `InputRefused` when it is none."""
    header = read_header(upload.path)
    stored = services.store.put(upload.path, f"models/{name}/model.safetensors", sha256=upload.sha256)
    with services.database.write() as session:
        return registry.register(session, name, header, stored, registry.Origin())
