"""The provenance of a result explains why two results may differ."""

from ml.provenance import all_of, software


def test_provenance_names_the_code_the_libraries_and_the_processor() -> None:
    assert {"canemap", "code", "python", "machine", "cpu", "instructions", "torch", "rasterio"} <= software().keys()
    assert all(software().values())


def test_the_provenance_of_several_machines_names_the_values_of_each() -> None:
    here = {"torch": "2.13.0", "cpu": "AMD EPYC", "engine": "native 0123"}
    there = {**here, "cpu": "Intel Xeon"}
    assert all_of([here, here]) == here
    assert all_of([here, there, here, {"torch": "2.13.0"}]) == {**here, "cpu": "AMD EPYC + Intel Xeon"}
    assert all_of([there, here]) == all_of([here, there]), "the order of the machines does not matter"
