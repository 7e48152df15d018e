"use strict";
// Parts of the page are replaced as the gateway sends them; without this script, reload the page.
const page = document.getElementById("console");
const live = document.getElementById("live");
const AGAIN_MS = 5000;

function replace(id, html) {
  const old = document.getElementById(id);
  if (!old) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const href = focused && focused.getAttribute("href");
  const text = focused && focused.matches("input") ? [focused.name, focused.value] : null;
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  old.replaceWith(fresh);
  if (href) [...fresh.querySelectorAll("a")].find((a) => a.getAttribute("href") === href)?.focus();
  if (text) {
    const input = fresh.querySelector(`input[name="${text[0]}"]`);
    if (input) {
      input.value = text[1];
      input.focus();
    }
  }
}

function follow() {
  const source = new EventSource(page.dataset.events);
  source.addEventListener("parts", (event) => {
    for (const [id, html] of JSON.parse(event.data)) replace(id, html);
    live.textContent = page.dataset.live;
  });
  source.addEventListener("error", () => {
    live.textContent = page.dataset.still;
    // A lost connection is taken up again by the browser itself, a refusal is not.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
  });
}
if (page.dataset.events) follow();
document.getElementById("answer")?.focus();
