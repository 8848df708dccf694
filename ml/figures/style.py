"""How all figures look: fonts, colours of curves, language, and how they are saved.

Nothing here touches pyplot, which keeps figures alive in a list of its own; what matplotlib shares between threads is
guarded by a lock, so that a server may draw.
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

from ml.figures import Format

DPI = 110
# Okabe & Ito 2008, "Color Universal Design": everybody can tell them apart; each has its own line style and marker
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# the system's fonts with Chinese, where there are any; then the one that zhplot brings
_CHINESE = ("Noto Sans CJK SC", "Microsoft YaHei", "Noto Sans SC")
_LATIN = "DejaVu Sans"  # matplotlib brings it
_DRAWING = threading.RLock()


def _add_chinese_font() -> None:
    """Tell matplotlib of the font in the package zhplot, without importing that: it would change the settings."""
    spec = find_spec("zhplot")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in Path(folder).glob("fonts/NotoSansSC*.ttf"):
            fontManager.addfont(path)


_add_chinese_font()
_FOUND = [name for name in _CHINESE if name in get_font_names()]
HAS_CHINESE = bool(_FOUND)  # without such a font, figures are in English whatever was asked for
if not HAS_CHINESE:
    logging.getLogger(__name__).warning("No font with Chinese was found: figures are in English. zhplot brings one.")
mpl.rcParams["font.family"] = [*_FOUND, _LATIN]
mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False
mpl.rcParams["axes.unicode_minus"] = False
mpl.rcParams["text.parse_math"] = False  # names that users give may have dollar signs
mpl.rcParams["svg.hashsalt"] = "canemap"  # the same figure gives the same bytes


@contextmanager
def drawing() -> Iterator[None]:
    """Hold matplotlib for oneself, to build a figure in a thread of a server; may be nested in one thread."""
    with _DRAWING:
        yield


def render(figure: Figure, format_: Format) -> bytes:
    """The figure as a PNG or SVG file; one thread at a time."""
    buffer = BytesIO()
    with drawing():
        figure.savefig(buffer, format=format_, dpi=DPI, metadata={"Date": None} if format_ == "svg" else None)
    return buffer.getvalue()
