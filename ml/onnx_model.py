"""Writes a checkpoint as ONNX, without torch: the tensors are read from its file, and the graph is that of the U-Net.

A tool hands in the numbers of a file as they are stored. What prediction does to them stands in the graph: scale and
offset, nodata, clipping, normalisation, and rows and columns that complete the pixels of the coarsest level.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from ml.checkpoint_header import CheckpointHeader, read_header
from ml.checkpoint_tensors import read_tensors
from ml.contract import Contract
from ml.faults import Fault, InputRefused
from ml.geo.windows import margin

MOST_BYTES = 2**31 - 2**20  # of a message of protobuf, which ONNX is
TILE_PX = 512  # for tools that cut a scene into tiles
_OPSET, _IR = 17, 8  # read by ONNX Runtime since 1.12
_NO_DATA = 1e15  # as `ml.scenes.source.MOST`
_EPSILON = 1e-5  # of BatchNorm


def write_onnx(checkpoint: Path, out: Path, version: str) -> None:
    """Write the net of `checkpoint` to `out`. version: What the model is called, like "cane:3".

    The input `image` is float32 (N, B, H, W), in the numbers of the file. The output `probability` is float32
    (N, C, H, W): of two classes the probability of class 1, of more classes the probability of each.

    Raises:
        InputRefused: homogenised_model, if scenes must be homogenised before, which needs the whole scene;
            too_large_for_onnx, if the weights exceed 2 GB.
    """
    header = read_header(checkpoint)
    if header.contract.homogenise is not None:
        detail = "The model takes scenes that were homogenised, which a net cannot do: it needs the whole scene first."
        raise InputRefused(Fault("homogenised_model", detail, 'Train with "homogenise": "none" to export the model.'))
    if checkpoint.stat().st_size > MOST_BYTES:
        detail = "The model has over 2 GB of weights, and an ONNX file has at most 2 GB."
        raise InputRefused(Fault("too_large_for_onnx", detail, "Train a net of less width or depth."))
    graph = _Graph(read_tensors(checkpoint))
    _net(graph, header)
    onnx.save(_model(graph, header, version), out)


class _Graph:
    """A graph that grows node by node. Nodes are named by their output, which is also the name of the value."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []

    def add(self, kind: str, inputs: Iterable[str], out: str = "", **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: ArrayLike, dtype: type = np.float32) -> str:
        """Add a constant; returns its name."""
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, name: str) -> str:
        """Add a tensor of the checkpoint; returns its name."""
        self.initializers.append(numpy_helper.from_array(self.tensors[name], name))
        return name


def _net(graph: _Graph, header: CheckpointHeader) -> None:
    depth = header.config.net.depth
    completed, rows, cols = _complete(graph, _normalised(graph, header.contract), 2**depth)
    levels = [_double_conv(graph, completed, "stem")]
    for level in range(depth):
        pooled = graph.add("MaxPool", [levels[-1]], kernel_shape=[2, 2], strides=[2, 2])
        levels.append(_double_conv(graph, pooled, f"down.{level}"))
    features = levels.pop()
    for level in range(depth):
        weights = (graph.weight(f"up.{level}.enlarge.{part}") for part in ("weight", "bias"))
        enlarged = graph.add("ConvTranspose", [features, *weights], kernel_shape=[2, 2], strides=[2, 2])
        joined = graph.add("Concat", [levels.pop(), enlarged], axis=1)
        features = _double_conv(graph, joined, f"up.{level}.conv")
    logits = graph.add("Conv", [features, graph.weight("head.weight"), graph.weight("head.bias")], kernel_shape=[1, 1])
    if header.temperature != 1:
        logits = graph.add("Div", [logits, graph.constant(header.temperature)])
    whole = graph.add("Sigmoid", [logits]) if _outputs(header.contract) == 1 else graph.add("Softmax", [logits], axis=1)
    ends = graph.add("Concat", [rows, cols], axis=0)
    starts, axes = graph.constant([0, 0], np.int64), graph.constant([2, 3], np.int64)
    graph.add("Slice", [whole, starts, ends, axes], "probability")


def _normalised(graph: _Graph, contract: Contract) -> str:
    """What `ml.scenes.source.RasterSource` and `ml.nn.normalise` make of the numbers of a file."""
    numbers, statistics = "image", contract.statistics
    invalid = graph.add("Not", [graph.add("Less", [graph.add("Abs", [numbers]), graph.constant(_NO_DATA)])])
    if contract.nodata is not None:
        invalid = graph.add("Or", [invalid, graph.add("Equal", [numbers, graph.constant(contract.nodata)])])
    if any(scaling.declared for scaling in contract.scaling):
        numbers = graph.add("Mul", [numbers, _per_band(graph, [each.scale for each in contract.scaling])])
        numbers = graph.add("Add", [numbers, _per_band(graph, [each.offset for each in contract.scaling])])
    most = float(np.finfo(np.float32).max)
    lows = [-most if band.low is None else band.low for band in statistics]
    highs = [most if band.high is None else band.high for band in statistics]
    clipped = graph.add("Min", [graph.add("Max", [numbers, _per_band(graph, lows)]), _per_band(graph, highs)])
    centred = graph.add("Sub", [clipped, _per_band(graph, [band.mean for band in statistics])])
    normal = graph.add("Div", [centred, _per_band(graph, [band.std or 1.0 for band in statistics])])
    in_a_band = graph.add("Cast", [invalid], to=TensorProto.FLOAT)
    anywhere = graph.add("Cast", [graph.add("ReduceMax", [in_a_band], axes=[1], keepdims=1)], to=TensorProto.BOOL)
    return graph.add("Where", [anywhere, graph.constant(0.0), normal])


def _per_band(graph: _Graph, values: Iterable[float]) -> str:
    return graph.constant(np.array([*values], np.float32)[None, :, None, None])


def _complete(graph: _Graph, image: str, multiple: int) -> tuple[str, str, str]:
    """Add rows and columns of 0 up to a multiple of pixels; returns the image, and its rows and columns before."""
    shape = graph.add("Shape", [image])
    sides = [graph.add("Gather", [shape, graph.constant([axis], np.int64)], axis=0) for axis in (2, 3)]
    step = graph.constant([multiple], np.int64)
    missing = [graph.add("Mod", [graph.add("Neg", [side]), step]) for side in sides]
    nothing, before = graph.constant([0, 0], np.int64), graph.constant([0, 0, 0, 0], np.int64)
    pads = graph.add("Concat", [before, nothing, *missing], axis=0)
    return graph.add("Pad", [image, pads, graph.constant(0.0)]), sides[0], sides[1]


def _double_conv(graph: _Graph, features: str, block: str) -> str:
    for number in (0, 3):
        weight = graph.weight(f"{block}.{number}.weight")
        features = graph.add("Conv", [features, weight], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        parts = ("weight", "bias", "running_mean", "running_var")
        normal = [graph.weight(f"{block}.{number + 1}.{part}") for part in parts]
        features = graph.add("Relu", [graph.add("BatchNormalization", [features, *normal], epsilon=_EPSILON)])
    return features


def _outputs(contract: Contract) -> int:
    return 1 if len(contract.classes) == 2 else len(contract.classes)


def _model(graph: _Graph, header: CheckpointHeader, version: str) -> onnx.ModelProto:
    contract = header.contract
    # one name for both sides: Deepness takes only squares, and ONNX Runtime takes any sides all the same
    shape = ("batch", len(contract.bands), "side", "side")
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    result = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ("batch", _outputs(contract), *shape[2:]))
    made = helper.make_graph(graph.nodes, "unet", inputs, [result], graph.initializers)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="canemap"
    )
    helper.set_model_props(model, {key: json.dumps(value) for key, value in _metadata(header, version).items()})
    return model


def _metadata(header: CheckpointHeader, version: str) -> dict[str, object]:
    """What the QGIS plugin Deepness reads, and the model's own name and contract.

    Deepness divides all numbers by 255 and standardises them then: by these values, it hands in the numbers themselves.
    It sets what is under its threshold to 0 before it looks for the largest probability: with more than two classes a
    pixel of which none has half would become class 0. And it blurs its map by 9 pixels unless it is told not to.
    """
    contract, bands = header.contract, len(header.contract.bands)
    overlap = 2 * margin(header.config.net.depth)
    return {
        "model_type": "Segmentor",
        "class_names": {str(index): item.name for index, item in enumerate(contract.classes)},
        "resolution": round(100 * contract.gsd, 4),  # centimetres of a pixel
        "tile_size": TILE_PX,
        "tiles_overlap": min(50, round(100 * overlap / TILE_PX)),  # percent
        "seg_thresh": 0.5 if len(contract.classes) == 2 else 0,  # 0: no threshold
        "seg_small_segment": 0,
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1 / 255] * bands,
        "canemap_version": version,
        "canemap_contract": contract.model_dump(mode="json"),
    }
