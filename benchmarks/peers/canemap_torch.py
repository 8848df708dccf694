"""canemap where there is no library of our own convolutions."""

from benchmarks.peers import canemap


def predict(scene: str, model: str, out: str) -> str:
    """As all peers."""
    return canemap.predict(scene, model, out, engine="torch")
