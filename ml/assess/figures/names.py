"""Names that users give, as matplotlib has to be told of them."""


def plain(name: str) -> str:
    """The name for a text of a figure: its dollar signs are no mathematics."""
    return name.replace("$", r"\$")
