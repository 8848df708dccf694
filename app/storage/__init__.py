"""The object store: files by key, each written once. The database refers to them by key and sha256.

`open_store` opens a folder or a bucket; both have the same small interface (`store.py`).
"""

from app.storage.cache import Cache
from app.storage.local import LocalStore
from app.storage.opening import open_store
from app.storage.store import Store, Stored, Upload, new_place, sha256_of

__all__ = ["Cache", "LocalStore", "Store", "Stored", "Upload", "new_place", "open_store", "sha256_of"]
