"""What the machine is made of; everything that decides its bytes is data here, in ``root/`` and in ``install``."""

from __future__ import annotations

ROOT = "vm/root/"
INSTALL = "vm/install"
"""Where the commit has files that go into the machine's root, and the script that puts the machine together inside."""

SUITE = "trixie"
PYTHON = "3.13"
"""The Debian that the machine runs, and the version of its Python."""

USER = 1000
HOME = "home/student"
PROJECT = f"{HOME}/dmmlab"
CACHE = f"{HOME}/.cache/dmmlab"
SCRATCH = "var/tmp/dmmlab-install"
"""The number of the user ``student``, and where things lie in the machine."""

PACKAGES = (
    "linux-image-amd64",
    "systemd-sysv",
    "systemd-resolved",
    "systemd-boot-efi",
    "udev",
    "dbus",
    "libpam-systemd",
    "initramfs-tools",
    "zstd",
    "kmod",
    "e2fsprogs",
    "libarchive13t64",
    "dosfstools",
    "openssh-server",
    "sudo",
    "make",
    "git",
    "ca-certificates",
    "less",
    "nano",
)
"""What makes a Debian a machine, besides what runs need. libarchive13t64 is for the machine's own mke2fs, which makes its disk."""

DESKTOP = ("xfce4-session", "xfce4-panel", "xfdesktop4", "xfwm4", "xfce4-terminal", "thunar", "lightdm", "lightdm-gtk-greeter",
           "xserver-xorg-core", "xserver-xorg-input-libinput", "xserver-xorg-video-all", "adwaita-icon-theme", "fonts-dejavu-core",
           "firefox-esr", "wireshark")  # fmt: skip
"""What ``DESKTOP=1`` adds."""

LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
"""Paths of packages that are not unpacked."""

SECTOR = 512
MIB = 1 << 20
DISK = 8192 * MIB
EFI_START, EFI_SIZE = MIB, 256 * MIB
ROOT_START = EFI_START + EFI_SIZE
ROOT_SIZE = DISK - ROOT_START - MIB
"""The disk, in octets: an EFI partition that holds both boot loaders, the kernel and its initial file system, then the root."""

KERNEL_ARGUMENTS = "root=LABEL=dmmlab rw quiet console=tty0 console=ttyS0,115200"
LOADER = {
    "loader/loader.conf": "default dmmlab.conf\ntimeout 1\n",
    "loader/entries/dmmlab.conf": f"title dmmlab\nlinux /vmlinuz\ninitrd /initrd.img\noptions {KERNEL_ARGUMENTS}\n",
    "syslinux.cfg": f"DEFAULT dmmlab\nLABEL dmmlab\n  LINUX vmlinuz\n  APPEND initrd=initrd.img {KERNEL_ARGUMENTS}\n",
}
"""What the boot loaders of UEFI (systemd-boot) and of BIOS (syslinux) read, by path in the EFI partition."""
