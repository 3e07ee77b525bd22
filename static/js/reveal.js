// A password can be looked at while it is typed; it is hidden again before it is sent.

function show(button, shown) {
  const field = document.getElementById(button.dataset.reveals);
  field.type = shown ? "text" : "password";
  button.ariaPressed = String(shown);
  button.title = shown ? "Hide" : "Show";
}

export function watchPasswords() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reveals]");
    if (button) show(button, button.ariaPressed !== "true");
  });
  for (const type of ["submit", "reset"]) {
    document.addEventListener(
      type,
      (event) => {
        for (const button of event.target.querySelectorAll("[data-reveals]")) show(button, false);
      },
      true,
    );
  }
}
