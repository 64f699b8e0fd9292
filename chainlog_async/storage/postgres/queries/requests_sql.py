"""The SQL that finds requests: one query for each index that can be used."""

from __future__ import annotations

from chainlog_async.common.name_sets import NAME_COLUMNS
from chainlog_async.requests.filter import BOUNDS, SEARCHED, RequestFilter
from chainlog_async.requests.model import COLUMNS

_COLUMNS = ", ".join(COLUMNS)
_ROWS = f"SELECT {_COLUMNS} FROM request_logs"  # noqa: S608  # built of the constants above
BY_ID = f"{_ROWS} WHERE id = :id"
SETTLED_ID = "SELECT settled_id()"
AFTER_ID = f"{_ROWS} WHERE id > :after AND id <= :settled ORDER BY id LIMIT :limit"
RECENT = f"{_ROWS} ORDER BY timestamp DESC, id DESC LIMIT :limit"
OLDEST_TIMESTAMP = "SELECT min(timestamp) FROM request_logs"

_NEXT_ID = """
SELECT request_id FROM request_logs
WHERE request_id {after} AND request_id ~<~ (:prefix::text || chr(1114111))
ORDER BY request_id USING ~<~ LIMIT 1
"""
# From one id to the next, since many rows may have the same.
REQUEST_IDS = f"""
WITH RECURSIVE ids (request_id, number) AS (
  SELECT ({_NEXT_ID.format(after="~>=~ :prefix::text")}), 1
  UNION ALL
  SELECT ({_NEXT_ID.format(after="~>~ ids.request_id")}), number + 1
  FROM ids WHERE request_id IS NOT NULL AND number < :limit
)
SELECT request_id FROM ids WHERE request_id IS NOT NULL ORDER BY number
"""  # noqa: S608  # built of the constants above

# The pair of both is compared along the primary key; its time alone says which partitions are looked at.
_PAGE = """
WITH examined AS MATERIALIZED (
  SELECT {columns}, outcome FROM request_logs
  WHERE {path} AND (timestamp, id) < (:timestamp, :id) AND timestamp <= :timestamp AND timestamp >= :start
  ORDER BY timestamp DESC, id DESC LIMIT :budget
)
(
  SELECT {columns} FROM examined
  WHERE (:chain::text IS NULL OR chain_name = :chain)
    AND (:provider::text IS NULL OR provider_id = :provider)
    AND (:model::text IS NULL OR model = :model)
    AND (:caller::text IS NULL OR caller = :caller)
    AND (:request_id::text IS NULL OR request_id = :request_id)
    AND (:session_id::text IS NULL OR session_id = :session_id)
    AND (:tag::text IS NULL OR tags::jsonb ? :tag)
    AND (:lowest_status::integer IS NULL OR http_status BETWEEN :lowest_status AND :highest_status::integer)
    AND (:is_failed::boolean IS NULL OR outcome = 'f')
    AND (:is_answered::boolean IS NULL OR (outcome = 'a') = :is_answered)
    AND (:error_text::text IS NULL OR strpos(lower(error_message COLLATE "C"), :error_text) > 0)
    {conditions}{more}
  ORDER BY timestamp DESC, id DESC LIMIT :limit
)
UNION ALL
(SELECT id, timestamp{nulls} FROM examined ORDER BY timestamp, id LIMIT 1)
"""


def _conditions() -> str:
    bounds = [f"(:{name}::float8 IS NULL OR {bounded} :{name})" for name, bounded in BOUNDS.items()]
    names = [
        f"(:{key}_{kind}::text[] IS NULL OR COALESCE({column}, '') {sign}(:{key}_{kind}))"
        for key, column in NAME_COLUMNS.items()
        for kind, sign in (("any", "= ANY"), ("none", "<> ALL"))
    ]
    contains = " OR ".join(f'strpos(lower({column} COLLATE "C"), :search) > 0' for column in SEARCHED)
    return " ".join(f"AND {condition}" for condition in (*bounds, *names, f"(:search::text IS NULL OR {contains})"))


def _page(path: str, more: str = "") -> str:
    return _PAGE.format(
        path=path, columns=_COLUMNS, nulls=", NULL" * (len(COLUMNS) - 2), conditions=_conditions(), more=more
    )


# Of each session the newest request.
NEWEST_OF_SESSIONS = _page(
    "session_id IS NOT NULL",
    """
    AND NOT EXISTS (
      SELECT 1 FROM request_logs AS later
      WHERE later.session_id = examined.session_id AND later.timestamp >= examined.timestamp
        AND (later.timestamp > examined.timestamp OR later.id > examined.id)
        AND (:caller::text IS NULL OR later.caller = :caller)
    )""",
)


# The most selective first: the first one whose field is set is used. Each path repeats the condition of its index.
BY_REQUEST_ID = _page("request_id = :request_id")
BY_SESSION = _page("session_id = :session_id")
BY_ERROR = _page("outcome <> 'a'")
BY_TIME = _page("TRUE")


def query_for(where: RequestFilter) -> str:
    """The SQL that examines the fewest rows for this filter.

    It examines at most ``:budget`` rows, newest first, and yields the first ``:limit`` that match, and then the last
    row examined, with NULL for all but its id and timestamp; nothing when there was no row to examine.
    """
    if where.request_id is not None:
        return BY_REQUEST_ID
    if where.session_id is not None:
        return BY_SESSION
    if where.is_unanswered:
        return BY_ERROR
    return BY_TIME
