"use strict";
// What a reader does on the page: sort, filter, look at seeds, choose what figures show, take pictures and
// numbers away. Text goes into the page as text alone (textContent), whatever it says.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, text, properties = {}) =>
    Object.assign(document.createElement(tag), { textContent: text ?? "" }, properties);

  // Tables ---------------------------------------------------------------------------------------

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
  };

  const compare = (a, b) => {
    // What is unknown stands last among numbers, whichever way they are sorted.
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number" || typeof b === "number") return NaN;
    return a.localeCompare(b);
  };

  const sort = (button) => {
    const heading = button.closest("th");
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const before = heading.getAttribute("aria-sort");
    const down = before ? before === "ascending" : button.dataset.first === "descending";
    for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    all("tr.detail", table).forEach(close);
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row, place) => ({ row, place, value: valueOf(row, column) }));
    keyed.sort((a, b) => {
      const found = compare(a.value, b.value);
      if (Number.isNaN(found)) return typeof a.value === "number" ? -1 : 1;
      return (down ? -found : found) || a.place - b.place;
    });
    body.append(...keyed.map((each) => each.row));
  };

  const close = (detail) => {
    detail.previousElementSibling.querySelector(".seeds").setAttribute("aria-expanded", "false");
    detail.remove();
  };

  // The state of the page ----------------------------------------------------------------------------

  // Kept in the address, so that a link shows what its sender saw. What is as at first is left out.
  const asked = new URLSearchParams(location.search);
  const atFirst = {};
  const columns = all("[data-column]");
  const STATE = {
    ...Object.fromEntries(all("[data-filter]").map((each) => [each.dataset.filter, {
      get: () => each.value, set: (value) => { each.value = value; },
    }])),
    columns: {
      get: () => columns.filter((each) => each.checked).map((each) => each.value).join(";"),
      set: (value) => { for (const each of columns) each.checked = value.split(";").includes(each.value); },
    },
    ...Object.fromEntries(["task", "a", "b", "price", "quantity", "layers"].map((id) => [id, {
      get: () => $(id).value,
      set: (value) => { if ([...$(id).options].some((each) => each.value === value)) $(id).value = value; },
    }])),
  };
  const restore = (...names) => {
    for (const name of names) {
      atFirst[name] = STATE[name].get();
      if (asked.has(name)) STATE[name].set(asked.get(name));
    }
  };
  const keepState = () => {
    const search = new URLSearchParams();
    for (const [name, { get }] of Object.entries(STATE)) {
      if (name in atFirst && get() !== atFirst[name]) search.set(name, get());
    }
    const text = String(search);
    history.replaceState(null, "", `${location.pathname}${text && "?"}${text}${location.hash}`);
  };

  const showColumns = () => {
    for (const each of columns) {
      for (const table of all(".board")) table.classList.toggle(`hide-${each.dataset.column}`, !each.checked);
    }
    keepState();
  };

  const SEEDS = ["seed", "status", "test %", "last %", "validation %", "best epoch", "id", "reason"];

  const toggleSeeds = (button) => {
    const row = button.closest("tr");
    if (row.nextElementSibling?.classList.contains("detail")) return close(row.nextElementSibling);
    const detail = make("tr", "", { className: "detail" });
    const cell = make("td", "", { colSpan: row.cells.length });
    cell.append(cardOf(button.dataset.row), tableOf(SEEDS, data.seeds[button.dataset.row]));
    detail.append(cell);
    row.after(detail);
    button.setAttribute("aria-expanded", "true");
  };

  // Elements and attributes were chosen when the page was made.
  const mathOf = ([name, attributes, children]) => {
    const node = document.createElementNS("http://www.w3.org/1998/Math/MathML", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.map((child) => (typeof child === "string" ? child : mathOf(child))));
    return node;
  };

  const cardOf = (row) => {
    const { lines, params, link, math } = data.cards[data.card_of[row]];
    const list = make("dl", "", { className: "card" });
    for (const [head, text] of [...lines, ["Parameters", params]]) {
      if (text) list.append(make("dt", head), make("dd", text));
    }
    if (math) list.querySelector("dd")?.replaceChildren(mathOf(math));
    // A link can come from anyone's plugin: only to a page, never a script.
    if (/^https?:\/\//i.test(link)) {
      const place = make("dd");
      place.append(make("a", link, { href: link, rel: "noopener noreferrer" }));
      list.append(make("dt", "Link"), place);
    }
    return list;
  };

  const tableOf = (heads, lines) => {
    const table = make("table");
    const head = make("tr");
    head.append(...heads.map((name) => make("th", name, { scope: "col" })));
    table.append(make("thead"), make("tbody"));
    table.tHead.append(head);
    for (const line of lines) {
      const row = make("tr");
      row.append(...line.map((value) => make("td", value ?? "", { className: typeof value === "number" ? "n" : "" })));
      table.tBodies[0].append(row);
    }
    return table;
  };

  const filter = () => {
    const wanted = Object.fromEntries(all("[data-filter]").map((each) => [each.dataset.filter, each.value]));
    const name = wanted.method.toLowerCase();
    let shown = 0, rows = 0;
    keepState();
    for (const task of all(".task")) {
      all("tr.detail", task).forEach(close);
      let left = 0;
      for (const row of all("tbody > tr", task)) {
        const fits = (!wanted.dataset || task.dataset.dataset === wanted.dataset)
          && (!wanted.kind || row.dataset.kind === wanted.kind)
          && (!wanted.fidelity || row.dataset.fidelity === wanted.fidelity)
          && row.dataset.method.toLowerCase().includes(name);
        row.hidden = !fits;
        left += fits;
        rows += 1;
      }
      task.hidden = !left;
      shown += left;
    }
    $("shown").textContent = `${shown} of ${rows} rows`;
  };

  // Files ----------------------------------------------------------------------------------------

  const plain = (text) => text.replaceAll(/ *= */g, "=").replaceAll(/[^A-Za-z0-9.=_]+/g, "-").replaceAll(/^-+|-+$/g, "");

  const save = (name, url) => {
    const link = make("a", "", { href: url, download: `${plain(data.suite)}-${name}` });
    document.body.append(link);
    link.click();
    link.remove();
  };

  const saveText = (name, text, type) => {
    const url = URL.createObjectURL(new Blob([text], { type }));
    save(name, url);
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };

  // A cell that a spreadsheet would take for a formula begins with an apostrophe; numbers are none.
  const quoted = (value) => {
    let text = String(value ?? "");
    if (/^[=+\-@\t\r]/.test(text) && text.trim() !== "" && Number.isNaN(Number(text))) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (lines) => lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  const csvOfRows = (rows) => {
    const columns = Object.keys(rows[0] ?? {});
    return csv([columns, ...rows.map((row) => columns.map((name) => row[name]))]);
  };
  const csvOfTable = (table) => csv([
    [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim()),
    ...[...table.tBodies[0].rows].filter((row) => !row.hidden && !row.classList.contains("detail"))
      .map((row) => [...row.cells].map((cell) => cell.textContent.trim())),
  ]);

  // Figures --------------------------------------------------------------------------------------

  const drawn = new Map();

  const tool = (place, label, name, act) => {
    const button = make("button", label, { type: "button" });
    button.setAttribute("aria-label", `${label}: ${name}`);
    button.addEventListener("click", act);
    place.append(button);
    return button;
  };

  const toolsOf = (figure, name) => {
    const place = figure.querySelector(".tools");
    const file = () => [name.replace(/-t\d+$/, ""), drawn.get(figure).title.slice(1).join(" ")].map(plain).filter(Boolean).join("-");
    // Drawn again, with the title inside: on the page it is the heading of the figure.
    const again = async (use) => {
      const { spec, title: [text, ...below] } = drawn.get(figure);
      const host = make("div", "", { className: "offstage" });
      host.style.width = `${Math.max(420, figure.querySelector(".chart").clientWidth)}px`;
      document.body.append(host);
      const shown = { ...spec, background: "white", title: { text, subtitle: below, anchor: "start", frame: "group" } };
      try {
        const { view } = await vegaEmbed(host, shown, EMBED);
        await use(view, host).finally(() => view.finalize());
      } finally {
        host.remove();
      }
    };
    const picture = (form) => again(async (view) => save(`${file()}.${form}`, await view.toImageURL(form, 2)));
    // The browser's own printing makes a PDF with text and lines, which a script could not in so few bytes: the
    // figure alone, on a page of its size. The title of the document is the name that the browser offers.
    const printAlone = (file) => again(async (view, host) => {
      const svg = host.querySelector("svg");
      const { width, height } = svg.getBoundingClientRect();
      const page = make("style", `@page { size: ${Math.ceil(width) + 1}px ${Math.ceil(height) + 1}px; margin: 0; }`);
      const title = document.title;
      host.className = "alone";
      document.head.append(page);
      document.documentElement.classList.add("one");
      document.title = `${plain(data.suite)}-${file}`;
      // In Safari print() returns before it prints. A reader who acts on the page again has printed.
      const over = new AbortController();
      const printed = new Promise((done) => {
        for (const name of ["afterprint", "pointerdown", "keydown"]) {
          addEventListener(name, done, { capture: true, signal: over.signal });
        }
      });
      try {
        print();
        await printed;
      } finally {
        over.abort();
        document.title = title;
        document.documentElement.classList.remove("one");
        page.remove();
      }
    });
    if (figure.querySelector(".chart")) {
      tool(place, "SVG", name, () => picture("svg"));
      tool(place, "PNG", name, () => picture("png"));
      tool(place, "PDF", name, () => printAlone(file()));
    }
    tool(place, "CSV", name, () => saveText(`${file()}.csv`, csvOfRows(drawn.get(figure).rows), "text/csv"));
    const numbers = tool(place, "Numbers", name, () => {
      const there = figure.querySelector(".numbers");
      numbers.setAttribute("aria-expanded", String(!there));
      if (there) return there.remove();
      const rows = drawn.get(figure).rows;
      const columns = Object.keys(rows[0] ?? {});
      const box = make("div", "", { className: "numbers", tabIndex: 0 });
      box.append(tableOf(columns, rows.map((row) => columns.map((column) => row[column]))));
      figure.append(box);
    });
    numbers.setAttribute("aria-expanded", "false");
  };

  // A legend has only what is there; with one entry, or none, it tells nothing.
  const legendOf = (spec, specification, rows) => {
    const there = specification === "cost" ? rows.filter((row) => row.kind !== "reference") : rows;
    for (const { encoding } of spec.layer ?? []) {
      for (const channel of ["color", "shape", "strokeDash"].map((name) => encoding[name])) {
        if (!Array.isArray(channel?.scale?.domain) || channel.type !== "nominal") continue;
        const { domain, range } = channel.scale;
        const kept = domain.map((value, i) => [value, range?.[i]])
          .filter(([value]) => there.some((row) => row[channel.field] === value));
        channel.scale.domain = kept.map(([value]) => value);
        if (range) channel.scale.range = kept.map(([, shown]) => shown);
        if (kept.length < 2 && channel.field !== "role") channel.legend = null;
      }
    }
  };

  // What a figure says, for those who do not see it.
  const MOST_TOLD = 12;
  const short = (value) => value === null || value === undefined ? "unknown" : String(Number(Number(value).toPrecision(4)));
  const many = (rows, say) => rows.slice(0, MOST_TOLD).map(say).join("; ")
    + (rows.length > MOST_TOLD ? `; and ${rows.length - MOST_TOLD} more` : "") + ".";
  const between = ({ low, high }) => low === null || high === null ? "" : `, ${short(low)} to ${short(high)}`;
  const span = (rows, column) => {
    const known = rows.map((row) => row[column]).filter((value) => value !== null);
    return known.length ? `From ${short(Math.min(...known))} to ${short(Math.max(...known))}.` : "Nothing is known.";
  };
  const ends = (x, y) => (rows) => many(
    [...new Set(rows.filter((row) => ["A", "B", undefined].includes(row.role)).map((row) => row.method))], (method) => {
      const own = rows.filter((row) => row.method === method);
      return `${method}: ${short(own[0][y])} at ${short(own[0][x])}, ${short(own.at(-1)[y])} at ${short(own.at(-1)[x])}`;
    });
  const TOLD = {
    accuracy: (rows) => many(rows, (row) => `${row.method} ${short(row.mean)} %${between(row)}`),
    differences: (rows) => many(rows, (row) => `${row.method} ${short(row.delta)} points${between(row)}`),
    slope: (rows) => many(rows, (row) => `${row.method} ${short(row.mean)}`),
    cost: (rows) => many(rows, (row) => `${row.method} ${short(row.accuracy)} % at ${short(row.x)}${row.front === "yes" ? ", on the front" : ""}`),
    critical: (rows) => many(rows.filter((row) => row.group === null), (row) => `${row.method} ${short(row.rank)}`),
    anytime: ends("t", "accuracy"),
    curves: ends("epoch", "mean"),
    course: ends("epoch", "mean"),
    swept: ends("value", "accuracy"),
    profile: ends("accuracy", "share"),
    "best-of": ends("k", "best"),
    available: (rows) => span(rows, "available"),
    sizes: (rows) => span(rows, "size"),
    trials: (rows) => span(rows, "accuracy"),
    shape: (rows) => span(rows, "h"),
  };

  // Those in view first, one after another, each after the page has had a turn: a page with many figures is
  // usable at once. The others follow, since a page that is printed needs them all.
  const waiting = new Map();
  const inView = (figure) => {
    const { top, bottom } = figure.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };
  let working = false;
  const work = async () => {
    working = true;
    while (waiting.size) {
      await new Promise((done) => setTimeout(done));
      const figure = [...waiting.keys()].find(inView) ?? waiting.keys().next().value;
      const paint = waiting.get(figure);
      waiting.delete(figure);
      await paint().catch((problem) => console.error(problem));
    }
    working = false;
    document.documentElement.dataset.drawn = "yes";
  };

  // Each name of a dot beside it, where it is whole and covers nothing; without such a place it is left out, as
  // the tip of the dot and the numbers have it. Vega-Lite has no words for this: what it made is changed.
  const PLACES = ["top-right", "right", "bottom-right", "top-left", "left", "bottom-left", "top", "bottom"];
  const apart = (made) => {
    const names = made.marks.find(({ name }) => name === "beside_marks");
    if (!names) return made;
    const { fill, fontSize } = names.encode.update;
    const text = { signal: "datum.datum.front === 'yes' ? datum.datum.method : ''" };
    names.from = { data: "dots_marks" };
    names.encode = { update: { fill, fontSize, text } };
    const avoidMarks = made.marks.map(({ name }) => name).filter((name) => /^(edge|reference_name)_marks$/.test(name));
    const size = { signal: "[max(1, width), max(1, height)]" };
    names.transform = [{ type: "label", size, offset: [4], anchor: PLACES, avoidMarks }];
    return made;
  };
  const EMBED = { renderer: "svg", actions: false, ast: true, patch: apart };

  const draw = (figure, specification, rows, change = () => {}, where = "") => {
    figure.hidden = !rows.length;
    figure.querySelector(".numbers")?.remove();
    waiting.delete(figure);
    if (!rows.length) return;
    const spec = structuredClone(data.figures[specification]);
    spec.datasets = { rows };
    if (spec.usermeta) {
      const { step, column } = spec.usermeta;
      spec.height = step * new Set(rows.map((row) => row[column])).size;
    }
    change(spec);
    // A layer of which nothing is known has no place on an axis: intervals, say, where all have one seed.
    const known = (column) => rows.some((row) => !(column in row) || row[column] !== null);
    spec.layer = spec.layer?.filter(({ encoding }) =>
      [encoding.x, encoding.y].every((channel) => !channel?.field || known(channel.field)));
    if (!spec.layer) delete spec.layer;
    legendOf(spec, specification, rows);
    const heading = figure.querySelector("h3, h4");
    const title = [heading?.dataset.title ?? heading?.textContent ?? "", ...(where ? [where] : [])];
    if (heading && where) {
      heading.dataset.title = title[0];
      heading.replaceChildren(title[0], make("small", ` ${where.replaceAll("T = ", "T\u00a0=\u00a0")}`));
    }
    const label = `${title.join(", ")}. ${TOLD[specification](rows)}`;
    spec.description = label;
    drawn.set(figure, { ...drawn.get(figure), rows, spec, title });
    waiting.set(figure, async () => {
      drawn.get(figure).view?.finalize();
      const chart = figure.querySelector(".chart");
      const { view } = await vegaEmbed(chart, spec, EMBED);
      all("svg", chart).forEach((svg) => svg.setAttribute("aria-hidden", "true"));
      // Vega has put its own here.
      chart.setAttribute("role", "img");
      chart.setAttribute("aria-label", label);
      drawn.set(figure, { ...drawn.get(figure), view });
    });
    if (!working) work();
  };

  const withRoles = (rows, a, b) => {
    const role = { [a]: "A" };
    if (b !== a) role[b] = "B";
    const order = { others: 0, B: 1, A: 2 };
    return rows.map((row) => ({ ...row, role: Object.hasOwn(role, row.method) ? role[row.method] : "others" }))
      .sort((x, y) => order[x.role] - order[y.role]);
  };

  const courseRows = (courses, quantity, part) => courses.flatMap(([method, { epochs, values }]) => {
    const points = values[quantity]?.[part] ?? [];
    return epochs.flatMap((epoch, i) => {
      // One point stands for all, if they are the same.
      const [mean, low = mean, high = mean] = points[points.length === 1 ? 0 : i] ?? [];
      return mean === undefined ? [] : [{ method, epoch, mean, low, high }];
    });
  });

  const mapRows = (map, column) => !map ? [] : map.layers.flatMap((layer, i) =>
    map.columns.map((epoch, j) => ({
      layer: map.layers.indexOf(layer) === i ? layer : `${layer} (${i})`,
      epoch, [column]: map[column === "size" ? "sizes" : column][i][j], mark: map.marks[i][j],
      sign: column === "size" ? map.marks[i][j] : "",
    })));

  const named = (spec, a, b) => {
    for (const layer of spec.layer) {
      const { color } = layer.encoding ?? {};
      for (const channel of [color, layer.encoding?.strokeDash]) {
        if (channel?.field !== "role") continue;
        if (Math.max(a.length, b.length) > 20) Object.assign(channel.legend, { columns: 1, labelLimit: 300 });
        channel.legend = { ...channel.legend, labelExpr: `datum.label == 'A' ? names[0] : datum.label == 'B' ? names[1] : 'others'` };
      }
    }
    spec.params = [{ name: "names", value: [`A: ${a}`, `B: ${b}`] }];
  };

  const COURSE = [
    "What each probe saw, mean over seeds. The bands of A and B extend from the lowest seed to the highest; the others are grey.",
    "What the probes before and after training saw, mean over seeds; of what was between them nothing is known. The bars of A and B extend from the lowest seed to the highest; the others are grey.",
  ].map((text) => `${text} The width is the full width at half maximum; a layer whose gradient is zero has no size.`);

  const joinedThinly = (spec) => {
    const [band, lines] = spec.layer;
    band.mark = { type: "rule", opacity: 0.4, strokeWidth: 4 };
    Object.assign(lines.mark, { strokeWidth: 0.8, point: { filled: true, size: 60 } });
    for (const { encoding } of spec.layer) {
      const { field, title } = encoding.x;
      encoding.x = { field, title, type: "ordinal", axis: { labelAngle: 0 } };
    }
  };

  const MAPS = { available: "available fraction", size: "gradient size" };

  const show = () => {
    const task = data.tasks.find((each) => each.id === $("task").value);
    const [a, b] = [$("a").value, $("b").value];
    const compared = (name, rows, figure = name, where = task.title) =>
      draw($(`figure-${figure}`), name, withRoles(rows, a, b), (spec) => named(spec, a, b), where);
    draw($("figure-accuracy"), "accuracy", task.accuracy, () => {}, task.title);
    compared("curves", Object.entries(task.curves).flatMap(([method, ends]) =>
      ends.flatMap((each, i) => each ? [{ method, epoch: task.curve_epochs[i], mean: each[0], low: each[1], high: each[2] }] : [])));
    compared("anytime", task.anytime.filter(({ method }) => [a, b].includes(method) || !task.others.includes(method)));
    const prices = Object.keys(task.cost);
    const price = choose("price", prices);
    draw($("figure-cost"), "cost", task.cost[price] ?? [], (spec) => {
      const spiking = task.cost[price].filter((row) => row.kind !== "reference");
      if (spiking.length === task.cost[price].length) {
        spec.layer = spec.layer.filter((layer) => !layer.name?.startsWith("reference"));
      }
      const x = spiking.map((row) => row.x);
      const type = Math.max(...x) > 5 * Math.min(...x) ? "log" : "linear";
      for (const layer of spec.layer) {
        if (!layer.encoding.x) continue;
        layer.encoding.x.title = price;
        layer.encoding.x.scale.type = type;
        if (type === "log") delete layer.encoding.x.scale.zero;
      }
    }, task.title);
    const line = (name) => task.swept.find((row) => row.entry === name)?.method ?? name;
    draw($("figure-swept"), "swept", withRoles(task.swept, line(a), line(b)), (spec) => {
      named(spec, a, b);
      for (const layer of spec.layer) layer.encoding.x.title = task.swept[0].parameter;
    }, task.title);
    const courses = Object.entries(task.courses);
    const measured = Object.entries(data.quantities).filter(([, key]) => courses.some(([, { values }]) => values[key]));
    const quantity = choose("quantity", measured.map(([label]) => label));
    const there = data.quantities[quantity];
    const layers = choose("layers", Object.keys(data.layers).filter((label) =>
      courses.some(([, { values }]) => values[there]?.[data.layers[label]])));
    const seen = courseRows(courses, there, data.layers[layers])
      .filter(({ method }) => [a, b].includes(method) || !task.others.includes(method));
    // Two probes are no course: what was between them is unknown.
    const ends = new Set(seen.map(({ epoch }) => epoch)).size < 3;
    const heading = $("figure-course").querySelector("h3");
    heading.dataset.title = heading.textContent = ends ? "Before and after training" : "Over training";
    $("figure-course").querySelector("figcaption").textContent = COURSE[ends ? 1 : 0];
    draw($("figure-course"), "course", withRoles(seen, a, b), (spec) => {
      named(spec, a, b);
      for (const { encoding } of spec.layer) encoding.y.axis = { title: [quantity, layers], titlePadding: 12 };
      if (ends) joinedThinly(spec);
    }, task.title);
    const maps = task.maps.methods ?? {};
    for (const [side, method] of [["a", a], ["b", b]]) {
      const map = Object.hasOwn(maps, method) ? maps[method] : null;
      for (const [figure, specification, column] of [["available", "available", "available"], ["sizes", "sizes", "size"]]) {
        const place = $(`figure-${figure}-${side}`);
        const heading = place.querySelector("h3");
        heading.dataset.title = heading.textContent = `${side.toUpperCase()}: ${method}, ${MAPS[column]}`;
        draw(place, specification, mapRows(map, column), (spec) => {
          if (column !== "size") return;
          for (const layer of spec.layer) if (layer.encoding.color) layer.encoding.color.scale.domain = task.maps.scale;
        }, task.title);
      }
    }
    draw($("figure-slope"), "slope", task.slope, () => {}, task.title);
    data.tuning.forEach(({ curves, title }, i) => compared("best-of", curves, `best-of-${i}`, title));
    if ($("figure-profile")) compared("profile", data.profiles, "profile", "");
    keepState();
    if ($("figure-critical")) draw($("figure-critical"), "critical", data.critical?.rows ?? []);
  };

  const choices = (select, values, chosen) => {
    select.replaceChildren(...values.map((value) => make("option", value, { value, selected: value === chosen })));
  };

  // Keeps what was chosen, if it is there; at first, what the address asks for.
  const choose = (id, values) => {
    choices($(id), values, values.includes($(id).value) ? $(id).value : values[0]);
    if (!(id in atFirst) && values.length) restore(id);
    return $(id).value;
  };

  const chooseTask = () => {
    const { methods, compared } = data.tasks.find((each) => each.id === $("task").value);
    for (const [i, id] of ["a", "b"].entries()) {
      choices($(id), methods, methods.includes($(id).value) ? $(id).value : compared[i]);
    }
    if (!("a" in atFirst)) restore("a", "b");
    show();
  };

  const panelIn = (place, title, label) => {
    const panel = make("figure");
    panel.append(make("h3", title));
    place.append(panel);
    if (!label) return panel;
    panel.append(make("div", "", { className: "chart" }));
    panel.querySelector(".chart").setAttribute("role", "img");
    panel.querySelector(".chart").setAttribute("aria-label", label);
    return panel;
  };

  const showDifferences = () => {
    for (const { id, differences, title } of data.tasks) {
      if (differences.length) draw($(`figure-differences-${id}`), "differences", differences, () => {}, title);
    }
  };

  const showTrials = () => data.tuning.forEach(({ trials, scale, title }, i) => {
    const whole = $(`figure-trials-${i}`);
    drawn.set(whole, { rows: trials, title: ["trials", title] });
    for (const method of new Set(trials.map((row) => row.method))) {
      const rows = trials.filter((row) => row.method === method);
      draw(panelIn(whole.querySelector(".trials"), method, `Trials of ${method}`), "trials", rows, (spec) => {
        for (const { encoding } of spec.layer) {
          encoding.y.title = rows[0].parameter || null;
          if (encoding.color) encoding.color.scale.domain = scale;
        }
      });
    }
  });

  const showShapes = () => {
    for (const shape of data.shapes) {
      const panel = panelIn($("shape-panels"), shape.method, shape.x.length && `Derivative of ${shape.method}`);
      if (shape.problem) panel.append(make("p", shape.problem));
      if (!shape.x.length) continue;
      const rows = shape.x.map((x, i) => ({ x, h: shape.h[i] }));
      draw(panel, "shape", rows);
    }
    const rows = data.shapes.flatMap((shape) => shape.x.map((x, i) => ({ method: shape.method, x, h: shape.h[i] })));
    if (rows.length) tool($("shape-tools"), "CSV", "shapes", () => saveText("shapes.csv", csvOfRows(rows), "text/csv"));
    else $("shapes").hidden = !data.shapes.length;
  };

  // ----------------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.classList.contains("sort")) sort(button);
    if (button?.classList.contains("seeds")) toggleSeeds(button);
    if (button?.classList.contains("csv-of")) {
      const table = $(button.dataset.table);
      saveText(`${table.dataset.name}.csv`, csvOfTable(table), "text/csv");
    }
  });
  document.addEventListener("submit", (event) => event.preventDefault());
  for (const each of all("[data-filter]")) each.addEventListener("input", filter);
  for (const each of columns) each.addEventListener("change", showColumns);
  // On a phone, the first columns; the others are a choice away.
  if (matchMedia("(max-width: 40rem)").matches) for (const each of columns.slice(2)) each.checked = false;
  restore("columns", "task", ...all("[data-filter]").map((each) => each.dataset.filter));
  $("task").addEventListener("change", chooseTask);
  for (const id of ["a", "b", "price", "quantity", "layers"]) $(id).addEventListener("change", show);
  for (const figure of all("[data-figure]")) toolsOf(figure, figure.dataset.figure);
  showColumns();
  filter();
  showDifferences();
  chooseTask();
  showTrials();
  showShapes();
  if (!working) document.documentElement.dataset.drawn = "yes";
})();
