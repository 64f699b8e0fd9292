"""Everything chainlog-async raises on purpose.

    ChainlogError
    ├── SettingsError                a setting, its file or its environment variable is wrong
    ├── DatabaseError                the database cannot be used
    │   ├── DatabaseMissingError     there is no file to read
    │   ├── NotADatabaseError        the file is not SQLite, or is damaged
    │   ├── ForeignDatabaseError     the file is SQLite, but somebody else's
    │   ├── NewerDatabaseError       a newer chainlog-async wrote it
    │   ├── OlderDatabaseError       it must be migrated before it can be read
    │   ├── WalUnavailableError      SQLite would not switch to WAL
    │   ├── QueryTimeoutError        a query ran longer than read_timeout_ms
    │   └── MigrationError           a migration did not go through
    ├── EntryError                   one entry did not reach the database
    │   ├── InvalidEntryError        a value that cannot be stored
    │   ├── QueueFullError           no room for it
    │   ├── EntryRejectedError       the database refused that very row
    │   └── EntryAbandonedError      shutdown ended before it was committed
    ├── MissingExtraError            a package that only this needs is not installed
    ├── ClosedError                  the logger is shut down, or was never started
    └── ForkedError                  the object, or the file, belongs to the parent process

Each message names the thing, the value and the remedy.
"""

from __future__ import annotations


class ChainlogError(Exception):
    """Base of every error that chainlog-async raises on purpose."""


class SettingsError(ChainlogError):
    """A setting, its file or its environment variable is wrong."""


class DatabaseError(ChainlogError):
    """The database cannot be used."""


class DatabaseMissingError(DatabaseError):
    """There is no database file to read."""


class NotADatabaseError(DatabaseError):
    """The file is not an SQLite database, or its pages are damaged."""


class ForeignDatabaseError(DatabaseError):
    """The file is an SQLite database, but neither ours nor 429chain's."""


class NewerDatabaseError(DatabaseError):
    """The database was written by a newer chainlog-async."""


class OlderDatabaseError(DatabaseError):
    """The database has to be migrated before it can be read."""


class WalUnavailableError(DatabaseError):
    """SQLite would not switch the database to write-ahead logging."""


class QueryTimeoutError(DatabaseError):
    """A query ran longer than ``read_timeout_ms`` and was cut off."""


class MigrationError(DatabaseError):
    """A migration did not go through; the database is as it was before it."""


class EntryError(ChainlogError):
    """One entry did not reach the database."""


class InvalidEntryError(EntryError):
    """The entry holds a value that cannot be stored."""


class QueueFullError(EntryError):
    """There was no room for the entry, or it had to make room for a newer one."""


class EntryRejectedError(EntryError):
    """The database refused this very row."""


class EntryAbandonedError(EntryError):
    """Shutdown ran out of time before the entry was committed."""


class MissingExtraError(ChainlogError):
    """A package is not installed that only one of the extras brings."""


class ClosedError(ChainlogError):
    """The logger is shut down, or was never started."""


class ForkedError(ChainlogError):
    """The object, or the open file, belongs to the process that this one was forked from."""
