// Requests to the server, the API key that they need, and a server that is gone and comes back.

const KEY_NAME = "seq2seq-key"; // in sessionStorage, which the browser forgets with the tab
const RETRY_SECONDS = [0.5, 1, 2, 3, 5]; // between the tries to reach a server that is gone; the last for all further

let apiKey = storedKey();

/** The key of this tab; "" if there is none, or if the browser keeps nothing. */
function storedKey() {
  try {
    return sessionStorage.getItem(KEY_NAME) ?? "";
  } catch {
    return "";
  }
}

/** Why there is no answer. `kind`: gone (no server, or one that is about to end), key, busy, refused. */
class ServerError extends Error {
  constructor(kind, message, seconds = 0) {
    super(message);
    Object.assign(this, { kind, seconds });
  }
}

/** The answer to a request as JSON. Raises ServerError, and AbortError if the signal ends it. */
async function ask(path, body, signal) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
  const options = { headers, signal, cache: "no-store", credentials: "omit" };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  let response, answer;
  try {
    response = await fetch(path, options);
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("gone", "The server does not answer.");
  }
  if (response.ok) return answer;
  const kind = { 403: "key", 429: "busy", 503: "gone", 502: "gone", 504: "gone" }[response.status] ?? "refused";
  const message = typeof answer?.error === "string" ? answer.error : `status ${response.status}`;
  throw new ServerError(kind, message, Number(response.headers.get("Retry-After")) || 1);
}

const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

let waiting = null; // promise of the server's return, while it is gone

/** Try again and again until the server is healthy. */
function serverIsBack() {
  waiting ??= (async () => {
    for (let tries = 0; ; tries++) {
      await pause(RETRY_SECONDS[Math.min(tries, RETRY_SECONDS.length - 1)]);
      try {
        await ask("health");
        break;
      } catch (error) {
        if (error.kind !== "gone") break; // it answers, if only by an error
      }
    }
    waiting = null;
  })();
  return waiting;
}

/** A sentence above the texts; "" takes it away. */
function showMessage(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

/** Ask for an API key. */
function showKeyForm(reason = "This server needs an API key.") {
  const form = byId("key-form");
  form.querySelector("label").textContent = reason;
  if (form.hidden) {
    form.hidden = false;
    byId("key").focus();
  }
}

/** `onKey` is called when a key was given. */
function initKeyForm(onKey) {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    // what was pasted may have invisible characters, which a header cannot hold; a key of the server has none of them
    apiKey = byId("key").value.replace(/[^!-~]/g, "");
    try {
      sessionStorage.setItem(KEY_NAME, apiKey);
    } catch {
      // it holds until the page is left
    }
    byId("key").value = "";
    byId("key-form").hidden = true;
    onKey();
  });
}
