"""The optimisers compute what torch's own compute, and do not import its compiler."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ml.config import OptimizerConfig
from ml.nn.training.optimisers import make_optimizer
from ml.nn.unet import UNet
from tests.ml.nn.training.ranked import ROOT

STEPS = 3
PROGRAM = """
import sys
from pathlib import Path
from ml.config import NetConfig, OptimizerConfig, TrainConfig
from ml.nn.training.train import train
from tests.ml.nn.conftest import easy_world
folder = Path(sys.argv[1])
data = easy_world(folder)
small = {"batch_size": 2, "chip_size": 32, "steps_per_epoch": 1, "device": "cpu", "average_decay": 0.9}
for name in ("sgd", "adamw"):
    optimizer = OptimizerConfig(name=name)
    for epochs in (1, 2):  # the second goes on with what the first has saved
        config = TrainConfig(net=NetConfig(depth=1, width=2), optimizer=optimizer, epochs=epochs, **small)
        train(config, data, folder / name)
print(sorted(name for name in sys.modules if name in ("torch", "torch._dynamo")))
"""


def torchs_own(config: OptimizerConfig, net: UNet, *, fused: bool) -> torch.optim.Optimizer:
    weights, lr, decay = net.parameters(), config.lr, config.weight_decay
    if config.name == "sgd":
        return torch.optim.SGD(weights, lr, momentum=config.momentum, weight_decay=decay, fused=fused)
    return torch.optim.AdamW(weights, lr, betas=(config.momentum, 0.999), weight_decay=decay, fused=fused)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("fused", [False, True])
def test_the_steps_are_those_of_torchs_own_optimisers_to_the_bit(name: str, fused: bool) -> None:
    config = OptimizerConfig.model_validate({"name": name, "weight_decay": 0.01})
    torch.manual_seed(0)
    ours, theirs = UNet(2, depth=1, width=2, outputs=1), UNet(2, depth=1, width=2, outputs=1)
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(2, 2, 16, 16)
    for net, make in ((ours, make_optimizer), (theirs, torchs_own)):
        optimizer = make(config, net, fused=fused)
        for _ in range(STEPS):
            optimizer.zero_grad()
            net(image).square().mean().backward()
            optimizer.step()
            fresh = make(config, net, fused=fused)
            fresh.load_state_dict(optimizer.state_dict())
            optimizer = fresh
    for (key, weight), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(weight, other), key


def test_a_training_imports_no_compiler(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, "-c", PROGRAM, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["['torch']"], done.stderr
