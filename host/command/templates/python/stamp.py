"""Writes name, version, description and licence into a component: stamp.py FILE. They come from extension.json."""

import json
import sys
from pathlib import Path


def number(value):
    """An unsigned number as WebAssembly writes it (LEB128)."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def text(value):
    return number(len(value.encode())) + value.encode()


def section(name, content):
    body = text(name) + content
    return b"\0" + number(len(body)) + body


component = Path(sys.argv[1])
about = json.loads(Path(__file__).with_name("extension.json").read_text())
name = text(about["name"])
stamps = section("component-name", b"\0" + number(len(name)) + name)
for key in ["version", "description", "licenses"]:
    stamps += section(key, about[key].encode())
component.write_bytes(component.read_bytes() + stamps)
