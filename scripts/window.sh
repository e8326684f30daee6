#!/usr/bin/env bash
# Usage: window.sh start|stop [NUMBER]
# A display in memory for windows to be tested on: Xvfb, openbox (a window manager: titles, focus,
# always on top) and picom (a compositor: real transparency). NUMBER is the display's, 83 if not
# given. "start" prints DISPLAY=…; its processes end with "stop".
# Needs: xvfb xauth libgl1-mesa-dri openbox picom; for tests xdotool wmctrl imagemagick as well.
set -euo pipefail

command=${1:-}
number=${2:-83}
state="${TMPDIR:-/tmp}/partita-window-$number"

start() {
  for needed in Xvfb openbox picom; do
    command -v "$needed" >/dev/null || { echo "$needed is not installed" >&2; exit 1; }
  done
  stop
  mkdir -p "$state/run"
  chmod 700 "$state/run"
  # Nothing of the user's own desktop: no configuration, no session.
  export DISPLAY=":$number" HOME="$state" XDG_RUNTIME_DIR="$state/run"
  unset WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS
  Xvfb "$DISPLAY" -screen 0 1280x800x24 +extension GLX +extension Composite -nolisten tcp \
    >"$state/xvfb.log" 2>&1 &
  echo $! >>"$state/pids"
  for _ in $(seq 100); do
    [[ -e "/tmp/.X11-unix/X$number" ]] && break
    sleep 0.1
  done
  openbox >"$state/openbox.log" 2>&1 &
  echo $! >>"$state/pids"
  picom --backend xrender --no-vsync --config /dev/null >"$state/picom.log" 2>&1 &
  echo $! >>"$state/pids"
  sleep 1
  echo "DISPLAY=$DISPLAY"
}

stop() {
  if [[ -f "$state/pids" ]]; then
    # The display last: what draws on it would only complain.
    tac "$state/pids" | while read -r pid; do
      kill "$pid" 2>/dev/null || true
    done
  fi
  rm -rf "$state"
}

case "$command" in
  start) start ;;
  stop) stop ;;
  *) sed -n '2,7s/^# \?//p' "$0" >&2; exit 2 ;;
esac
