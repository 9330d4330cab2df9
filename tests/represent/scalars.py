"""A second reader of TensorBoard's files, as their format is documented: for tests alone."""

import struct


def scalars(path):
    """Step, tag and value of each scalar; the frame of each record is held against its checksums."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (n,) = struct.unpack("<Q", data[at:at + 8])
        body = data[at + 12:at + 12 + n]
        assert struct.unpack("<I", data[at + 8:at + 12])[0] == masked(data[at:at + 8])
        assert struct.unpack("<I", data[at + 12 + n:at + 16 + n])[0] == masked(body)
        event = fields(body)
        for summary in event.get(5, []):
            for value in fields(summary)[1]:
                inner = fields(value)
                found.append((event[2][0], inner[1][0].decode(), inner[2][0]))
        at += 16 + n
    return found


def masked(data):
    """CRC-32C a bit at a time, rotated and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields(message):
    """Field number -> values, of a protobuf message."""
    at, found = 0, {}
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            value, at = varint(message, at)
        elif key & 7 == 1:
            value, at = struct.unpack("<d", message[at:at + 8])[0], at + 8
        elif key & 7 == 5:
            value, at = struct.unpack("<f", message[at:at + 4])[0], at + 4
        else:
            n, at = varint(message, at)
            value, at = message[at:at + n], at + n
        found.setdefault(key >> 3, []).append(value)
    return found


def varint(message, at):
    number = shift = 0
    while message[at] & 128:
        number |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return number | message[at] << shift, at + 1
