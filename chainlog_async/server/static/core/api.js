// Requests to the service. Every URL is relative to the page, so the service may be mounted under any path.

import { askForKey, key } from "./key.js";

/**
 * The service refused the request, or could not be reached. `kind` is "key", "offline" or "refused"; `parameter` is the
 * name of the parameter at fault, or null.
 */
export class ServiceError extends Error {
  constructor(kind, message, status = 0, parameter = null) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.parameter = parameter;
  }
}

/** Returns the URL of the page without query and fragment: where the service is mounted. */
export function base() {
  return new URL(".", location.href);
}

/** Returns the JSON of the response to `path`. Empty parameters are left out. Throws ServiceError. */
export async function get(path, parameters = {}, options = {}) {
  const response = await ask(path, parameters, options);
  return response.json();
}

/**
 * Returns the open response to a request for `path`, after asking for an API key if one is needed. Besides success,
 * the status `also` is accepted. Throws ServiceError.
 */
export async function ask(path, parameters = {}, { signal, headers = {}, also = 200 } = {}) {
  const url = new URL(path, base());
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (Array.isArray(value) || (one !== "" && one !== null && one !== undefined)) url.searchParams.append(name, one);
    }
  }
  for (;;) {
    const sent = key();
    const response = await send(url, { signal, headers: sent ? { ...headers, Authorization: `Bearer ${sent}` } : headers });
    if (response.ok || response.status === also) return response;
    if (response.status !== 401) throw await refusal(response);
    if (!(await askForKey(sent))) throw new ServiceError("key", "This service needs an API key.", 401);
  }
}

async function send(url, options) {
  try {
    return await fetch(url, { ...options, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("offline", `${url.origin} did not respond.`);
  }
}

async function refusal(response) {
  try {
    const { message, param } = (await response.json()).error;
    return new ServiceError("refused", message, response.status, param);
  } catch {
    return new ServiceError("refused", `The service responded with status ${response.status}.`, response.status);
  }
}
