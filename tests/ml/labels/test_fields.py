import pytest

from ml.faults import InputRefused
from ml.labels.features import Feature
from ml.labels.fields import fields_of
from tests.ml.labels.layers import square


def features(*properties: dict[str, str | int | None]) -> list[Feature]:
    return [Feature(square(20 * number, 0), each) for number, each in enumerate(properties)]


def test_each_polygon_is_a_field_without_an_id_attribute() -> None:
    fields = fields_of(features({"crop": "cane"}, {"crop": "cane"}))
    assert fields.numbers.tolist() == [0, 1] and fields.names == ("polygon 1", "polygon 2")


def test_polygons_with_the_same_id_are_one_field() -> None:
    fields = fields_of(features({"Field-ID": 5}, {"Field-ID": None}, {"Field-ID": 5}, {"Field-ID": None}))
    assert fields.numbers.tolist() == [0, 1, 0, 2]
    assert fields.names == ("Field-ID 5", "polygon 2", "polygon 4")


def test_the_owner_can_choose_the_id_attribute() -> None:
    several = features({"field_id": 1, "farm": "x"}, {"field_id": 2, "farm": "x"})
    assert fields_of(several, "farm").numbers.tolist() == [0, 0]
    with pytest.raises(InputRefused, match="'plot'"):
        fields_of(several, "plot")
