"""The exceptions that chainlog-async raises.

    ChainlogError
    ├── SettingsError                a setting, its file or its environment variable is wrong
    ├── DatabaseError                the database cannot be used
    │   ├── DatabaseMissingError     there is no file to read
    │   ├── NotADatabaseError        the file is not SQLite, or is damaged
    │   ├── ForeignDatabaseError     the file belongs to another program
    │   ├── NewerDatabaseError       a newer chainlog-async wrote it
    │   ├── OlderDatabaseError       it must be migrated before it can be read
    │   ├── WalUnavailableError      write-ahead logging is not available
    │   ├── RemoteError              the server that keeps the log does not answer as it should
    │   ├── QueryError               SQL that somebody gave is wrong, or would not only read
    │   ├── QueryTimeoutError        a query ran longer than read_timeout_ms
    │   └── MigrationError           a migration failed
    ├── EntryError                   an entry was not written
    │   ├── InvalidEntryError        a value that cannot be stored
    │   ├── QueueFullError           the queue is full
    │   ├── EntryRejectedError       the database refused the row
    │   └── EntryAbandonedError      shutdown ran out of time
    ├── StreamError                  a batch from another machine does not continue its stream
    ├── MissingExtraError            an optional package is not installed
    ├── ClosedError                  the log is shut down or was never opened
    └── ForkedError                  the object or the file belongs to the parent process

Each message names the thing, the value and the remedy.
"""

from __future__ import annotations


class ChainlogError(Exception):
    """Base class of all exceptions of chainlog-async."""


class SettingsError(ChainlogError):
    """A setting is missing, unknown or invalid, in arguments, environment or file."""


class DatabaseError(ChainlogError):
    """The database cannot be used."""


class DatabaseMissingError(DatabaseError):
    """There is no database file to read."""


class NotADatabaseError(DatabaseError):
    """The file is not an SQLite database, or its pages are damaged."""


class ForeignDatabaseError(DatabaseError):
    """The file is an SQLite database of another program."""


class NewerDatabaseError(DatabaseError):
    """The database was written by a newer chainlog-async."""


class OlderDatabaseError(DatabaseError):
    """The database has to be migrated before it can be read."""


class WalUnavailableError(DatabaseError):
    """SQLite cannot use write-ahead logging for the database."""


class RemoteError(DatabaseError):
    """The `chainlog serve` that keeps the log does not answer, or not as it should."""


class QueryError(DatabaseError):
    """SQL that somebody gave was refused: it is wrong, or would do something else than read."""


class QueryTimeoutError(DatabaseError):
    """A query ran longer than ``read_timeout_ms`` and was cancelled."""


class MigrationError(DatabaseError):
    """A migration failed; the database is as it was before that step."""


class EntryError(ChainlogError):
    """An entry was not written."""


class InvalidEntryError(EntryError):
    """A required value of the entry cannot be stored."""


class QueueFullError(EntryError):
    """The queue had no room for the entry, or the entry was dropped for a newer one."""


class EntryRejectedError(EntryError):
    """The database refused the row, which is kept in ``rejected_entries``."""


class EntryAbandonedError(EntryError):
    """Shutdown ran out of time before the entry was committed."""


class StreamError(ChainlogError):
    """A batch from another machine does not continue the stream of its writer."""


class MissingExtraError(ChainlogError):
    """An optional package is not installed; the message names the extra."""


class ClosedError(ChainlogError):
    """The log is shut down or was never opened."""


class ForkedError(ChainlogError):
    """The object or the open file belongs to the process that this one was forked from."""
