"use strict";
// The form's state is the page's state: it is kept in the address, so that a view can be linked.
(() => {
  const form = document.getElementById("filters");
  const count = document.getElementById("count");
  const nothing = document.getElementById("nothing");
  const facets = [...form.querySelectorAll("select[data-facet]")];
  const groups = [...document.querySelectorAll("article.group")].map((element) => ({
    element,
    facets: JSON.parse(element.dataset.facets),
    text: `${element.dataset.key} ${element.textContent}`.toLowerCase(),
  }));

  const has = (group, name, value) => !value || (group.facets[name] || []).includes(value);
  const matches = (group, state, words, but) =>
    words.every((word) => group.text.includes(word)) &&
    facets.every((facet) => facet.name === but || has(group, facet.name, state[facet.name]));

  function readState() {
    const state = Object.fromEntries(new FormData(form));
    return Object.fromEntries(Object.entries(state).filter(([, value]) => value !== ""));
  }

  function restoreState() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const field of form.elements) {
      if (!field.name) continue;
      if (field.type === "checkbox") field.checked = asked.has(field.name);
      else field.value = asked.get(field.name) || "";
      if (field.selectedIndex === -1) field.value = "";
    }
  }

  function showRows(element, topic) {
    for (const table of element.querySelectorAll("table")) {
      const rows = [...table.querySelectorAll("tr[data-topic]")];
      for (const row of rows) row.hidden = Boolean(topic) && row.dataset.topic !== topic;
      table.hidden = rows.every((row) => row.hidden);
      const details = table.closest("details");
      if (details && topic) details.open = !table.hidden;
    }
  }

  function showPass(element, pass) {
    for (const figure of element.querySelectorAll("figure")) {
      const images = [...figure.querySelector(".picture").querySelectorAll("img")];
      const chosen = images.find((image) => image.dataset.pass === pass) || images[0];
      for (const image of images) image.hidden = image !== chosen;
      const legend = figure.querySelector(".legend");
      legend.textContent = !pass ? "" : !chosen.dataset.pass ? `no ${pass}` : [pass, chosen.dataset.legend].filter(Boolean).join(": ");
    }
  }

  function apply() {
    const state = readState();
    const words = (state.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const group of groups) {
      group.element.hidden = !matches(group, state, words);
      shown += !group.element.hidden;
      showRows(group.element, state.topic);
      showPass(group.element, state.pass || "");
    }
    for (const facet of facets) {
      const others = groups.filter((group) => matches(group, state, words, facet.name));
      for (const option of facet.options) {
        const number = others.filter((group) => has(group, facet.name, option.value)).length;
        option.textContent = `${option.value || "all"} (${number})`;
      }
    }
    document.body.classList.toggle("boxed", Boolean(state.boxes));
    document.body.classList.toggle("zoomed", Boolean(state.zoom));
    document.body.style.setProperty("--times", state.zoom || "1");
    count.textContent = `${shown} of ${groups.length} groups`;
    nothing.hidden = shown > 0;
  }

  function keepState() {
    const address = new URLSearchParams(readState()).toString();
    history.replaceState(null, "", `#${address}`);
    apply();
  }

  function light(row) {
    for (const element of document.querySelectorAll(".lit")) element.classList.remove("lit");
    if (!row) return;
    const group = row.closest("article.group");
    group.classList.add("lit");
    for (const index of row.dataset.about.split(" ")) {
      for (const box of group.querySelectorAll(`g[data-index="${index}"]`)) box.classList.add("lit");
    }
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", keepState);
  form.addEventListener("reset", () => setTimeout(keepState));
  window.addEventListener("hashchange", () => {
    if (location.hash === "#groups") return; // the skip link
    restoreState();
    apply();
  });
  document.getElementById("groups").addEventListener("pointerover", (event) => light(event.target.closest("tr[data-about]")));
  document.getElementById("groups").addEventListener("pointerleave", () => light(null));
  document.getElementById("groups").addEventListener("click", (event) => {
    const picture = event.target.closest(".picture");
    if (picture) picture.classList.toggle("pinned");
  });
  restoreState();
  const panel = document.getElementById("panel");
  panel.hidden = false;
  panel.open = matchMedia("(min-width: 40rem)").matches || Object.keys(readState()).length > 0;
  apply();
})();
