"""One process of a service leads in work that need not be done by all of them at the same time."""

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

SWEEP_LOCK = 0x73776570  # any number, the same in every process
# The server ends the transaction of a leader that says nothing for this time, because it was stopped or its machine is
# cut off from the network. Then another process leads.
_END_IF_SILENT = text("SELECT set_config('idle_in_transaction_session_timeout', :milliseconds, true)")
_TAKE = text("SELECT pg_try_advisory_xact_lock(:lock)")
_IS_ALIVE = text("SELECT true")


class Leader:
    """Says whether this process leads: on PostgreSQL one at a time, for as long as it asks; elsewhere all do.

    The leader holds a lock in an open transaction, which costs the server one connection and ends with its process. Two
    may lead for a moment, when one was stopped and goes on.
    """

    def __init__(self, engine: Engine, silent_s: float, lock: int = SWEEP_LOCK) -> None:
        """Make a candidate. silent_s: A leader that has not asked `leads` for these seconds leads no longer."""
        self._engine, self._silent_s, self._lock = engine, silent_s, lock
        self._transaction: Connection | None = None

    def leads(self) -> bool:
        """Whether this process leads now. Call it always in the same thread."""
        if self._engine.dialect.name != "postgresql":
            return True
        connection = self._transaction or self._engine.connect()
        try:
            leads = bool(connection.scalar(_IS_ALIVE) if self._transaction else self._take(connection))
        except DBAPIError:  # the server has ended the transaction, or is away
            connection.invalidate()
            leads = False
        if not leads:
            connection.close()
        self._transaction = connection if leads else None
        return leads

    def _take(self, connection: Connection) -> bool:
        connection.execute(_END_IF_SILENT, {"milliseconds": str(round(1000 * self._silent_s))})
        return bool(connection.scalar(_TAKE, {"lock": self._lock}))
