#!/usr/bin/env python3
"""Writes one small honest file of each image format, for the fuzzer to start from: seeds.py FOLDER."""
import struct
import sys
from pathlib import Path


def at(size, *parts):
    """Zeros with bytes at offsets."""
    file = bytearray(size)
    for offset, data in parts:
        file[offset:offset + len(data)] = data
    return bytes(file)


def qcow2(version):
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, 0, 0, 9, 1 << 20, 0, 1, 1024, 512, 1, 0, 0)
    return at(2048, (0, header), (72, struct.pack(">QQQII", 0, 0, 0, 4, 104)), (104, struct.pack(">II", 0x6803F857, 16)))


def vmdk(kind, footer=False):
    text = (f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="{kind}"\n'
            'RW 2048 SPARSE "a.vmdk"\nddb.adapterType = "ide"\n').encode()
    fields = struct.pack("<4sIIQQQQIQ", b"KDMV", 3, 3, 2048, 128, 1, 2, 512, 21)
    parts = [(0, fields + struct.pack("<Q", 2**64 - 1 if footer else 26)), (512, text)]
    if footer:
        parts += [(4096 - 1536 + 12, b"\x03"), (4096 - 1024, fields + struct.pack("<Q", 26))]
    return at(4096, *parts)


def vhd(kind):
    return at(512, (0, b"conectix"), (48, struct.pack(">Q", 1 << 20)), (60, struct.pack(">I", kind)))


def vhdx():
    guid = bytes.fromhex
    metadata = 320 << 10
    region = b"regi" + struct.pack("<III", 0, 1, 0) + guid("06a27c8b90479a4bb8fe575f050f886e") + struct.pack("<QII", metadata, 4096, 1)
    items = [("2442a52f1bcd7648b2115dbed83bf4b8", 1024), ("3767a1ca36fa434db3b633f0aa44e76b", 1032)]
    table = b"".join(guid(name) + struct.pack("<IIII", offset, 8, 0, 0) for name, offset in items)
    return at(metadata + 2048, (0, b"vhdxfile"), (192 << 10, region), (256 << 10, region),
              (metadata, b"metadata" + struct.pack("<HH", 0, 2)), (metadata + 32, table),
              (metadata + 1024, struct.pack("<Q", 1 << 30)))


SEEDS = {
    "raw": b"\x07" * 600,
    "partitions": at(512, (446, b"\x80" + bytes(3) + b"\x83"), (510, b"\x55\xaa")),
    "iso": at(36 << 10, (32 << 10, b"\x01CD001"), ((32 << 10) + 80, b"\x12"), ((32 << 10) + 128, struct.pack("<H", 2048))),
    "qcow2-2": qcow2(2),
    "qcow2-3": qcow2(3),
    "vmdk": vmdk("monolithicSparse"),
    "vmdk-stream": vmdk("streamOptimized", footer=True),
    "vmdk-text": b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 1 FLAT "a" 0\n',
    "vdi": at(512, (0x40, struct.pack("<I", 0xBEDA107F)), (0x4C, b"\x01"), (0x170, struct.pack("<Q", 1 << 20))),
    "vhd-dynamic": vhd(3) + bytes(1024) + vhd(3),
    "vhd-fixed": bytes(1024) + vhd(2),
    "vhdx": vhdx(),
    "qed": b"QED\0" + bytes(60),
    "luks": b"LUKS\xba\xbe" + bytes(600),
    "ploop": b"WithouFreSpacExt" + bytes(48),
}

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, file in SEEDS.items():
    (folder / f"seed-{name}").write_bytes(file)
