"""A training step is right with accumulated gradients, in every precision and memory format, fused and compiled."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ml.config import TrainConfig
from ml.data import TrainingData
from ml.nn.normalise import normalise
from ml.nn.precision import FLOAT32, Precision, repeatable
from ml.nn.training.chips import Batch, ChipSampler
from ml.nn.training.decoded_scenes import cache_scene
from ml.nn.training.execution import Execution, choose_execution
from ml.nn.training.state import TrainingState
from ml.nn.training.step import StageTimer, Stepper

ROOT = Path(__file__).resolve().parents[4]
CPU = Execution(torch.device("cpu"))
PLAIN = TrainConfig.model_validate(
    {
        "net": {"depth": 2, "width": 4},
        "batch_size": 2,
        "chip_size": 32,
        "loss": {"ce": 1},
        "balance": "none",
        "device": "cpu",
    }
)


def changed(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate(PLAIN.model_dump() | changes)


@pytest.fixture
def sampler(training_data: TrainingData, tmp_path: Path) -> ChipSampler:
    scenes = [
        cache_scene(scene, training_data.contract, tmp_path / "cache" / scene.name) for scene in training_data.train
    ]
    return ChipSampler(scenes, changed(batch_size=4), training_data.contract)


def batch_of(sampler: ChipSampler) -> Batch:
    """Cut four completely labelled chips, so that a mean over pixels equals the mean of the means over two halves."""
    batch = sampler.cut(sampler.epoch(0)[0])
    return batch._replace(mask=batch.mask % 2)


def test_measured_statistics_of_batch_norm_are_the_means_over_the_batches(
    training_data: TrainingData, sampler: ChipSampler
) -> None:
    config, batches = changed(augment=[]), [half(batch_of(sampler), number) for number in (0, 1)]
    state = TrainingState(config, training_data, CPU)
    stepper = Stepper(config, training_data.contract, state, CPU)
    stepper.step(iter(batches), 0, 1e-3, lambda: None)  # leaves statistics that must not count
    stepper.measure_batch_norm(iter(batches), 1, lambda: None)
    convolution, norm = state.net.stem[0], state.net.stem[1]
    inputs = [normalise(batch.image.float(), batch.valid, training_data.contract.statistics) for batch in batches]
    with torch.no_grad():
        outputs = torch.stack([convolution(image).transpose(0, 1).flatten(1) for image in inputs])
    torch.testing.assert_close(norm.running_mean, outputs.mean(dim=2).mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, outputs.var(dim=2).mean(dim=0), rtol=1e-4, atol=1e-5)


def test_a_step_fills_no_tensor_only_because_it_is_fresh(training_data: TrainingData, sampler: ChipSampler) -> None:
    """PyTorch would do so for repeatable bits: 352 launches a step of a net of depth 4."""
    config = changed(batch_size=4, augment=[])
    stepper = Stepper(config, training_data.contract, TrainingState(config, training_data, CPU), CPU)
    found = []
    for switch in (repeatable, filling):
        with switch(FLOAT32), profile(activities=[ProfilerActivity.CPU]) as profiled:
            stepper.step(iter([batch_of(sampler)]), 0, 0.1, lambda: None)
        found.append(sum(event.count for event in profiled.key_averages() if event.key == "aten::fill_"))
    assert found[0] < found[1] / 3, found


@contextmanager
def filling(precision: Precision) -> Iterator[None]:
    with repeatable(precision):
        cast(Any, torch.utils.deterministic).fill_uninitialized_memory = True
        yield


def half(batch: Batch, number: int) -> Batch:
    return Batch(*(tensor[2 * number : 2 * number + 2] for tensor in batch))


def gradients(config: TrainConfig, data: TrainingData, batches: list[Batch], execution: Execution = CPU) -> Tensor:
    """Return all gradients of one step of an untrained net on `batches`, as one vector."""
    state = TrainingState(config, data, execution)
    Stepper(config, data.contract, state, execution).step(iter(batches), 0, 1e-3, lambda: None)
    return torch.cat([weight.grad.flatten() for weight in state.net.parameters() if weight.grad is not None])


def test_two_accumulated_halves_have_the_gradient_of_the_whole_batch(
    training_data: TrainingData, sampler: ChipSampler
) -> None:
    first = half(batch_of(sampler), 0)
    whole = Batch(*(torch.cat([tensor, tensor]) for tensor in first))  # equal halves have equal batch statistics
    at_once = gradients(changed(batch_size=4, augment=[]), training_data, [whole])
    in_two = gradients(changed(accumulate=2, augment=[]), training_data, [first, first])
    torch.testing.assert_close(in_two, at_once, rtol=1e-3, atol=1e-6)


def test_the_accumulated_gradient_is_the_mean_over_the_batches(
    training_data: TrainingData, sampler: ChipSampler
) -> None:
    halves = [half(batch_of(sampler), number) for number in (0, 1)]
    apart = [gradients(changed(augment=[]), training_data, [each]) for each in halves]
    together = gradients(changed(accumulate=2, augment=[]), training_data, halves)
    torch.testing.assert_close(together, (apart[0] + apart[1]) / 2, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(apart[0], apart[1], rtol=0.1)


def test_each_accumulated_batch_is_augmented_in_its_own_way(training_data: TrainingData, sampler: ChipSampler) -> None:
    first = half(batch_of(sampler), 0)
    once = gradients(PLAIN, training_data, [first])
    twice = gradients(changed(accumulate=2), training_data, [first, first])
    assert not torch.allclose(once, twice, rtol=0.1)


def test_an_epoch_draws_the_same_chips_in_accumulated_batches(training_data: TrainingData, tmp_path: Path) -> None:
    scenes = [cache_scene(scene, training_data.contract, tmp_path / scene.name) for scene in training_data.train]
    whole = ChipSampler(scenes, changed(batch_size=4), training_data.contract)
    parts = ChipSampler(scenes, changed(batch_size=2, accumulate=2), training_data.contract)
    assert parts.epoch(0) == whole.epoch(0)
    assert [len(step) for step in parts.epoch(0)] == [4] * parts.steps


def test_check_stop_is_called_between_accumulated_batches(training_data: TrainingData, sampler: ChipSampler) -> None:
    config, calls = changed(accumulate=4, batch_size=1), list[int]()
    state = TrainingState(config, training_data, CPU)
    ones = [Batch(*(tensor[i : i + 1] for tensor in batch_of(sampler))) for i in range(4)]
    Stepper(config, training_data.contract, state, CPU).step(iter(ones), 0, 1e-3, lambda: calls.append(1))
    assert len(calls) == 3


def test_gradients_in_bfloat16_are_close_to_those_in_float32(training_data: TrainingData, sampler: ChipSampler) -> None:
    batch = batch_of(sampler)
    exact, coarse = (
        gradients(changed(batch_size=4), training_data, [batch], replace(CPU, precision=precision))
        for precision in (FLOAT32, Precision("bfloat16"))
    )
    assert coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    assert torch.cosine_similarity(exact, coarse, dim=0) > 0.95


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_settings_for_a_gpu_compute_the_same_and_resume(
    training_data: TrainingData, sampler: ChipSampler, tmp_path: Path, optimizer: str
) -> None:
    config = changed(batch_size=4, optimizer={"name": optimizer, "lr": 1e-2})
    like_gpu = replace(CPU, memory_format=torch.channels_last, fused=True)
    plain, undisturbed, stopped = (
        TrainingState(config, training_data, execution) for execution in (CPU, like_gpu, like_gpu)
    )
    one, two = batch_of(sampler), batch_of(sampler)
    for state, execution in ((plain, CPU), (undisturbed, like_gpu)):
        advance(Stepper(config, training_data.contract, state, execution), [one, two])
    advance(Stepper(config, training_data.contract, stopped, like_gpu), [one])
    stopped.save(tmp_path / "resume.safetensors")
    resumed = TrainingState(config, training_data, like_gpu).resume(tmp_path / "resume.safetensors")
    advance(Stepper(config, training_data.contract, resumed, like_gpu), [two], done=1)
    first = next(resumed.net.parameters())
    assert first.is_contiguous(memory_format=torch.channels_last)
    for name, weight in undisturbed.net.state_dict().items():
        assert torch.equal(resumed.net.state_dict()[name], weight), name
        torch.testing.assert_close(weight, plain.net.state_dict()[name], rtol=0, atol=0.05)


def advance(stepper: Stepper, batches: list[Batch], done: int = 0) -> None:
    taken = iter(batches)
    for number in range(done, done + len(batches)):
        stepper.step(taken, number, 1e-2, lambda: None)


def test_a_cpu_computes_in_float32_unless_the_config_says_otherwise() -> None:
    assert choose_execution(PLAIN) == CPU
    assert choose_execution(changed(precision="float32")) == CPU
    assert choose_execution(changed(channels_last=True)) == replace(CPU, memory_format=torch.channels_last)
    assert choose_execution(changed(precision="bfloat16")) == replace(CPU, precision=Precision("bfloat16"))
    assert any("bfloat16" in warning for warning in changed(precision="bfloat16").warnings())
    assert PLAIN.warnings() == ()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # raised by torch about the compiler that it uses
def test_a_compiled_net_has_the_same_gradient(training_data: TrainingData, sampler: ChipSampler) -> None:
    config = changed(batch_size=4, net={"depth": 1, "width": 2})
    execution = choose_execution(changed(compile=True))
    assert execution == replace(CPU, compile=True)
    plain, compiled = (gradients(config, training_data, [batch_of(sampler)], each) for each in (CPU, execution))
    torch.testing.assert_close(compiled, plain, rtol=1e-2, atol=1e-5)


def test_torch_compile_is_refused_without_a_compiler() -> None:
    script = """
from ml.config import TrainConfig
from ml.faults import InputRefused
from ml.nn.training.execution import choose_execution
try:
    choose_execution(TrainConfig(compile=True, device="cpu"))
except InputRefused as refused:
    (fault,) = refused.faults
    print(fault.code, fault.pointer, repr(refused.__cause__))
"""  # in a separate process, because torch caches what it has compiled and with which compiler
    environment = {"PATH": "/nowhere", "CXX": "/nowhere/g++"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no_compiler /compile ")
    assert "InvalidCxxCompiler" in done.stdout, "the missing compiler is the cause"


def test_the_stages_come_in_order_and_their_shares_add_up_to_the_whole_time() -> None:
    stages = StageTimer()
    for _ in range(2):
        for name in ("forward", "loss"):
            with stages(name):
                time.sleep(0.001)
    line = stages.line()
    assert re.findall(r"([a-z]+) [\d.]+%", line) == ["forward", "loss", "other"]
    assert sum(map(float, re.findall(r"([\d.]+)%", line))) == pytest.approx(100, abs=0.2)
    assert re.findall(r"([a-z]+) [\d.]+%", stages.line()) == ["other"], "starts again from zero"


def test_the_time_of_a_stage_that_fails_is_counted() -> None:
    stages = StageTimer()
    with pytest.raises(ZeroDivisionError), stages("forward"):
        _ = 1 // 0
    assert "forward" in stages.line()
