"""Message catalogs as programs have them, written by the format's own rules."""

import struct
from pathlib import Path


def write_catalog(path: Path, messages: dict[str, str], charset: str = "utf-8", encoding: str | None = None) -> Path:
    """A *.mo file with these messages; their bytes are in `encoding` (that of the header where it says nothing)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"": f"Content-Type: text/plain; charset={charset}\nPlural-Forms: nplurals=2; plural=n != 1;\n", **messages}
    pairs = [(a.encode(encoding or charset), b.encode(encoding or charset)) for a, b in sorted(rows.items())]
    start = 28 + 16 * len(pairs)
    tables, data = ([], []), b""
    for side in (0, 1):
        for pair in pairs:
            tables[side].append(struct.pack("<2I", len(pair[side]), start + len(data)))
            data += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    path.write_bytes(head + b"".join(tables[0] + tables[1]) + data)
    return path
