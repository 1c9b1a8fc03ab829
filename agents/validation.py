"""Whether an LMA may accept a PBU (RFC 5213, 5.3.1 and 5.5), but for what its Binding Cache says of the session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.bindings import Binding
from agents.config import AgentConfig, MessageOrder
from agents.messages import ProxyBindingUpdate, Status, seconds_from_timestamp
from agents.profiles import Profile


@dataclass(frozen=True, slots=True)
class Arrival:
    """A PBU as it came, and what is known about it.

    Attributes:
        care_of: its Proxy-CoA, from the Alternate Care-of Address option if there is one.
        profile: that of its mobile node, if there is one.
        session: what its sequence number is compared with.
        latest: the latest timestamp accepted for its mobile node, or 0.
        now: the LMA's time, in s since 1970.
    """

    request: ProxyBindingUpdate
    source: IPv6Address
    care_of: IPv6Address
    config: AgentConfig
    profile: Profile | None
    session: Binding | None
    latest: int
    now: float

    @property
    def timestamp(self) -> int | None:
        """The timestamp that counts, None where sequence numbers do."""
        return None if self.config.settings.message_order is MessageOrder.SEQUENCE else self.request.timestamp


def _from_a_stranger(arrival: Arrival) -> bool:
    """Only a MAG of the domain may register, and only nodes that it is authorized for (RFC 5213, 4)."""
    profile = arrival.profile
    mags = arrival.config.mags if profile is None or profile.mags is None else arrival.config.mags & profile.mags
    return arrival.source not in mags or arrival.care_of not in mags


def _late(arrival: Arrival) -> bool:
    """By sequence number, modulo 65536 (RFC 6275, 9.5.1)."""
    if arrival.timestamp is not None or arrival.session is None:
        return False
    return not 0 < (arrival.request.sequence - arrival.session.sequence) & 0xFFFF < 0x8000


def _overtaken(arrival: Arrival) -> bool:
    return arrival.timestamp is not None and arrival.timestamp < arrival.latest


def _untimely(arrival: Arrival) -> bool:
    settings = arrival.config.settings
    if arrival.timestamp is None:
        return False
    if arrival.timestamp == arrival.latest:
        return True
    apart = abs(seconds_from_timestamp(arrival.timestamp) - arrival.now)
    return settings.message_order is not MessageOrder.NODE_TIMESTAMP and apart > settings.timestamp_window


def _revoked(arrival: Arrival) -> bool:
    """While a MAG is being told that a binding ends, the LMA does not let it go on there (RFC 5846, 8.1)."""
    session = arrival.session
    return session is not None and session.revoked and session.care_of == arrival.care_of and arrival.request.lifetime > 0


_OBJECTIONS: tuple[tuple[Callable[[Arrival], bool], Status], ...] = (
    (lambda arrival: arrival.request.mn_id is None, Status.MISSING_MN_IDENTIFIER_OPTION),
    (_from_a_stranger, Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG),
    (lambda arrival: arrival.profile is None, Status.NOT_LMA_FOR_THIS_MOBILE_NODE),
    (lambda arrival: arrival.profile is not None and not arrival.profile.mobility, Status.PROXY_REG_NOT_ENABLED),
    (_late, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW),
    (_overtaken, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED),
    (_untimely, Status.TIMESTAMP_MISMATCH),
    (lambda arrival: not arrival.request.home_network_prefixes, Status.MISSING_HOME_NETWORK_PREFIX_OPTION),
    (lambda arrival: arrival.request.handoff_indicator is None, Status.MISSING_HANDOFF_INDICATOR_OPTION),
    (lambda arrival: arrival.request.access_technology is None, Status.MISSING_ACCESS_TECH_TYPE_OPTION),
    (_revoked, Status.ADMINISTRATIVELY_PROHIBITED),
)
"""What is looked at, in the order of RFC 5213, 5.3.1, then RFC 5846, and the status with which a PBU is refused."""


class Validator:
    """Judges PBUs; remembers the latest timestamp that it was told of for each mobile node, whatever becomes of its sessions."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._profiles = config.profiles.by_mn_id
        self._latest: dict[str, int] = {}

    def objection(
        self, request: ProxyBindingUpdate, source: IPv6Address, care_of: IPv6Address, session: Binding | None, now: float
    ) -> Status | None:
        """Why a PBU is refused, or None; ``session`` is the one that it would change."""
        mn_id = request.mn_id or ""
        latest = self._latest.get(mn_id, 0)
        arrival = Arrival(request, source, care_of, self._config, self._profiles.get(mn_id), session, latest, now)
        return next((status for objects, status in _OBJECTIONS if objects(arrival)), None)

    def accepted(self, request: ProxyBindingUpdate) -> None:
        """A PBU was accepted."""
        mn_id = self._profiles[request.mn_id or ""].mn_id
        self._latest[mn_id] = max(self._latest.get(mn_id, 0), request.timestamp or 0)
