"""Logs as a sender might write them, and what must become of each record, by plain Python."""

import csv
import io
import json
import re
from collections import Counter

from hypothesis import strategies as st

COLUMNS = ("event_id", "event", "ts", "customer_id", "item_id", "odd", "sent_at")
ANCHOR = {"event_id": "anchor", "event": "view_item", "ts": "2026-10-01T10:00:00Z", "customer_id": "ann",
          "item_id": "tea", "odd": "x", "sent_at": "2026-10-01"}  # gives each file every column
TIMES = {"2026-10-01T10:00:00Z": 0, "2026-10-01 12:00:00+02:00": 0, "1790848800": 0, "2026-10-02": 1,
         "2026-10-02T00:00:00.000Z": 1}
BAD_TIMES = ("yesterday", "1900-01-01", "2100-01-01", "2026-02-30")

hostile = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=6)
cells = {
    "event_id": st.sampled_from(["e1", "e2", " e2 ", "e3"]) | hostile,
    "event": st.sampled_from(["view_item"] * 6 + ["teleport"]),
    "ts": st.sampled_from([*TIMES, *TIMES, *BAD_TIMES]),
    "customer_id": st.sampled_from(["ann", "bob", " bob", "b" * 600]) | hostile,
    "item_id": st.sampled_from(["tea", "oil", "中" * 171]) | hostile,
    "odd": st.sampled_from(['"', "a,b", "{}", "\t", "=1+1", "x"]) | hostile,
    "sent_at": st.sampled_from(["2026-10-01", "2026-10-03", "never"]),
}
records = st.fixed_dictionaries({name: cells[name] for name in ("event", "ts", "customer_id", "item_id")},
                                optional={name: cells[name] for name in ("event_id", "odd", "sent_at")})
gaps = st.builds(lambda record, name: {key: cell for key, cell in record.items() if key != name}, records,
                 st.sampled_from(COLUMNS))
# A file: its form, and its records, of which some come again.
files = st.tuples(st.sampled_from(["jsonl", "csv", "dicts", "cut"]),
                  st.lists(st.one_of(records, records, gaps), max_size=8).flatmap(
                      lambda made: st.permutations(made + made[:3])))


def written(folder, name, form, log):
    """The records as a source of a form: a path, or the list itself."""
    log = [ANCHOR, *log]
    if form == "dicts":
        return log
    if form == "csv":
        text = io.StringIO(newline="")
        sheet = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        sheet.writeheader()
        sheet.writerows(log)
        (folder / f"{name}.csv").write_text(text.getvalue(), "utf-8", newline="")
        return folder / f"{name}.csv"
    lines = [json.dumps(record) for record in log]
    if form == "cut":
        lines.append(json.dumps(ANCHOR)[:-7])
    (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    return folder / f"{name}.jsonl"


class Oracle:
    """What must become of each record of each import, by a dictionary from key to body."""

    def __init__(self):
        self.bodies = {}

    def take(self, sources):
        """The account of an import: how many records are stored, duplicate, and why the others are neither."""
        stored = duplicate = 0
        reasons = Counter()
        for form, log in sources:
            repeats = Counter()
            reasons["json"] += form == "cut"
            for record in [ANCHOR, *log]:
                reason = broken(record)
                if reason:
                    reasons[reason] += 1
                    continue
                key, body = identified(record, repeats)
                if self.bodies.setdefault(key, body) is body:
                    stored += 1
                elif self.bodies[key] == body:
                    duplicate += 1
                else:
                    reasons["conflict"] += 1
        return stored, duplicate, +reasons


def broken(record):
    """The reason for which a record is quarantined, or None."""
    given = {name: cell.strip() for name, cell in record.items() if cell.strip()}
    ids = [given[name] for name in ("event_id", "customer_id", "item_id") if name in given]
    checks = {
        "bad_time": "ts" in given and given["ts"] not in TIMES, "missing_time": "ts" not in given,
        "missing_kind": "event" not in given, "unknown_kind": given.get("event") != "view_item",
        "id_too_long": any(len(one.encode()) > 512 for one in ids),
        "control_characters": any(re.search(r"[\x00-\x1f\x7f]", one) for one in ids),
        "missing_identity": "customer_id" not in given, "missing_item": "item_id" not in given}
    return next((reason for reason, is_so in checks.items() if is_so), None)


def identified(record, repeats):
    """A record's key and its body."""
    given = {name: cell.strip() for name, cell in record.items() if cell.strip()}
    if "event_id" in given:
        rest = {"sent_at": record["sent_at"]} if record.get("sent_at") == "never" else {}  # unreadable: kept as it is
        rest |= {"odd": record["odd"]} if "odd" in record else {}
        return given["event_id"], (TIMES[given["ts"]], given["customer_id"], given["item_id"], tuple(rest.items()))
    content = tuple(sorted(record.items()))
    repeats[content] += 1
    return (content, repeats[content]), content
