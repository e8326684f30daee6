#!/bin/sh
# Packs the built program with its desktop file, icons, licences and an installer.
# Usage: scripts/tarball.sh PROGRAM FOLDER — writes FOLDER/partita-VERSION-SYSTEM.tar.gz
set -eu

program=$1
folder=$2
cd "$(dirname "$0")/.."
version=$("$program" --version | cut -d ' ' -f 2)
name=partita-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$work/$name
mkdir -p "$root/bin" "$root/share/applications" "$root/share/doc/partita"
install -m 755 "$program" "$root/bin/partita"
strip "$root/bin/partita" 2>/dev/null || true
install -m 644 assets/partita.desktop "$root/share/applications/"
for size in 32 128 256; do
    icons=$root/share/icons/hicolor/${size}x$size/apps
    mkdir -p "$icons"
    install -m 644 "assets/icons/partita-$size.png" "$icons/partita.png"
done
mkdir -p "$root/share/icons/hicolor/scalable/apps"
install -m 644 assets/icons/partita.svg "$root/share/icons/hicolor/scalable/apps/"
mkdir -p "$root/share/partita/models"
install -m 644 assets/models/* "$root/share/partita/models/"
install -m 644 README.md LICENSE-MIT LICENSE-APACHE "$root/share/doc/partita/"
cat > "$root/install.sh" <<'INSTALL'
#!/bin/sh
# Installs Partita below a prefix: sh install.sh [PREFIX], ~/.local when none is given.
set -eu
prefix=${1:-$HOME/.local}
cd "$(dirname "$0")"
mkdir -p "$prefix"
cp -r bin share "$prefix/"
echo "Partita is in $prefix/bin/partita"
case ":$PATH:" in
    *":$prefix/bin:"*) ;;
    *) echo "$prefix/bin is not in PATH yet" ;;
esac
INSTALL
chmod 755 "$root/install.sh"
mkdir -p "$folder"
tar -C "$work" --owner=0 --group=0 --sort=name -czf "$folder/$name.tar.gz" "$name"
echo "$folder/$name.tar.gz"
