"""How long a process is inside the U-Net, whoever calls it."""

import threading
import time
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from ml.nn.unet import UNet


class NetClock:
    """Sums the seconds of all calls of a U-Net from now on, in all threads: on a CPU, where calls are synchronous."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._entered = threading.local()
        self._adding = threading.Lock()
        register_module_forward_pre_hook(self._enter)
        register_module_forward_hook(self._leave)

    def _enter(self, module: nn.Module, _inputs: Any) -> None:
        if isinstance(module, UNet):
            self._entered.at = time.perf_counter()

    def _leave(self, module: nn.Module, _inputs: Any, _output: Any) -> None:
        if isinstance(module, UNet):
            with self._adding:
                self.seconds += time.perf_counter() - self._entered.at
