// Light and dark colours: those of the system, until the button chooses the others for this browser.

const THEME_KEY = "seq2seq-theme"; // "light" or "dark"; nothing else is stored beyond this tab
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const themeListeners = []; // functions that draw anew what has colours of its own

/** The theme that was chosen; null if none was, or if the browser keeps nothing. */
function storedTheme() {
  try {
    return localStorage.getItem(THEME_KEY);
  } catch {
    return null;
  }
}

function showTheme() {
  const isDark = (storedTheme() ?? (systemIsDark.matches ? "dark" : "light")) === "dark";
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  byId("theme-button").setAttribute("aria-pressed", String(isDark));
  themeListeners.forEach((redraw) => redraw());
}

function toggleTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try {
    if (next === (systemIsDark.matches ? "dark" : "light")) localStorage.removeItem(THEME_KEY);
    else localStorage.setItem(THEME_KEY, next);
  } catch {
    document.documentElement.dataset.theme = next; // it holds until the page is left
    return;
  }
  showTheme();
}

systemIsDark.addEventListener("change", showTheme);
byId("theme-button").addEventListener("click", toggleTheme);
showTheme();
