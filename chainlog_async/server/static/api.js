// Asks the service. Every URL is relative to the page, so that the service may be mounted under any path.

import { askForKey, key } from "./key.js";

/** The service refused, or could not be reached. `kind` is "key", "offline" or "refused". */
export class ServiceError extends Error {
  constructor(kind, message, status = 0) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

/** The URL of the page without its query and fragment: where the service is mounted. */
export function base() {
  return new URL(".", location.href);
}

/** The JSON that `path` answers. Parameters that are empty are left out. Raises ServiceError. */
export async function get(path, parameters = {}, options = {}) {
  const response = await ask(path, parameters, options);
  return response.json();
}

/**
 * The open response to a request for `path`; asks for a key when one is needed. A response with the status `also` is
 * an answer, too. Raises ServiceError.
 */
export async function ask(path, parameters = {}, { signal, headers = {}, also = 200 } = {}) {
  const url = new URL(path, base());
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  for (;;) {
    const sent = key();
    const response = await send(url, { signal, headers: sent ? { ...headers, Authorization: `Bearer ${sent}` } : headers });
    if (response.ok || response.status === also) return response;
    if (response.status !== 401) throw new ServiceError("refused", await reason(response), response.status);
    if (!(await askForKey(sent))) throw new ServiceError("key", "This service needs an API key.", 401);
  }
}

async function send(url, options) {
  try {
    return await fetch(url, { ...options, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("offline", `${url.origin} does not answer.`);
  }
}

async function reason(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The service answered with status ${response.status}.`;
  }
}
