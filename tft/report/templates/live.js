
"use strict";
{
  const EVERY = 5000; // milliseconds
  const root = document.documentElement;

  // How to find an element again once the page was laid out anew.
  const name = (element) => {
    if (element.matches("summary")) return `#${CSS.escape(element.parentElement.id)} > summary`;
    const key = ["id", "aria-label", "href"].find((it) => element.hasAttribute(it));
    return key && `[${key}="${CSS.escape(element.getAttribute(key))}"]`;
  };

  const renew = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const opened = new Map([...document.querySelectorAll("details")].map((it) => [it.id, it.open]));
    const scrolled = new Map([...document.querySelectorAll(".scroll")].map((it) => [name(it), it.scrollLeft]));
    const focused = name(document.activeElement);
    const [left, top] = [scrollX, scrollY];
    document.body.replaceChildren(...document.adoptNode(fresh.body).childNodes);
    root.dataset.state = fresh.documentElement.dataset.state;
    for (const it of document.querySelectorAll("details")) it.open = opened.get(it.id) ?? it.open;
    for (const it of document.querySelectorAll(".scroll")) it.scrollLeft = scrolled.get(name(it)) ?? 0;
    if (focused) document.querySelector(focused)?.focus({ preventScroll: true });
    scrollTo(left, top);
  };

  const ask = async () => {
    let running = true;
    try {
      const now = await (await fetch("state")).json();
      running = now.running;
      if (!running || now.state !== root.dataset.state) renew(await (await fetch("./")).text());
    } catch {
      running = true; // Nobody answered: ask again.
    }
    if (running) setTimeout(ask, EVERY);
  };
  setTimeout(ask, EVERY);
}
