"""Prediction: from a scene and a checkpoint to maps on exactly the scene's grid."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from ml.config import PredictConfig
from ml.contract import Contract
from ml.data import SceneFile
from ml.faults import refuse_any
from ml.geo.fits import contract_faults
from ml.geo.homogenise import open_homogenised
from ml.geo.scene import inspect_scene
from ml.geo.source import Source
from ml.nn.checkpoint import load_checkpoint
from ml.nn.decide import class_index, probability_byte
from ml.nn.inputs import choose_device
from ml.nn.products import NODATA, PredictResult, write_products
from ml.nn.strips import StripFile
from ml.nn.tiling import predict_tile, scene_strips
from ml.nn.unet import UNet, for_prediction
from ml.progress import Progress, Watch, silent


def predict(model: Path, scene: SceneFile, out: Path, config: PredictConfig, watch: Watch = silent) -> PredictResult:
    """Map `scene` with the checkpoint `model`, into files in the folder `out`.

    The result does not depend on `config.window_px`, and memory grows with the scene's width at most. Finished rows of
    windows are kept in `out` until the end: the same call on the same `out` goes on after them. `watch` hears of
    each window and may raise `Stopped`.

    Raises:
        InputRefused: `model` is no checkpoint, `scene` no scene, or it breaks the model's contract (every difference).
    """
    net, header = load_checkpoint(model)
    device = choose_device(config.device)
    refuse_any(contract_faults(inspect_scene(scene.path, bands=scene.bands, nodata=scene.nodata), header.contract))
    folder = out / f"strips-{_fingerprint(model, scene, config)}"
    folder.mkdir(parents=True, exist_ok=True)
    with open_homogenised(scene, header.contract.homogenise) as source:
        strips = StripFile(folder / "maps", layers=2, cols=source.cols)
        _predict_strips(for_prediction(net).to(device), header.contract, source, config, strips, watch)
    watch(Progress("write", 0, 1))
    result = write_products(strips.layers(), scene.path, header.contract, config, out)
    shutil.rmtree(folder)
    watch(Progress("write", 1, 1))
    return result


def _predict_strips(
    net: UNet, contract: Contract, source: Source, config: PredictConfig, strips: StripFile, watch: Watch
) -> None:
    """Append to `strips` the rows of windows that it does not yet hold: class and probability of each pixel."""
    rows_of_tiles = scene_strips(net, source, config.window_px)
    done, total = 0, sum(len(tiles) for tiles in rows_of_tiles)
    values = np.array([item.value for item in contract.classes], dtype=np.uint8)
    for tiles in rows_of_tiles:
        first = tiles[0].core
        if strips.rows >= first.row + first.rows:
            done += len(tiles)
            continue
        maps = np.full((2, first.rows, source.cols), NODATA, dtype=np.uint8)
        for tile in tiles:
            logits, valid = predict_tile(net, contract, source, tile)
            classes, probability = maps[..., tile.core.slices[1]]
            classes[valid] = values[class_index(logits[:, valid], config.threshold)]
            probability[valid] = probability_byte(logits[:, valid])
            done += 1
            watch(Progress("predict", done, total))
        strips.write(first.row, maps)


def _fingerprint(model: Path, scene: SceneFile, config: PredictConfig) -> str:
    """Of what decides the pixels, so that strips of another prediction are never taken for this one's."""
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    decisive = (scene.name, scene.path.stat().st_size, scene.nodata, config.threshold, config.window_px)
    digest.update(repr(decisive).encode())
    return digest.hexdigest()[:16]
