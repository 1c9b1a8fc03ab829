"""Answers to Update Notifications (RFC 7077, 6)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.actions import Action, Send
from agents.messages import UpdateNotification, UpdateNotificationAcknowledgement, UpdateNotificationStatus

NOT_SUPPORTED_FOR = 300.0
"""s for which a peer is believed that it does not know a type of message. RFC 7077, 5.2, and RFC 5847, 3, would have it until somebody
intervenes, and then one answer, by mistake or by fraud, would cost a peer what it is told for ever."""


def acknowledge(news: UpdateNotification, status: UpdateNotificationStatus, source: IPv6Address) -> list[Action]:
    """What ``source`` is told of its notification, if it wants to know (RFC 7077, 6.2)."""
    if not news.acknowledge:
        return []
    acknowledgement = UpdateNotificationAcknowledgement(
        sequence=news.sequence, status=status, mn_id=news.mn_id, home_network_prefixes=news.home_network_prefixes
    )
    return [Send(acknowledgement, source)]
