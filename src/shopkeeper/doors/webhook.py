"""The door of the alerts: a server watches, judges and delivers; `warehouse.delivery` does the sending."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from shopkeeper.warehouse.delivery import (
    CONNECT,
    ID,
    SIGNATURE,
    WHOLE,
    Sender,
    allowed,
    resolve,
    secret,
    signature,
)

if TYPE_CHECKING:
    from shopkeeper.doors.http.service import Service
    from shopkeeper.trends.live import Watcher

__all__ = ["CONNECT", "ID", "SIGNATURE", "WHOLE", "Sender", "allowed", "attach", "resolve", "sender_of", "signature"]


def sender_of(watcher: Watcher) -> Sender:
    """The sender for a shop's webhooks: its key, and the networks that it allows."""
    return Sender(secret(watcher.shop.path), watcher.buckets.settings.allow_webhooks)


def attach(service: Service, *, seconds: float = 5.0) -> None:
    """Let a server watch: counts brought up to date, alerts judged and delivered every few seconds, in a thread.

    Call it before `service.begin`. The first round counts the log, so it takes longer. What rings is written into the
    server's log as `alert`, a delivery as `webhook`; neither names a person or an address.

    Args:
        service: The server.
        seconds: Pause between two rounds.
    """
    held: list[Watcher] = []

    def round_() -> None:
        from shopkeeper.trends import kept
        from shopkeeper.trends.live import Watcher

        if not service.shop.engine.has(kept.RULES):
            return  # nobody has asked to be told of anything, so nothing is counted
        if not held:
            held.append(Watcher(service.shop))
        watcher, now = held[0], int(time.time() * 1e6)
        for firing in watcher.tick(now):
            service.log.event("alert", "warning", rule=firing.rule, side=firing.ring.side, counted=firing.ring.counted)
        if watcher.waiting:
            for fired in watcher.deliver(sender_of(watcher), now):
                _log(service, fired)

    async def tick() -> None:
        await asyncio.to_thread(round_)

    service.every(seconds, tick)


def _log(service: Service, fired: Any) -> None:
    done = fired.delivered is not None
    service.log.event("webhook", "info" if done else "warning", rule=fired.firing.rule, delivered=done,
                      tries=fired.tries)
