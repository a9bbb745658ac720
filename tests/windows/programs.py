"""Three small Windows programs, written byte by byte, so that no compiler for Windows is needed.

    python.exe             runs Py_Main of python3XX.dll with its command line
    python3.dll            forwards each name to python3XX.dll, for wheels with the stable ABI
    bcryptprimitives.dll   ProcessPrng, which programs in Rust ask for and Wine 8 lacks: forwards
                           to advapi32.SystemFunction036 (RtlGenRandom), which takes the same

The format is that of Microsoft's "PE Format"; names of fields are from there.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

_FILE_ALIGNMENT, _SECTION = 0x200, 0x1000
_IMAGE_BASE = 0x140000000
_MACHINE_AMD64 = 0x8664
_IS_EXECUTABLE, _IS_DLL = 0x0022, 0x2022
_CONSOLE = 3
_READ_WRITE_EXECUTE_CODE = 0xE0000020
_CODE_SIZE = 0x80
Directory = tuple[int, int]
"""Where a table is in memory, and its size."""
_NONE: Directory = (0, 0)


def write_all(folder: Path, version: str) -> None:
    """Write the three programs.

    Args:
        folder: has ``python{version}.dll``.
        version: such as ``311``.
    """
    library = f"python{version}"
    (folder / "python.exe").write_bytes(_launcher(f"{library}.dll"))
    names = [name for name in _exports(folder / f"{library}.dll") if name.startswith(("Py", "_Py"))]
    _write_forwarder(folder / "python3.dll", {name: f"{library}.{name}" for name in names})
    _write_forwarder(folder / "bcryptprimitives.dll", {"ProcessPrng": "advapi32.SystemFunction036"})


def _image(
    body: bytes,
    characteristics: int,
    entry: int = 0,
    exports: Directory = _NONE,
    imports: Directory = _NONE,
) -> bytes:
    """A PE32+ file whose only section, at `_SECTION`, may be read, written and executed."""
    raw = -(-len(body) // _FILE_ALIGNMENT) * _FILE_ALIGNMENT
    image_size = _SECTION + -(-len(body) // _SECTION) * _SECTION
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", _MACHINE_AMD64, 1, 0, 0, 0, 0xF0, characteristics)
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, raw, 0, 0, entry, _SECTION)
    optional += struct.pack("<QII", _IMAGE_BASE, _SECTION, _FILE_ALIGNMENT)
    optional += struct.pack("<HHHHHH", 6, 0, 0, 0, 6, 0)
    optional += struct.pack("<IIIIHH", 0, image_size, _FILE_ALIGNMENT, 0, _CONSOLE, 0)
    optional += struct.pack("<QQQQII", 1 << 20, 1 << 12, 1 << 20, 1 << 12, 0, 16)
    directories = struct.pack("<4I", *exports, *imports).ljust(16 * 8, b"\0")
    section = struct.pack("<8sIIII", b".all", len(body), _SECTION, raw, _FILE_ALIGNMENT)
    section += struct.pack("<IIHHI", 0, 0, 0, 0, _READ_WRITE_EXECUTE_CODE)
    head = dos + coff + optional + directories + section
    return head.ljust(_FILE_ALIGNMENT, b"\0") + body.ljust(raw, b"\0")


class _Texts:
    """Texts behind the tables of a section.

    Args:
        start: where in the section the first one is.
    """

    def __init__(self, start: int) -> None:
        self._start = _SECTION + start
        self.data = b""

    def put(self, text: bytes) -> int:
        """Add a text; where it is in memory."""
        where = self._start + len(self.data)
        self.data += text + b"\0" * (1 + len(text) % 2)
        return where


def _write_forwarder(path: Path, targets: Mapping[str, str]) -> None:
    """Write a DLL whose exports are those of others, given as ``dll.export`` by name."""
    names = sorted(targets)
    count = len(names)
    tables = 40 + 10 * count
    texts = _Texts(tables + tables % 2)
    places = [(texts.put(name.encode()), texts.put(targets[name].encode())) for name in names]
    own = texts.put(path.name.encode())
    start = _SECTION + 40
    body = struct.pack("<IIHHIIII", 0, 0, 0, 0, own, 1, count, count)
    body += struct.pack("<III", start, start + 4 * count, start + 8 * count)
    body += struct.pack(f"<{count}I", *(target for _, target in places))
    body += struct.pack(f"<{count}I", *(name for name, _ in places))
    body += struct.pack(f"<{count}H", *range(count)) + b"\0" * (tables % 2) + texts.data
    path.write_bytes(_image(body, _IS_DLL, exports=(_SECTION, len(body))))


def _launcher(python: str) -> bytes:
    """A console program that is ``return Py_Main(argc, argv)`` with the DLL `python`."""
    imported = {
        "kernel32.dll": ["GetCommandLineW", "ExitProcess"],
        "shell32.dll": ["CommandLineToArgvW"],
        python: ["Py_Main"],
    }
    descriptors_size = 20 * (len(imported) + 1)
    thunks_size = sum(8 * (len(names) + 1) for names in imported.values())
    lookup_at = _CODE_SIZE + descriptors_size
    address_at = lookup_at + thunks_size
    texts = _Texts(address_at + thunks_size)
    descriptors, thunks = b"", b""
    places: dict[str, int] = {}
    for library, names in imported.items():
        at = len(thunks)
        descriptors += struct.pack(
            "<5I",
            _SECTION + lookup_at + at,
            0,
            0,
            texts.put(library.encode()),
            _SECTION + address_at + at,
        )
        for name in names:
            places[name] = _SECTION + address_at + len(thunks)
            thunks += struct.pack("<Q", texts.put(b"\0\0" + name.encode()))
        thunks += bytes(8)
    code = _code(places).ljust(_CODE_SIZE, b"\xcc")
    body = code + descriptors + bytes(20) + thunks + thunks + texts.data
    imports = (_SECTION + _CODE_SIZE, descriptors_size)
    return _image(body, _IS_EXECUTABLE, entry=_SECTION, imports=imports)


def _code(places: Mapping[str, int]) -> bytes:
    """The launcher's instructions; `places` tells where the address of each function is."""
    code = b"\x48\x83\xec\x38"  # sub rsp, 0x38
    steps = (
        ("GetCommandLineW", b"\x48\x89\xc1\x48\x8d\x54\x24\x28"),  # mov rcx, rax; lea rdx, [rsp+28]
        ("CommandLineToArgvW", b"\x8b\x4c\x24\x28\x48\x89\xc2"),  # mov ecx, [rsp+28]; mov rdx, rax
        ("Py_Main", b"\x89\xc1"),  # mov ecx, eax
        ("ExitProcess", b""),
    )
    for name, after in steps:
        # call [rip + distance]
        code += b"\xff\x15" + struct.pack("<i", places[name] - (_SECTION + len(code) + 6)) + after
    return code


def _exports(library: Path) -> list[str]:
    """The names that a DLL exports."""
    data = library.read_bytes()
    (header,) = struct.unpack_from("<I", data, 0x3C)
    (sections,) = struct.unpack_from("<H", data, header + 6)
    (optional_size,) = struct.unpack_from("<H", data, header + 20)
    optional = header + 24
    (directory,) = struct.unpack_from("<I", data, optional + 112)

    def at(address: int) -> int:
        """Where in the file is what will be at `address`."""
        for number in range(sections):
            place = optional + optional_size + 40 * number
            size, start, raw_size, raw = struct.unpack_from("<IIII", data, place + 8)
            if start <= address < start + max(size, raw_size):
                return int(address - start + raw)
        raise ValueError(f"{library} has no section with {address:#x}")

    count, _, names = struct.unpack_from("<III", data, at(directory) + 24)
    found = []
    for number in range(count):
        (name,) = struct.unpack_from("<I", data, at(names) + 4 * number)
        start = at(name)
        found.append(data[start : data.index(b"\0", start)].decode())
    return found
