"""The colours of classes, the same in maps, styles and figures: cane is green, other is black, as in the paper."""

Rgb = tuple[int, int, int]

OTHER: Rgb = (0, 0, 0)
CANE: Rgb = (76, 175, 80)
UNOBSERVED: Rgb = (190, 190, 190)


def colour_of(value: int) -> Rgb:
    """The colour of a class value."""
    return CANE if value == 1 else OTHER
