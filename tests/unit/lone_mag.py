"""A MAG of the memory network alone, with what a test makes happen on its link and what the LMA and other MAGs answer it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

from memory_network import EPOCH, LMA, config, hoa_of, link_layer_of, mn_id_of, packet, prefix_of, sent
from proxy_binding_updates import MAG2

from agents.actions import Action
from agents.config import Settings
from agents.mag import Mag
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate

CN, MN = hoa_of(1), hoa_of(2)
CN_LINK = "mn1-air"
P1, P2, P3 = (packet(CN, MN, serial) for serial in (1, 2, 3))


def mag(scheme: str = "s-pmip", policy: str | None = None, **settings: Any) -> Mag:
    return Mag(config(scheme, policy, settings=Settings(**settings)), EPOCH)


def attach(gateway: Mag, host: int = 1, now: float = EPOCH, link: str | None = None, **how: Any) -> list[Action]:
    return gateway.attached(link or f"mn{host}-air", mn_id_of(host), link_layer_of(host), now, **how)


def request_of(actions: list[Action]) -> ProxyBindingUpdate:
    (message,) = [message for message in sent(actions) if isinstance(message, ProxyBindingUpdate)]
    return message


def acknowledge(request: ProxyBindingUpdate, status: int = 0, **changes: Any) -> ProxyBindingAcknowledgement:
    answer = ProxyBindingAcknowledgement(
        status=status,
        sequence=request.sequence,
        lifetime=request.lifetime,
        mn_id=request.mn_id,
        home_network_prefixes=request.home_network_prefixes,
        handoff_indicator=request.handoff_indicator,
        access_technology=request.access_technology,
        link_layer_identifier=request.link_layer_identifier,
        timestamp=request.timestamp,
    )
    return replace(answer, **changes)


def answer(
    question: ProxyBindingUpdate, care_of: IPv6Address | None = MAG2, status: int = 0, lifetime: int = 2
) -> ProxyBindingAcknowledgement:
    return ProxyBindingAcknowledgement(
        status=status,
        sequence=question.sequence,
        lifetime=lifetime,
        query=True,
        home_network_prefixes=(prefix_of(2),),
        timestamp=question.timestamp,
        alternate_care_of=care_of,
    )


def serving(scheme: str = "s-pmip", policy: str | None = None, **settings: Any) -> Mag:
    """A MAG to which the CN is attached and registered."""
    gateway = mag(scheme, policy, **settings)
    actions = attach(gateway)
    if gateway._scheme.binding_update:
        gateway.receive(acknowledge(request_of(actions)), LMA, EPOCH)
    return gateway


def routed(scheme: str = "s-pmip", policy: str | None = None, **settings: Any) -> Mag:
    """The same, with a route to the MN at MAG 2, asked for and learnt at EPOCH."""
    gateway = serving(scheme, policy, **settings)
    question = request_of(gateway.packet_for(MN, P1, EPOCH))
    gateway.receive(answer(question), LMA if scheme == "s-pmip" else MAG2, EPOCH)
    return gateway


def timeouts(gateway: Mag, until: float) -> list[tuple[float, Action]]:
    """What the MAG does by itself, with s after EPOCH."""
    done: list[tuple[float, Action]] = []
    while (now := gateway.next_timeout) is not None and now <= EPOCH + until:
        done += [(round(now - EPOCH, 3), action) for action in gateway.timeout(now)]
    return done
