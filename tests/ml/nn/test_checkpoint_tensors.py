"""What is checked of a checkpoint before it is registered, without torch."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ml.checkpoint_header import METADATA_KEY, CheckpointHeader
from ml.checkpoint_tensors import expected_tensors, inspect_checkpoint
from ml.config import NetConfig, TrainConfig
from ml.contract import BandRadiometry, BandStatistics, ClassDef, Contract, Homogenise, Scaling
from ml.evaluation.assessment import SceneCounts, assessment
from ml.evaluation.metrics import BlockCounts, Metrics
from ml.faults import InputRefused
from ml.nn.unet import make_net

STATISTICS = BandStatistics(mean=1, std=2, min=0, max=9)
NAMES = {torch.float32: "F32", torch.int64: "I64"}


def header(bands: int = 2, classes: int = 2, depth: int = 2, width: int = 4, **changes: Any) -> CheckpointHeader:
    contract = Contract(
        bands=tuple(map(str, range(bands))),
        dtype="uint16",
        gsd=0.8,
        nodata=0,
        statistics=(STATISTICS,) * bands,
        classes=tuple(ClassDef(value=value, name=f"class {value}") for value in range(classes)),
    )
    net = NetConfig(depth=depth, width=width)
    config = TrainConfig(net=net, chip_size=256)
    return CheckpointHeader(contract=contract, config=config, best_epoch=1, **changes)


def tensors_of(made: CheckpointHeader) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(make_net(made.contract, made.config.net).state_dict())


def save(path: Path, tensors: dict[str, Tensor], text: str) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {METADATA_KEY: text})
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputRefused) as caught:
        inspect_checkpoint(path)
    (fault,) = caught.value.faults
    assert fault.code == "bad_checkpoint"
    return fault.detail


@pytest.mark.parametrize(
    ("bands", "classes", "depth", "width"), [(1, 2, 1, 1), (4, 2, 4, 3), (7, 5, 2, 8), (3, 3, 6, 2)]
)
def test_the_expected_tensors_are_those_of_the_net(bands: int, classes: int, depth: int, width: int) -> None:
    made = header(bands, classes, depth, width)
    expected = expected_tensors(made.contract, made.config.net)
    assert expected == {name: (NAMES[item.dtype], tuple(item.shape)) for name, item in tensors_of(made).items()}


def test_a_good_checkpoint_passes_without_torch(tmp_path: Path) -> None:
    made = header()
    path = save(tmp_path / "x", tensors_of(made), made.model_dump_json())
    assert inspect_checkpoint(path) == made
    program = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from pathlib import Path; from ml.checkpoint_tensors import inspect_checkpoint\n"
        "print(inspect_checkpoint(Path(sys.argv[1])).contract.bands)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('0', '1')"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tensors: tensors.clear(), "tensors are missing or unexpected"),
        (lambda tensors: tensors.pop("head.bias"), "1 tensors are missing or unexpected, for example head.bias"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), "for example more"),
        (lambda tensors: tensors.update({"head.bias": torch.zeros(2)}), "head.bias is F32 (2,)"),
        (lambda tensors: tensors.update({"head.bias": torch.zeros(1).half()}), "head.bias is F16 (1,)"),
        (lambda tensors: tensors["down.1.3.weight"].view(-1)[-1].fill_(torch.nan), "down.1.3.weight contains NaN"),
        (lambda tensors: tensors["stem.1.running_var"][0].fill_(torch.inf), "stem.1.running_var contains NaN"),
        (lambda tensors: tensors["stem.1.running_var"][0].fill_(-1), "stem.1.running_var contains values below 0"),
    ],
)
def test_tensors_that_no_net_of_its_config_has_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], why: str
) -> None:
    made = header()
    tensors = tensors_of(made)
    change(tensors)
    assert why in refusal(save(tmp_path / "x", tensors, made.model_dump_json()))


@pytest.mark.parametrize("cut", [1, 1000])
def test_a_file_that_is_cut_off_or_longer_than_its_tensors_is_refused(tmp_path: Path, cut: int) -> None:
    made = header()
    path = save(tmp_path / "x", tensors_of(made), made.model_dump_json())
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert "bytes, but it has" in refusal(path)
    path.write_bytes(content + b"x" * cut)
    assert "bytes, but it has" in refusal(path)


def test_offsets_that_overlap_are_refused(tmp_path: Path) -> None:
    made = header()
    path = save(tmp_path / "x", tensors_of(made), made.model_dump_json())
    content = path.read_bytes()
    assert content.count(b'"data_offsets":[8,') == 1
    path.write_bytes(content.replace(b'"data_offsets":[8,', b'"data_offsets":[9,'))
    assert "bytes instead of" in refusal(path)


def test_a_header_that_fills_the_lists_of_models_is_refused(tmp_path: Path) -> None:
    made = header()
    for versions in ({"torch": "x" * 1001}, {str(number): "x" for number in range(101)}, {"x" * 81: "2"}):
        text = made.model_copy(update={"versions": versions}).model_dump_json()
        assert "versions" in refusal(save(tmp_path / "x", tensors_of(made), text))
    long_name = made.contract.model_copy(update={"bands": ("x" * 81, "y")})
    text = made.model_copy(update={"contract": long_name}).model_dump_json()
    assert "contract.bands.0" in refusal(save(tmp_path / "x", tensors_of(made), text))
    text = made.model_copy(update={"dataset_sha256": "0" * 1_000_000}).model_dump_json()
    assert "bytes beside `details`, over 1,000,000" in refusal(save(tmp_path / "x", tensors_of(made), text))
    text = made.model_copy(update={"dataset_sha256": "0" * 17_000_000}).model_dump_json()
    assert "over 16,000,000" in refusal(save(tmp_path / "x", tensors_of(made), text))


def _statistics(**changes: float) -> dict[str, object]:
    return {"statistics": (STATISTICS, STATISTICS.model_copy(update=changes))}


def _reference(**changes: object) -> dict[str, object]:
    sound = BandRadiometry(median=1, mad=1, mean=1, std=1, quantiles=tuple(map(float, range(101))))
    return {"homogenise": Homogenise(method="histogram", reference=(sound, sound.model_copy(update=changes)))}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gsd": 0.0}, "contract.gsd: Input should be greater than 0"),
        ({"gsd": -10.0}, "contract.gsd: Input should be greater than 0"),
        ({"dtype": "U99999999"}, "no scene has pixels of type 'U99999999'"),
        ({"bands": ("red", "red")}, "two bands have the same name"),
        ({"statistics": (STATISTICS,)}, "2 bands, but statistics of 1"),
        (_statistics(std=-1.0), "the statistics of band 2 contradict each other"),
        (_statistics(std=1e-320), "the statistics of band 2 contradict each other"),
        (_statistics(min=5.0, max=-5.0), "the statistics of band 2 contradict each other"),
        (_statistics(low=5.0, high=-5.0), "the statistics of band 2 contradict each other"),
        (_statistics(mean=1e300), "the statistics of band 2 contradict each other"),
        ({"scaling": (Scaling(scale=2),)}, "2 bands, but scales of 1"),
        ({"scaling": (Scaling(scale=0), Scaling())}, "the scale 0 and the offset 0 of band 1"),
        ({"scaling": (Scaling(), Scaling(scale=1e300))}, "the scale 1e+300 and the offset 0 of band 2"),
        ({"scaling": (Scaling(offset=-1e300), Scaling())}, "the offset -1e+300 of band 1"),
        ({"gsd": 1e-9}, "a side of 1e-09 m"),
        ({"gsd": 1e7}, "a side of 1e+07 m"),
        ({"bands": ("red", "Red ")}, "two bands have the same name"),
        (_statistics(std=0.0), "the statistics of band 2 contradict each other"),
        (_statistics(max=1e308), "the statistics of band 2 contradict each other"),
        (_statistics(mean=float("nan")), "contract.statistics.1.mean"),
        (
            {"classes": tuple(ClassDef(value=n % 255, name=f"c{n}") for n in range(5000))},
            "contract.classes: Tuple should",
        ),
        (_reference(quantiles=()), "the reference of band 2 is no distribution"),
        (_reference(quantiles=(1.0, *[0.0] * 100)), "the reference of band 2 is no distribution"),
        (_reference(mad=-1.0), "the reference of band 2 is no distribution"),
        ({"homogenise": Homogenise(method="robust", reference=())}, "homogenised by another number of bands"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object], why: str) -> None:
    made = header()
    text = made.model_copy(update={"contract": made.contract.model_copy(update=change)}).model_dump_json()
    assert why in refusal(save(tmp_path / "x", tensors_of(made), text))


def test_each_contradiction_is_a_fault_of_its_own(tmp_path: Path) -> None:
    made = header()
    wrong = {"gsd": 1e-9, "scaling": (Scaling(scale=1e300),) * 2, "bands": ("red", "red")} | _statistics(std=-1.0)
    text = made.model_copy(update={"contract": made.contract.model_copy(update=wrong)}).model_dump_json()
    with pytest.raises(InputRefused) as refused:
        inspect_checkpoint(save(tmp_path / "x", tensors_of(made), text))
    assert len(refused.value.faults) == 5 and {fault.code for fault in refused.value.faults} == {"bad_checkpoint"}
    text = text.replace('"best_epoch":', '"best_epochs":').replace('"gsd":1e-9', '"gsd":"fine"')
    with pytest.raises(InputRefused) as refused:
        inspect_checkpoint(save(tmp_path / "x", tensors_of(made), text))
    assert ["best_epoch" in fault.detail for fault in refused.value.faults].count(True) == 2


@pytest.mark.parametrize(
    "change", [_statistics(std=0.0, min=1.0, max=1.0), _reference(), {"scaling": (Scaling(scale=0.1),) * 2}]
)
def test_a_contract_as_trainings_write_it_is_accepted(tmp_path: Path, change: dict[str, object]) -> None:
    made = header()
    made = made.model_copy(update={"contract": made.contract.model_copy(update=change)})
    assert inspect_checkpoint(save(tmp_path / "x", tensors_of(made), made.model_dump_json())) == made


@pytest.mark.parametrize(
    ("twice", "why"),
    [
        ('"stem.0.weight": {"dtype": "F32", "shape": [4, 2, 3, 3], "data_offsets": [0, 288]}, ', "stands twice"),
        ('"__metadata__": {}, ', "stands twice"),
    ],
)
def test_a_name_that_stands_twice_in_the_header_is_refused(tmp_path: Path, twice: str, why: str) -> None:
    """The library that loads tensors refuses some of these files: each prediction would fail."""
    made = header()
    path = save(tmp_path / "x", tensors_of(made), made.model_dump_json())
    assert why in refusal(_with_header(path, lambda text: text.replace("{", "{" + twice, 1)))


def test_metadata_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    made = header()
    path = save(tmp_path / "x", tensors_of(made), made.model_dump_json())
    number = '"__metadata__":{"number":5,'
    assert "other than texts" in refusal(_with_header(path, lambda text: text.replace('"__metadata__":{', number, 1)))


def _with_header(path: Path, change: Callable[[str], str]) -> Path:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = change(content[8 : 8 + length].decode()).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    return path


SCORED = Metrics.from_confusion(np.array([[40, 10], [5, 45]]))
WEST = BlockCounts(row=0, col=0, confusion=((30, 0), (5, 15)))
THREE = BlockCounts(row=0, col=0, confusion=((1, 0, 0), (0, 1, 0), (0, 0, 1)))
EAST = BlockCounts(row=0, col=256, confusion=((10, 10), (0, 30)))
PARTS = assessment([SceneCounts("field", (WEST, EAST))])[1]


def _scored(**changes: float) -> Metrics:
    return SCORED.model_copy(update=changes)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"test": _scored(iou=0.99)}, "the iou of the split test is 0.99, but its confusion gives 0.75"),
        ({"val": _scored(kappa=1.0)}, "the kappa of the split val is 1"),
        ({"val": Metrics.from_confusion(np.eye(3, dtype=int))}, "2 classes, but the metrics of the split val count"),
        (
            {"test": SCORED, "details": {"test": PARTS.model_copy(update={"blocks": {"field": (WEST,)}})}},
            "the blocks of the split test have other counts than its confusion",
        ),
        ({"details": {"test": PARTS}}, "the blocks of the split test have other counts than its confusion"),
        (
            {"details": {"val": PARTS.model_copy(update={"scenes": {"a": _scored(recall=0.1)}})}},
            "the recall of the scene 'a' is 0.1, but its confusion gives 0.9",
        ),
        (
            {"details": {"train": assessment([SceneCounts("a", ())], classes=3)[1]}},
            "2 classes, but the metrics of the scene 'a' count others",
        ),
        (
            {"details": {"train": PARTS.model_copy(update={"blocks": {"a": (THREE,)}})}},
            "2 classes, but the blocks of the split train count others",
        ),
    ],
)
def test_metrics_that_contradict_their_counts_are_refused(tmp_path: Path, change: dict[str, object], why: str) -> None:
    text = header().model_copy(update=change).model_dump_json()
    assert why in refusal(save(tmp_path / "x", tensors_of(header()), text))


@pytest.mark.parametrize(
    "scored",
    [
        {"val": Metrics.from_confusion(np.array([[7, 0], [0, 0]]))},
        {"val": SCORED.model_copy(update={"omission": None, "commission": None})},
        {"val": SCORED, "test": SCORED, "details": {"test": PARTS, "val": PARTS}},
    ],
)
def test_metrics_as_trainings_write_them_are_accepted(tmp_path: Path, scored: dict[str, Any]) -> None:
    made = header(**scored)
    assert inspect_checkpoint(save(tmp_path / "x", tensors_of(made), made.model_dump_json())) == made
