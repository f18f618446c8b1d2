// Asks Hawser's REST API in the name of who is signed in. Not here: what is asked, and how it is
// shown.

const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

// Why the API did not do something: its problem document (RFC 9457).
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "The edge refused.");
    this.problem = problem;
  }
}

// `path` is below /api/v1. Gives what the answer says, or throws `Refused`; a session that is over
// leads to the sign-in page and back here. `background`: what a page asks by itself, so that one
// that is left open keeps nobody signed in.
export async function api(path, { method = "GET", body, ifMatch, signal, background } = {}) {
  const headers = {};
  if (background) headers["X-Background"] = "1";
  if (method !== "GET") headers["X-Csrf-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (ifMatch) headers["If-Match"] = `"${ifMatch}"`;
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 401) signInAgain();
  const text = await response.text();
  const value = parsed(text);
  if (response.ok) return value ?? text;
  throw new Refused(value ?? { status: response.status, detail: `${response.status}: ${text}` });
}

export function signInAgain() {
  location.assign(`/console/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

function parsed(text) {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
