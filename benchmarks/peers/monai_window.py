"""MONAI: SlidingWindowInferer over the scene in memory, blended with Gaussian weights."""

import numpy as np
import rasterio
import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.peers.files import write_map
from benchmarks.peers.model import mean_and_std
from benchmarks.peers.net import load_net


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do."""
    net = load_net(model)
    mean, std = mean_and_std(model)
    with rasterio.open(scene) as source:
        image = (source.read() - mean) / std
    inferer = SlidingWindowInferer(roi_size=(512, 512), sw_batch_size=4, overlap=0.25, mode="gaussian")
    with torch.inference_mode():
        logits = inferer(torch.from_numpy(image)[None], net)
    return write_map((logits[0, 0] >= 0).numpy().astype(np.uint8), scene, out)
