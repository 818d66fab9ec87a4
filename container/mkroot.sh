#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mkroot.sh STAGE ROOT - makes ROOT, the whole file system of the small image, from STAGE (a DESTDIR of our own
# install): the program, every shared library it or a plugin loads, and the few data files that those open by name.
# Runs inside the build stage (Debian with merged /usr); the libraries come from the system that the program was
# linked on.
#   SOURCE_DATE_EPOCH  when not 0: the time of every file, so that equal input gives an equal layer
set -eu

stage=${1:?usage: mkroot.sh STAGE ROOT}
root=${2:?usage: mkroot.sh STAGE ROOT}
arch=$(gcc -print-multiarch)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

is_elf() {
    [ "$(dd if="$1" bs=1 skip=1 count=3 2>/dev/null)" = ELF ]
}

# Prints each path by its place below /usr, and with it every link on the way to the real file.
with_links() {
    while read -r path; do
        while :; do
            path=$(realpath "$(dirname "$path")")/$(basename "$path")
            echo "$path"
            [ -L "$path" ] || break
            target=$(readlink "$path")
            case $target in
            /*) path=$target ;;
            *) path=$(dirname "$path")/$target ;;
            esac
        done
    done
}

# Libraries of our own files, by the loader's own word for it. LD_LIBRARY_PATH stays empty: what resolves here
# resolves in the image, which has the same folders.
libraries() {
    find "$stage" -type f | while read -r file; do
        if is_elf "$file"; then ldd "$file"; fi
    done >"$work/ldd"
    if grep 'not found' "$work/ldd" >&2; then
        echo "mkroot: a library is missing in the build stage" >&2
        exit 1
    fi
    awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' "$work/ldd"
}

# What no ELF header names: libgcc_s is opened by glibc when a thread is cancelled, the charset modules by iconv
# (mail is not all UTF-8), and the configuration and roots by OpenSSL and curl.
by_name() {
    echo "/usr/lib/$arch/libgcc_s.so.1"
    find "/usr/lib/$arch/gconv" -type f
    echo /etc/ssl/openssl.cnf
    echo /etc/ssl/certs/ca-certificates.crt
    echo /usr/lib/os-release
    echo /etc/os-release
}

libraries >"$work/wanted"
by_name >>"$work/wanted"
sort -u "$work/wanted" | with_links | sort -u >"$work/files"

mkdir -p "$root"
for dir in etc/ssl/certs run tmp usr/bin usr/lib/ssl usr/lib64 usr/share/doc var/lib/dpkg/status.d; do
    mkdir -p "$root/$dir"
done
chmod 1777 "$root/tmp"
ln -s usr/bin "$root/bin"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
tar -C / -cf - --no-recursion -T "$work/files" 2>"$work/tar" | tar -C "$root" -xf -
if grep -v 'Removing leading' "$work/tar" >&2; then exit 1; fi
cp -a "$stage/." "$root/"

# Where OpenSSL looks when nobody tells it.
ln -s /etc/ssl/openssl.cnf "$root/usr/lib/ssl/openssl.cnf"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"

cat >"$root/etc/passwd" <<'EOF'
root:x:0:0:root:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin
fragua:x:65532:65532:fragua:/:/usr/sbin/nologin
EOF
cat >"$root/etc/group" <<'EOF'
root:x:0:
nogroup:x:65534:
fragua:x:65532:
EOF
cat >"$root/etc/nsswitch.conf" <<'EOF'
passwd: files
group: files
hosts: files dns
EOF

mkdir -p "$root/usr/share/doc/fragua"
cp "$(dirname "$0")/../LICENSE" "$root/usr/share/doc/fragua/copyright"

# Licences of what was taken, and the package records, one file each, by which scanners know the versions.
xargs dpkg-query -S <"$work/files" 2>/dev/null | sed 's/: .*//' | tr ',' '\n' | tr -d ' ' >"$work/packages"
echo ca-certificates >>"$work/packages"
sort -u "$work/packages" | while read -r package; do
    name=${package%%:*}
    { dpkg-query -s "$package"; echo; } >"$root/var/lib/dpkg/status.d/$name"
    if [ -f "/usr/share/doc/$name/copyright" ]; then
        mkdir -p "$root/usr/share/doc/$name"
        cp -L "/usr/share/doc/$name/copyright" "$root/usr/share/doc/$name/"
    fi
done

ldconfig -X -r "$root"
rm -rf "$root/var/cache"
if find "$root" -perm /6000 | grep . >&2; then
    echo "mkroot: the files above are setuid or setgid" >&2
    exit 1
fi
if [ "${SOURCE_DATE_EPOCH:-0}" != 0 ]; then
    find "$root" -depth -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
fi
