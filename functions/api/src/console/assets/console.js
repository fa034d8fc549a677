// What the pages add where scripts run: the state of a file follows its work, and a file's digest is computed here.
// Nothing is stored, and no text becomes markup.

const SILENCE = 10_000;
const PAUSE = 2_000;

/** Asks for this page again and takes its status over, until the work has ended. */
function follow(status) {
  let said = Date.now();
  const live = document.getElementById("live");
  const again = () => setTimeout(ask, document.hidden ? 5 * PAUSE : PAUSE);
  function ask() {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    // A document that is parsed like this runs nothing.
    request.responseType = "document";
    request.onerror = request.ontimeout = again;
    request.timeout = 20_000;
    request.onload = () => {
      const next = request.response?.getElementById("status");
      // Without a session the whole page leads to the login.
      if (!next) return [200, 403].includes(request.status) ? location.reload() : again();
      const hadFocus = status.contains(document.activeElement);
      const ended = !next.hasAttribute("data-unfinished");
      const rest = request.response.getElementById("rest");
      status.replaceWith(document.adoptNode(next));
      status = next;
      if (ended && rest) {
        document.getElementById("rest").replaceWith(document.adoptNode(rest));
        prepare();
      }
      if (hadFocus) (status.querySelector("a, button, summary") ?? status).focus();
      if (ended || Date.now() - said >= SILENCE) {
        live.textContent = status.dataset.say ?? "";
        said = Date.now();
      }
      if (!ended) again();
    };
    request.send();
  }
  again();
}

/** Compares the digest of a chosen file with that of the page. */
function compare(form) {
  const input = form.querySelector("input");
  const output = form.querySelector("output");
  form.hidden = false;
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    output.className = "";
    output.textContent = form.dataset.running;
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    const sum = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const isSame = sum === form.dataset.sum;
    output.className = isSame ? "good" : "bad";
    output.textContent = isSame ? form.dataset.equal : form.dataset.different.replace("{sum}", sum);
  });
}

function prepare() {
  if (globalThis.crypto?.subtle) document.querySelectorAll("form[data-sum]").forEach(compare);
}

const status = document.querySelector("#status[data-unfinished]");
if (status) follow(status);
prepare();
