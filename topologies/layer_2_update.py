"""The frame by which an access point tells its bridges where a station is, as hostapd sends it."""

from __future__ import annotations

from topologies.addresses import mac_octets

XID_RESPONSE = bytes((0x00, 0x01, 0xAF, 0x81, 0x01, 0x00))
"""What the frame says: an IEEE 802.2 XID response, null LSAP."""

_BROADCAST = b"\xff" * 6


def layer_2_update(mac: str) -> bytes:
    """The whole frame about the station with this link-layer address."""
    return _BROADCAST + mac_octets(mac) + len(XID_RESPONSE).to_bytes(2, "big") + XID_RESPONSE
