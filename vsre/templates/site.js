"use strict";
// Draws the charts of a page, lets its switches show and hide series, filters cards, and makes ready for print.
(() => {
  // Width of a chart on paper, and the height that leaves room for its heading on a page, in CSS pixels (A4 and Letter).
  const PAPER = { width: 660, height: 740 };

  const GAP = 13, MARK = 17, AROUND = 52; // heights: between rows, of a mark in a row, and above and below all rows

  // Gives every mark its place: rows as high as the marks that they show, one mark below another.
  function arrange(figure) {
    const rows = figure.layout.meta?.rows;
    if (!rows) return;
    const shown = figure.data.filter((trace) => trace.visible !== false);
    const names = rows.map((_, row) => [...new Set(shown.filter((trace) => trace.meta.includes(row)).map((trace) => trace.name))]);
    const tops = [];
    let end = 0;
    for (const [row, own] of names.entries()) {
      tops.push(end);
      const lines = rows[row].split("<br>").length;
      end += GAP + MARK * Math.max(own.length, lines > 1 ? 1.5 : 1);
    }
    const bottoms = [...tops.slice(1), end];
    const middle = (row) => (tops[row] + bottoms[row]) / 2;
    for (const trace of shown) {
      trace.y = trace.meta.map((row) => middle(row) + MARK * (names[row].indexOf(trace.name) - (names[row].length - 1) / 2));
    }
    const rules = tops.slice(1).map((y) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { width: 1 } }));
    const marked = (figure.layout.shapes || []).filter((shape) => shape.yref === "paper");
    Object.assign(figure.layout, { height: end + AROUND, shapes: [...rules, ...marked] });
    Object.assign(figure.layout.yaxis, { range: [end, 0], tickvals: rows.map((_, row) => middle(row)), ticktext: rows });
  }

  function draw(chart) {
    const plot = chart.querySelector(".plot");
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    const show = () => {
      arrange(figure);
      figure.layout.width = plot.clientWidth;
      figure.layout.datarevision = Math.random(); // marks are moved in place
      Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false });
    };
    plot.replaceChildren();
    show();
    const switches = chart.querySelector(".switches");
    if (!switches) return;
    switches.hidden = false;
    switches.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const visible = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(visible));
      for (const trace of figure.data) if (trace.name === button.dataset.series) trace.visible = visible;
      show();
    });
  }

  const plots = [...document.querySelectorAll(".plot")];
  document.querySelectorAll(".chart").forEach(draw);
  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("click", () => picture.classList.toggle("pinned"));
  }

  // Hides the cards that filters leave out, and says of every choice how many cards it would show.
  function filter(form) {
    const cards = [...document.querySelectorAll("[data-facets]")].map((element) => ({ element, facets: JSON.parse(element.dataset.facets) }));
    const chosen = [...form.querySelectorAll("select")];
    const has = (card, name, value) => !value || card.facets[name].includes(value);
    const matching = (but) => cards.filter((card) => chosen.every((select) => select === but || has(card, select.name, select.value)));
    const apply = () => {
      const shown = new Set(matching());
      for (const card of cards) card.element.hidden = !shown.has(card);
      for (const select of chosen) {
        const others = matching(select);
        for (const option of select.options) {
          option.textContent = `${option.value || "all"} (${others.filter((card) => has(card, select.name, option.value)).length})`;
        }
      }
      document.getElementById("count").textContent = `${shown.size} of ${cards.length} statements`;
      document.getElementById("nothing").hidden = shown.size > 0;
    };
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    window.addEventListener("pageshow", apply); // browsers keep what was chosen when one comes back
    apply();
  }
  document.querySelectorAll(".filters").forEach(filter);

  let printing = false;
  function fit() {
    if (!printing) for (const plot of plots) Plotly.relayout(plot, { width: plot.clientWidth });
  }
  window.addEventListener("resize", () => requestAnimationFrame(fit));

  let opened = [];
  window.addEventListener("beforeprint", () => {
    printing = true;
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
    for (const plot of plots) {
      const height = plot.layout.height; // rows are set closer, to half their distance at most
      plot.dataset.height = height;
      Plotly.relayout(plot, { width: PAPER.width, height: Math.max(Math.min(height, PAPER.height), height / 2) });
    }
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    for (const details of opened) details.open = false;
    for (const plot of plots) Plotly.relayout(plot, { width: plot.clientWidth, height: Number(plot.dataset.height) });
  });
})();
