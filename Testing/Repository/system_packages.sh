#!/bin/sh
# The Debian/Ubuntu packages that the virtual environment and the Slicer tests need.
#
#   system_packages.sh python   a Python that can make virtual environments
#   system_packages.sh tests    that, and the libraries behind offscreen Qt and VTK
#   system_packages.sh benchmarks   that Python, and the programs that TomoRay is timed beside
#
# Missing ones are installed when this runs as root, and named in one apt line otherwise. `tests`
# and `benchmarks` may go on without them: they then say what they miss.
set -eu

tests_packages="libegl1 libegl-mesa0 libgl1 libglx0 libgl1-mesa-dri libx11-6 libglib2.0-0 \
libfontconfig1 libfreetype6 libxkbcommon0 libdbus-1-3 fonts-dejavu-core"

python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "TomoRay needs Python 3.11 or newer; '$python' is not that." >&2
    echo "Name another one: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

missing=""
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="python3-venv"

case "${1:-tests}" in
tests) packages="$tests_packages" ;;
benchmarks) packages="plastimatch" ;;
*) packages="" ;;
esac

if [ -n "$packages" ] && command -v dpkg-query >/dev/null 2>&1; then
    for package in $packages; do
        # Debian 13 and Ubuntu 24.04 call some libraries NAMEt64 and let them provide NAME.
        state="$(dpkg-query -W -f '${Status} ' "$package" "${package}t64" 2>/dev/null || true)"
        case "$state" in
        *"install ok installed"*) ;;
        *) missing="$missing $package" ;;
        esac
    done
fi

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    # shellcheck disable=SC2086  # a list of words
    apt-get install -q -y --no-install-recommends $missing
    exit 0
fi

echo "These system packages are missing; install them once with" >&2
echo "    sudo apt-get update && sudo apt-get install -y $(echo $missing)" >&2
case "$missing" in
*python3-venv*) exit 1 ;;
esac
