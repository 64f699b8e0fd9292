"""``chainlog prices``: what is set or imported is listed, and counts for what is logged from then on."""

from __future__ import annotations

import json

import pytest

from chainlog_async import Attempt
from tests.support.cli import Cli, entry


def listed(cli: Cli, *names: str) -> list[dict[str, object]]:
    """The prices that the command lists."""
    done = cli.here("prices", "list", *names, "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_a_price_that_is_set_is_listed_and_counts(cli: Cli) -> None:
    """Under the provider's own name, whichever name is used for it."""
    cli.store()
    assert "there are no prices" in cli.here("prices", "list").stdout
    done = cli.here("prices", "set", "xai", "own", "--input", "0.05", "--output", "0.08", "--since", "1970-01-01")
    assert (done.code, done.stdout) == (0, "set the price of x-ai own\n")
    (price,) = listed(cli, "x_ai")
    assert (price["providerId"], price["model"], price["source"]) == ("x-ai", "own", "manual")
    assert (price["input"], price["output"], price["cacheRead"]) == (50_000, 80_000, None)
    assert "0.05" in cli.here("prices", "list", "x-ai", "own").stdout
    cli.store(entry(provider_id="x-ai", model="own", prompt_tokens=2_006, completion_tokens=300))
    (row,) = json.loads(cli.here("recent", "--json").stdout)["requests"]
    assert (row["costUsd"], row["costSource"]) == (124.3e-6, "table")
    assert "cost:          $0.0001243\n" in cli.here("show", "1").stdout


def test_litellms_map_is_imported(cli: Cli) -> None:
    """A file that is no map is refused with its name."""
    cli.store()
    facts = {"litellm_provider": "groq", "input_cost_per_token": 5e-08}
    (cli.folder / "map.json").write_text(json.dumps({"groq/llama": facts}))
    assert cli.here("prices", "import", "map.json").stdout == "imported 1 price\n"
    assert [price["source"] for price in listed(cli)] == ["litellm"]
    (cli.folder / "other.json").write_text("[]")
    done = cli.here("prices", "import", "other.json")
    assert done.code == 1
    assert "other.json: not LiteLLM's map of prices" in done.stderr


def test_an_update_looks_up_every_model_of_the_log(cli: Cli) -> None:
    """And says which ones have no price; what was set stays."""
    pytest.importorskip("genai_prices")
    cli.store(entry(provider_id="gemini", model="gemini-2.5-flash"), entry(provider_id="openai", model="unheard-of"))
    cli.here("prices", "set", "openai", "unheard-of", "--input", "1")
    done = cli.here("prices", "update")
    assert (done.code, done.stdout) == (0, "1 of 2 models have a price\n  no price: openai/unheard-of\n")
    assert {price["source"] for price in listed(cli)} == {"manual", "genai-prices"}
    assert listed(cli, "google")[0]["model"] == "gemini-2.5-flash"


@pytest.mark.parametrize("wrong", [["--input", "-1"], ["--input", "x"], ["--input", "1", "--since", "someday"], []])
def test_a_wrong_price_is_a_wrong_command(cli: Cli, wrong: list[str]) -> None:
    """It says what to give."""
    cli.store()
    assert cli.here("prices", "set", "groq", "m", *wrong).code == 2


def test_costs_are_computed_again(cli: Cli) -> None:
    """A dry run says by model what would change; then it is done, and there is nothing left to do."""
    cli.store(*[entry(provider_id="own", model="m", prompt_tokens=1_000_000, completion_tokens=0)] * 3)
    cli.here("prices", "set", "own", "m", "--input", "1.5")
    assert cli.here("reprice", "--dry-run").stdout.splitlines()[-1] == "would change 3 rows, $0 → $4.50"
    assert cli.here("reprice").stdout.splitlines()[-1] == "changed 3 rows, $0 → $4.50"
    assert cli.here("reprice", "--since", "30d").stdout == "changed 0 rows, $0 → $0\n"
    assert "$4.50" in cli.here("usage", "providers").stdout


def test_what_tries_cost_is_told_apart(cli: Cli) -> None:
    """Also where the cost of the request is the gateway's, and stays."""
    tried = Attempt(provider_id="own", model="m", http_status=500, prompt_tokens=1_000_000)
    cli.store(entry(provider_id="own", model="m", cost_usd=2.5, attempt_trail=[tried]))
    cli.here("prices", "set", "own", "m", "--input", "1.5")
    said = "changed 1 row, $2.50 → $2.50; spent on tries that did not answer: +$1.50"
    assert cli.here("reprice").stdout.splitlines()[-1] == said
    assert "$1.500000 of it spent on tries" in cli.here("show", "1").stdout
