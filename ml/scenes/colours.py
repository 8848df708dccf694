"""What the numbers of a TIFF are: measurements or grey, or colours in a space where they must be converted first."""

from collections.abc import Iterator

from ml.faults import Fault, Note
from ml.scenes import tiff_directories as tag
from ml.scenes.tiff_directories import Directory

_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_OTHERS = {
    4: "a transparency mask",
    5: "CMYK",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw of a camera",
}
_JPEG = 7
_PREMULTIPLIED = 1  # value of ExtraSamples: associated alpha


def colour_faults(directory: Directory) -> Iterator[Fault]:
    """Yield unsupported_colours if the bands of an image are colours, which GDAL would convert, or no values."""
    space = directory.number(tag.PHOTOMETRIC, _MIN_IS_BLACK)
    if space in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE):
        return
    if space == _YCBCR and directory.number(tag.COMPRESSION, 1) == _JPEG:
        return  # JPEG keeps red, green and blue so, and gives them back
    name = "YCbCr without JPEG" if space == _YCBCR else _OTHERS.get(space, f"of an unknown kind ({space})")
    mend = "gdal_translate -co PHOTOMETRIC=MINISBLACK GTIFF_RAW:in.tif out.tif"
    hint = f"Send the measured bands. If these are, say so: {mend}"
    yield Fault("unsupported_colours", f"The colours of the image are {name}, not bands that were measured.", hint)


def colour_notes(directory: Directory) -> Iterator[Note]:
    """Yield min_is_white, premultiplied or sub_images: what other programs show of a file, and we do not use."""
    if directory.number(tag.PHOTOMETRIC, _MIN_IS_BLACK) == _MIN_IS_WHITE:
        detail = "The file says that its smallest value is white (MinIsWhite). The numbers are used as they are."
        yield Note(code="min_is_white", detail=detail, hint="If dark and bright are inverted, export the file again.")
    extra = directory.array(tag.EXTRA_SAMPLES).tolist()
    if _PREMULTIPLIED in extra:
        detail = (
            "The bands are multiplied by alpha, so values are too dark where alpha is between 0 and its largest value."
        )
        yield Note(code="premultiplied", detail=detail, hint="Export the image with alpha that is not associated.")
    if directory.array(tag.SUB_IFDS).size:
        detail = "The file holds further images inside its image (SubIFDs). They are not read."
        yield Note(code="sub_images", detail=detail, hint="Send them as scenes of their own, if they are needed.")
