"use strict";
(() => {
  const data = JSON.parse(document.getElementById("picture").textContent);
  const box = document.getElementById("chart");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");

  function draw() {
    const spec = structuredClone(data.spec);
    delete spec.config;
    spec.width = "container";
    const config = structuredClone(dark.matches ? data.dark : data.light);
    if (narrow.matches) {
      config.axis.labelLimit = 110;
      config.axisX = { tickCount: 4 };
    }
    // ast: expressions are interpreted, so the page needs no permission to make code from text
    vegaEmbed(box, spec, { actions: false, renderer: "svg", ast: true, logLevel: 1, config }).catch(() => { box.hidden = true; });
  }

  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);
  draw();
})();
