// What every page of the console does with scripts. Each page works for reading without it.
// Not here: charts, live figures, pages of their own.

for (const control of document.querySelectorAll("[data-send-on-change]")) {
  control.addEventListener("change", () => control.form.requestSubmit());
}
