"""Files of the store as answers."""

from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable


class StoredFile(FileResponse):
    """A file, with Range as RFC 9110, section 14 says: one that is not understood is passed over."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as error:
            detail = f"The file has {file_size} bytes; Range asks for what lies beyond."
            raise HTTPException(416, detail, {"Content-Range": f"bytes */{file_size}"}) from error
