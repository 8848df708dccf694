"""What made a result, so that two that differ can be told apart by it."""

from ml.provenance import all_of, software


def test_it_names_the_code_the_libraries_and_the_processor() -> None:
    assert {"canemap", "code", "python", "machine", "cpu", "instructions", "torch", "rasterio"} <= software().keys()
    assert all(software().values())


def test_what_several_machines_made_names_what_each_had() -> None:
    here = {"torch": "2.13.0", "cpu": "AMD EPYC", "engine": "native 0123"}
    there = {**here, "cpu": "Intel Xeon"}
    assert all_of([here, here]) == here
    assert all_of([here, there, here, {"torch": "2.13.0"}]) == {**here, "cpu": "AMD EPYC + Intel Xeon"}
    assert all_of([there, here]) == all_of([here, there]), "whoever made which part"
