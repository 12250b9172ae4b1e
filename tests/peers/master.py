"""A Modbus master made of pymodbus, on the serial port that is given. It asks the slave of address 17 what the lines
of its input say, which are those of tests/peers/master.c, and prints what was answered. It says "ready" first.
"""

import sys

from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient

UNIT = 17


def ask(client, verb, numbers):
    at, rest = numbers[0], numbers[1:]
    to = {"device_id": UNIT}
    match verb:
        case "coils":
            return client.read_coils(at, count=rest[0], **to), "bits", rest[0]
        case "discrete":
            return client.read_discrete_inputs(at, count=rest[0], **to), "bits", rest[0]
        case "holding":
            return client.read_holding_registers(at, count=rest[0], **to), "registers", rest[0]
        case "input":
            return client.read_input_registers(at, count=rest[0], **to), "registers", rest[0]
        case "coil":
            return client.write_coil(at, bool(rest[0]), **to), None, 0
        case "register":
            return client.write_register(at, rest[0], **to), None, 0
        case "write-coils":
            return client.write_coils(at, [bool(bit) for bit in rest], **to), None, 0
        case "write-registers":
            return client.write_registers(at, rest, **to), None, 0
        case "mask":
            return client.mask_write_register(address=at, and_mask=rest[0], or_mask=rest[1], **to), None, 0
        case "read-write":
            count, write, *values = rest
            answer = client.readwrite_registers(
                read_address=at, read_count=count, write_address=write, values=values, **to
            )
            return answer, "registers", count
    raise ValueError(verb)


def told(answer, what, count):
    if answer.isError():
        return f"exception {answer.exception_code}"
    if what is None:
        return "done"
    return " ".join(str(int(value)) for value in getattr(answer, what)[:count])


def main(port, framer):
    client = ModbusSerialClient(port, framer=framer, baudrate=19200, timeout=10, retries=0)
    client.connect()
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *numbers = line.split()
        print(told(*ask(client, verb, [int(number) for number in numbers])), flush=True)


main(sys.argv[1], FramerType.ASCII if "ascii" in sys.argv[2:] else FramerType.RTU)
