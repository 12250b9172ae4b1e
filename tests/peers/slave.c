/* A Modbus slave made of libmodbus, on the serial port that is given: address 17, RTU.
 *
 * What it holds is what tests/peers/slave.py holds. It says "ready" when it listens. */

#include <errno.h>
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { UNIT = 17, BITS = 40, WRITABLE = 64, MEASURED = 28 };

/* A number of so many words, the most significant first. */
static uint16_t *put(uint16_t *at, uint64_t number, int words)
{
    for (int n = words - 1; n >= 0; n--)
        *at++ = (uint16_t)(number >> (16 * n));
    return at;
}

static uint16_t turned(uint16_t word)
{
    return (uint16_t)(word >> 8 | word << 8);
}

static void measure(uint16_t *at)
{
    const float pi = 3.1415927f;
    const double e = 2.718281828459045;
    const char name[] = "METER-17";
    uint32_t small;
    uint64_t large;
    uint16_t *four;

    at = put(at, 1234, 1);
    at = put(at, (uint16_t)-1234, 1);
    at = put(at, 305419896, 2);
    at = put(at, (uint32_t)-305419896, 2);
    at = put(at, (uint64_t)-81985529216486895LL, 4);
    memcpy(&small, &pi, sizeof small);
    four = put(at, small, 2);
    *four++ = at[1];
    *four++ = at[0];
    *four++ = turned(at[0]);
    *four++ = turned(at[1]);
    *four++ = turned(at[1]);
    *four++ = turned(at[0]);
    memcpy(&large, &e, sizeof large);
    at = put(four, large, 4);
    for (int n = 0; n < 8; n += 2)
        *at++ = (uint16_t)((unsigned char)name[n] << 8 | (unsigned char)name[n + 1]);
    *at++ = 0x8050;
    *at++ = 0x0201;
}

int main(int argc, char **argv)
{
    modbus_t *line = argc > 1 ? modbus_new_rtu(argv[1], 19200, 'N', 8, 1) : NULL;
    modbus_mapping_t *map = modbus_mapping_new(BITS, BITS, WRITABLE, MEASURED);

    if (line == NULL || map == NULL || modbus_set_slave(line, UNIT) != 0 || modbus_connect(line) != 0) {
        fprintf(stderr, "%s\n", modbus_strerror(errno));
        return 1;
    }
    for (int n = 0; n < BITS; n++)
        map->tab_bits[n] = map->tab_input_bits[n] = (uint8_t)(n * n / 3 % 2);
    measure(map->tab_input_registers);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
        int length = modbus_receive(line, request);

        if (length > 0)
            modbus_reply(line, request, length, map);
        else if (length < 0 && errno == EIO)
            return 0;
    }
}
