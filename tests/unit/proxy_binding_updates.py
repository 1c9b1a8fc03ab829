"""PBUs as a MAG of the memory network sends them to an LMA alone, and what the LMA answers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from typing import Any

from memory_network import EPOCH, config, link_layer_of, mag_address, mn_id_of, prefix_of, sent

from agents.actions import Action
from agents.config import Settings
from agents.lma import Lma
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate, Status, timestamp_from_seconds
from agents.profiles import ProfileStore

MAG1, MAG2, MAG3 = (mag_address(number) for number in (1, 2, 3))
ALL_ZERO = IPv6Network("::/0")


def lma(scheme: str = "s-pmip", policy: str | None = None, settings: Settings = Settings(), **profile: Any) -> Lma:  # noqa: B008
    """An LMA; ``profile`` changes the policy profile of host 1."""
    told = config(scheme, policy, None, settings=settings)
    first, *others = told.profiles
    return Lma(replace(told, profiles=ProfileStore([replace(first, **profile), *others])), EPOCH)


def update(now: float, host: int = 1, lifetime: int = 75, **changes: Any) -> ProxyBindingUpdate:
    request = ProxyBindingUpdate(
        sequence=7,
        lifetime=lifetime,
        mn_id=mn_id_of(host),
        home_network_prefixes=(prefix_of(host),),
        handoff_indicator=4,
        access_technology=4,
        link_layer_identifier=link_layer_of(host),
        timestamp=timestamp_from_seconds(now),
    )
    return replace(request, **changes)


def acknowledged(actions: list[Action]) -> ProxyBindingAcknowledgement:
    (message,) = [message for message in sent(actions) if isinstance(message, ProxyBindingAcknowledgement)]
    return message


def status(actions: list[Action]) -> Status:
    return Status(acknowledged(actions).status)
