"""canemap on a machine without a library of its own convolutions: PyTorch computes."""

from benchmarks.peers import canemap


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do."""
    return canemap.predict(scene, model, out, engine="torch")
