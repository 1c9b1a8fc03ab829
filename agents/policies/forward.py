"""``forward``: the MAG that a node has left buffers what still comes for it, learns where it is and sends it on; others are notified."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.actions import Action
from agents.hop_limit import crossing
from agents.policies.notify import NotifyMagPolicy


class ForwardMagPolicy(NotifyMagPolicy):
    """What comes through a tunnel for a node elsewhere is treated as a packet from an access link is: queried for, held, and sent on."""

    def stray(self, hoa: IPv6Address, packet: bytes, source: IPv6Address, now: float) -> list[Action]:
        return crossing(packet, lambda crossed: self._send_on(hoa, crossed, source, now))

    def early(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        return crossing(packet, lambda crossed: self._resolver.hold(hoa, crossed, now))

    def _send_on(self, hoa: IPv6Address, packet: bytes, source: IPv6Address, now: float) -> list[Action]:
        """A route that points back at the sender is wrong at one end: it is given up and asked for anew."""
        actions = self._resolver.mistaken(hoa, source, now) or []
        return actions + self._resolver.forward(hoa, packet, source, now)
