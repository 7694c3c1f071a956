"""The style sheet of all pages: light and dark colour schemes, narrow screens, print."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1b1f24; --soft: #555c65; --hair: #e4e5e1; --axis: #8b9198;
  --map: #0068a8; --unmap: #b54a00; --touch: #5b7a00; --reference: #676e76;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --ink: #e6e9ec; --soft: #a5adb6; --hair: #2b3037; --axis: #737b85;
    --map: #6db9f2; --unmap: #f2a65a; --touch: #a8c957; --reference: #9aa3ac;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 "Inter", system-ui, -apple-system, "Segoe UI", "Noto Sans", "Helvetica Neue",
    Arial, sans-serif;
}
main { max-width: 1140px; margin: 0 auto; padding: 2.75rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .2rem 0 .6rem; letter-spacing: -.015em; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3.25rem 0 .25rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .35rem 0; max-width: 72ch; }
a { color: var(--map); }
code { font: .86em/1.5 ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, monospace;
  overflow-wrap: anywhere; }
.overline, .note, figcaption, dt { color: var(--soft); }
.overline { font-size: .85rem; margin: 0; }
.note { font-size: .9rem; }
.facts { display: grid; gap: .9rem 2rem; margin: 1.6rem 0 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
.facts div { border-top: 1px solid var(--hair); padding-top: .45rem; }
.facts .wide { grid-column: 1 / -1; }
dt { font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.panels { display: grid; gap: 1.4rem 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20.5rem), 1fr)); }
figure { margin: 0; break-inside: avoid; }
.panels > :only-child { grid-column: 1 / -1; max-width: 30rem; }
figcaption { font-size: .88rem; padding-bottom: .15rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.y-label, .reference-label { text-anchor: end; }
.x-label { text-anchor: middle; }
.grid { stroke: var(--hair); }
.axis { stroke: var(--axis); }
.reference { stroke: var(--reference); stroke-dasharray: 4 3; }
.reference.map { stroke: var(--map); }
.reference.unmap { stroke: var(--unmap); }
.reference.touch { stroke: var(--touch); }
.mark path { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
.both path { stroke: var(--ink); }
.both circle { fill: var(--ink); }
.map path, .map line, .better line { stroke: var(--map); }
.unmap path, .unmap line, .worse line { stroke: var(--unmap); }
.map circle, .map rect, .better circle { fill: var(--map); }
.unmap circle, .unmap rect, .worse circle { fill: var(--unmap); }
.touch path, .touch line { stroke: var(--touch); }
.touch circle, .touch rect { fill: var(--touch); }
svg .label { font-size: 12px; font-weight: 600; }
svg .label.both { fill: var(--ink); }
svg .label.map { fill: var(--map); }
svg .label.unmap { fill: var(--unmap); }
svg .label.touch { fill: var(--touch); }
.scroll { overflow-x: auto; margin-top: .5rem; }
.scroll:focus-visible { outline: 2px solid var(--map); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .82rem; line-height: 1.35; min-width: 100%;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--hair); }
th { font-weight: 600; color: var(--soft); }
thead th { vertical-align: bottom; border-bottom-color: var(--axis); }
th:first-child, td:first-child { padding-left: 0; }
.text { text-align: left; }
.strong { font-weight: 600; color: var(--ink); }
ul { padding-left: 1.15rem; margin: .5rem 0; max-width: 80ch; }
li { margin: .25rem 0; }
.rows { margin-top: .8rem; }
.row { display: grid; grid-template-columns: minmax(9rem, 17rem) 1fr minmax(9rem, 15rem);
  gap: 0 1.1rem; align-items: center; border-bottom: 1px solid var(--hair);
  font-size: .88rem; break-inside: avoid; }
.row svg { height: 30px; }
.row .value { font-variant-numeric: tabular-nums; }
.row .no-difference line { stroke: var(--axis); }
.row .no-difference circle { fill: var(--axis); }
.row .mark line { stroke-width: 2.5; }
.row .ratio-one { stroke: var(--reference); stroke-dasharray: 4 3; }
@media (max-width: 46rem) {
  main { padding-top: 1.6rem; }
  h1 { font-size: 1.5rem; }
  .row { grid-template-columns: 1fr auto; padding: .35rem 0; }
  .row svg { grid-column: 1 / -1; grid-row: 2; }
  .row .value { text-align: right; }
}
@media print {
  :root {
    --paper: #fff; --ink: #000; --soft: #444; --hair: #ddd; --axis: #777;
    --map: #0068a8; --unmap: #b54a00; --touch: #5b7a00; --reference: #555;
  }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 7pt; min-width: 0; }
  th, td { padding: .15rem .3rem; }
  .panels { grid-template-columns: 1fr 1fr; }
}
"""
