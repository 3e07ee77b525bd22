// Runs before the first paint, so that the page never shows in the wrong theme. Everything else is in modules.
{
  const root = document.documentElement;
  // A page of the past stands still: it is shown as it is without scripts.
  if (!("past" in document.currentScript.dataset)) root.classList.add("js");
  try {
    const theme = localStorage.getItem("hbd.theme");
    const density = localStorage.getItem("hbd.density");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    if (density === "compact") root.dataset.density = density;
    if (sessionStorage.getItem("hbd.banner") === "hidden") root.dataset.banner = "hidden";
  } catch {
    // Storage may be forbidden; the defaults are fine.
  }
}
