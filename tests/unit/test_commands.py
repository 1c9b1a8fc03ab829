"""What a running agent may be told, and what becomes of what is no command."""

from __future__ import annotations

import os

import pytest
from memory_network import EPOCH, MemoryNetwork, config, mag_address, mn_id_of, sent
from test_protocol_together import attached

from agents.commands import CommandError, parse
from agents.linux.command_lines import CommandLines
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import BindingRevocationIndication


@pytest.fixture
def network() -> MemoryNetwork:
    return attached("s-pmip")


def test_a_node_is_revoked_by_its_name(network: MemoryNetwork) -> None:
    (told,) = sent(parse(f"revoke {mn_id_of(2)}\n", network.lma)(network.now))
    assert isinstance(told, BindingRevocationIndication)
    assert told.mn_id == mn_id_of(2)


def test_all_nodes_of_a_mag_are_revoked_by_its_address(network: MemoryNetwork) -> None:
    (told,) = sent(parse(f"revoke-all {mag_address(2)}", network.lma)(network.now))
    assert isinstance(told, BindingRevocationIndication)
    assert told.all_bindings


def test_who_is_not_there_is_no_error(network: MemoryNetwork) -> None:
    assert parse("revoke nobody@dmm.example", network.lma)(network.now) == []


@pytest.mark.parametrize("line", ["", "revoke", "forget mn1", "revoke-all", "revoke-all mag2", "REVOKE mn1", "\0"])
def test_what_is_no_command_says_what_is_expected(line: str) -> None:
    with pytest.raises(CommandError, match="expected"):
        parse(line, Lma(config("pmip", number=None), EPOCH))


def test_a_mag_takes_none() -> None:
    with pytest.raises(CommandError, match="told to an LMA"):
        parse("revoke mn1", Mag(config("pmip"), EPOCH))


def test_lines_come_in_pieces_and_end() -> None:
    out, into = os.pipe()
    lines = CommandLines(out)
    read = [lines.read()]
    for data in (b"revoke ", b"mn1\nrevoke mn2\n\nrev", b"oke \xff\n"):
        os.write(into, data)
        read.append(lines.read())
    assert read == [[], [], ["revoke mn1", "revoke mn2"], ["revoke \ufffd"]]
    assert not lines.ended
    os.close(into)
    assert (lines.read(), lines.ended) == ([], True)
    os.close(out)
