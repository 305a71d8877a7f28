(() => {
  const sheet = JSON.parse(document.getElementById("sheet").textContent);
  const store = `vsre-review-${sheet.sheet}`;
  const keys = { y: "yes", n: "no", u: "unsure" };
  const pictures = [...document.querySelectorAll("#pictures img")];
  const buttons = [...document.querySelectorAll("#answers button")];
  const reviewer = document.getElementById("reviewer");
  let state = { place: 0, reviewer: "", answers: {} };
  try {
    state = { ...state, ...JSON.parse(localStorage.getItem(store) || "{}") };
  } catch {
    // Storage is refused, or holds nothing of ours: the answers then last as long as the page.
  }

  function keep() {
    try {
      localStorage.setItem(store, JSON.stringify(state));
    } catch {
      // See above.
    }
  }

  function show() {
    const key = sheet.questions[state.place];
    const answered = Object.keys(state.answers).length;
    for (const picture of pictures) picture.hidden = picture.dataset.key !== key;
    for (const button of buttons) button.setAttribute("aria-pressed", state.answers[key] === button.dataset.answer);
    document.getElementById("caption").textContent = sheet.captions[state.place];
    document.getElementById("status").textContent = `${state.place + 1} of ${sheet.questions.length}, ${answered} answered`;
    const progress = document.getElementById("progress");
    progress.setAttribute("aria-valuenow", answered);
    progress.firstElementChild.style.width = `${(100 * answered) / sheet.questions.length}%`;
    keep();
  }

  function move(step) {
    state.place = Math.min(Math.max(state.place + step, 0), sheet.questions.length - 1);
    show();
  }

  function answer(word) {
    state.answers[sheet.questions[state.place]] = word;
    move(1);
  }

  function open() {
    const place = sheet.questions.findIndex((key) => !state.answers[key]);
    if (place >= 0) move(place - state.place);
  }

  function save() {
    const content = { sheet: sheet.sheet, data: sheet.data, seed: sheet.seed, reviewer: state.reviewer, answers: state.answers };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 2)], { type: "application/json" }));
    link.download = sheet.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  reviewer.value = state.reviewer;
  reviewer.addEventListener("input", () => { state.reviewer = reviewer.value; keep(); });
  for (const button of buttons) button.addEventListener("click", () => answer(button.dataset.answer));
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => move(Number(button.dataset.move)));
  document.getElementById("open").addEventListener("click", open);
  document.getElementById("save").addEventListener("click", save);
  document.addEventListener("keydown", (event) => {
    if (event.target === reviewer || event.ctrlKey || event.metaKey || event.altKey) return;
    const word = keys[event.key.toLowerCase()];
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (word) answer(word);
    else if (step) move(step);
    else return;
    event.preventDefault();
  });
  document.getElementById("sheet-view").hidden = false;
  state.place = Math.min(state.place, sheet.questions.length - 1);
  show();
})();
