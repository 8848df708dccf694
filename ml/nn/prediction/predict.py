"""Prediction: from a scene and a checkpoint to maps on exactly the scene's grid."""

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ml.checkpoint_header import read_header
from ml.config import PredictConfig
from ml.contract import MAP_NODATA, Contract
from ml.data import SceneFile
from ml.faults import refuse_any
from ml.frozen import Frozen
from ml.geo.raster import caching_rows, open_raster
from ml.nn.checkpoint import load_checkpoint
from ml.nn.normalise import choose_device
from ml.nn.prediction.prefetch import prefetched
from ml.nn.prediction.row_file import StripFile, joined
from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.prediction.stripe_processes import share_cores
from ml.nn.prediction.stripes import PredictedPiece, predict_logits
from ml.nn.unet import class_index, probability_byte
from ml.products.write import PredictResult, write_products
from ml.progress import Progress, Watch, silent
from ml.provenance import all_of, software
from ml.radiometry.homogenise import open_homogenised
from ml.scenes.compatibility import contract_faults
from ml.scenes.inspect import inspect_scene
from ml.scenes.source import Source


class MappedRows(Frozen):
    """Rows of a map. path: a `StripFile` of classes and probabilities. software: all that made them."""

    path: Path
    software: dict[str, str]


def predict(model: Path, scene: SceneFile, out: Path, config: PredictConfig, watch: Watch = silent) -> PredictResult:
    """Map `scene` with the checkpoint `model`, into files in the folder `out`.

    Memory grows with the scene's width at most. Finished rows are kept in `out` until the end: the same call on the
    same `out` on the same machine goes on after them, to the same bytes. `watch` hears of finished rows and may raise
    `Stopped`.

    Raises:
        InputRefused: `model` is no checkpoint, `scene` no scene, or it breaks the model's contract (every difference).
    """
    maps = predict_rows(model, scene, out, config, watch=watch)
    result = finish([maps], model, scene, out, config, watch)
    shutil.rmtree(maps.path.parent)
    return result


def predict_rows(
    model: Path, scene: SceneFile, out: Path, config: PredictConfig, rows: range | None = None, watch: Watch = silent
) -> MappedRows:
    """Some rows of the map that `predict` makes, by default all.

    The pixels are those of the whole map: to the bit where the same engine computes on the same kind of processor, in
    the same precision and with as many threads; else up to rounding. Resumes, and raises, as `predict` does.
    """
    net, header = load_checkpoint(model)
    info = inspect_scene(scene.path, bands=scene.bands, nodata=scene.nodata, windows_per_side=2)
    refuse_any(contract_faults(info, header.contract))
    device = choose_device(config.device)
    with (
        open_homogenised(scene, header.contract.homogenise) as source,
        share_cores(source.cols, net.depth, device) as lanes,
    ):
        ready = for_prediction(net, device, engine=config.engine, precision=config.precision)
        wanted = rows or range(source.rows)
        folder = out / f"strips-{_fingerprint(model, scene, config, ready, lanes, wanted)}"
        folder.mkdir(parents=True, exist_ok=True)
        strips = StripFile(folder / "maps", layers=2, cols=source.cols)
        with caching_rows(source.dataset, ready.rows(source.cols)):
            _predict_strips(ready, header.contract, source, config, lanes, strips, wanted, watch)
        made_by = ready.made_by() | {"processes": str(lanes)}
    return MappedRows(path=strips.path, software=software() | made_by)


def finish(
    parts: Sequence[MappedRows], model: Path, scene: SceneFile, out: Path, config: PredictConfig, watch: Watch = silent
) -> PredictResult:
    """Turn all rows of a map, which `predict_rows` made in one part or in several, into files in the folder `out`.

    parts: from the top down. Raises `ValueError` if they do not hold as many rows as the scene.
    """
    watch(Progress("write", 0, 1))
    with open_raster(scene.path) as file:
        rows, cols = file.shape
    with joined([part.path for part in parts], out) as whole:
        strips = StripFile(whole, layers=2, cols=cols)
        if strips.rows != rows:
            raise ValueError(f"the parts of the map have {strips.rows} rows, the scene has {rows}")
        contract = read_header(model).contract
        result = write_products(strips.layer(0), strips.layer(1), scene.path, contract, config, out)
    watch(Progress("write", 1, 1))
    made_by = all_of([result.software, *(part.software for part in parts)])
    return result.model_copy(update={"software": made_by})


def _predict_strips(
    net: StreamNet,
    contract: Contract,
    source: Source,
    config: PredictConfig,
    lanes: int,
    strips: StripFile,
    rows: range,
    watch: Watch,
) -> None:
    """Append to `strips` those of `rows` that it does not yet hold: class and probability of each pixel.

    They are decided and written by a thread while the net goes on.
    """
    if strips.rows == len(rows):
        return
    step = net.rows(source.cols)
    first_row = (rows.start + strips.rows) // step * step
    values = torch.tensor([item.value for item in contract.classes], dtype=torch.uint8, device=net.device)

    def write(piece: PredictedPiece) -> int:
        classes = values.take(class_index(piece.logits, config.threshold).long())
        maps = torch.stack([classes, probability_byte(piece.logits)]).cpu().numpy()
        np.copyto(maps, MAP_NODATA, where=~piece.valid)
        row = max(piece.window.row, rows.start)
        strips.write(row - rows.start, maps[:, row - piece.window.row : rows.stop - piece.window.row])
        return strips.rows

    predicted = predict_logits(
        net, contract, source, first_row=first_row, end_row=rows.stop, stripe_px=config.stripe_px, lanes=lanes
    )
    with closing(predicted), prefetched(write, predicted, ahead=2, threads=1) as written:
        for done in written:
            watch(Progress("predict", done, len(rows), f"computed by {net.engine.name}", pixels=done * source.cols))


def _fingerprint(model: Path, scene: SceneFile, config: PredictConfig, net: StreamNet, lanes: int, rows: range) -> str:
    """Of what decides the pixels, so that strips of another prediction are never taken for this one's."""
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    decisive = (
        *(scene.name, scene.path.stat().st_size, scene.nodata),
        *(config.threshold, config.stripe_px, net.engine.name, net.engine.version, net.dtype, lanes, rows),
    )
    digest.update(repr(decisive).encode())
    return digest.hexdigest()[:16]
