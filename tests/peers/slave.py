"""A Modbus slave made of pymodbus, on the serial port that is given: address 17, RTU or ASCII.

What it holds is what tests/peers/slave.c holds. It says "ready" when it listens.
"""

import asyncio
import struct
import sys

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

UNIT = 17


def words(form, *values):
    """Numbers as registers, the most significant byte first."""
    data = struct.pack(">" + form, *values)
    return list(struct.unpack(f">{len(data) // 2}H", data))


def swapped(registers):
    """The words of each number in the other order."""
    return registers[::-1]


def turned(registers):
    """The bytes of each word in the other order."""
    return [(word >> 8) | ((word & 255) << 8) for word in registers]


def measured():
    """The values that only can be read, from address 0 on."""
    pi = words("f", 3.1415927)
    return (
        words("HhIi", 1234, -1234, 305419896, -305419896)  # 0, 1, 2, 4
        + words("q", -81985529216486895)  # 6
        + pi + swapped(pi) + turned(pi) + turned(swapped(pi))  # 10, 12, 14, 16
        + words("d", 2.718281828459045)  # 18
        + words("8s", b"METER-17")  # 22
        + [0x8050, 0x0201]  # 26, 27
    )


def bits(count):
    """Bits without a pattern that another order would have, too."""
    return [(n * n // 3) % 2 == 1 for n in range(count)]


async def main(port, framer):
    device = SimDevice(
        id=UNIT,
        simdata=(
            [SimData(0, values=bits(40), datatype=DataType.BITS)],
            [SimData(0, values=bits(40), datatype=DataType.BITS)],
            [SimData(0, values=[0] * 64, datatype=DataType.REGISTERS)],
            [SimData(0, values=measured(), datatype=DataType.REGISTERS)],
        ),
    )
    server = ModbusSerialServer(device, framer=framer, port=port, baudrate=19200, broadcast_enable=True)
    await server.serve_forever(background=True)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], FramerType.ASCII if "ascii" in sys.argv[2:] else FramerType.RTU))
