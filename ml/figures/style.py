"""The style of all figures: fonts, colours of curves and language; and how they are saved.

Nothing here uses pyplot, which keeps all figures in memory. A lock guards what matplotlib shares between threads, so
that a server may draw.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font_names

from ml.figures import Format, PageFormat

DPI = 110
# Okabe & Ito 2008, "Color Universal Design": all people can tell them apart; each has its own line style and marker
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# fonts with Chinese that a system may have; the last one is also in the package zhplot
_CHINESE = ("Noto Sans CJK SC", "Microsoft YaHei", "Noto Sans SC")
_LATIN = "DejaVu Sans"  # it is part of matplotlib
_DRAWING = threading.RLock()
_DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # that are left out


def _add_chinese_font() -> None:
    """Register the font of the package zhplot; the package is not imported, since that would change settings."""
    spec = find_spec("zhplot")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).glob("fonts/NotoSansSC*.ttf"):
            fontManager.addfont(path)


_add_chinese_font()
_FOUND = [name for name in _CHINESE if name in get_font_names()]
HAS_CHINESE = bool(_FOUND)  # without such a font, all figures are in English
if not HAS_CHINESE:
    logging.getLogger(__name__).warning(
        "No font with Chinese was found: figures are in English. zhplot has such a font."
    )
mpl.rcParams["font.family"] = [*_FOUND, _LATIN]
mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False
mpl.rcParams["axes.unicode_minus"] = False
mpl.rcParams["text.parse_math"] = False  # names from users may have dollar signs
mpl.rcParams["svg.hashsalt"] = "canemap"  # the same figure gives the same bytes


@contextmanager
def drawing() -> Iterator[None]:
    """Lock matplotlib for this thread, to build a figure in a server; may be nested in one thread."""
    with _DRAWING:
        yield


def render(figure: Figure, format_: Format | PageFormat, dpi: int = DPI) -> bytes:
    """The figure as the bytes of a file; only one thread renders at a time. The same figure gives the same bytes."""
    buffer = BytesIO()
    with drawing():
        figure.savefig(buffer, format=format_, dpi=dpi, metadata=_DATES.get(format_))
    return buffer.getvalue()
