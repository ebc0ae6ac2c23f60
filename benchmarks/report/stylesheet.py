"""The style of report.html: light and dark by the reader's preference, one column on a phone, and fit to print."""

from __future__ import annotations

from benchmarks.report.palette import COLOURS


def _variables(shade: str) -> str:
    return " ".join(f"--{role}: {getattr(colour, shade)};" for role, colour in COLOURS.items())


STYLESHEET = (
    f"""\
:root {{ color-scheme: light dark; {_variables("light")} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables("dark")} }} }}
"""
    + """\
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 0.25rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--grid); }
p { max-width: 46rem; margin: 0.75rem 0; }
a { color: var(--link); }
.setting, figcaption, caption { color: var(--muted); }
.setting { font-size: 0.9rem; margin-top: 0; }
.headline { font-size: 1.15rem; margin: 1.25rem 0; }
.headline p { margin: 0.4rem 0; }
data { white-space: nowrap; }
.interval { color: var(--muted); white-space: nowrap; }
sup { line-height: 0; font-size: 0.75em; }
.flags { list-style: none; margin: 1rem 0; padding: 0.6rem 0.9rem; background: var(--raised);
  border-left: 0.25rem solid var(--alarm); max-width: 46rem; }
.flag, .flags li::first-letter { color: var(--alarm); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 32rem)); gap: 1.5rem 2rem; }
.beside { display: flex; flex-wrap: wrap; gap: 1.5rem 2rem; }
.beside figure { flex: 0 1 32rem; }
.beside .scroll { flex: 1 1 20rem; min-width: 0; margin: 0; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figcaption { font-size: 0.9rem; overflow-wrap: anywhere; }
figure svg { display: block; width: 100%; height: auto; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure svg text { font-family: system-ui, sans-serif; }
.scroll { overflow-x: auto; margin: 1rem 0; break-inside: avoid; }
.scroll:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.4rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2rem); }
th, td { padding: 0.25rem 0.6rem; text-align: right; vertical-align: baseline; white-space: nowrap; }
th { font-weight: 600; }
tbody th { font-weight: 400; text-align: left; }
th[scope="rowgroup"] { font-weight: 600; vertical-align: top; }
thead th { border-bottom: 1px solid var(--muted); vertical-align: bottom; white-space: normal; }
thead th:first-child { text-align: left; }
tbody + tbody, .total { border-top: 1px solid var(--grid); }
.crossover td { text-align: left; background: var(--raised); border-block: 1px dashed var(--muted); }
td .flag { display: block; text-align: left; font-weight: 400; white-space: normal; min-width: 12.5rem; }
@media screen and (max-width: 40rem) { td .flag { white-space: nowrap; } }
#exponents th[scope="col"]:nth-child(2), #exponents th[scope="col"]:last-child { text-align: left; }
#shares-table th[scope="row"] { text-align: right; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.facts th[scope="row"] { color: var(--muted); }
.facts thead { display: none; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2rem; }
@media print {
  main { max-width: none; padding: 0; }
  body { font-size: 10pt; }
  table { font-size: 8pt; }
  th, td { padding: 0.15rem 0.4rem; white-space: normal; }
  h2 { break-after: avoid; margin-top: 1.5rem; }
  .figures { grid-template-columns: 1fr 1fr; }
  .beside figure { flex-basis: 48%; }
  .beside .scroll { flex-basis: 45%; }
  .scroll { overflow: visible; }
}
"""
)
