// Follows server-sent events of the REST API, each of them whole: says how that goes in a quiet
// place of the page, rests while nobody looks, comes again after whatever happened.
//
// Not here: what the events say, and what becomes of it.

const SILENCE_MS = 4_000;
const RETRY_MS = [2_000, 5_000, 10_000, 30_000];

const TEXTS = {
  connecting: ["plain", "Connecting…"],
  live: ["good", "Live"],
  reconnecting: ["notice", "Reconnecting…"],
  busy: ["notice", "Too many follow already; trying again"],
  paused: ["plain", "Paused"],
  ended: ["bad", "Signed out: "],
};

// `path` is below /api/v1; `heard(event)` gets every event once. The page has one element with
// `data-live-state` and one button with `data-live-pause`.
export function follow(path, heard) {
  const shown = document.querySelector("[data-live-state]");
  const button = document.querySelector("[data-live-pause]");
  let [source, last, failures, paused, now] = [null, "", 0, false, ""];
  let silence, retry;

  // Only a change is written: screen readers hear what is written here.
  function say(state) {
    if (state === now) return;
    now = state;
    const [tone, text] = TEXTS[state];
    shown.className = `state ${tone}`;
    shown.textContent = text;
    if (state === "ended") {
      const next = encodeURIComponent(location.pathname + location.search);
      const link = Object.assign(document.createElement("a"), { href: `/console/sign-in?next=${next}` });
      link.textContent = "sign in again";
      shown.append(link);
    }
    shown.hidden = false;
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(silence);
    clearTimeout(retry);
  }

  function open() {
    close();
    if (paused || document.hidden) return;
    source = new EventSource(`/api/v1${path}`);
    source.onmessage = (event) => {
      failures = 0;
      say("live");
      waitFor();
      if (event.lastEventId === last) return;
      last = event.lastEventId;
      heard(JSON.parse(event.data));
    };
    // While the browser comes again by itself there is nothing to do.
    source.onerror = () => source?.readyState === EventSource.CLOSED && refused();
    waitFor();
  }

  function waitFor() {
    clearTimeout(silence);
    silence = setTimeout(() => now !== "busy" && say("reconnecting"), SILENCE_MS);
  }

  // The browser has given up: it was answered something else than a stream, and does not say what.
  async function refused() {
    close();
    const answer = await fetch(`/api/v1${path}`, { method: "HEAD" }).catch(() => null);
    if (paused || document.hidden) return;
    if (answer?.status === 401) {
      button.hidden = true;
      return say("ended");
    }
    say(answer?.status === 503 ? "busy" : "reconnecting");
    retry = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    if (paused) close();
    say(paused ? "paused" : "connecting");
    open();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  // A page that the browser keeps holds no place meanwhile.
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  button.hidden = false;
  say("connecting");
  open();
}
