"""Logs the calls of OpenAI's own client, without a gateway. Run it with ``python watched_client.py``.

It needs the package `openai` and a key in ``OPENAI_API_KEY``; ``OPENAI_BASE_URL`` may name any compatible provider.
"""

import asyncio

from openai import AsyncOpenAI

from chainlog_async import ChainLog, describe_calls


async def main() -> None:
    """Ask twice, and print what it took."""
    async with ChainLog() as log, AsyncOpenAI() as client:  # ./data/observability.db
        log.watch(client, chain_name="examples", caller="watched_client")
        with describe_calls(session_id="conversation-1", tags=["team:search"]):
            await client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}]
            )
            stream = await client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "Count to three."}],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    print(choice.delta.content or "", end="")
        print()
        await log.flush()
        print(await log.usage.get_all_chain_usage())


if __name__ == "__main__":
    asyncio.run(main())
