#!/bin/sh
# Install the Debian packages of tests/debian-packages.txt where that is allowed; say what is missing otherwise. Never fails.
# SPDX-License-Identifier: Apache-2.0
list=$(dirname "$0")/debian-packages.txt
command -v dpkg-query >/dev/null || { echo "not Debian: the tools of $list are taken as they are"; exit 0; }
missing=
for package in $(grep -v '^#' "$list"); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else
    echo "missing Debian packages:$missing"
    echo "  some tests will be skipped; to have them: sudo apt-get install$missing"
    exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
{ $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
    echo "some of these could not be installed; tests that need them will be skipped"
