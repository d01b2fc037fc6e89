"""Verdict -> one HTML page for people: no script, nothing loaded; for light and dark, wide and narrow, and print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from expectations.failure import Failure, in_words, listed, percent
from expectations.gate import Seen, Verdict
from heart_disease.model import schema
from heart_disease.model.schema import Column

MARKS = {"ok": "✓ ok", "warning": "! warning", "error": "✕ error"}
MOST_CELLS = 30

STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5c6670; --line: #dde2e7; --back: #fff; --card: #f6f8fa;
  --ok: #1a7f4b; --warning: #8a5a00; --error: #b3261e; --bar: #4a7fb5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa5b0; --line: #343b43; --back: #14181c;
  --card: #1c2228; --ok: #5fcf94; --warning: #e3b04b; --error: #ff8a80; --bar: #7fb0e0; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto;
  max-width: 68rem; padding: 2rem 1.25rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; padding: .1rem 0 .1rem .8rem; border-left: .35rem solid; }
h1.ok { border-color: var(--ok); } h1.error { border-color: var(--error); }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 0; }
dt, th, .soft { color: var(--soft); } dd { margin: 0; }
code { font: .9em ui-monospace, monospace; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-size: .85rem; font-weight: 600; }
th, td { padding: .5rem .9rem .5rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
td:first-child { width: 7rem; }
.mark { font-weight: 600; white-space: nowrap; }
.mark.ok { color: var(--ok); } .mark.warning { color: var(--warning); } .mark.error { color: var(--error); }
.soft { font-size: .9rem; }
.bar { position: relative; height: .55rem; margin-top: .4rem; border-radius: .3rem; background: var(--line);
  overflow: hidden; min-width: 9rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.bar i { position: absolute; top: 0; bottom: 0; background: var(--bar); }
.bar i.middle { background: var(--ink); width: 2px; }
@media (max-width: 46rem) { thead { display: none; } tr { display: block; padding: .6rem 0; border-bottom: 1px solid
  var(--line); } td { display: block; border: 0; padding: .1rem 0; } td[data-of]::before { content: attr(data-of) ": ";
  color: var(--soft); font-size: .85rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11px; } tr { break-inside: avoid; } }
"""


def render(verdict: Verdict) -> str:
    """The page, complete, with everything that came from the table escaped."""
    about = [
        ("Source", f"<code>{escape(verdict.source)}</code>"),
        ("Patients", str(verdict.rows)),
        ("Content", f"<code>{escape(verdict.digest)}</code>"),
        ("Checked", f"{verdict.checked} expectations, {len(verdict.failures)} not met"),
    ]
    sections = [
        *_failures("Errors", verdict.errors, "The table cannot be used before these are mended."),
        *_failures("Warnings", verdict.warnings, "Possible, and unusual. The table can be used as it is."),
        *_whole(verdict),
        *_columns(verdict),
    ]
    state = "ok" if verdict.passed else "error"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{'Passed' if verdict.passed else 'Refused'}: {escape(verdict.source)}</title>",
            f"<style>{STYLE}</style>\n</head>\n<body>",
            f'<h1 class="{state}">{escape(headline(verdict))}</h1>',
            f"<dl>{''.join(f'<dt>{term}</dt><dd>{text}</dd>' for term, text in about)}</dl>",
            *sections,
            "</body>\n</html>\n",
        ]
    )


def headline(verdict: Verdict) -> str:
    """The verdict in one sentence."""
    counts = [_many(len(verdict.errors), "error")] if verdict.errors else []
    counts += [_many(len(verdict.warnings), "warning")] if verdict.warnings else []
    found = listed(counts) if counts else "nothing to remark"
    if verdict.passed:
        return f"Passed: {_many(verdict.rows, 'patient')} can be used, with {found}."
    return f"Refused: {_many(verdict.rows, 'patient')} cannot be used; there {_are(counts[0])} {found}."


def _many(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _are(count: str) -> str:
    return "is" if count.startswith("1 ") else "are"


def _mark(state: str) -> str:
    return f'<span class="mark {state}">{MARKS[state]}</span>'


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """`rows` of HTML cells; on a narrow screen each cell is preceded by its head."""
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-of="{head}">{cell}</td>' if head else f"<td>{cell}</td>"
            for head, cell in zip(heads, row, strict=True)
        )
        + "</tr>\n"
        for row in rows
    )
    top = "".join(f"<th>{head}</th>" for head in heads)
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>"


def _failures(title: str, failures: tuple[Failure, ...], lead: str) -> Iterator[str]:
    if not failures:
        return
    yield f'<h2>{title}</h2>\n<p class="soft">{lead}</p>'
    rows = []
    for failure in failures:
        came = escape(failure.observed)
        if failure.cells:
            count = f' <span class="soft">({came})</span>' if len(failure.cells) > 1 else ""
            came = escape(in_words(failure.cells, MOST_CELLS)) + count
        rows.append((_mark(failure.kind), came, escape(failure.expected), escape(failure.advice)))
    yield _table(("", "What came", "Expected", "What to do"), rows)


def _whole(verdict: Verdict) -> Iterator[str]:
    rows = []
    for one in verdict.result["results"]:
        meta = one["expectation_config"]["meta"]
        if meta["kind"] in ("columns", "rows", "duplicates", "balance", "direction"):
            mark = _mark("ok" if one["success"] else "error")
            rows.append((mark, *map(escape, (meta["rule"], meta["expected"], _observed(meta["kind"], one)))))
    yield "<h2>The table as a whole</h2>"
    yield _table(("", "Rule", "Expected", "Observed"), rows)


def _observed(kind: str, result: dict[str, Any]) -> str:
    outcome = result["result"]
    match kind:
        case "columns":
            return "these" if result["success"] else "others: see the errors"
        case "duplicates":
            return f"{outcome['unexpected_count']} rows that share their values with another"
        case "balance":
            return percent(outcome["observed_value"])
        case "direction":
            return f"correlation {outcome['observed_value']:+.2f}"
        case _:
            return str(outcome["observed_value"])


def _columns(verdict: Verdict) -> Iterator[str]:
    seen = {one.name: one for one in verdict.seen}
    rows = []
    for name, column in schema.BY_NAME.items():
        kinds = [failure.kind for failure in verdict.failures if name in failure.columns]
        state = "error" if "error" in kinds else "warning" if kinds else "ok"
        observed = _holds(column, seen[name], verdict.rows) if name in seen else "missing"
        unit = f"<br><code>{escape(name)}</code>"
        rows.append((_mark(state), escape(column.meaning) + unit, _allowed(column), observed))
    yield "<h2>Column by column</h2>"
    yield '<p class="soft">A bar runs over what is allowed: the filled part was observed, the tick is the median.</p>'
    if len(seen) < len(rows):
        yield "<p>What needs a missing column was not checked.</p>"
    yield _table(("", "Column", "Expected", "Observed"), rows)


def _allowed(column: Column) -> str:
    usual = ""
    if column.usual is not None:
        usual = f'<br><span class="soft">usually {column.usual[0]:g} to {column.usual[1]:g}</span>'
    return escape(column.expected) + usual


def _holds(column: Column, seen: Seen, rows: int) -> str:
    bar = ""
    if column.codes:
        counts = [(code, meaning, seen.counts[code]) for code, meaning in column.codes.items() if seen.counts[code]]
        text = "<br>".join(f"{code} {escape(meaning)}: {n} ({percent(n / rows)})" for code, meaning, n in counts)
    elif column.limits is None or seen.least is None or seen.middle is None or seen.most is None:
        text = "no number"
    else:
        text = f"{seen.least:g} to {seen.most:g} {escape(column.unit)}, median {seen.middle:g}"
        bar = _bar(column.limits, seen.least, seen.middle, seen.most)
    notes = []
    if seen.unusual:
        notes.append(f"{_many(seen.unusual, 'cell')} ({percent(seen.unusual / rows)}) outside the usual")
    if seen.blank:
        notes.append(f"{seen.blank} blank ({percent(seen.blank / rows)})")
    if seen.unreadable:
        notes.append(f"{seen.unreadable} not a number")
    note = f'<br><span class="soft">{", ".join(notes)}</span>' if notes else ""
    return text + note + bar


def _bar(limits: tuple[float, float], least: float, middle: float, most: float) -> str:
    low, high = limits

    def at(value: float) -> float:
        return 100 * min(max((value - low) / (high - low), 0), 1)

    left = at(least)
    return (
        f'<div class="bar" aria-hidden="true"><i style="left:{left:.1f}%;width:{at(most) - left:.1f}%"></i>'
        f'<i class="middle" style="left:{at(middle):.1f}%"></i></div>'
    )
