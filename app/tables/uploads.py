"""Files that are arriving, at once or in pieces."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import Base, Owned, OwnedId, keep_as_json, now

keep_as_json(dict[str, str])


class IncomingFile(Owned, Base):
    """A file that is arriving, or the beginning of one, for which room is reserved.

    name: Of the file beside the store. size_bytes: Number of bytes that are reserved. until: When the file is gone, or
    its process has died, unless this was renewed.
    """

    __tablename__ = "incoming_files"

    name: Mapped[str] = mapped_column(OwnedId(80), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[datetime]


class UnfinishedUpload(Owned, Base):
    """An upload in pieces.

    total: Bytes of the whole file; None if the client has not announced it. digests: Those of the whole file that it
    announced, in base64 by algorithm. metadata_header: What it said of the file, as tus has it; "" for nothing.
    made: Path of the scene, labels or zones that were made of it; its bytes are gone then. touched: When bytes last
    came.
    """

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(OwnedId(32), primary_key=True)
    total: Mapped[int | None] = mapped_column(BigInteger)
    metadata_header: Mapped[str] = mapped_column(Text, default="")
    digests: Mapped[dict[str, str]]
    made: Mapped[str | None] = mapped_column(Text)
    touched: Mapped[datetime] = mapped_column(default=now, index=True)


class UploadPiece(Owned, Base):
    """Bytes of an unfinished upload that are an object of the store, where APIs share no disk. offset: in bytes.

    The primary key lets only one of two requests continue an upload at one offset.
    """

    __tablename__ = "upload_pieces"

    upload: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    object: Mapped[str] = mapped_column(Text)
