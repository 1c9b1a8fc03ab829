"""Answers to Update Notifications (RFC 7077, 6)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.actions import Action, Send
from agents.messages import UpdateNotification, UpdateNotificationAcknowledgement, UpdateNotificationStatus


def acknowledge(news: UpdateNotification, status: UpdateNotificationStatus, source: IPv6Address) -> list[Action]:
    """What ``source`` is told of its notification, if it wants to know (RFC 7077, 6.2)."""
    if not news.acknowledge:
        return []
    acknowledgement = UpdateNotificationAcknowledgement(
        sequence=news.sequence, status=status, mn_id=news.mn_id, home_network_prefixes=news.home_network_prefixes
    )
    return [Send(acknowledgement, source)]
