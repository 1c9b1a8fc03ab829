"""Test traffic: what a sender passes over, and what ends it."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from experiments.declare.scenario import Flow
from experiments.declare.traffic import HEADER
from experiments.play import traffic

FLOW = Flow("cn1", "mn1", start=0.0, duration=0.05, rate=100.0, size=100)


class Socket(socket.socket):
    """Refuses the third packet, and keeps the others."""

    sent: list[bytes]
    refusal: int

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:  # type: ignore[override]
        if HEADER.unpack_from(data)[2] == 2:
            raise OSError(self.refusal, os.strerror(self.refusal))
        self.sent.append(data)
        return len(data)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(Socket, "sent", [], raising=False)
    monkeypatch.setattr(socket, "socket", Socket)
    return Socket.sent


@pytest.mark.parametrize("refusal", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN])
def test_a_host_without_a_link_just_now_goes_on(sent: list[bytes], refusal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Socket, "refusal", refusal, raising=False)
    traffic.send(0, FLOW, "2001:db8::1", 0)
    assert [HEADER.unpack_from(data)[2] for data in sent] == [0, 1, 3, 4]


@pytest.mark.parametrize("refusal", [errno.EMSGSIZE, errno.EPERM, errno.ENOBUFS, errno.EINVAL])
def test_anything_else_ends_the_flow(sent: list[bytes], refusal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Socket, "refusal", refusal, raising=False)
    with pytest.raises(traffic.SendError, match="flow 0: cn1 cannot send packet 2 of 100 bytes: ") as refused:
        traffic.send(0, FLOW, "2001:db8::1", 0)
    assert os.strerror(refusal) in str(refused.value)
    assert len(sent) == 2
