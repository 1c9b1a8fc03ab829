"""Update Notifications (RFC 7077) that say where a host is now."""

from __future__ import annotations

from agents.messages import UpdateNotification, UpdateNotificationAcknowledgement
from experiments.model.network import ModelledAttachment, Network
from experiments.model.queries import Queries
from topologies.timing import nanoseconds


class Notifications:
    """Who tells whom where a host is now, under the policies that tell."""

    def __init__(self, network: Network, queries: Queries) -> None:
        self._network = network
        self._queries = queries

    def served(self, host: str, attachment: ModelledAttachment) -> None:
        """SD-PMIP: the MAG that now serves a host tells the group, some times over."""
        network = self._network
        if network.policy.notifies and network.group:
            self._announce(host, attachment, network.now, network.settings.update_announcements)

    def _announce(self, host: str, attachment: ModelledAttachment, since: int, tries: int) -> None:
        network, mag = self._network, attachment.mag
        if tries == 0 or network.at[host] is not attachment:
            return
        news = self._news(mag, mag, host, acknowledge=False)
        network.send(news, mag, network.others(mag), lambda receiver: self._queries.moved(receiver, host, mag, since))
        again = network.now + nanoseconds(network.settings.update_timeout)
        network.later(again, lambda: self._announce(host, attachment, since, tries - 1))

    def bound(self, host: str, care_of: str) -> None:
        """S-PMIP: the LMA, which has a new binding, tells every MAG that relies on an answer."""
        network, since = self._network, self._network.now
        if not network.policy.notifies:
            return
        for mag in self._queries.relying(host):
            if mag == care_of:
                continue
            news = self._news(network.lma, care_of, host, acknowledge=True)

            def told(receiver: str, news: UpdateNotification = news) -> None:
                self._queries.moved(receiver, host, care_of, since)
                acknowledgement = UpdateNotificationAcknowledgement(
                    sequence=news.sequence, status=0, mn_id=news.mn_id, home_network_prefixes=news.home_network_prefixes
                )
                network.send(acknowledgement, receiver, [network.lma], lambda _: None)

            network.send(news, network.lma, [mag], told)

    def _news(self, sender: str, care_of: str, host: str, acknowledge: bool) -> UpdateNotification:
        network = self._network
        return UpdateNotification(
            sequence=network.next_sequence(sender),
            notification_reason=2,
            acknowledge=acknowledge,
            mn_id=network.hosts[host].mn_id,
            home_network_prefixes=(network.prefix(host),),
            timestamp=0,
            alternate_care_of=network.care_of[care_of],
        )
