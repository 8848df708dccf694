"""When Python looks for cycles of garbage: seldom, for a full look takes 0.14 s, in which nobody is answered and no job
goes on.
"""

import gc

THRESHOLDS = (50_000, 20, 50)


def calm_collection() -> None:
    """Look for cycles seldom, and not among what was imported: a page of documents is many objects and no cycle."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
