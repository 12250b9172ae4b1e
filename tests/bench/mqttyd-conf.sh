#!/bin/sh
# Writes the configuration for one run from BENCH_DIR, BENCH_HOST, BENCH_PORT, BENCH_BAUD, BENCH_TTYS, BENCH_UP, BENCH_DOWN.
set -eu
out=$BENCH_DIR/mqttyd.toml
cat >"$out" <<EOF
[gateway]
control = "$BENCH_DIR/control.sock"

[[broker.listener]]
address = "$BENCH_HOST:$BENCH_PORT"
EOF
i=0
for tty in $BENCH_TTYS; do
  i=$((i + 1))
  up=$(echo "$BENCH_UP" | cut -d' ' -f$i)
  down=$(echo "$BENCH_DOWN" | cut -d' ' -f$i)
  cat >>"$out" <<EOF

[[port]]
name = "p$i"
path = "$tty"
baud = $BENCH_BAUD
# frames go down as they are, with the newline that they hold
frame = { line = { keep = true } }

[[port.publish]]
topic = "$up"

[[port.command]]
topic = "$down"
qos = 0
queue = 10000
EOF
done
