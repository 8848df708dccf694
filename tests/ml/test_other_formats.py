"""A file of another format is refused by its name, with the way to what is wanted."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from ml.faults import Fault, InputRefused
from ml.labels.read import read_layer
from ml.scenes.inspect import inspect_scene


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "x")
    return content.getvalue()


def dbf() -> bytes:
    column = struct.pack("<11sc4xBB14x", b"crop", b"C", 20, 0)
    return struct.pack("<4BIHH20x", 3, 124, 5, 31, 0, 32 + len(column) + 1, 21) + column + b"\r\x1a"


def tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return content.getvalue()


FILES = {
    ".shp": struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 50) + bytes(72),
    ".dbf": dbf(),
    ".prj": b'PROJCS["WGS_1984_UTM_Zone_48N",GEOGCS["GCS_WGS_1984"]]',
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    ".xlsx": zipped("[Content_Types].xml"),
    "KMZ": zipped("doc.kml"),
    "geodatabase": zipped("plots.gdb/a00000001.gdbtable"),
    "KML": b'\xef\xbb\xbf<?xml version="1.0"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"></kml>',
    "web page": b"<!DOCTYPE html><title>Log in</title>",
    "RAR": b"Rar!\x1a\x07\x01\0" + bytes(40),
    "7z": b"7z\xbc\xaf\x27\x1c" + bytes(40),
    "gzip": b"\x1f\x8b\x08" + bytes(40),
    "tar": tar(),
    "netCDF": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "PDF": b"%PDF-1.7\n",
    "DXF": b"  0\nSECTION\n  2\nENTITIES\n  0\nENDSEC\n  0\nEOF\n",
    "DXF drawing": b"999\r\nmade by hand\r\n  0\r\nSECTION\r\n",
    ".mif": b'Version   450\r\nCharset "WindowsSimpChinese"\r\nDelimiter ","\r\n',
    ".tab": b"!table\r\n!version 300\r\n",
    "FlatGeobuf": b"fgb\x03fgb\0" + bytes(40),
    "Parquet": b"PAR1" + bytes(40),
    "TopoJSON": b'{"objects": {}, "type":"Topology", "arcs": []}',
    "Esri": b'{"displayFieldName": "", "geometryType": "esriGeometryPolygon", "features": []}',
    "GML": b'<?xml version="1.0"?><c:Collection xmlns:gml="http://www.opengis.net/gml/3.2"/>',
    "schema": b'<?xml version="1.0"?><xs:schema xmlns:gml="http://www.opengis.net/gml"/>',
    "QGIS layer definition": b"<!DOCTYPE qgis-layer-definition>\n<qlr><maplayers/></qlr>",
    "OpenJUMP": b'<?xml version="1.0"?><JCSDataFile xmlns:gml="http://www.opengis.net/gml"/>',
    "ASCII grid": b"ncols 10\nnrows 10\nxllcorner 0\n",
    "WKT": b"MULTIPOLYGON (((105 10, 105 11, 106 11, 105 10)))\n",
    "SQL": b"SET standard_conforming_strings = ON;\nCREATE TABLE plots (crop TEXT);\n",
    "CSV": b"PK,crop\n1,cane\n",
    "table of text": b"BM;crop\n1;cane\n",
    "BMP": b"BM\x36\0\0\0\0\0\0\0\x36\0",
    "dgn": b"\x08\x09\xfe\x02" + bytes(40),
    "QGIS project": zipped("p.qgs"),
}


def scene_fault(path: Path) -> Fault:
    with pytest.raises(InputRefused) as refused:
        inspect_scene(path)
    (fault,) = refused.value.faults
    return fault


def labels_fault(path: Path) -> Fault:
    with pytest.raises(InputRefused) as refused:
        read_layer(path)
    (fault,) = refused.value.faults
    return fault


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_format_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    scene, labels = scene_fault(path), labels_fault(path)
    assert scene.code == "not_a_tiff"
    assert labels.code in ("bad_json", "bad_archive")
    for fault in (scene, labels):
        assert name in fault.detail
        assert fault.hint


@pytest.mark.parametrize("name", [".shp", ".dbf", ".prj"])
def test_a_part_of_a_shapefile_is_told_which_others_belong_to_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    assert "Zip the .shp, .shx, .dbf, .prj and .cpg" in labels_fault(path).hint


@pytest.mark.parametrize("name", ["KML", "KMZ", "geodatabase"])
def test_a_vector_format_is_told_how_to_become_a_geopackage(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(FILES[name])
    assert "ogr2ogr labels.gpkg" in labels_fault(path).hint
    assert "/v1/labels/NAME" in scene_fault(path).hint


@pytest.mark.parametrize("content", [b'{"type": "FeatureCollection", "features": []}', zipped("x.shp")])
def test_labels_that_are_sent_as_a_scene_are_told_their_address(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    fault = scene_fault(path)
    assert "/v1/labels/NAME" in fault.hint or "holds" in fault.hint
    assert "does not begin like" not in fault.detail


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 64, b"crop,area\ncane,1\n", b"PK", b"<"])
def test_what_is_not_known_is_refused_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert scene_fault(path).code == "not_a_tiff"
    assert labels_fault(path).code in ("bad_json", "bad_archive")
