"""ncnn's convolutions by Winograd's algorithm: far fewer multiplications, so beyond the CPU's peak of direct ones.

ncnn (https://github.com/Tencent/ncnn) is optional. One net of ncnn holds one convolution; float32 throughout.
"""

from tempfile import NamedTemporaryFile

import ncnn
import numpy as np
import torch
from torch import Tensor, nn

from ml.nn.engines.engine import Convolution, Engine

_MAGIC = 7767517  # the first line of ncnn's text format
_FLOAT32 = bytes(4)  # the flag before weights that are stored as they are
# memory that was used before: fresh pages from the system would cost a tenth of the time
_ALLOCATORS = ncnn.PoolAllocator(), ncnn.PoolAllocator()


def _prepare(layer: nn.Conv2d) -> Convolution:
    net = _net(layer)

    def convolve(window: Tensor) -> Tensor:
        extractor = net.create_extractor()
        extractor.input("window", ncnn.Mat(window[0].numpy()))
        code, result = extractor.extract("result")
        if code:
            raise MemoryError(f"ncnn gave up on {tuple(window.shape)} with code {code}")
        return torch.from_numpy(np.array(result, copy=False))[None]

    return convolve


def _net(layer: nn.Conv2d) -> ncnn.Net:
    """`layer` with ReLU as a net of ncnn from "window" to "result"."""
    if layer.bias is None:
        raise ValueError("the convolution has no bias: fold BatchNorm into it first")
    net = ncnn.Net()
    options = net.opt
    options.num_threads = torch.get_num_threads()
    options.use_fp16_storage = options.use_fp16_packed = options.use_fp16_arithmetic = False
    options.use_packing_layout = False  # it would cost a conversion on each side
    options.use_winograd63_convolution = False  # F(4, 3) is as fast here, and rounds less
    options.blob_allocator, options.workspace_allocator = _ALLOCATORS
    shape = f"0={layer.out_channels} 1=3 5=1 6={layer.weight.numel()} 9=1"  # 3x3, a bias, the weights' number, ReLU
    text = f"{_MAGIC}\n2 2\nInput window 0 1 window\nConvolution layer 1 1 window result {shape}\n"
    with NamedTemporaryFile() as file:  # ncnn reads weights from files only
        file.write(_FLOAT32 + layer.weight.detach().numpy().tobytes() + layer.bias.detach().numpy().tobytes())
        file.flush()
        if net.load_param_mem(text) or net.load_model(file.name):
            raise MemoryError("ncnn could not load a convolution")
    return net


ENGINE = Engine("ncnn", torch.contiguous_format, _prepare)
