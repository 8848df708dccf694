"""Normalisation and the choice of the device are right."""

import pytest
import torch

from ml.contract import BandStatistics
from ml.faults import InputRefused
from ml.nn.normalise import choose_device, normalise


def test_bands_are_normalised_by_the_contract_and_invalid_pixels_are_0() -> None:
    statistics = (BandStatistics(mean=10, std=2, min=0, max=20), BandStatistics(mean=3, std=0, min=3, max=3))
    image = torch.tensor([[[[12.0, torch.nan]], [[3.0, 7.0]]]])
    valid = torch.tensor([[[True, False]]])
    assert normalise(image, valid, statistics).tolist() == [[[[1, 0]], [[0, 0]]]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused_only_if_the_config_requires_one() -> None:
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(InputRefused, match="has none"):
        choose_device("cuda")
