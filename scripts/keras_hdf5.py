"""Reads a small part of HDF5: what Keras 3 writes as `.weights.h5`, uncompressed arrays of f32 in groups of the oldest kind
(HDF5 file format specification 3.0: superblock 0, symbol tables, object headers 1, contiguous layout). Everything else
is an error that says what was found."""

import struct

UNDEFINED = 2**64 - 1
DATASPACE, DATATYPE, LAYOUT, CONTINUATION, SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x10, 0x11


class Unreadable(Exception):
    """The file is not of the kind that is read here."""


def read(data):
    """Every array of the file: its path with slashes, its shape and its bytes (little-endian f32)."""
    if data[:8] != b"\x89HDF\r\n\x1a\n":
        raise Unreadable("it is no HDF5 file")
    version, offsets, lengths = data[8], data[13], data[14]
    if (version, offsets, lengths) != (0, 8, 8):
        raise Unreadable(f"its superblock is of version {version} with {offsets}- and {lengths}-byte numbers")
    # The entry of the root group: the offset of its name, then the address of its header.
    root, = struct.unpack_from("<Q", data, 24 + 4 * 8 + 8)
    return dict(arrays(data, root, ""))


def arrays(data, address, path):
    """The arrays in the object at `address`, group or array."""
    found = {kind: body for kind, body in messages(data, address)}
    if SYMBOL_TABLE in found:
        tree, heap = struct.unpack_from("<QQ", found[SYMBOL_TABLE])
        for name, child in entries(data, tree, names(data, heap)):
            yield from arrays(data, child, f"{path}/{name}" if path else name)
    elif LAYOUT in found:
        yield path, array(data, path, found)


def messages(data, address):
    """Kind and body of every message of an object header."""
    version, count, length = data[address], *struct.unpack_from("<H4xI", data, address + 2)
    if version != 1:
        raise Unreadable(f"an object header is of version {version}")
    blocks = [(address + 16, length)]
    while blocks:
        at, length = blocks.pop(0)
        end = at + length
        while at + 8 <= end and count:
            kind, size = struct.unpack_from("<HH", data, at)
            body = data[at + 8:at + 8 + size]
            if kind == CONTINUATION:
                blocks.append(struct.unpack_from("<QQ", body))
            else:
                yield kind, body
            at, count = at + 8 + size, count - 1


def names(data, heap):
    """Where the names of a group's entries lie."""
    expect(data, heap, b"HEAP")
    return struct.unpack_from("<Q", data, heap + 24)[0]


def entries(data, tree, heap):
    """Name and header of every entry of a group, from the leaves of its tree."""
    expect(data, tree, b"TREE")
    kind, level, used = struct.unpack_from("<BBH", data, tree + 4)
    if kind != 0:
        raise Unreadable("a tree of a group is none of names")
    for child in range(used):
        # After the addresses of the neighbours, keys and children in turn.
        node, = struct.unpack_from("<Q", data, tree + 24 + 8 + 16 * child)
        if level:
            yield from entries(data, node, heap)
            continue
        expect(data, node, b"SNOD")
        count, = struct.unpack_from("<H", data, node + 6)
        for entry in range(count):
            name, header = struct.unpack_from("<QQ", data, node + 8 + 40 * entry)
            yield data[heap + name:data.index(b"\0", heap + name)].decode(), header


def array(data, path, found):
    """Shape and bytes of an array, checked for being contiguous f32."""
    if DATASPACE not in found or DATATYPE not in found:
        raise Unreadable(f"{path} has no shape or no type")
    space, datatype, layout = found[DATASPACE], found[DATATYPE], found[LAYOUT]
    if space[0] != 1:
        raise Unreadable(f"the shape of {path} is of version {space[0]}")
    shape = struct.unpack_from(f"<{space[1]}Q", space, 8)
    # Class 1 is a float; the bits after it say little-endian and where the sign is; then its size in bytes.
    if datatype[0] & 0x0F != 1 or datatype[1] & 1 or struct.unpack_from("<I", datatype, 4) != (4,):
        raise Unreadable(f"{path} is not of little-endian f32")
    if layout[0] != 3 or layout[1] != 1:
        raise Unreadable(f"{path} does not lie in one piece")
    address, size = struct.unpack_from("<QQ", layout, 2)
    count = 1
    for side in shape:
        count *= side
    if address == UNDEFINED or size != 4 * count or address + size > len(data):
        raise Unreadable(f"{path} is not whole")
    return list(shape), data[address:address + size]


def expect(data, address, signature):
    if data[address:address + 4] != signature:
        raise Unreadable(f"no {signature.decode()} where one should be, at {address}")
