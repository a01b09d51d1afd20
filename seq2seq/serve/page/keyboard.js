// Keys, and the sections that buttons unfold. Letters and digits are keys only where the translation has the focus.

/** The word some steps from the focused one; null beyond the ends. */
function wordAt(steps) {
  const words = [...byId("target").querySelectorAll(".word")];
  const index = words.indexOf(wordElement(...state.focus));
  return words[steps === Infinity ? words.length - 1 : steps === -Infinity ? 0 : index + steps] ?? null;
}

function onTargetKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const forwards = getComputedStyle(byId("target")).direction === "rtl" ? -1 : 1;
  const steps = {
    ArrowRight: forwards, ArrowLeft: -forwards, ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity,
  }[event.key];
  if (steps) wordAt(steps)?.focus();
  else if (event.key === "Enter" || event.key === " ") togglePin(...state.focus);
  else if (/^[1-9]$/.test(event.key)) {
    choose(Number(event.key) - 1);
    wordElement(...state.focus)?.focus();
  } else if (event.key.toLowerCase() === "c") copyTranslation();
  else if (event.key.toLowerCase() === "h") byId("map-details").open = !byId("map-details").open;
  else return;
  event.preventDefault();
}

async function onPageKey(event) {
  if (event.key === "Escape" && !releasePin()) byId("source").focus();
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.target !== byId("source")) return;
  event.preventDefault();
  if (isStale()) await translate();
  wordElement(...state.focus)?.focus();
}

/** A button that shows and hides a section. */
function unfoldBy(button, section) {
  button.addEventListener("click", () => {
    section.hidden = !section.hidden;
    button.setAttribute("aria-expanded", String(!section.hidden));
  });
}

function initKeyboard() {
  byId("target").addEventListener("keydown", onTargetKey);
  document.addEventListener("keydown", onPageKey);
  unfoldBy(byId("settings-button"), byId("settings"));
  unfoldBy(byId("keys-button"), byId("keys"));
}
