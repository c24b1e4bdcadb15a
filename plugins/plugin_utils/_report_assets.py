# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The style and the script that stand inside a report's page.

PRIVATE to this collection. The page names their digests in its Content-Security-Policy, so nothing else can be
styled or run in it: no attributes `style` or `onclick` here.
"""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --sheet: #fff; --line: #d9dde3; --soft: #eef0f3;
  --ink: #1c2128; --quiet: #59636e; --link: #0a58c4;
  --good: #1a7f37; --info: #0a58c4; --warn: #8a5a00; --bad: #b3261e; --lost: #6639a6;
  --good-b: #e3f4e7; --info-b: #e2edfb; --warn-b: #fdf0d3; --bad-b: #fce6e4; --lost-b: #eee6fa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1318; --sheet: #171c23; --line: #2f3742; --soft: #202731;
    --ink: #e4e8ee; --quiet: #9aa5b3; --link: #7db4ff;
    --good: #67d282; --info: #7db4ff; --warn: #f0b94a; --bad: #ff8f85; --lost: #c7a3ff;
    --good-b: #12301b; --info-b: #132a4a; --warn-b: #3a2a08; --bad-b: #441a17; --lost-b: #2d1f4a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.5rem clamp(.75rem, 2vw, 2rem) 2rem; max-width: 110rem;
  background: var(--page); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif;
}
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
h3 { font-size: .8rem; margin: 1rem 0 .3rem; color: var(--quiet); font-weight: 600; }
p { margin: .25rem 0; }
.closing { font-weight: 600; overflow-wrap: anywhere; }
.batches button { padding: 0; border: 0; background: none; color: var(--link); cursor: pointer; }
.batches td { overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
.vh {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
button, input { font: inherit; color: inherit; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 1px; }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; margin: 1.1rem 0 0; padding: 0; }
.tiles button, .tiles div {
  display: block; min-width: 7.5rem; padding: .5rem .8rem; text-align: left;
  background: var(--sheet); border: 1px solid var(--line); border-radius: 8px;
}
.tiles button { cursor: pointer; }
.tiles button:hover { border-color: var(--link); }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles .none b { color: var(--quiet); font-weight: 400; }
.tag {
  display: inline-block; padding: .05rem .5rem; border-radius: 1rem; font-size: .85em;
  font-weight: 600; white-space: nowrap; background: var(--soft); color: var(--quiet);
}
.ok, .running, .enabled, .done, .mounted { --c: var(--good); --b: var(--good-b); }
.changed, .starting, .stopping { --c: var(--info); --b: var(--info-b); }
.waiting { --c: var(--quiet); --b: var(--soft); }
.drifted, .absent, .planned, .skipped { --c: var(--warn); --b: var(--warn-b); }
.failed, .backoff, .unhealthy, .stale, .covered, .unmounted { --c: var(--bad); --b: var(--bad-b); }
.unreachable { --c: var(--lost); --b: var(--lost-b); }
.tag { color: var(--c, var(--quiet)); background: var(--b, var(--soft)); }
.tiles .some b { color: var(--c, inherit); }
.dot {
  display: inline-block; width: .6em; height: .6em; border-radius: 50%; margin-right: .4em;
  border: 1.5px solid var(--c, var(--quiet));
}
.running, .enabled, .backoff, .failed { --f: var(--c); }
.dot { background: var(--f, transparent); }
.differs { color: var(--warn); font-weight: 700; }
.tools {
  display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.2rem; padding: .5rem 0;
  background: var(--page);
}
.tools input[type=search] {
  flex: 1; min-width: 8rem; padding: .35rem .6rem;
  background: var(--sheet); border: 1px solid var(--line); border-radius: 6px;
}
.tools label { display: flex; align-items: center; gap: .4rem; }
.tools .find { flex: 0 1 32rem; }
.sheet {
  position: relative; overflow: auto;
  background: var(--sheet); border: 1px solid var(--line); border-radius: 8px;
}
.matrix { max-height: calc(100vh - 4rem); }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
th, td { padding: .35rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { font-size: .85em; color: var(--quiet); background: var(--soft); white-space: nowrap; }
tbody:last-of-type > tr:last-child > *, table.last tr:last-child > * { border-bottom: 0; }
.matrix > table > thead th { position: sticky; top: 0; z-index: 2; }
.matrix > table > thead th:first-child { left: 0; z-index: 3; }
.matrix .host { position: sticky; left: 0; z-index: 1; background: var(--sheet); }
.matrix .host, .matrix > table > thead th:first-child { border-right: 1px solid var(--line); }
.host { max-width: 18rem; font-weight: 400; }
.host button {
  width: 100%; padding: 0; border: 0; background: none; text-align: left; color: var(--link);
  cursor: pointer; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
.host button::before { content: "\\25b8"; display: inline-block; width: 1.1em; color: var(--quiet); }
.host button[aria-expanded=true]::before { content: "\\25be"; }
.says { min-width: 12rem; max-width: 19rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cell { white-space: nowrap; }
.version { color: var(--quiet); font-size: .9em; }
.more > td { background: var(--soft); padding: .4rem 1.2rem 1rem; }
.more .inner { position: sticky; left: 1.2rem; max-width: min(70rem, calc(100vw - 6rem)); }
.more p, .more td td { overflow-wrap: anywhere; white-space: pre-wrap; }
.more td th { overflow-wrap: break-word; }
.more .cell { white-space: nowrap; }
.more table { background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; }
code, .mono { font-family: ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; font-size: .92em; }
.was { color: var(--bad); }
.is { color: var(--good); }
.change { margin: .4rem 0 .7rem; }
@media print { .tools, .tiles { display: none; } .matrix { max-height: none; } }
"""

#: Where there is no script, everything is open and there is nothing to click.
STYLE_WITHOUT_SCRIPT = ".more[hidden] { display: table-row; } .tools { display: none; }"

SCRIPT = """
"use strict";
(function () {
  var box = document.getElementById("find"), only = document.getElementById("only");
  var shown = document.getElementById("shown"), none = document.getElementById("none");
  var hosts = Array.from(document.querySelectorAll("tbody[data-host]"));
  function says(host, word) {
    var named = /^(host|plugin|state|outcome|batch):(.*)$/.exec(word);
    var keys = named ? [named[1]] : ["host", "plugin", "state", "outcome"];
    var wanted = named ? named[2] : word;
    return keys.some(function (key) {
      var value = host.dataset[key] || "";
      if (key === "batch") { return value === wanted; }
      return key === "host" || key === "plugin" ? value.includes(wanted) : value.startsWith(wanted);
    });
  }
  function filter() {
    var words = box.value.toLowerCase().split(/\\s+/).filter(Boolean), count = 0;
    hosts.forEach(function (host) {
      var fits = !(only.checked && host.dataset.problem !== "1") &&
        words.every(function (word) { return says(host, word); });
      host.hidden = !fits;
      if (fits) { count += 1; }
    });
    shown.textContent = count + " of " + hosts.length + " hosts";
    none.hidden = count > 0;
  }
  function toggle(button) {
    var open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    document.getElementById(button.getAttribute("aria-controls")).hidden = !open;
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) { return; }
    if (button.hasAttribute("aria-controls")) { toggle(button); }
    if (button.dataset.find !== undefined) { box.value = button.dataset.find; filter(); }
  });
  box.addEventListener("input", filter);
  only.addEventListener("change", filter);
  filter();
}());
"""
