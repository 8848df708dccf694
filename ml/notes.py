"""What an input's owner should know though the input is accepted."""

from ml.frozen import Frozen


class Note(Frozen):
    """code: stable, snake_case. detail: what was found, with the figures. hint: what to do about it, if anything."""

    code: str
    detail: str
    hint: str = ""
