"use strict";
// Draws the charts of a page, lets its switches show and hide series, and makes ready for print.
(() => {
  const PRINTED = 660; // width of a chart on paper, in CSS pixels: what A4 and Letter leave between their margins

  function draw(plot) {
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    plot.replaceChildren();
    return Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displayModeBar: false });
  }

  function traces(plot, name) {
    return plot.data.flatMap((trace, index) => (trace.name === name ? [index] : []));
  }

  function connect(chart) {
    const plot = chart.querySelector(".plot");
    const switches = chart.querySelector(".switches");
    if (!switches) return;
    switches.hidden = false;
    switches.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      Plotly.restyle(plot, { visible: shown }, traces(plot, button.dataset.series));
    });
  }

  const plots = [...document.querySelectorAll(".plot")];
  plots.forEach(draw);
  document.querySelectorAll(".chart").forEach(connect);
  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("click", () => picture.classList.toggle("pinned"));
  }

  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
    for (const plot of plots) Plotly.relayout(plot, { width: PRINTED });
  });
  window.addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
  });
})();
