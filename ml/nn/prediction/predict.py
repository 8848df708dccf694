"""Prediction: a checkpoint maps a scene, on exactly the scene's grid."""

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from ml.checkpoint_header import CheckpointHeader, read_header
from ml.config import PredictConfig
from ml.contract import MAP_NODATA, Contract
from ml.data import SceneFile
from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.geo.raster import caching_rows, open_raster
from ml.geo.watched import WatchedRows
from ml.nn.checkpoint import load_checkpoint
from ml.nn.normalise import choose_device
from ml.nn.prediction.prefetch import prefetched
from ml.nn.prediction.row_file import StripFile, joined
from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.prediction.stripe_processes import share_cores
from ml.nn.prediction.stripes import PredictedPiece, predict_logits
from ml.nn.unet import class_index, probability_byte, uncertainty_byte
from ml.products.write import MapLayers, PredictResult, write_products
from ml.progress import Progress, Watch, silent
from ml.provenance import all_of, net_code, signature, software
from ml.radiometry.homogenise import contrast, open_homogenised
from ml.scenes.applicability import Applicability, applicability
from ml.scenes.compatibility import contract_faults
from ml.scenes.inspect import inspect_scene
from ml.scenes.source import Source


class MappedRows(Frozen):
    """Finished rows of a map.

    path: Path of a `StripFile` with the layers of `layers_of`: class values, probability bytes and, if it is asked for,
        uncertainty bytes.
    software: Versions of the software that computed the rows.
    """

    path: Path
    software: dict[str, str]

    @property
    def signature(self) -> tuple[str, ...]:
        """How the rows were computed, see `ml.provenance.signature`."""
        return signature(self.software)


def predict(model: Path, scene: SceneFile, out: Path, config: PredictConfig, watch: Watch = silent) -> PredictResult:
    """Map `scene` with the checkpoint `model`, and write the files of the map to the folder `out`.

    Memory grows with the width of the scene at most, not with its height. Finished rows are kept in `out` until the
    end. A repeated call with the same `out` on the same machine resumes after them, and its maps have the same bytes.
    With another processor, GPU, precision or number of threads it begins anew, because its rows would be rounded in
    another way.

    watch: Called with the number of finished rows; may raise `Stopped`.

    Raises:
        InputRefused: `model` is not a valid checkpoint, `scene` is not a valid scene, or the scene breaks the contract
            of the model (all differences), or `config` does not fit its classes; net_overflow, if the output of the net
            is not finite; what `choose_device` and `for_prediction` raise.
        Stopped: `watch` raised it.
    """
    maps = predict_rows(model, scene, out, config, watch=watch)
    result = finish([maps], model, scene, out, config, watch)
    shutil.rmtree(maps.path.parent)
    return result


def layers_of(config: PredictConfig) -> int:
    """The number of layers of the finished rows of a map, each of one byte for a pixel."""
    return 2 + ("uncertainty" in config.outputs)


def predict_rows(
    model: Path, scene: SceneFile, out: Path, config: PredictConfig, rows: range | None = None, watch: Watch = silent
) -> MappedRows:
    """Predict some rows of the map that `predict` makes, by default all rows.

    The pixels are those of the whole map: to the bit if the `MappedRows.signature` of both is the same, which says the
    engine, the kind of processor or GPU, the precision and the number of threads, else up to rounding. It resumes, and
    raises, as `predict` does.
    """
    net, header = load_checkpoint(model)
    info = inspect_scene(scene.path, bands=scene.bands, nodata=scene.nodata, windows_per_side=2)
    refuse_any((*contract_faults(info, header.contract), *config.class_faults(len(header.contract.classes))))
    device, measured = choose_device(config.device), WatchedRows(watch, "measure", info.rows)
    views = config.views or header.config.views
    with (
        open_homogenised(scene, header.contract.homogenise, measured.of(scene.name)) as source,
        share_cores(source.cols, net.depth, device) as processes,
    ):
        ready = for_prediction(net, device, engine=config.engine, precision=config.precision, views=views)
        mapped = rows or range(source.rows)
        made_by = _made_by(ready, processes, source.cols)
        folder = out / f"strips-{_fingerprint(model, scene, config, made_by, mapped)}"
        folder.mkdir(parents=True, exist_ok=True)
        strips = StripFile(folder / "maps", layers=layers_of(config), cols=source.cols)
        with caching_rows(source.dataset, ready.rows(source.cols)):
            _predict_strips(ready, header, source, config, processes, strips, mapped, watch)
    return MappedRows(path=strips.path, software=made_by)


def computed_here(model: Path, cols: int, config: PredictConfig) -> dict[str, str]:
    """Return what `MappedRows.software` would be of rows that this machine computes now, without computing them.

    cols: Width of the scene, in pixels.

    Raises:
        InputRefused: as `predict`, for the model and the config.
    """
    net, header = load_checkpoint(model)
    device, views = choose_device(config.device), config.views or header.config.views
    with share_cores(cols, net.depth, device) as processes:
        ready = for_prediction(net, device, engine=config.engine, precision=config.precision, views=views)
        return _made_by(ready, processes, cols)


def _made_by(net: StreamNet, processes: int, cols: int) -> dict[str, str]:
    own = {"processes": str(processes), "rows": str(net.rows(cols)), "net_code": net_code()}
    return software() | net.made_by() | own


class UnlikeParts(ValueError):
    """Parts of a map that were computed in unlike ways, so that they differ by rounding where they meet."""


def finish(
    parts: Sequence[MappedRows], model: Path, scene: SceneFile, out: Path, config: PredictConfig, watch: Watch = silent
) -> PredictResult:
    """Write the files of a map to the folder `out`, from all its rows as `predict_rows` returned them.

    parts: Parts of the map, from the top down.

    Raises:
        ValueError: the parts together have another number of rows than the scene.
        UnlikeParts: the parts were computed in unlike ways.
    """
    if len({part.signature for part in parts}) > 1:
        raise UnlikeParts
    with open_raster(scene.path) as file:
        rows, cols = file.shape
    with joined([part.path for part in parts], out) as whole:
        strips = StripFile(whole, layers=layers_of(config), cols=cols)
        if strips.rows != rows:
            raise ValueError(f"the parts of the map have {strips.rows} rows, the scene has {rows}")
        contract = read_header(model).contract
        layers = MapLayers(*(strips.layer(index) for index in range(layers_of(config))))
        result = write_products(layers, scene.path, contract, config, out, watch)
    made_by = all_of([result.software, *(part.software for part in parts)])
    return result.model_copy(update={"software": made_by, "applicability": _applicability(scene, contract)})


def _applicability(scene: SceneFile, contract: Contract) -> Applicability:
    found = applicability(scene, contract)
    if contract.homogenise is None:
        return found
    return found.model_copy(update={"contrast": contrast(scene, contract.homogenise)})


def _predict_strips(
    net: StreamNet,
    header: CheckpointHeader,
    source: Source,
    config: PredictConfig,
    processes: int,
    strips: StripFile,
    rows: range,
    watch: Watch,
) -> None:
    """Append those of `rows` to `strips` that it does not contain yet, in the layers of `layers_of`.

    A thread computes these bytes and writes them while the net computes the next pieces.
    """
    if strips.rows == len(rows):
        return
    step = net.rows(source.cols)
    first_row = (rows.start + strips.rows) // step * step
    values = torch.tensor([item.value for item in header.contract.classes], dtype=torch.uint8, device=net.device)

    def write(piece: PredictedPiece) -> int:
        _check_finite(piece)
        classes = values.take(class_index(piece.logits, config.threshold, header.temperature).long())
        layers = [classes, probability_byte(piece.logits, header.temperature)]
        if "uncertainty" in config.outputs:
            layers.append(uncertainty_byte(piece.logits, header.temperature))
        maps = torch.stack(layers).cpu().numpy()
        np.copyto(maps, MAP_NODATA, where=~piece.valid)
        row = max(piece.window.row, rows.start)
        strips.write(row - rows.start, maps[:, row - piece.window.row : rows.stop - piece.window.row])
        return strips.rows

    predicted = predict_logits(
        net,
        header.contract,
        source,
        first_row=first_row,
        end_row=rows.stop,
        stripe_px=config.stripe_px,
        processes=processes,
    )
    with closing(predicted), prefetched(write, predicted, ahead=2, threads=1) as written:
        for done in written:
            computed = f"computed by {net.engine.name}"
            pixels = done * source.cols
            watch(Progress("predict", done, len(rows), computed, pixels=pixels, file="the scene of the map"))


def _check_finite(piece: PredictedPiece) -> None:
    """Raise net_overflow for outputs that are NaN or infinite, which would be mapped as if they were class 0."""
    if not torch.isfinite(piece.logits).all():
        detail = f"The output of the net is not finite around row {piece.window.row}."
        hint = "The weights of the model, or the values of the scene, are too large: use another version of the model."
        raise InputRefused(Fault("net_overflow", detail, hint))


def _fingerprint(model: Path, scene: SceneFile, config: PredictConfig, made_by: dict[str, str], rows: range) -> str:
    """Hash what decides the pixels, so that strips of another prediction are never mistaken for those of this one."""
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    decisive = (
        *(scene.name, scene.path.stat().st_size, scene.nodata),
        *(config.threshold, config.stripe_px, *signature(made_by), rows),
        *(["uncertainty"] if "uncertainty" in config.outputs else []),
    )
    digest.update(repr(decisive).encode())
    return digest.hexdigest()[:16]
