/* A Modbus master made of libmodbus, on the serial port that is given. It asks the slave of address 17 what the lines
 * of its input say, which are those of tests/peers/master.py, and prints what was answered. It says "ready" first. */

#include <errno.h>
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT = 17, MOST = 130, PATIENCE = 10 };

static int is(const char *verb, const char *name)
{
    return strcmp(verb, name) == 0;
}

/* Asks; gives how many values came, 0 for none, or -1. */
static int ask(modbus_t *line, const char *verb, int at, const int *rest, int count, uint16_t *words, uint8_t *bits)
{
    for (int n = 0; n < count; n++) {
        words[n] = (uint16_t)rest[n];
        bits[n] = (uint8_t)rest[n];
    }
    if (is(verb, "coils"))
        return modbus_read_bits(line, at, rest[0], bits);
    if (is(verb, "discrete"))
        return modbus_read_input_bits(line, at, rest[0], bits);
    if (is(verb, "holding"))
        return modbus_read_registers(line, at, rest[0], words);
    if (is(verb, "input"))
        return modbus_read_input_registers(line, at, rest[0], words);
    if (is(verb, "coil"))
        return modbus_write_bit(line, at, rest[0]) < 0 ? -1 : 0;
    if (is(verb, "register"))
        return modbus_write_register(line, at, (uint16_t)rest[0]) < 0 ? -1 : 0;
    if (is(verb, "write-coils"))
        return modbus_write_bits(line, at, count, bits) < 0 ? -1 : 0;
    if (is(verb, "write-registers"))
        return modbus_write_registers(line, at, count, words) < 0 ? -1 : 0;
    if (is(verb, "mask"))
        return modbus_mask_write_register(line, at, (uint16_t)rest[0], (uint16_t)rest[1]) < 0 ? -1 : 0;
    if (is(verb, "read-write")) {
        uint16_t written[MOST];

        memcpy(written, words + 2, sizeof *words * (size_t)(count - 2));
        return modbus_write_and_read_registers(line, rest[1], count - 2, written, at, rest[0], words);
    }
    fprintf(stderr, "no such verb: %s\n", verb);
    exit(1);
}

int main(int argc, char **argv)
{
    modbus_t *line = argc > 1 ? modbus_new_rtu(argv[1], 19200, 'N', 8, 1) : NULL;
    char text[2048];

    if (line == NULL || modbus_set_slave(line, UNIT) != 0 || modbus_connect(line) != 0) {
        fprintf(stderr, "%s\n", modbus_strerror(errno));
        return 1;
    }
    modbus_set_response_timeout(line, PATIENCE, 0);
    printf("ready\n");
    fflush(stdout);
    while (fgets(text, sizeof text, stdin) != NULL) {
        int rest[MOST], count = 0, is_bits, came;
        uint16_t words[MOST];
        uint8_t bits[MOST];
        char *verb = strtok(text, " \n"), *at = strtok(NULL, " \n"), *number;

        if (verb == NULL || at == NULL)
            continue;
        while (count < MOST && (number = strtok(NULL, " \n")) != NULL)
            rest[count++] = atoi(number);
        is_bits = is(verb, "coils") || is(verb, "discrete");
        came = ask(line, verb, atoi(at), rest, count, words, bits);
        if (came < 0 && errno > MODBUS_ENOBASE && errno <= MODBUS_ENOBASE + 11)
            printf("exception %d", errno - MODBUS_ENOBASE);
        else if (came < 0)
            printf("%s", modbus_strerror(errno));
        else if (came == 0)
            printf("done");
        for (int n = 0; n < came; n++)
            printf(n > 0 ? " %d" : "%d", is_bits ? bits[n] : words[n]);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
