#!/usr/bin/env bash
# A virtual microphone: what is played into it, programs record. Needs no sound card, no D-Bus, no
# root; several can run side by side, each with an XDG_RUNTIME_DIR of its own.
#
#   eval "$(scripts/virtual-mic.sh start)"     exports PULSE_*, XDG_RUNTIME_DIR, ALSA_CONFIG_PATH
#   scripts/virtual-mic.sh play FILE.wav [SINK]
#   scripts/virtual-mic.sh stop
#
# Debian: pulseaudio pulseaudio-utils; for programs that speak ALSA also libasound2-plugins.
set -euo pipefail
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}/vmic-$(id -u)}
export PULSE_SERVER=unix:$XDG_RUNTIME_DIR/pulse.sock
# Unset, blocks of two seconds; at 20, a busy machine loses audio.
export PULSE_LATENCY_MSEC=${PULSE_LATENCY_MSEC:-200}
mkdir -p "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
silence=$XDG_RUNTIME_DIR/silence.pid
case ${1:-} in
start)
  pactl info >/dev/null 2>&1 || pulseaudio --daemonize=yes --exit-idle-time=-1 --disallow-exit=no -n \
    --log-target=file:"$XDG_RUNTIME_DIR/pulse.log" \
    -L "module-native-protocol-unix socket=$XDG_RUNTIME_DIR/pulse.sock auth-anonymous=1" \
    -L "module-null-sink sink_name=vmic rate=48000 channels=2 sink_properties=device.description=vmic" \
    >/dev/null
  for _ in $(seq 50); do pactl info >/dev/null 2>&1 && break; sleep 0.1; done
  pactl set-default-sink vmic
  pactl set-default-source vmic.monitor
  # Silence without end keeps the sink running, so that recordings keep real time.
  if ! kill -0 "$(cat "$silence" 2>/dev/null)" 2>/dev/null; then
    setsid pacat --playback --raw --device=vmic --rate=48000 --channels=2 /dev/zero >/dev/null 2>&1 &
    echo $! > "$silence"
    for _ in $(seq 50); do pactl list short sinks | grep -q RUNNING && break; sleep 0.1; done
    sleep 2.2                                # lets the sink's first block of two seconds pass
  fi
  cat > "$XDG_RUNTIME_DIR/asound.conf" <<C
pcm.!default { type pulse server "$PULSE_SERVER" }
ctl.!default { type pulse server "$PULSE_SERVER" }
C
  echo "export PULSE_SERVER=$PULSE_SERVER XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR PULSE_LATENCY_MSEC=$PULSE_LATENCY_MSEC"
  echo "export ALSA_CONFIG_PATH=/usr/share/alsa/alsa.conf:$XDG_RUNTIME_DIR/asound.conf" ;;
play) paplay --device="${3:-vmic}" "$2" ;;
stop)
  kill "$(cat "$silence")" 2>/dev/null || true
  pulseaudio --kill || true ;;               # the server whose pid file is in XDG_RUNTIME_DIR
*) echo "usage: $0 start | play FILE [SINK] | stop" >&2; exit 2 ;;
esac
