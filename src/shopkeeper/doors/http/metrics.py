"""Counts of the door in the text form that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

import bisect
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
KIND = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Histogram:
    """Durations in buckets.

    Attributes:
        counts: (len(BOUNDS) + 1,) observations by bucket; the last has no upper bound.
        total: Sum, seconds.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def saw(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """Its samples."""
        so_far = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            so_far += count
            yield f'{name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {so_far}'
        yield f"{name}_sum{_braced(labels)} {self.total:.6f}"
        yield f"{name}_count{_braced(labels)} {so_far}"


class Metrics:
    """What the door has done since it opened. All of it is changed in the event loop only."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.seconds: dict[str, Histogram] = defaultdict(Histogram)
        self.records: Counter[str] = Counter()
        self.fsync, self.fold = Histogram(), Histogram()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.requests[method, route, status] += 1
        self.seconds[route].saw(seconds)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> bytes:
        """Everything.

        Args:
            gauges: Name -> what it is, and its value now.
        """
        lines = [*_headed("requests_total", "counter", "Requests by method, route and status.")]
        lines += [f'shopkeeper_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
                  for (method, route, status), count in sorted(self.requests.items())]
        lines += _headed("request_seconds", "histogram", "Seconds from the first byte of a request to its answer.")
        for route, histogram in sorted(self.seconds.items()):
            lines += histogram.lines("shopkeeper_request_seconds", f'route="{route}"')
        lines += _headed("records_total", "counter", "Records by outcome; received = stored + duplicate + quarantined.")
        lines += [f'shopkeeper_records_total{{outcome="{name}"}} {self.records[name]}'
                  for name in ("received", "stored", "duplicate", "quarantined")]
        for name, about, histogram in (("fsync_seconds", "Seconds of a group commit: one write and one fsync.",
                                        self.fsync),
                                       ("fold_seconds", "Seconds of a fold of the journal into segments.", self.fold)):
            lines += [*_headed(name, "histogram", about), *histogram.lines(f"shopkeeper_{name}")]
        for name, (about, value) in gauges.items():
            lines += [*_headed(name, "gauge", about), f"shopkeeper_{name} {value:g}"]
        return ("\n".join(lines) + "\n").encode()


def resident_bytes() -> int:
    """Resident memory of this process, bytes; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _headed(name: str, kind: str, about: str) -> Iterable[str]:
    return f"# HELP shopkeeper_{name} {about}", f"# TYPE shopkeeper_{name} {kind}"


def _braced(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""
