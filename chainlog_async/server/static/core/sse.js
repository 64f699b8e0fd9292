// Server-sent events over fetch: EventSource cannot send the Authorization header.

/** Yields the events of an open response as `{id, event, data}`, without comments; one may have only an id. */
export async function* eventsOf(response) {
  let rest = "";
  for await (const text of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
    const blocks = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event.id || event.data) yield event;
    }
  }
}

// Not every browser can iterate over streams yet.
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may be gone already
  }
}

function parse(block) {
  const event = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const [name, ...value] = line.split(":");
    const text = value.join(":").replace(/^ /, "");
    if (name === "data") event.data += (event.data && "\n") + text;
    else if (name === "id" || name === "event") event[name] = text;
  }
  return event;
}
