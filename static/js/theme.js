// Theme and density: two choices that this browser remembers.

const THEMES = ["system", "light", "dark"];
const DENSITIES = ["comfortable", "compact"];
const root = document.documentElement;

export const theme = () => root.dataset.theme ?? "system";
export const density = () => root.dataset.density ?? "comfortable";

export function setTheme(value) {
  choose("theme", value, "system");
}

export function setDensity(value) {
  choose("density", value, "comfortable");
  dispatchEvent(new Event("resize"));
}

export function applyChoices() {
  document.getElementById("theme").addEventListener("click", () => setTheme(following(THEMES, theme())));
  document.getElementById("density").addEventListener("click", () => setDensity(following(DENSITIES, density())));
  label();
}

function choose(name, value, standard) {
  if (value === standard) delete root.dataset[name];
  else root.dataset[name] = value;
  try {
    if (value === standard) localStorage.removeItem(`hbd.${name}`);
    else localStorage.setItem(`hbd.${name}`, value);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
  label();
}

function label() {
  const shown = theme() === "system" ? "as the system" : theme();
  for (const [id, text] of [["theme", `Theme: ${shown}`], ["density", `Density: ${density()}`]]) {
    const button = document.getElementById(id);
    button.ariaLabel = text;
    button.title = text;
  }
}

function following(values, current) {
  return values[(values.indexOf(current) + 1) % values.length];
}
