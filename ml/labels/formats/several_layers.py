"""The choice of one layer in a file that holds several."""

from collections.abc import Sequence

from ml.faults import Fault, InputRefused
from ml.labels.features import listed


def chosen_layer(names: Sequence[str], layer: str | None) -> int:
    """Return the position in `names` of the layer to read.

    names: Names of all layers of the file, at least one.
    layer: Name that the owner gave; None for the only layer.

    Raises:
        InputRefused: bad_archive if there are several layers and none is named; unknown_layer if none has the name.
    """
    if layer is None and len(names) > 1:
        detail = f"The file holds {len(names)} layers."
        raise InputRefused(Fault("bad_archive", detail, f"Name one of them with layer=: {listed(names)}.", "/layer"))
    if layer is None:
        return 0
    if layer in names:
        return names.index(layer)
    detail = f"The file holds no layer {layer[:80]!r}."
    raise InputRefused(Fault("unknown_layer", detail, f"It holds {listed(names)}.", "/layer"))


def refuse_layer(layer: str | None, kind: str) -> None:
    """Raise unknown_layer if the owner names a layer of a file whose format has a single one, without a name."""
    if layer is not None:
        detail = f"{kind} holds one layer, which has no name."
        raise InputRefused(Fault("unknown_layer", detail, "Omit layer=.", "/layer"))
