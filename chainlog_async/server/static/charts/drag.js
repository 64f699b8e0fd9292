// A drag over a chart chooses the range.

import { el } from "../core/dom.js";

const MIN_DRAG_PX = 6;

/**
 * Lets the user drag over `plot`, in which a chart is. `edges()` returns the edges of its steps, `timeAt(x)` the time at a
 * place, and `onRange(from, until)` gets the steps that were touched. Fingers scroll instead.
 */
export function letDrag(plot, { edges, timeAt, onRange }) {
  const shade = el("div", { class: "shade", hidden: true });
  plot.append(shade);
  let begun = null;
  const place = (event) => event.clientX - plot.getBoundingClientRect().left;
  const isDrag = (event) => begun !== null && Math.abs(place(event) - begun) >= MIN_DRAG_PX;
  plot.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType !== "touch") begun = place(event);
  });
  plot.addEventListener("pointermove", (event) => {
    shade.hidden = !isDrag(event);
    if (shade.hidden) return;
    plot.setPointerCapture(event.pointerId);
    shade.style.left = `${Math.min(begun, place(event))}px`;
    shade.style.width = `${Math.abs(place(event) - begun)}px`;
  });
  plot.addEventListener("pointerup", (event) => {
    const dragged = isDrag(event);
    const [left, right] = [begun, place(event)].sort((a, b) => a - b);
    begun = null;
    shade.hidden = true;
    if (!dragged) return;
    // The click that follows is none.
    plot.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
    setTimeout(() => onRange(...touched(edges(), timeAt(left), timeAt(right))));
  });
  plot.addEventListener("pointercancel", () => {
    begun = null;
    shade.hidden = true;
  });
}

function touched(edges, from, until) {
  const first = edges.findLast((edge) => edge <= from) ?? edges[0];
  const last = edges.find((edge) => edge >= until) ?? edges.at(-1);
  return [first, last];
}
