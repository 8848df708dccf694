"""GDAL made safe for files of strangers: local GeoTIFFs and nothing else.

GDAL reads its environment once, when it starts; set later, in `rasterio.Env`, most of this has no effect.
"""

import os

# Every driver in rasterio's wheels (GDAL 3.10) but GTiff, COG, MEM, and Memory for tracing polygons; a comma stands for
# a space. A file named x.tif may hold a VRT, a WMS description, ...: formats that read other files or fetch from the
# network when they are opened.
UNWANTED_DRIVERS = """
AAIGrid ACE2 ADRG AIG AirSAR AVCBin AVCE00 BAG BIGGIF BLX BMP BSB BT BYN CALS CEOS COASP COSAR CPG CTable2 CTG DAAS
DERIVED DIMAP DIPEx DOQ1 DOQ2 DTED ECRGTOC EEDA EEDAI EHdr EIR ELAS ENVI ERS ESAT ESRI,Shapefile ESRIC ESRIJSON FAST
FIT GenBin GeoJSON GeoJSONSeq GFF GIF GNMDatabase GNMFile GPKG GRASSASCIIGrid GRIB GS7BG GSAG GSBG GSC GTI GTX GXF
HDF5 HDF5Image HF2 HFA HTTP ILWIS IRIS ISCE ISG ISIS2 ISIS3 JAXAPALSAR JDEM JP2OpenJPEG JPEG KMLSUPEROVERLAY KRO L1B
LAN LCP Leveller LOSLAS MAP MBTiles MFF MFF2 MRF MSGN MVT NDF netCDF NGSGEOID NITF NOAA_B NSIDCbin NTv2 NWT_GRC
NWT_GRD OSM OZI PAux PCIDSK PCRaster PDF PDS PDS4 PLMOSAIC PNG PNM PRF R Rasterlite RIK RMF ROI_PAC RPFTOC RRASTER RS2
RST S102 S104 S111 SAFE SAGA SAR_CEOS SDTS SENTINEL2 SGI SIGDEM SNAP_TIFF SNODAS SQLite SRP SRTMHGT STACIT STACTA
Terragen TGA TIL TopoJSON TSX USGSDEM VICAR VRT WCS WEBP WMS WMTS XPM XYZ Zarr ZMap
"""


def locked_drivers() -> set[str]:
    """The names of all formats that must not be opened."""
    return {name.replace(",", " ") for name in UNWANTED_DRIVERS.split()}


_LOCKED = {
    "GDAL_SKIP": ",".join(sorted(locked_drivers())),
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no .ovr, .msk, .aux.xml, .tfw beside the file
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "PROJ_NETWORK": "OFF",
}

_TUNED = {
    "GDAL_CACHEMAX": "256",  # MB: two rows of 1024-px windows of a scene 16,000 px wide, 4 bands, uint16
    "GDAL_NUM_THREADS": "ALL_CPUS",  # inflates blocks in parallel: 180 -> 520 MB/s on two cores
    "COG_TMP_COMPRESSION": "NONE",  # of overviews on their way into a COG: packing them took a third of its time
}


def harden() -> None:
    """Set GDAL's environment; call it before rasterio is first imported. Tuning that is already there stays."""
    os.environ.update(_LOCKED)
    for name, value in _TUNED.items():
        os.environ.setdefault(name, value)
