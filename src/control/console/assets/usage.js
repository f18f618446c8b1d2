// Usage and billing: the question before a plan is chosen names what was chosen. Not here: the
// question itself (console.js).

const button = document.querySelector("[data-question]");
if (button) {
  const { charge, websocket } = button.form.elements;
  const chosen = (select) => select.selectedOptions[0].textContent;
  const ask = () => {
    button.dataset.confirm = button.dataset.question
      .replace("{charge}", chosen(charge))
      .replace("{websocket}", chosen(websocket));
  };
  charge.addEventListener("change", ask);
  websocket.addEventListener("change", ask);
}
