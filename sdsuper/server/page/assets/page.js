// The page without it reads and acts as well; this keeps it up to date, filters, and acts in place.
"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const setText = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  document.documentElement.classList.add("js");

  // Tell in the corner whether what is shown is of now.
  const live = find("#live");
  const tellLive = (text, on) => {
    if (!live) return;
    live.hidden = false;
    live.classList.toggle("on", on);
    setText(live, text);
  };

  const message = find("#message");
  let forgetting = 0;
  const tell = (text, good) => {
    clearTimeout(forgetting);
    message.classList.toggle("bad", !good);
    message.textContent = text;
    if (good) forgetting = setTimeout(() => (message.textContent = ""), 10000);
  };

  // Act without leaving the page; `what` is the body of the form.
  const post = async (address, what) => {
    const token = find("input[name=token]").value;
    try {
      const reply = await fetch(address, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams({ ...what, token }),
      });
      const told = await reply.json();
      tell(told.message, told.good);
      return reply.status;
    } catch {
      tell("ERROR: the daemon did not answer", false);
      return 0;
    }
  };

  // `/` leads to the search field, Escape empties it.
  const search = find("#q");
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search?.focus();
      search?.select();
    }
    if (event.key === "Escape" && event.target === search && search.value) {
      search.value = "";
      search.dispatchEvent(new Event("input"));
    }
  });

  // Let `connect` be called while the page is seen, and `disconnect` when it is not.
  const whileSeen = (connect, disconnect) => {
    document.addEventListener("visibilitychange", () =>
      document.hidden ? disconnect() : connect(),
    );
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", (event) => event.persisted && connect());
    if (!document.hidden) connect();
  };

  if (find("body.status")) statusPage();
  if (find("body.logs") && find("#text")) logPage();

  // -- the programs -----------------------------------------------------------------------------

  function statusPage() {
    const main = find("#main");
    const programs = find("#programs");
    const address = new URL("./", location);
    let rows = new Map();
    let wantedState = new URLSearchParams(location.search).get("state") || "";
    let ahead = Number(main.dataset.now) - performance.now() / 1000;
    const order = "fatal unknown backoff exited stopping starting stopped running".split(" ");

    const index = () => {
      rows = new Map(all("tr[data-name]", programs).map((row) => [row.dataset.name, row]));
    };

    const duration = (seconds) => {
      const whole = Math.max(0, Math.floor(seconds));
      const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(whole / unit));
      const two = (number) => String(number).padStart(2, "0");
      if (days) return `${days}d ${hours % 24}h`;
      if (hours) return `${hours}h ${two(minutes % 60)}m`;
      if (minutes) return `${minutes}m ${two(whole % 60)}s`;
      return `${whole}s`;
    };
    const showUptimes = () => {
      if (document.body.classList.contains("stale")) return;
      const now = performance.now() / 1000 + ahead;
      for (const row of rows.values()) {
        const cell = find(".c-up", row);
        setText(cell, cell.dataset.since ? duration(now - Number(cell.dataset.since)) : "");
      }
    };

    const update = (row, told) => {
      const focused = row.contains(document.activeElement) ? document.activeElement : null;
      row.dataset.state = told.state;
      row.dataset.tone = told.tone;
      setText(find(".state", row), told.state);
      setText(find(".pid", row), told.pid ? `pid ${told.pid}` : "");
      setText(find(".note", row), told.note);
      setText(find(".end", row), told.end);
      setText(find(".c-cpu", row), told.cpu);
      setText(find(".c-mem", row), told.memory);
      setText(find(".c-n", row), told.restarts ? String(told.restarts) : "");
      const up = find(".c-up", row);
      if (told.since === null) delete up.dataset.since;
      else up.dataset.since = told.since;
      // The button that was pressed may be of no use any more: the next best gets the focus.
      if (focused && focused.offsetParent === null)
        all("button", row).find((button) => button.offsetParent !== null)?.focus();
    };

    const count = (some) => {
      const numbers = new Map();
      for (const row of some)
        numbers.set(row.dataset.state, (numbers.get(row.dataset.state) || 0) + 1);
      return order.filter((state) => numbers.has(state)).map((state) => [state, numbers.get(state)]);
    };
    const showCounts = () => {
      const nav = find(".counts");
      const shown = count(rows.values());
      for (const chip of all(".chip", nav))
        if (!shown.some(([state]) => state === chip.dataset.count)) chip.remove();
      let before = null;
      for (const [state, number] of shown) {
        let chip = find(`[data-count=${state}]`, nav);
        if (!chip) {
          chip = document.createElement("a");
          chip.className = "chip";
          chip.dataset.count = state;
          chip.href = `./?state=${state}`;
          chip.append(document.createElement("b"), ` ${state}`);
          if (before) before.after(chip);
          else nav.prepend(chip);
        }
        setText(find("b", chip), String(number));
        if (state === wantedState) chip.setAttribute("aria-current", "true");
        else chip.removeAttribute("aria-current");
        before = chip;
      }
      for (const group of all(".group", programs)) {
        const sum = find(".sum", group);
        const told = count(all("tr[data-name]", group));
        const text = told.map(([state, number]) => `${number} ${state}`).join(" ");
        if (sum.textContent.trim() === text) continue;
        sum.replaceChildren(
          ...told.flatMap(([state, number]) => {
            const tally = document.createElement("span");
            tally.className = "tally";
            tally.dataset.state = state;
            tally.textContent = `${number} ${state}`;
            return [tally, " "];
          }),
        );
      }
    };

    // What was open before a filter opened everything.
    let unfiltered = null;
    const applyFilter = () => {
      const wanted = search.value.trim().toLowerCase();
      const filtering = wanted !== "" || wantedState !== "";
      if (filtering && !unfiltered)
        unfiltered = new Map(all(".group", programs).map((group) => [group.dataset.key, group.open]));
      let any = false;
      for (const group of all(".group", programs)) {
        let some = false;
        for (const row of all("tr[data-name]", group)) {
          const fits =
            (!wantedState || row.dataset.state === wantedState) &&
            row.dataset.name.toLowerCase().includes(wanted);
          row.hidden = !fits;
          some ||= fits;
        }
        group.hidden = !some;
        if (filtering) group.open = true;
        else if (unfiltered) group.open = unfiltered.get(group.dataset.key) ?? group.open;
        any ||= some;
      }
      if (!filtering) unfiltered = null;
      const none = find("#none");
      none.hidden = any;
      if (rows.size) setText(none, "Nothing matches the filter");
    };

    // Groups came or went, or the daemon is another one: take the page anew, keep what is open.
    let renewing = false;
    const renew = async () => {
      if (renewing) return;
      renewing = true;
      try {
        const reply = await fetch(address, { headers: { Accept: "text/html" } });
        if (!reply.ok) throw new Error(reply.statusText);
        const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
        const open = unfiltered ||
          new Map(all(".group", programs).map((group) => [group.dataset.key, group.open]));
        const row = document.activeElement?.closest?.("tr[data-name]");
        const focus = row && [row.dataset.name, document.activeElement.textContent];
        programs.replaceChildren(...find("#programs", fresh).childNodes);
        for (const group of all(".group", programs))
          group.open = open.get(group.dataset.key) ?? group.open;
        unfiltered = null;
        find("input[name=token]").value = find("input[name=token]", fresh).value;
        find("#none").textContent = find("#none", fresh).textContent;
        main.dataset.generation = find("#main", fresh).dataset.generation;
        ahead = Number(find("#main", fresh).dataset.now) - performance.now() / 1000;
        index();
        showCounts();
        applyFilter();
        if (focus) {
          const again = rows.get(focus[0]);
          const button = again && all("button, a", again).find((each) => each.textContent === focus[1]);
          button?.focus();
        }
      } catch {
        main.dataset.generation = ""; // it is away: anew when it answers again
      } finally {
        renewing = false;
      }
    };

    const banner = (state) => {
      find(".banner")?.remove();
      const text = {
        SHUTDOWN: "The daemon is stopping everything and will end.",
        RESTARTING: "The daemon is stopping everything, and starts anew.",
      }[state];
      if (!text) return;
      const shown = document.createElement("p");
      shown.className = "banner";
      shown.setAttribute("role", "alert");
      shown.textContent = text;
      message.after(shown);
    };

    let source = null;
    let again = 0;
    const disconnect = () => {
      clearTimeout(again);
      source?.close();
      source = null;
    };
    const connect = () => {
      disconnect();
      source = new EventSource("events");
      source.addEventListener("hello", (event) => {
        tellLive("live", true);
        document.body.classList.remove("stale");
        if (JSON.parse(event.data) !== main.dataset.generation) renew();
      });
      source.addEventListener("daemon", (event) => banner(JSON.parse(event.data)));
      source.addEventListener("gone", renew);
      source.addEventListener("rows", (event) => {
        const told = JSON.parse(event.data);
        ahead = told.now - performance.now() / 1000;
        let strange = false;
        for (const [name, values] of Object.entries(told.rows)) {
          const row = rows.get(name);
          if (row) update(row, values);
          else strange = true;
        }
        showUptimes();
        showCounts();
        if (wantedState) applyFilter();
        if (strange) renew();
      });
      source.onerror = () => {
        tellLive("connecting", false);
        document.body.classList.add("stale");
        if (source && source.readyState === EventSource.CLOSED) again = setTimeout(connect, 15000);
      };
    };

    // -- acting --

    const ask = (text, label) =>
      new Promise((resolve) => {
        const dialog = document.createElement("dialog");
        const question = document.createElement("p");
        question.textContent = text;
        const buttons = document.createElement("div");
        for (const [value, words] of [["", "Cancel"], ["yes", label]]) {
          const button = document.createElement("button");
          button.type = "button";
          button.textContent = words;
          if (value) button.className = "primary";
          button.addEventListener("click", () => dialog.close(value));
          buttons.append(button);
        }
        dialog.append(question, buttons);
        dialog.setAttribute("aria-label", text);
        document.body.append(dialog);
        dialog.addEventListener("close", () => {
          dialog.remove();
          resolve(dialog.returnValue === "yes");
        });
        dialog.showModal();
      });

    find("#actions").addEventListener("submit", async (event) => {
      const button = event.submitter;
      if (button?.name !== "do") return;
      event.preventDefault();
      if (button.getAttribute("aria-disabled") === "true") return;
      const row = button.closest("tr");
      button.setAttribute("aria-disabled", "true");
      row?.setAttribute("aria-busy", "true");
      const status = await post("index.html", { do: button.value });
      button.removeAttribute("aria-disabled");
      row?.removeAttribute("aria-busy");
      if (status === 403) renew();
    });

    document.addEventListener("click", async (event) => {
      const chip = event.target.closest(".chip");
      if (chip && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        wantedState = wantedState === chip.dataset.count ? "" : chip.dataset.count;
        showCounts();
        applyFilter();
        return;
      }
      const link = event.target.closest(".tools a[href*='action=']");
      if (!link || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const target = new URL(link.href);
      const action = target.searchParams.get("action");
      const name = target.searchParams.get("processname") || "";
      const label = link.textContent.trim();
      const group = name.split(":")[0];
      const about = group ? `${label} ${group}?` : `${label} programs?`;
      if (!action.startsWith("start") && !(await ask(about, label))) return;
      if ((await post("index.html", name ? { action, processname: name } : { action })) === 403)
        renew();
    });

    find(".find").addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", applyFilter);

    index();
    if (location.search) {
      // The message is told, and the server may have left rows out: from here on we filter.
      history.replaceState(null, "", address.pathname);
      if (search.value || wantedState) renew();
      else applyFilter();
    }
    setInterval(showUptimes, 1000);
    whileSeen(connect, () => {
      disconnect();
      tellLive("paused", false);
    });
  }

  // -- a log ------------------------------------------------------------------------------------

  function logPage() {
    const pre = find("#text");
    const [follow, only, wrap, found] = ["#follow", "#only", "#wrap", "#found"].map((id) => find(id));
    const LINES_MAX = 5000;
    const colours = /[\u001b\ufffd]\[[0-9;]*[mK]/g;
    let wanted = search.value.toLowerCase();
    let hits = 0;
    let at = -1;

    const mark = (line) => {
      const text = line.textContent;
      const low = text.toLowerCase();
      const wasHit = line.classList.contains("hit");
      let from = wanted && low.length === text.length ? low.indexOf(wanted) : -1;
      if (wasHit || from >= 0) {
        const parts = [];
        let end = 0;
        for (; from >= 0; from = low.indexOf(wanted, end)) {
          const hit = document.createElement("mark");
          hit.textContent = text.slice(from, from + wanted.length);
          parts.push(text.slice(end, from), hit);
          end = from + wanted.length;
        }
        parts.push(text.slice(end));
        line.replaceChildren(...parts);
        line.classList.toggle("hit", end > 0);
      }
      hits += Number(line.classList.contains("hit")) - Number(wasHit);
    };
    const tellFound = () =>
      setText(found, wanted ? `${hits} ${hits === 1 ? "line" : "lines"} found` : "");

    // Only what is scrolled to the end by the visitor stays there.
    const toEnd = () => {
      if (follow.checked) pre.scrollTop = pre.scrollHeight;
    };
    pre.addEventListener("scroll", () => {
      follow.checked = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 30;
    });
    follow.addEventListener("change", toEnd);

    const append = (text) => {
      const lines = text.split(/(?<=\n)/);
      if (lines.length > LINES_MAX) lines.splice(0, lines.length - LINES_MAX);
      const last = pre.lastElementChild;
      if (last && lines.length && !last.textContent.endsWith("\n")) {
        last.textContent += lines.shift();
        if (last.classList.contains("hit")) hits -= 1;
        last.classList.remove("hit");
        mark(last);
      }
      const fresh = document.createDocumentFragment();
      for (const text of lines) {
        if (!text) continue;
        const line = document.createElement("span");
        line.textContent = text;
        mark(line);
        fresh.append(line);
      }
      const following = follow.checked;
      pre.append(fresh);
      while (pre.childElementCount > LINES_MAX) {
        hits -= Number(pre.firstElementChild.classList.contains("hit"));
        pre.firstElementChild.remove();
      }
      if (following) {
        follow.checked = true;
        toEnd();
      }
      tellFound();
    };
    const replace = (text) => {
      hits = 0;
      pre.replaceChildren();
      append(text);
    };

    // What a stream begins with is mostly shown already: go on where the two meet.
    const meet = (text) => {
      const shown = pre.textContent;
      if (shown === text) return;
      const lines = text.slice(text.indexOf("\n") + 1); // the first may have lost its beginning
      const probe = lines.slice(0, 400);
      let where = Math.max(0, shown.length - lines.length);
      do where = probe ? shown.indexOf(probe, where) : -1;
      while (where >= 0 && !lines.startsWith(shown.slice(where)) && ++where);
      if (where >= 0) append(lines.slice(shown.length - where));
      else replace(text);
    };

    let ending = null;
    let again = 0;
    const disconnect = () => {
      clearTimeout(again);
      ending?.abort();
      ending = null;
    };
    const connect = async () => {
      disconnect();
      const stop = (ending = new AbortController());
      try {
        const reply = await fetch(pre.dataset.stream, { signal: stop.signal });
        if (!reply.ok) throw new Error(reply.statusText);
        tellLive("live", true);
        const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
        let first = true;
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          const text = value.replaceAll("\r\n", "\n").replace(colours, "").replaceAll("\0", "\ufffd");
          if (first) meet(text);
          else append(text);
          first = false;
        }
      } catch {
        // told below
      }
      if (stop.signal.aborted) return;
      tellLive("connecting", false);
      again = setTimeout(connect, 2000);
    };

    const searchAgain = () => {
      wanted = search.value.toLowerCase();
      at = -1;
      for (const line of pre.children) mark(line);
      pre.classList.toggle("only", only.checked && wanted !== "");
      tellFound();
      toEnd();
    };
    const jump = (step) => {
      const marks = all("mark", pre);
      if (!marks.length) return;
      marks[at]?.classList.remove("here");
      at = at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length;
      marks[at].classList.add("here");
      follow.checked = false;
      marks[at].scrollIntoView({ block: "center" });
    };
    search.addEventListener("input", searchAgain);
    find(".find").addEventListener("submit", (event) => {
      event.preventDefault();
      jump(1);
    });
    search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !event.shiftKey) return;
      event.preventDefault();
      jump(-1);
    });
    only.addEventListener("change", searchAgain);
    wrap.addEventListener("change", () => pre.classList.toggle("nowrap", !wrap.checked));

    find("form.tools").addEventListener("submit", async (event) => {
      if (event.submitter?.name !== "do") return;
      event.preventDefault();
      if ((await post("index.html", { do: event.submitter.value })) === 200) replace("");
    });

    const past = pre.textContent;
    if (pre.dataset.stream) {
      if (search.value) only.checked = true;
      replace(search.value ? "" : past);
      searchAgain();
      whileSeen(connect, () => {
        disconnect();
        tellLive("paused", false);
      });
    }
  }
})();
