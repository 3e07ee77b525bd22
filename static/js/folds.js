// A list of parts that fold out stays as somebody has opened it while the server draws it anew.

/** Remember which of the <details data-id> below `place` are open. Call what is returned after they were drawn again. */
export function keepFolds(place) {
  const open = new Set();
  const note = ({ target }) => {
    if (!target.dataset.id) return;
    if (target.open) open.add(target.dataset.id);
    else if (target.isConnected) open.delete(target.dataset.id);
  };
  place.addEventListener("toggle", note, true);
  return () => {
    for (const part of place.querySelectorAll("details[data-id]")) part.open = open.has(part.dataset.id);
  };
}
