"use strict";
// What the page can do beyond showing itself: themes, sorting, values under the pointer, the threshold, the rows.
// Texts reach the page through textContent only; nothing is fetched, stored or evaluated.
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const facts = (id) => {
    const block = document.getElementById(id);
    return block && JSON.parse(block.textContent);
  };
  root.classList.add("js");

  // Themes: as the system has it, light, dark
  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    root.dataset.theme = next;
    button.textContent = `Theme: ${next}`;
  });

  // Sorting: by the figure that a cell begins with, where all cells of a column have one, else by text
  const figure = (text) => {
    const found = /^[<~]?\s*([−-]?[\d.,]*\d(?:e[+-]?\d+)?)(?![\d-])/i.exec(text);
    return found ? Number(found[1].replace("−", "-").replaceAll(",", "")) : NaN;
  };
  const isEmpty = (text) => text === "" || text === "–" || text === "·";
  const compare = (values, direction) => {
    const isNumeric = values.every((text) => isEmpty(text) || !Number.isNaN(figure(text)));
    return (a, b) => {
      if (isEmpty(values[a]) || isEmpty(values[b])) return isEmpty(values[a]) - isEmpty(values[b]) || a - b;
      const order = isNumeric ? figure(values[a]) - figure(values[b]) : values[a].localeCompare(values[b]);
      return direction * order || a - b;
    };
  };
  const sortable = (heading, sort) => {
    const sorter = make("button", heading.textContent.trim(), "sort");
    sorter.type = "button";
    heading.replaceChildren(sorter);
    sorter.addEventListener("click", () => {
      const falls = heading.getAttribute("aria-sort") === "ascending";
      for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
      sort(falls ? -1 : 1);
    });
  };
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    const n = Number(table.dataset.open || Infinity);
    const shown = { n };
    const fold = () => [...body.rows].forEach((row, i) => row.classList.toggle("hidden", i >= shown.n));
    if (body.rows.length > n + 3) {
      const more = make("button", `Show all ${body.rows.length}`, "button more");
      more.type = "button";
      more.addEventListener("click", () => { shown.n = Infinity; fold(); more.remove(); });
      table.parentElement.after(more);
      fold();
    }
    if (body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      sortable(heading, (direction) => {
        const rows = [...body.rows];
        const values = rows.map((row) => row.cells[column].textContent.trim());
        const order = rows.map((_, i) => i).sort(compare(values, direction));
        body.append(...order.map((i) => rows[i]));
        fold();
      });
    });
  }

  // Values under the pointer: of a mark what it stands for, of a line its nearest point
  const tip = document.body.appendChild(make("div"));
  tip.id = "tip";
  tip.setAttribute("role", "status");
  for (const title of all("svg title")) {
    title.parentElement.dataset.tip = title.textContent;
    title.remove();
  }
  const brief = (value) => Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 9 });
  const between = (from, to, ends) => (place) => ends[0] + ((place - from) / (to - from)) * (ends[1] - ends[0]);
  const ends = (text) => text.split(" ").map(Number);
  const nearest = (chart, event) => {
    const { left, right, top, bottom, x, y, xName, yName } = chart.dataset;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    const readX = x ? between(left, right, ends(x)) : null;
    const readY = between(bottom, top, ends(y));
    const found = all("polyline.line:not(.background):not(.reference)", chart).map((line) => {
      const points = line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
      const point = points.reduce((best, each) => (Math.abs(each[0] - at.x) < Math.abs(best[0] - at.x) ? each : best));
      return { point, name: line.dataset.name };
    });
    if (!found.length || at.x < left || at.x > right) return "";
    const head = readX ? [`${xName} ${brief(readX(found[0].point[0]))}`] : [];
    return [...head, ...found.map(({ point, name }) => `${name || yName} ${brief(readY(point[1]))}`)].join("\n");
  };
  const show = (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const mark = target && target.closest("[data-tip]");
    const chart = target && target.closest("svg[data-y]");
    const text = mark && !mark.matches("polyline") ? mark.dataset.tip : chart ? nearest(chart, event) : mark ? mark.dataset.tip : "";
    tip.classList.toggle("shown", Boolean(text));
    if (!text) return;
    tip.textContent = text;
    const { width, height } = tip.getBoundingClientRect();
    const x = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 4));
    const y = event.clientY - height - 12 < 4 ? event.clientY + 18 : event.clientY - height - 12;
    tip.style.transform = `translate(${x}px, ${y}px)`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", () => tip.classList.remove("shown"), { passive: true });

  // The threshold: each step was worked out beforehand, here it is put in its places
  const decisions = facts("decisions");
  if (decisions) {
    const slider = document.getElementById("slider");
    const write = () => {
      const step = decisions.steps[Number(slider.value)];
      for (const cell of all("[data-step]")) cell.textContent = step[cell.dataset.step];
      slider.setAttribute("aria-valuetext", step.threshold);
      const [x, y, u, v] = step.places;
      for (const [chart, cx, cy] of [["roc", x, y], ["pr", u, v]]) {
        for (const here of all(`svg[data-chart=${chart}] .here`)) {
          here.setAttribute("cx", cx);
          here.setAttribute("cy", cy);
        }
      }
    };
    slider.addEventListener("input", write);
    for (const to of all("button[data-to]")) {
      to.addEventListener("click", () => { slider.value = to.dataset.to; write(); });
    }
    write();
  }

  // The rows, where the page was made with them
  const data = facts("samples");
  if (data) {
    const per = 20;
    const state = { page: 0, order: data.rows.map((_, i) => i) };
    const table = document.getElementById("samples-table");
    const filter = document.getElementById("samples-filter");
    const place = document.getElementById("samples-place");
    const draw = () => {
      const wanted = filter.value.trim().toLocaleLowerCase();
      const found = state.order.filter((i) => data.rows[i].some((cell) => cell.toLocaleLowerCase().includes(wanted)));
      const last = Math.max(0, Math.ceil(found.length / per) - 1);
      state.page = Math.max(0, Math.min(state.page, last));
      const rows = found.slice(state.page * per, (state.page + 1) * per).map((i) => {
        const row = make("tr");
        for (const cell of data.rows[i]) row.append(make("td", cell));
        return row;
      });
      table.tBodies[0].replaceChildren(...rows);
      place.textContent = found.length ? `${state.page * per + 1}–${state.page * per + rows.length} of ${found.length}` : "none";
    };
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      sortable(heading, (direction) => {
        const values = data.rows.map((row) => row[column]);
        state.order = data.rows.map((_, i) => i).sort(compare(values, direction));
        state.page = 0;
        draw();
      });
    });
    filter.addEventListener("input", () => { state.page = 0; draw(); });
    for (const step of all("button[data-page]")) {
      step.addEventListener("click", () => { state.page += Number(step.dataset.page); draw(); });
    }
    draw();
  }

  // Where the reader is
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(
    (entries) => {
      const top = entries.filter((entry) => entry.isIntersecting).pop();
      if (!top) return;
      for (const [id, link] of links) {
        if (id === top.target.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  for (const section of all("section[id]")) seen.observe(section);
})();
