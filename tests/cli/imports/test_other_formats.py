"""``chainlog import`` of files that others wrote: LiteLLM's spend logs, and records with a field map."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing

import pytest

from chainlog_async import RequestLogEntry
from chainlog_async.cli.imports.timestamps import seconds_of
from chainlog_async.integrations._litellm.entry import entry_of
from chainlog_async.integrations._litellm.payload import read_event
from tests.support.cli import Cli, Ended, jsonl, totals_of
from tests.support.traces import (
    AZURE,
    LLMPERF,
    azure_entries,
    azure_totals,
    llmperf_entries,
    llmperf_totals,
    needs_azure,
    needs_llmperf,
    write_jsonl,
)

LLMPERF_MAP = [
    "--map",
    "run_timestamp=timestamp*1000",
    "--map",
    "provider=provider_id",
    "--map",
    "number_input_tokens=prompt_tokens",
    "--map",
    "number_output_tokens=completion_tokens",
    "--map",
    "number_total_tokens=total_tokens",
    "--map",
    "end_to_end_latency_s=latency_ms*1000",
    "--map",
    "error_code=http_status",
    "--map",
    "error_msg=error_message",
    "--set",
    "chain_name=llmperf",
]
AZURE_MAP = [
    "--map",
    "TIMESTAMP=timestamp",
    "--map",
    "ContextTokens=prompt_tokens",
    "--map",
    "GeneratedTokens=completion_tokens",
    "--set",
    "provider_id=azure",
    "--set",
    "model=code",
    "--set",
    "chain_name=azure-code",
    "--set",
    "http_status=200",
]

SPENT = {
    "request_id": "chatcmpl-1",
    "litellm_call_id": "call-1",
    "call_type": "acompletion",
    "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "spend": 1.35e-05,
    "total_tokens": 30,
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "startTime": "2026-11-22 22:57:29.9541234",
    "endTime": "2026-11-22 22:57:31.204",
    "completionStartTime": "2026-11-22 22:57:30.104",
    "model": "groq/llama-3.1-8b-instant",
    "model_id": "dep-groq",
    "model_group": "fast",
    "custom_llm_provider": "groq",
    "user": "alice",
    "metadata": {"user_api_key_alias": "team-key", "user_api_key": "sk-secret", "status": "success"},
    "messages": [{"role": "user", "content": "what nobody may read"}],
    "response": {"choices": [{"message": {"content": "what nobody may read either"}}]},
    "request_tags": ["batch"],
    "cache_hit": "False",
    "session_id": "session-1",
    "status": "success",
}
FAILED = {
    **SPENT,
    "request_id": "call-2",
    "litellm_call_id": None,
    "spend": 0,
    "status": "failure",
    "completionStartTime": None,
    "metadata": {"error_information": {"error_code": "429", "error_message": "slow: what nobody may read"}},
}


def _csv(*rows: dict[str, object]) -> str:
    """As psql writes them with ``FORMAT csv, HEADER``, but with CR LF."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SPENT)
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
        )
    return text.getvalue()


def _import(cli: Cli, content: str, *options: str) -> Ended:
    (cli.folder / "given").write_text(content, newline="")
    return cli.here("import", *options, "given")


def _rows(cli: Cli) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(cli.db)) as connection:
        connection.row_factory = sqlite3.Row
        for secret in ("nobody may read", "88dc28d0", "sk-secret"):
            assert secret not in "\n".join(connection.iterdump())
        return connection.execute("SELECT * FROM request_logs ORDER BY id").fetchall()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_spend_logs_are_rows_without_keys_and_content(cli: Cli, form: str) -> None:
    """Both exports of LiteLLM's table give the same rows; no key, message or response is in the database."""
    content = _csv(SPENT, FAILED) if form == "csv" else jsonl(SPENT, FAILED)
    done = _import(cli, content, "--format", "litellm-spend-logs", "--strict")
    assert (done.code, done.stderr) == (0, "")
    good, bad = _rows(cli)
    assert (good["provider_id"], good["model"], good["chain_name"]) == ("groq", "llama-3.1-8b-instant", "fast")
    assert (good["timestamp"], good["latency_ms"], good["ttft_ms"]) == (1795388251204, 1250, 150)
    assert (good["prompt_tokens"], good["completion_tokens"], good["total_tokens"]) == (10, 20, 30)
    assert (good["cost_usd"], good["caller"], good["request_id"]) == (1.35e-05, "team-key", "call-1")
    assert json.loads(good["metadata"])["tags"] == ["batch"]
    assert (bad["http_status"], bad["caller"], bad["request_id"]) == (429, "alice", "call-2")
    assert bad["error_message"] == "slow: [content]"


def _as_litellm_reports(row: dict[str, object], **call: object) -> RequestLogEntry:
    """What the callback logs of the same request."""
    errors = row["metadata"].get("error_information") if isinstance(row["metadata"], dict) else None
    payload = {**row, "error_information": errors, "response_cost": row["spend"], "stream": True}
    times = {name: seconds_of(row[name], name) for name in ("startTime", "endTime")}
    payload |= {**times, "cache_hit": row["cache_hit"] == "True", "completionStartTime": times["startTime"] + 0.15}
    item = read_event(
        {"standard_logging_object": payload, "litellm_params": {"metadata": row["metadata"]}, **call},
        succeeded=row["status"] == "success",
    )
    assert item is not None
    return entry_of([item])


REFUSED = {
    **FAILED,
    "litellm_call_id": "call-3",
    "metadata": {
        "error_information": {
            "error_code": "429",
            "error_message": "over the key's rpm limit",
            "error_class": "ProxyRateLimitError",
        }
    },
}


@pytest.mark.parametrize(
    ("row", "call"),
    [
        ({**SPENT, "cache_hit": "True", "spend": 0.0}, {}),
        ({**SPENT, "cache_hit": "True"}, {"api_call_start_time": 1_795_388_250.0}),
        ({**SPENT, "litellm_call_id": "call-1"}, {"api_call_start_time": 1_795_388_250.0}),
        (REFUSED, {}),
        ({**REFUSED, "spend": 0.5}, {"api_call_start_time": 1_795_388_250.0, "response_headers": {"a": "b"}}),
    ],
    ids=["cached", "cached in part", "answered", "refused", "refused after the answer"],
)
def test_a_spend_log_is_what_the_callback_would_have_logged(
    cli: Cli, row: dict[str, object], call: dict[str, object]
) -> None:
    """An answer from the cache is 0 attempts and free, what the proxy refused is no try of the provider."""
    assert _import(cli, jsonl(row), "--format", "litellm-spend-logs").code == 0
    (stored,) = _rows(cli)
    logged = _as_litellm_reports(row, **call)
    for name in ("provider_id", "model", "chain_name", "http_status", "attempts", "cost_usd", "cached_tokens"):
        assert stored[name] == getattr(logged, name), name
    assert json.loads(stored["metadata"]).get("cache_hit") == (logged.metadata or {}).get("cache_hit")


def test_litellms_own_checks_are_left_out_and_counted(cli: Cli) -> None:
    """No user asked for them; the setting of the callback keeps them."""
    check = {**SPENT, "metadata": {"user_api_key_alias": "litellm-internal-health-check"}}
    failed = {**FAILED, "metadata": {**FAILED["metadata"], **check["metadata"]}}  # type: ignore[dict-item]  # both are dictionaries
    for options in ((), ("--strict",)):
        done = _import(cli, jsonl(check, SPENT, failed), "--format", "litellm-spend-logs", *options)
        assert (done.code, done.stderr) == (0, "")
        assert "left out 2 health checks of LiteLLM; CHAINLOG_LITELLM_HEALTH_CHECKS=true keeps them" in done.stdout
    assert [row["caller"] for row in _rows(cli)] == ["team-key"] * 2
    report = cli.json("import", "--format", "litellm-spend-logs", str(cli.folder / "given"))
    assert (report["imported"], report["leftOut"]) == (1, 2)
    cli.set("CHAINLOG_LITELLM_HEALTH_CHECKS", "true")
    report = cli.json("import", "--format", "litellm-spend-logs", str(cli.folder / "given"))
    assert (report["imported"], "leftOut" in report) == (3, False)


def test_a_csv_text_may_go_over_lines(cli: Cli) -> None:
    """A quoted text with line ends in it is one record; bad records around it are told by line."""
    content = _csv({**SPENT, "model_group": 'two\nlines, "quoted"'}, SPENT)
    lines = content.splitlines(keepends=True)
    done = _import(cli, "".join([*lines[:1], "1,2\r\n", *lines[1:]]), "--format", "litellm-spend-logs")
    assert done.code == 1
    assert "given:2: 2 values, but the header has 23" in done.stderr
    assert [row["chain_name"] for row in _rows(cli)] == ['two\nlines, "quoted"', "fast"]


def test_a_record_that_never_ends_is_told(cli: Cli) -> None:
    """A quote that is never closed is a bad line, not a silent loss."""
    done = _import(cli, _csv(SPENT) + 'x,"open\r\nand on\r\n', "--format", "litellm-spend-logs")
    assert done.code == 1
    assert "the file ends inside a quoted value" in done.stderr
    assert len(_rows(cli)) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"startTime": None}, "it has no startTime"),
        ({"endTime": "yesterday"}, "endTime is 'yesterday'"),
        ({"spend": "much"}, "spend is 'much'"),
    ],
)
def test_what_is_no_spend_log_is_told(cli: Cli, changes: dict[str, object], says: str) -> None:
    """A row without its times, or with a value that is none, is a bad line with its reason."""
    done = _import(cli, jsonl({**SPENT, **changes}), "--format", "litellm-spend-logs")
    assert done.code == 1
    assert says in done.stderr


@needs_llmperf
def test_a_field_map_reads_a_trace_as_it_is(cli: Cli) -> None:
    """The real trace, with --map, gives the same rows as when its fields are translated in Python."""
    done = cli.here("import", *LLMPERF_MAP, LLMPERF)
    assert (done.code, done.stderr) == (0, "")
    assert totals_of(cli) == llmperf_totals()
    assert _same_as(cli, write_jsonl(cli.folder / "translated.jsonl", llmperf_entries()).name)


@needs_azure
def test_a_field_map_reads_csv(cli: Cli) -> None:
    """Azure's CSV, with CR LF, seven digits of a second and no last newline, comes in whole."""
    done = cli.here("import", *AZURE_MAP, AZURE)
    assert (done.code, done.stderr) == (0, "")
    assert totals_of(cli) == azure_totals()
    assert _same_as(cli, write_jsonl(cli.folder / "translated.jsonl", azure_entries()).name)


def _same_as(cli: Cli, translated: str) -> bool:
    """Whether the entries of the file give the rows that are in the database."""
    assert cli.here("import", "--db", "other.db", translated, db=False).code == 0
    columns = "timestamp, provider_id, model, prompt_tokens, completion_tokens, total_tokens, latency_ms, http_status"
    with closing(sqlite3.connect(cli.db)) as connection:
        connection.execute("ATTACH ? AS other", (str(cli.folder / "other.db"),))
        query = f"SELECT {columns}, chain_name, error_message FROM {{}}.request_logs"
        (count,) = connection.execute(
            f"SELECT count(*) FROM (SELECT * FROM ({query.format('main')}) EXCEPT {query.format('other')})"
        ).fetchone()
    return bool(count == 0)


def test_what_a_map_makes_of_values(cli: Cli) -> None:
    """Names within names, dates, factors, missing codes and tokens, constants and fields of the same name."""
    records = [
        {"at": "2026-01-01T00:00:00Z", "usage": {"in": 5}, "s": 0.25, "code": None, "model": "m"},
        {"at": 1767225600.5, "usage": {}, "s": 0, "code": -100, "model": "m", "error_message": ""},
        {"at": "1767225601", "usage": None, "s": "1.5", "code": "429", "model": "m", "chain_name": "own"},
    ]
    arguments = "--map at=timestamp*1000 --map usage.in=prompt_tokens --map s=latency_ms*1000 --map code=http_status"
    constants = "--set provider_id=p --set chain_name=default"
    done = _import(cli, jsonl(*records), *arguments.split(), *constants.split())
    assert (done.code, done.stderr) == (0, "")
    columns = ("timestamp", "prompt_tokens", "latency_ms", "http_status", "chain_name", "error_message")
    assert [tuple(row[name] for name in columns) for row in _rows(cli)] == [
        (1767225600000, 5, 250, 200, "default", None),
        (1767225600500, 0, 0, 500, "default", None),
        (1767225601000, 0, 1500, 429, "own", None),
    ]


def test_a_failure_without_a_token_has_no_time_to_it(cli: Cli) -> None:
    """Benchmarks write 0 for it, which would make a provider that fails look fast."""
    content = "model,provider_id,chain_name,latency_ms,code,t\nm,p,c,5,503,0\nm,p,c,5,200,0\nm,p,c,5,503,0.1\n"
    done = _import(cli, content, "--map", "code=http_status", "--map", "t=ttft_ms*1000")
    assert (done.code, done.stderr) == (0, "")
    assert [row["ttft_ms"] for row in _rows(cli)] == [None, 0, 100]


def test_an_empty_code_of_csv_is_a_success(cli: Cli) -> None:
    """An empty cell is what null is in JSON: no error, no latency."""
    names = ["--map", "code=http_status", "--map", "s=latency_ms*1000"]
    content = "model,provider_id,chain_name,code,s\nm,p,c,,\nm,p,c,503,2\n"
    done = _import(cli, content, *names)
    assert (done.code, done.stderr) == (0, "")
    assert [(row["http_status"], row["latency_ms"]) for row in _rows(cli)] == [(200, 0), (503, 2000)]


@pytest.mark.parametrize("name", ["http_status", "latency_ms"])
def test_a_column_that_is_not_there_is_told(cli: Cli, name: str) -> None:
    """A slip in a column's name does not make every request a success that took no time."""
    record = {"model": "m", "provider_id": "p", "chain_name": "c", "http_status": 200, "latency_ms": 1}
    done = _import(cli, jsonl(record), "--map", f"slip={name}")
    assert done.code == 1
    assert f"missing field: {name}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--map", "a=nowhere"], "'nowhere' is not a field"),
        (["--map", "latency_ms"], "is not SOURCE=FIELD"),
        (["--map", "a=latency_ms*x"], "'x' in"),
        (["--map", "a=latency_ms*0"], "is not a factor"),
        (["--map", "a=model*2"], "model is not a number"),
        (["--set", "model"], "is not FIELD=VALUE"),
        (["--set", "modell=x"], "'modell' is not a field"),
        (["--map", "a=model", "--format", "litellm-spend-logs"], "--format has its own mapping"),
        (["--format", "other"], "'other' is not"),
    ],
)
def test_a_wrong_map_is_a_usage_error(cli: Cli, arguments: list[str], says: str) -> None:
    """A map that names no field, or no factor, ends with 2 before anything is read."""
    done = _import(cli, jsonl({"a": 1}), *arguments)
    assert done.code == 2
    assert says in done.stderr
    assert not cli.db.exists()


@pytest.mark.parametrize("value", ["x", True, [], {}])
def test_a_value_that_is_no_number_is_told(cli: Cli, value: object) -> None:
    """A mapped value that cannot be what its field holds is a bad line with the field's name."""
    record = {"a": value, "model": "m", "provider_id": "p", "chain_name": "c", "http_status": 200}
    done = _import(cli, jsonl(record), "--map", "a=latency_ms*1000")
    assert done.code == 1
    assert f"latency_ms is {value!r}; give a number" in done.stderr
