"""The SQL that finds requests: one query for each index that can be used."""

from __future__ import annotations

from typing import NamedTuple

from chainlog_async.common.name_sets import NAME_COLUMNS
from chainlog_async.requests.filter import BOUNDS, SEARCHED, RequestFilter
from chainlog_async.requests.model import COLUMNS
from chainlog_async.storage.sqlite.indexes import MAY_HAVE_FAILED

_ROWS = f"SELECT {', '.join(COLUMNS)} FROM request_logs"  # noqa: S608  # built of the constants above
BY_ID = f"{_ROWS} WHERE id = ?"
AFTER_ID = f"{_ROWS} WHERE id > ? ORDER BY id LIMIT ?"
REQUEST_IDS = """
SELECT DISTINCT request_id FROM request_logs INDEXED BY idx_logs_request_id
WHERE request_id IS NOT NULL AND request_id >= ?1 AND request_id < ?1 || char(0x10FFFF)
ORDER BY request_id LIMIT ?2
"""
NEWEST_ID = "SELECT id FROM request_logs ORDER BY id DESC LIMIT 1"
RECENT = f"{_ROWS} ORDER BY timestamp DESC, id DESC LIMIT ?"
OLDEST_TIMESTAMP = "SELECT timestamp FROM request_logs ORDER BY timestamp LIMIT 1"

# First the rest of the cursor's millisecond, then what is older: SQLite uses an index for each, but not for comparing
# (timestamp, id) as a whole, and many rows may share one millisecond.
_PAGE = """
WITH examined (timestamp, id) AS MATERIALIZED (
  SELECT * FROM (
    SELECT timestamp, id FROM request_logs INDEXED BY {index}
    WHERE {path} AND timestamp = :timestamp AND id < :id AND :timestamp >= :start
    ORDER BY id DESC LIMIT :budget
  )
  UNION ALL
  SELECT * FROM (
    SELECT timestamp, id FROM request_logs INDEXED BY {index}
    WHERE {path} AND timestamp < :timestamp AND timestamp >= :start
    ORDER BY timestamp DESC, id DESC LIMIT :budget
  )
  LIMIT :budget
)
SELECT * FROM (
  SELECT {columns} FROM examined CROSS JOIN request_logs AS logged ON logged.id = examined.id
  WHERE (:chain IS NULL OR chain_name = :chain)
    AND (:provider IS NULL OR provider_id = :provider)
    AND (:model IS NULL OR model = :model)
    AND (:caller IS NULL OR caller = :caller)
    AND (:request_id IS NULL OR request_id = :request_id)
    AND (:session_id IS NULL OR session_id = :session_id)
    AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(logged.tags) WHERE value = :tag))
    AND (:lowest_status IS NULL OR http_status BETWEEN :lowest_status AND :highest_status)
    AND (:is_failed IS NULL OR outcome = 'failed')
    AND (:is_answered IS NULL OR (outcome = 'answered') = :is_answered)
    AND (:error_text IS NULL OR instr(lower(error_message), :error_text) > 0)
    {conditions}{more}
  LIMIT :limit
)
UNION ALL
SELECT * FROM (SELECT id, timestamp{nulls} FROM examined ORDER BY timestamp, id LIMIT 1)
"""


def _conditions() -> str:
    bounds = [f"(:{name} IS NULL OR {bounded} :{name})" for name, bounded in BOUNDS.items()]
    names = [
        f"(:{key}_{kind} IS NULL OR COALESCE({column}, '') {sign} (SELECT value FROM json_each(:{key}_{kind})))"  # noqa: S608  # built of constants
        for key, column in NAME_COLUMNS.items()
        for kind, sign in (("any", "IN"), ("none", "NOT IN"))
    ]
    contains = " OR ".join(f"instr(lower({column}), :search) > 0" for column in SEARCHED)
    return " ".join(f"AND {condition}" for condition in (*bounds, *names, f"(:search IS NULL OR {contains})"))


def _page(index: str, path: str, more: str = "") -> str:
    columns = ", ".join(f"logged.{column}" for column in COLUMNS)
    return _PAGE.format(
        index=index,
        path=path,
        columns=columns,
        nulls=", NULL" * (len(COLUMNS) - 2),
        conditions=_conditions(),
        more=more,
    )


# Of each session the newest request.
NEWEST_OF_SESSIONS = _page(
    "idx_logs_sessions",
    "session_id IS NOT NULL",
    """
    AND NOT EXISTS (
      SELECT 1 FROM request_logs AS later INDEXED BY idx_logs_session
      WHERE later.session_id = logged.session_id AND later.timestamp >= logged.timestamp
        AND (later.timestamp > logged.timestamp OR later.id > logged.id)
        AND (:caller IS NULL OR later.caller = :caller)
    )""",
)


class Query(NamedTuple):
    """A query that examines at most ``:budget`` rows, newest first.

    It yields the first ``:limit`` that match, and then the last row examined, with NULL for all but its id and
    timestamp; nothing when there was no row to examine.
    """

    wanted_by: str
    """The field of `RequestFilter` that leads to the index."""
    sql: str


# The most selective first: the first one whose field is set is used.
QUERIES = {
    "idx_logs_request_id": Query("request_id", _page("idx_logs_request_id", "request_id = :request_id")),
    "idx_logs_session": Query("session_id", _page("idx_logs_session", "session_id = :session_id")),
    "idx_logs_errors": Query("status", _page("idx_logs_errors", f"({MAY_HAVE_FAILED})")),
    "idx_logs_timestamp": Query("", _page("idx_logs_timestamp", "TRUE")),
}


def query_for(where: RequestFilter) -> str:
    """The SQL that examines the fewest rows for this filter."""
    for query in QUERIES.values():
        if query.wanted_by == "status":
            if where.is_unanswered:
                return query.sql
        elif not query.wanted_by or getattr(where, query.wanted_by) is not None:
            return query.sql
    raise AssertionError("the last query applies to every filter")
