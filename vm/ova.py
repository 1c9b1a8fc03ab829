"""The machine as VirtualBox and VMware import it: an archive of a description (OVF 1.0, DMTF DSP0243), its disk and their checksums."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from xml.etree import ElementTree

_OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
_VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
_VMDK = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_PROCESSOR, _MEMORY, _NETWORK, _DISK, _SATA = 3, 4, 10, 17, 20
"""Kinds of resources (CIM_ResourceAllocationSettingData.ResourceType)."""

Item = dict[str, str | int]


def _items(processors: int, memory: int) -> tuple[Item, ...]:
    """The machine's hardware, in the order of the schema's elements."""
    return (
        {"ElementName": f"{processors} processors", "InstanceID": 1, "ResourceType": _PROCESSOR, "VirtualQuantity": processors},
        {
            "AllocationUnits": "byte * 2^20",
            "ElementName": f"{memory} MB of memory",
            "InstanceID": 2,
            "ResourceType": _MEMORY,
            "VirtualQuantity": memory,
        },
        {"Address": 0, "ElementName": "SATA controller", "InstanceID": 3, "ResourceSubType": "AHCI", "ResourceType": _SATA},
        {
            "AddressOnParent": 0,
            "ElementName": "disk",
            "HostResource": "ovf:/disk/disk1",
            "InstanceID": 4,
            "Parent": 3,
            "ResourceType": _DISK,
        },
        {
            "AutomaticAllocation": "true",
            "Connection": "NAT",
            "ElementName": "network",
            "InstanceID": 5,
            "ResourceSubType": "E1000",
            "ResourceType": _NETWORK,
        },
    )


def description(name: str, disk: str, size: int, capacity: int, processors: int, memory: int) -> bytes:
    """The OVF descriptor of a machine with ``memory`` MB, whose disk of ``capacity`` octets is a file ``disk`` of ``size`` octets."""
    for prefix, space in (("ovf", _OVF), ("rasd", _RASD), ("vssd", _VSSD)):
        ElementTree.register_namespace(prefix, space)
    envelope = _element(None, "Envelope")
    _element(_element(envelope, "References"), "File", id="file1", href=disk, size=size)
    disks = _element(envelope, "DiskSection")
    _element(disks, "Info", "the machine's disk")
    _element(disks, "Disk", diskId="disk1", fileRef="file1", capacity=capacity, format=_VMDK)
    networks = _element(envelope, "NetworkSection")
    _element(networks, "Info", "the networks that the machine asks for")
    _element(_element(networks, "Network", name="NAT"), "Description", "a way out, which nothing needs")
    system = _element(envelope, "VirtualSystem", id=name)
    _element(system, "Info", "a virtual machine")
    _element(system, "Name", name)
    operating = _element(system, "OperatingSystemSection", id=96)
    _element(operating, "Info", "Debian, 64 bit")
    hardware = _element(system, "VirtualHardwareSection")
    _element(hardware, "Info", "the hardware that the machine needs")
    kind = _element(hardware, "System")
    for key, value in (("ElementName", "Virtual Hardware Family"), ("InstanceID", 0), ("VirtualSystemIdentifier", name)):
        _element(kind, key, value, space=_VSSD)
    _element(kind, "VirtualSystemType", "vmx-13", space=_VSSD)
    for item in _items(processors, memory):
        entry = _element(hardware, "Item")
        for key, value in item.items():
            _element(entry, key, value, space=_RASD)
    text: bytes = ElementTree.tostring(envelope, encoding="utf-8", xml_declaration=True)
    return text


def _element(
    parent: ElementTree.Element | None, tag: str, /, text: str | int = "", space: str = _OVF, **attributes: str | int
) -> ElementTree.Element:
    named = {f"{{{_OVF}}}{key}": str(value) for key, value in attributes.items()}
    full = f"{{{space}}}{tag}"
    element = ElementTree.Element(full, named) if parent is None else ElementTree.SubElement(parent, full, named)
    element.text = str(text) or None
    return element


def pack(archive: Path, descriptor: bytes, name: str, disk: Path, work: Path, epoch: int) -> None:
    """Write the archive ``name``.ovf, ``name``.mf and the disk, in the order that OVF asks for, with times of ``epoch``."""
    ovf, manifest = work / f"{name}.ovf", work / f"{name}.mf"
    ovf.write_bytes(descriptor)
    manifest.write_text("".join(f"SHA1({path.name})= {_digest(path)}\n" for path in (ovf, disk)), encoding="ascii")

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime, member.mode, member.uid, member.gid, member.uname, member.gname = epoch, 0o644, 0, 0, "", ""
        return member

    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in (ovf, manifest, disk):
            tar.add(path, path.name, filter=plain)


def _digest(path: Path) -> str:
    """The checksum that OVF 1.0 knows (DSP0243, 5.1): it tells a damaged file, not a forged one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
