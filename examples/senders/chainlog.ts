/**
 * Sends entries to `chainlog serve` in batches. Copy this file: it needs Node 18 or newer, Deno or Bun, and no package.
 *
 *     const sender = new Sender("http://127.0.0.1:4290", { key: process.env.CHAINLOG_KEY });
 *     sender.log({ chainName: "default", providerId: "groq", model: "m", latencyMs: 412, httpStatus: 200 });
 *     await sender.close(); // before the process ends
 */

export interface Entry {
  chainName: string;
  providerId: string;
  model: string;
  latencyMs: number;
  httpStatus: number;
  [field: string]: unknown;
}

export interface Options {
  key?: string;
  maxQueue?: number;
  maxBatch?: number;
  flushMs?: number;
  timeoutMs?: number;
}

export class Sender {
  /** How many entries were not logged: the queue was full, they are no JSON, or the server refused them. */
  dropped: number = 0;
  #queue: string[] = [];
  #isClosed: boolean = false;
  #worker: Promise<void> | undefined = undefined;
  #url: string;
  #options: Required<Options>;

  constructor(url: string, options: Options = {}) {
    this.#url = url + "/v1/logs";
    this.#options = { key: "", maxQueue: 10_000, maxBatch: 500, flushMs: 200, timeoutMs: 10_000, ...options };
  }

  /** Accepts an entry and returns at once; false if it was not accepted. Never throws. */
  log(entry: Entry): boolean {
    try {
      const line = JSON.stringify({ timestamp: Date.now(), ...entry });
      if (!this.#isClosed && this.#queue.length < this.#options.maxQueue) {
        this.#queue.push(line);
        this.#worker ??= this.#work();
        return true;
      }
    } catch {
      // A value that JSON does not have.
    }
    this.dropped++;
    return false;
  }

  /** Sends what waits and returns once the server has it, or after `graceMs`; what is left then counts as dropped. */
  async close(graceMs: number = 5_000): Promise<void> {
    this.#isClosed = true;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      void Promise.resolve(this.#worker).then(() => resolve(clearTimeout(timer)));
    });
    this.dropped += this.#queue.splice(0).length;
  }

  async #work(): Promise<void> {
    await pause(this.#options.flushMs);
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, this.#options.maxBatch);
      const refused = await this.#send(batch);
      // Nothing is left when the time of `close` is over.
      if (this.#queue.splice(0, batch.length).length > 0) this.dropped += refused;
    }
    this.#worker = undefined;
  }

  /** Sends a batch until the server answers it; by its key it counts once. Returns how many entries were refused. */
  async #send(batch: string[]): Promise<number> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    headers["Idempotency-Key"] = Math.random().toString(36) + Math.random().toString(36);
    if (this.#options.key) headers["Authorization"] = "Bearer " + this.#options.key;
    const body = "[" + batch.join(",") + "]";
    for (let waitMs = 100; this.#queue.length > 0; waitMs = Math.min(2 * waitMs, 5_000)) {
      try {
        const signal = AbortSignal.timeout(this.#options.timeoutMs);
        const response = await fetch(this.#url, { method: "POST", headers, body, signal });
        if (response.ok) return (await response.json()).rejected.length;
        if (response.status < 500 && response.status !== 408 && response.status !== 429) return batch.length;
      } catch {
        // The server is away, or its answer was lost.
      }
      await pause(waitMs);
    }
    return 0;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
