// What every page of the console does with scripts: questions before a form is sent, copying.
// Each page works for reading without it, and its forms too. Not here: charts, live figures, what
// one page does.

import { confirm, toast } from "./dialog.js";

// Where tabs do not fit, the one of this page is in sight.
for (const here of document.querySelectorAll("main nav [aria-current]")) {
  const tabs = here.parentElement;
  tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.clientWidth) / 2;
}

// A form, or the button that sends it, with data-confirm="Question?" asks first. The form then says
// so, and the page does not ask once more.
document.addEventListener("submit", async (event) => {
  const { target: form, submitter } = event;
  const question = submitter?.dataset.confirm ?? form.dataset.confirm;
  if (!question || form.elements.confirmed) return;
  event.preventDefault();
  if (!(await confirm(question, submitter?.textContent.trim()))) return;
  const said = document.createElement("input");
  Object.assign(said, { type: "hidden", name: "confirmed", value: "yes" });
  said.dataset.said = "";
  form.append(said);
  form.requestSubmit(submitter);
});

// A page that the browser kept shows forms as they were left.
addEventListener("pageshow", () => {
  for (const said of document.querySelectorAll("form > [name=confirmed][data-said]")) {
    said.remove();
  }
});

if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.value ?? source.textContent);
        toast("Copied.");
      } catch {
        toast("The browser does not allow to copy: select the text instead.", "bad");
      }
    });
  }
}
