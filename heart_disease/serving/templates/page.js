"use strict";
// The page holds the patient, the token and the answers in variables alone; they are gone when it is closed.

const WAIT = 250; // ms after a keystroke
const LEAST = 0.02; // a column that moves the probability by less is not named
const $ = (id) => document.getElementById(id);
const form = $("patient");
const fields = [...form.querySelectorAll("[data-column]")];
let token = "";
let taken = null; // the columns that the version takes; null before it has said so
let described = ""; // that version
let start = null; // what a what-if is compared with: {values, probability, version}
let shown = null; // the same of the answer on the page
let live = false; // whether a change asks again
let request = null;
let timer = 0;
let scored = ""; // the address of the last scored file, which the browser keeps in memory

// ---- What was entered.

const inputs = (field) => [...field.querySelectorAll("input")];
const isTaken = (field) => taken === null || taken.includes(field.dataset.column);

/** The text of a field: "" if nothing was entered, otherwise what was typed or the code that was chosen. */
function entered(field) {
  const [first, ...rest] = inputs(field);
  if (first.type === "text") return first.value.trim().replace(",", ".");
  const chosen = [first, ...rest].find((one) => one.checked);
  return chosen ? chosen.value || "unknown" : "";
}

/** What is wrong with a field, in words; empty if nothing is, or if it is empty. */
function problem(field) {
  const text = entered(field);
  const { low, high, expected } = field.dataset;
  if (!text || !expected) return "";
  if (!/^[-+]?(\d+\.?\d*|\.\d+)$/.test(text)) return `“${text}” is not a number; expected ${expected}.`;
  return Number(text) < Number(low) || Number(text) > Number(high) ? `${text} is impossible; expected ${expected}.` : "";
}

function say(field, words) {
  field.querySelector(".problem").textContent = words;
  for (const one of inputs(field)) if (one.type === "text") one.setAttribute("aria-invalid", words ? "true" : "false");
}

/** Check one field while it is typed. */
function check(field) {
  say(field, problem(field));
  const { usualLow, usualHigh, expected } = field.dataset;
  if (!usualLow) return;
  const value = Number(entered(field));
  const unusual = entered(field) !== "" && !problem(field) && (value < Number(usualLow) || value > Number(usualHigh));
  field.classList.toggle("unusual", unusual);
  const more = unusual ? `; unusual, as nearly all have ${usualLow} to ${usualHigh}` : "";
  field.querySelector(".hint").textContent = `${expected}${more}`;
}

/** The values by column, null for one that is not known; null if a field is empty or wrong. */
function values() {
  const found = {};
  for (const field of fields.filter(isTaken)) {
    const text = entered(field);
    if (!text || problem(field)) return null;
    found[field.dataset.column] = text === "unknown" ? null : Number(text);
  }
  return found;
}

function inWords(field, value) {
  const { unit, title } = field.dataset;
  if (unit !== undefined) return `${title}: ${value} ${unit}`;
  const one = inputs(field).find((each) => each.value === (value === null ? "" : String(value)));
  return `${title}: ${one ? one.parentElement.textContent.trim() : value}`;
}

function put(entries) {
  for (const field of fields.filter((each) => each.dataset.column in entries)) {
    const value = entries[field.dataset.column];
    for (const one of inputs(field)) {
      if (one.type === "text") one.value = value;
      else one.checked = one.value === (value === null ? "" : String(value));
    }
    check(field);
  }
}

// ---- Asking.

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (response.ok) return response;
  $("login").hidden = response.status !== 401;
  if (response.status === 401) {
    $("token").focus();
    throw new Error(token ? "The server does not know this token." : "Please enter the token first.");
  }
  const said = await response.json().catch(() => ({}));
  throw new Error(said.detail || `The server answered with status ${response.status}.`);
}

function failed(error, where) {
  const away = error instanceof TypeError; // fetch's, for a server that does not answer
  $(where).textContent = away ? "The server does not answer. Try again in a moment." : error.message;
}

async function describe() {
  try {
    const model = await (await ask("model")).json();
    $("login").hidden = true;
    [taken, described] = [model.columns, model.version];
    for (const field of fields) field.hidden = !isTaken(field);
    for (const one of form.querySelectorAll("[data-input]")) {
      one.disabled = model.unseen.includes(one.dataset.input);
      one.parentElement.hidden = one.disabled; // a code that no patient of the training had
    }
    const alias = model.follows ? `, the ${model.follows}` : "";
    const since = new Date(model.since).toLocaleString();
    $("version").textContent = `Answers come from ${model.name} version ${model.version}${alias}, in use here since ${since}.`;
  } catch (error) {
    failed(error, "status");
  }
}

async function estimate() {
  clearTimeout(timer);
  const entries = values();
  request?.abort(); // its answer would be about other values
  if (!entries) {
    if (!live) return;
    $("answer").hidden = true;
    $("brief").textContent = "";
    $("status").textContent = "A finding is missing or impossible. Without it there is no estimate.";
    return;
  }
  request = new AbortController();
  const options = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ patients: [entries] }),
    signal: request.signal,
  };
  try {
    const answer = await (await ask("explain", options)).json();
    show(entries, answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("answer").hidden = true;
    $("brief").textContent = "";
    failed(error, "status");
    if (!(error instanceof TypeError) && $("login").hidden) describe(); // another version may take other columns
  }
}

// ---- The answer.

function of100(probability) {
  if (probability < 0.005) return "fewer than 1 of 100";
  return probability > 0.995 ? "more than 99 of 100" : `${Math.round(100 * probability)} of 100`;
}

function drawPeople(probability) {
  const svg = $("people");
  svg.setAttribute("aria-label", `100 figures of patients, ${Math.round(100 * probability)} of them filled`);
  svg.replaceChildren();
  for (let k = 0; k < 100; k += 1) {
    const [x, y] = [20 * (k % 20) + 10, 23 * Math.floor(k / 20) + 6];
    const person = document.createElementNS(svg.namespaceURI, "path");
    const head = `M${x - 3.5} ${y} a3.5 3.5 0 1 0 7 0 a3.5 3.5 0 1 0 -7 0`;
    person.setAttribute("d", `${head} M${x - 6} ${y + 14} v-5 a4 4 0 0 1 4 -4 h4 a4 4 0 0 1 4 4 v5 z`);
    if (k < Math.round(100 * probability)) person.setAttribute("class", "sick");
    svg.append(person);
  }
}

function bar(adds, most) {
  const svg = document.createElementNS($("people").namespaceURI, "svg");
  svg.setAttribute("viewBox", "-50 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  const [length, rect] = [(48 * Math.abs(adds)) / most, document.createElementNS(svg.namespaceURI, "rect")];
  const parts = { x: adds > 0 ? 0 : -length, y: 1, width: length, height: 8, class: adds > 0 ? "raises" : "lowers" };
  for (const [name, value] of Object.entries(parts)) rect.setAttribute(name, value);
  const middle = document.createElementNS(svg.namespaceURI, "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 0, y1: 0, y2: 10 })) middle.setAttribute(name, value);
  svg.append(rect, middle);
  return svg;
}

function driverRow(says, adds, most) {
  const row = document.createElement("tr");
  const [what, picture, words] = [document.createElement("th"), document.createElement("td"), document.createElement("td")];
  what.scope = "row";
  what.textContent = says[0].toUpperCase() + says.slice(1);
  picture.className = "bar";
  picture.setAttribute("aria-hidden", "true");
  picture.append(bar(adds, most));
  words.textContent = `${adds > 0 ? "raises" : "lowers"} by ${(100 * Math.abs(adds)).toFixed(1)}`;
  row.append(what, picture, words);
  return row;
}

function showDrivers(answer) {
  $("drivers-part").hidden = answer.average === null;
  if (answer.average === null) return;
  $("average").textContent =
    `On average it is ${(100 * answer.average).toFixed(1)} of 100, for patients put together from the values of the ` +
    "training. For this patient:";
  const strong = answer.drivers.filter((one) => Math.abs(one.adds) >= LEAST);
  const weak = answer.drivers.filter((one) => Math.abs(one.adds) < LEAST);
  const most = Math.max(LEAST, ...answer.drivers.map((one) => Math.abs(one.adds)));
  const rows = strong.map((one) => driverRow(one.says, one.adds, most));
  const rest = weak.reduce((sum, one) => sum + one.adds, 0);
  if (weak.length) rows.push(driverRow(weak.length > 1 ? `${weak.length} others together` : weak[0].says, rest, most));
  $("drivers").replaceChildren(...rows);
}

function list(id, lines) {
  const items = lines.map((words) => {
    const item = document.createElement("li");
    item.textContent = words[0].toUpperCase() + words.slice(1);
    return item;
  });
  $(id).replaceChildren(...items);
}

function showWhatIf() {
  const changed = fields.filter((field) => {
    const name = field.dataset.column;
    return name in shown.values && shown.values[name] !== start.values[name];
  });
  $("what-if").hidden = !changed.length;
  const by = Math.round(100 * shown.probability) - Math.round(100 * start.probability);
  const moved = by ? `${Math.abs(by)} ${by > 0 ? "more" : "fewer"}` : "no difference that shows";
  const words = `Before: ${of100(start.probability)}. Now: ${of100(shown.probability)}, ${moved}.`;
  $("moved").textContent = words;
  $("brief").textContent = changed.length ? words : `${of100(shown.probability)}.`;
  list("changes", changed.map((field) => {
    const name = field.dataset.column;
    return `${inWords(field, shown.values[name])} (before: ${inWords(field, start.values[name]).split(": ").pop()})`;
  }));
}

function show(entries, { answers: [answer], threshold, model, version }) {
  shown = { values: entries, probability: answer.probability, version };
  if (start?.version !== version) start = shown; // two versions are not compared, and may take other columns
  live = true;
  if (version !== described) describe(); // the champion has changed
  $("answer").hidden = false;
  const number = of100(answer.probability).replace(" of 100", "");
  const sentence = `${number} of 100 such patients ${/\b1$/.test(number) ? "has" : "have"} heart disease.`;
  $("status").textContent = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  drawPeople(answer.probability);
  const { range } = answer;
  $("range").hidden = !range;
  if (range) {
    $("range").textContent =
      `${range.networks} networks each learned without some of the patients: the lowest says ${of100(range.lowest)}, ` +
      `the highest ${of100(range.highest)}. The farther they are apart, the less the estimate is worth.`;
  }
  $("decision").textContent =
    `${model} version ${version} answers yes from ${of100(threshold)} on. Its answer is ${answer.disease}.`;
  $("unusual-part").hidden = !answer.remarks.length;
  list("unusual", answer.remarks);
  showDrivers(answer);
  showWhatIf();
}

// ---- A file.

async function score(file) {
  const most = Number($("file").dataset.most);
  if (file.size > most) {
    $("scored").textContent = `${file.name} has ${file.size} bytes; expected at most ${most}. heart predict takes any length.`;
    return;
  }
  $("scored").textContent = `Scoring ${file.name} ...`;
  try {
    const response = await ask("predict.csv", { method: "POST", headers: { "Content-Type": "text/csv" }, body: file });
    const [patients, problems] = ["Heart-Patients", "Heart-Problems"].map((name) => Number(response.headers.get(name)));
    const link = document.createElement("a");
    URL.revokeObjectURL(scored);
    scored = URL.createObjectURL(await response.blob());
    link.href = scored;
    link.download = file.name.replace(/(\.[^.]*)?$/, " scored.csv");
    link.textContent = `Save ${link.download}`;
    const bad = problems ? `; ${problems} not, and the column problem says why` : "";
    $("scored").replaceChildren(`${patients - problems} of ${patients} patients scored${bad}. `, link);
  } catch (error) {
    failed(error, "scored");
  }
}

// ---- What the visitor does.

form.addEventListener("input", (event) => {
  check(event.target.closest("[data-column]"));
  clearTimeout(timer);
  if (live) timer = setTimeout(estimate, WAIT);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const wrong = fields.filter((field) => isTaken(field) && (!entered(field) || problem(field)));
  for (const field of wrong) say(field, problem(field) || `Missing; expected ${field.dataset.expected || "a choice"}.`);
  if (wrong.length) {
    $("status").textContent = `${wrong.length} of the findings ${wrong.length > 1 ? "are" : "is"} missing or impossible.`;
    inputs(wrong[0])[0].focus();
    return;
  }
  await estimate();
  if (!$("answer").hidden) $("result").focus();
});

form.addEventListener("reset", () => {
  request?.abort();
  clearTimeout(timer);
  [start, shown, live] = [null, null, false];
  $("answer").hidden = true;
  $("brief").textContent = "";
  $("status").textContent = "The form is empty.";
  setTimeout(() => fields.forEach(check)); // the browser empties it after this
});

$("example").addEventListener("click", () => {
  const entries = {};
  for (const field of fields) {
    const one = inputs(field).find((each) => "example" in each.dataset);
    entries[field.dataset.column] = Number(one.type === "text" ? one.dataset.example : one.value);
  }
  put(entries);
  if (live) estimate();
});

$("back").addEventListener("click", async () => {
  put(start.values);
  await estimate();
  $("result").focus(); // the button is hidden now
});

$("keep").addEventListener("click", () => {
  start = shown;
  showWhatIf();
  $("result").focus();
});

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  await describe();
  if ($("login").hidden) {
    $("status").textContent = "The token is right. Fill in the form and choose Estimate.";
    inputs(fields.find(isTaken))[0].focus();
  }
});

$("file").addEventListener("change", (event) => {
  if (event.target.files.length) score(event.target.files[0]);
  event.target.value = ""; // the same file can be chosen again
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") {
      $("many").scrollIntoView();
      score(event.dataTransfer.files[0]);
    }
  });
}

describe();
