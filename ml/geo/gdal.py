"""Settings that make GDAL safe for untrusted files: it opens local GeoTIFFs and nothing else.

GDAL reads its environment once, when it starts. Most of these settings have no effect in `rasterio.Env` later.
"""

import os

# All drivers in rasterio's wheels (GDAL 3.10) except GTiff, COG, MEM, and Memory, which traces polygons. A comma stands
# for a space. A file named x.tif may contain a VRT or a WMS description: such formats read other files or fetch from
# the network when they are opened.
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
    """Return the names of all drivers that GDAL must not load."""
    return {name.replace(",", " ") for name in UNWANTED_DRIVERS.split()}


_LOCKED = {
    "GDAL_SKIP": ",".join(sorted(locked_drivers())),
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # ignores .ovr, .msk, .aux.xml and .tfw files
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "PROJ_NETWORK": "OFF",
}

_TUNED = {
    "GDAL_CACHEMAX": "256",  # MB: two rows of 1024-px windows of a scene with 16,000 columns, 4 bands, uint16
    "GDAL_NUM_THREADS": "ALL_CPUS",  # decompresses blocks in parallel: 520 instead of 180 MB/s on two cores
    "COG_TMP_COMPRESSION": "NONE",  # for overviews before they go into a COG: compressing them took a third of the time
}


def harden() -> None:
    """Set GDAL's environment variables. Call it before rasterio is imported for the first time.

    It overrides the variables that matter for safety, but not those for tuning that are already set.
    """
    os.environ.update(_LOCKED)
    for name, value in _TUNED.items():
        os.environ.setdefault(name, value)
