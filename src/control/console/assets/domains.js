// What scripts add to the pages of domains: previews in a dialog, search while typing, rows of
// origins, ticking all, keys and chains from files. Not here: what the forms mean; all of them work
// without this.

import { element } from "./dialog.js";

// A page of the console as a document that runs nothing.
function page(url, { method = "GET", body } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "document";
    request.onload = () => resolve(request.response);
    request.onerror = () => reject(new Error("The edge does not answer."));
    request.send(body);
  });
}

// Forms and buttons with data-preview: the difference comes in a dialog over the page. What is not
// a preview, such as a form with errors, comes as the page that it is.
document.addEventListener("submit", async (event) => {
  const { target: form, submitter } = event;
  const wanted = submitter?.hasAttribute("data-preview") || form.hasAttribute("data-preview");
  if (!wanted || form.dataset.shown) return;
  event.preventDefault();
  const url = submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  const body = new URLSearchParams(new FormData(form, submitter));
  const answer = await page(url, { method: "POST", body }).catch(() => null);
  const sheet = answer?.querySelector("[data-sheet]");
  if (!sheet) {
    form.dataset.shown = "no";
    form.requestSubmit(submitter);
    return;
  }
  show(answer.querySelector("h1").textContent, sheet, submitter);
});

function show(title, sheet, opener) {
  const heading = element("h2", { id: "sheet-title" }, title);
  const dialog = element(
    "dialog",
    { class: "sheet-dialog", "aria-labelledby": "sheet-title" },
    heading,
    document.importNode(sheet, true),
  );
  for (const back of dialog.querySelectorAll("[data-back]")) {
    back.type = "button";
    back.textContent = "Cancel";
    back.autofocus = true;
    back.addEventListener("click", () => dialog.close());
  }
  dialog.addEventListener("close", () => {
    dialog.remove();
    opener?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

// The list, while its search is typed.
const filters = document.querySelector("[data-filters]");
if (filters) {
  let waiting, newest = 0;
  const search = async () => {
    const turn = ++newest;
    const query = new URLSearchParams(new FormData(filters));
    for (const [name, value] of [...query]) if (value === "") query.delete(name);
    const url = `${filters.getAttribute("action")}?${query}`;
    const answer = await page(url).catch(() => null);
    const results = answer?.querySelector("[data-results]");
    if (turn !== newest) return;
    if (!results) return filters.submit();
    history.replaceState(null, "", url);
    document.querySelector("[data-results]").replaceWith(document.importNode(results, true));
    ticking();
  };
  filters.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(search, 200);
  });
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    search();
  });
}

// All of the list at once, and how many are ticked.
function ticking() {
  const said = document.querySelector("[data-selected]");
  const boxes = [...document.querySelectorAll('input[form="batch"]')];
  const corner = document.querySelector("[data-results] thead th");
  if (!said || !corner) return;
  const all = element("input", { type: "checkbox", "aria-label": "All domains on this page" });
  corner.replaceChildren(element("label", { class: "tick" }, all));
  const count = () => {
    const n = boxes.filter((box) => box.checked).length;
    all.checked = n > 0 && n === boxes.length;
    all.indeterminate = n > 0 && n < boxes.length;
    said.textContent = n === 0 ? "With those ticked:" : `With ${n} ticked:`;
  };
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    count();
  });
  for (const box of boxes) box.addEventListener("change", count);
  count();
}
ticking();

// Rows of origins come and go without asking the edge.
for (const rows of document.querySelectorAll("[data-rows]")) {
  const add = rows.parentElement.querySelector("[data-add-row]");
  const all = () => [...rows.querySelectorAll("[data-row]")];
  const number = () => {
    all().forEach((row, at) => {
      row.querySelector("legend").textContent = `Origin ${at + 1}`;
      const remove = row.querySelector("[data-remove-row]");
      remove.hidden = all().length < 2;
      remove.setAttribute("aria-label", `Remove origin ${at + 1}`);
    });
    add.disabled = all().length >= Number(rows.dataset.max);
  };
  let made = all().length;
  add.addEventListener("click", (event) => {
    event.preventDefault();
    const row = all().at(-1).cloneNode(true);
    made += 1;
    for (const part of row.querySelectorAll("[id]")) part.id = part.id.replace(/\.\d+\./, `.${made}.`);
    for (const label of row.querySelectorAll("label")) {
      label.htmlFor = label.htmlFor.replace(/\.\d+\./, `.${made}.`);
    }
    for (const input of row.querySelectorAll("input, select")) {
      input.value = input.dataset.default;
      input.removeAttribute("aria-invalid");
      const described = input.getAttribute("aria-describedby") ?? "";
      input.setAttribute("aria-describedby", described.replace(/\.\d+\./g, `.${made}.`));
    }
    for (const error of row.querySelectorAll(".error")) error.textContent = "";
    for (const wrong of row.querySelectorAll(".wrong")) wrong.classList.remove("wrong");
    rows.append(row);
    number();
    row.querySelector("input").focus();
  });
  rows.addEventListener("click", (event) => {
    const row = event.target.closest("[data-remove-row]")?.closest("[data-row]");
    if (!row) return;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    number();
    next.querySelector("input").focus();
  });
  number();
}

// PEM from a file instead of the clipboard; it goes nowhere before the form is sent.
for (const input of document.querySelectorAll("[data-into]")) {
  input.closest("label").hidden = false;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) document.getElementById(input.dataset.into).value = await file.text();
  });
}
