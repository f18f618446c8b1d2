// Questions before what cannot be taken back, and lines that pass by. Not here: when.

// Makes an element: `element("p", { class: "hint", "data-x": 1 }, "text", other)`.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Asks; resolves to whether it shall be done. The focus starts on the way out.
export function confirm(text, verb = "Confirm", tone = "danger") {
  const question = element("p", { id: "question" }, text);
  const cancel = element("button", { value: "", autofocus: true }, "Cancel");
  const go = element("button", { value: "yes", class: `${tone} primary` }, verb);
  const form = element("form", { method: "dialog", class: "buttons" }, cancel, go);
  const dialog = element("dialog", { "aria-labelledby": "question" }, question, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

// Says something in passing; screen readers hear it once. `tone`: good, notice, bad.
export function toast(text, tone = "good") {
  const line = element("div", { class: `toast ${tone}` }, text);
  document.getElementById("toasts")?.append(line);
  setTimeout(() => line.remove(), 8000);
}
