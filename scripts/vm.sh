#!/usr/bin/env bash
# Boots a stock Debian kernel in QEMU and runs tests there that this machine's kernel may not allow:
# kernel TLS (CONFIG_TLS), filters of io_uring (Linux 7.2: --suite trixie-backports), and what a network
# that loses and delays packets (netem) shows: the relay, and how fast uploads are by HTTP/2.
#
#   scripts/vm.sh                               builds the tests, then runs both groups of them
#   scripts/vm.sh --tls BINARY                  kernel TLS and filters, from a test binary that was built
#                                               before; may be given several times
#   scripts/vm.sh --relay BINARY                the relay under netem, likewise, alone or both
#   scripts/vm.sh --upload PROGRAM              uploads to `ringway` over 100 ms there and back: by HTTP/2
#                                               they have to be as fast as by HTTP/1.1 (upload.sh)
#   scripts/vm.sh -- COMMAND [ARGUMENT...]      a command of your own, in the project's folder
#
# Options:
#   --cache DIR     downloads and the unpacked kernel (default: target/vm)
#   --suite SUITE   the Debian suite that the kernel is from (default: this system's backports,
#                   and if those have none, what apt knows)
#   --seconds N     limit of the guest's whole run (default: 900)
#   --loss P        percent of lost packets, each way (default: 0.5)
#   --delay MS      delay of each packet in milliseconds, each way (default: 3); uploads have 50
#   --mib N         size of an upload (default: 100)
#
# The processor is emulated (TCG): answers are right, timings mean nothing but where packets wait for
# longer than it computes, as those of an upload do. The guest sees this
# system's files read-only, by 9p under an overlay in its memory: what it writes is gone at the end.
#
# Exit codes:
#   0  all that was asked for ran and passed
#   1  something ran and failed
#   2  wrong usage
#   3  it could not run: no program, no download, no kernel, or a guest that does not boot
#   4  the time limit was reached
# Limits: 300 s for each download or installation, and --seconds for the guest.
#
# Needs Debian with apt-get, dpkg-deb, xz and cargo (unless binaries are given). Installs
# qemu-system-x86 if that is missing and we may; all else is downloaded and unpacked in the cache.
set -euo pipefail

NAME=vm.sh
DOWNLOAD_MAX=300
PROJECT=$(cd "$(dirname "$0")/.." && pwd)

usage() { sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "$PROJECT/scripts/vm.sh"; }
say() { printf '%s: %s\n' "$NAME" "$*"; }
# Says why nothing could be run.
cannot() { printf '%s: COULD NOT RUN: %s\n' "$NAME" "$*" >&2; exit 3; }
wrong() { printf '%s: %s (see %s --help)\n' "$NAME" "$*" "$NAME" >&2; exit 2; }

cache=$PROJECT/target/vm
suite=
seconds=900
loss=0.5
delay=3
mib=100
upload=
tls=()
relay=
command=()
while (($#)); do
    case "$1" in
        --tls) (($# >= 2)) || wrong "$1 needs a value"; tls+=("$2"); shift 2 ;;
        --cache | --suite | --seconds | --loss | --delay | --relay | --mib | --upload)
            (($# >= 2)) || wrong "$1 needs a value"
            declare "${1#--}=$2"
            shift 2
            ;;
        --) shift; (($#)) || wrong "no command after --"; command=("$@"); break ;;
        -h | --help) usage; exit 0 ;;
        *) wrong "what is $1?" ;;
    esac
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || wrong "--seconds $seconds is no number"
[[ $loss =~ ^[0-9]+(\.[0-9]+)?$ ]] || wrong "--loss $loss is no number"
[[ $mib =~ ^[1-9][0-9]*$ ]] || wrong "--mib $mib is no number"
[[ $delay =~ ^[0-9]+$ ]] || wrong "--delay $delay is no number"
for binary in "${tls[@]}" "$relay" "$upload"; do
    [[ -z $binary || -x $binary ]] || wrong "$binary cannot be executed"
done
[[ $(uname -m) == x86_64 ]] || cannot "the kernel that is booted is for x86_64, this is $(uname -m)"

for program in apt-get apt-cache dpkg-deb xz timeout; do
    command -v "$program" >/dev/null || cannot "$program is missing"
done
if ! command -v qemu-system-x86_64 >/dev/null; then
    say "installing qemu-system-x86"
    timeout "$DOWNLOAD_MAX" apt-get install -y --no-install-recommends qemu-system-x86 \
        >/dev/null 2>&1 || cannot "qemu-system-x86 is missing and cannot be installed"
fi

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# Package lists of our own, so that the system's stay as they are.
apt_options=()
use_suite() {
    local lists=$cache/apt/$1
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    printf 'deb [signed-by=%s] http://deb.debian.org/debian %s main\n' \
        /usr/share/keyrings/debian-archive-keyring.gpg "$1" >"$lists/sources.list"
    apt_options=(-o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$lists/lists" -o "Dir::Cache=$lists/cache")
    timeout "$DOWNLOAD_MAX" apt-get "${apt_options[@]}" -qq update >/dev/null 2>&1
}
# The package that linux-image-amd64 stands for.
kernel_package() {
    apt-cache "${apt_options[@]}" depends linux-image-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}
find_kernel() {
    local codename
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    for candidate in ${suite:-"$codename-backports"}; do
        if use_suite "$candidate"; then
            package=$(kernel_package)
            [[ -z $package ]] || return 0
        fi
    done
    [[ -z $suite ]] || return 1
    apt_options=()
    package=$(kernel_package)
    [[ -n $package ]]
}
# The packages that a kernel's package has its files in, itself among them: newer ones are split.
kernel_parts() {
    printf '%s\n' "$1"
    apt-cache "${apt_options[@]}" depends "$1" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-\(binary\|image\|modules\)-[0-9].*\)$/\1/p'
}
# Downloads packages without installing them, and unpacks them into one folder.
unpack() {
    local into=$1 folder
    shift
    folder=$(mktemp -d "$cache/download.XXXXXX")
    (cd "$folder" && timeout "$DOWNLOAD_MAX" apt-get "${apt_options[@]}" -qq download "$@") \
        >/dev/null 2>&1 || { rm -rf "$folder"; cannot "apt cannot download: $*"; }
    rm -rf "$into.part"
    mkdir -p "$into.part"
    for archive in "$folder"/*.deb; do
        dpkg-deb -x "$archive" "$into.part" || cannot "$(basename "$archive") cannot be unpacked"
    done
    rm -rf "$folder"
    mv "$into.part" "$into"
}

if [[ ! -d $cache/busybox ]]; then
    say "downloading busybox-static"
    unpack "$cache/busybox" busybox-static
fi
busybox=$(find "$cache/busybox" -type f -path '*/bin/busybox' | head -n 1)
[[ -n $busybox ]] || cannot "busybox-static has no busybox"

known=$cache/kernel-${suite:-default}
if [[ ! -s $known ]]; then
    find_kernel || cannot "apt has no linux-image-amd64${suite:+ in $suite}"
    if [[ ! -d $cache/$package ]]; then
        say "downloading $package"
        mapfile -t parts < <(kernel_parts "$package")
        unpack "$cache/$package" "${parts[@]}"
    fi
    printf '%s\n' "$package" >"$known"
fi
kernel=$cache/$(<"$known")
image=$(find "$kernel" -type f -name 'vmlinuz*' | head -n 1)
[[ -n $image ]] || cannot "$(basename "$kernel") has no kernel"
modules=$(find "$kernel" -type d -path '*/modules/*/kernel' -prune | head -n 1)
[[ -n $modules ]] || cannot "$(basename "$kernel") has no modules"
modules=${modules%/kernel}
version=${modules##*/}

work=$(mktemp -d "$cache/run.XXXXXX")
qemu=
finish() {
    [[ -z $qemu ]] || kill "$qemu" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# What the guest runs: one line each, "NAME<tab>COMMAND".
quote() { printf '%q ' "$@"; }
jobs=$work/jobs
if ((${#command[@]})); then
    printf 'command\t%s\n' "$(quote "${command[@]}")" >"$jobs"
else
    if ((${#tls[@]} == 0)) && [[ -z $relay && -z $upload ]]; then
        command -v cargo >/dev/null || cannot "cargo is missing, and no binary is given"
        say "building the tests"
        built=$(cd "$PROJECT" && cargo test --locked --no-run --lib --test e2e 2>&1) ||
            { printf '%s\n' "$built" >&2; cannot "the tests cannot be built"; }
        # Paths are relative to the project, unless the target folder is elsewhere.
        executable() {
            local path
            path=$(sed -n "s/.*Executable.*$1.*(\(.*\))$/\1/p" <<<"$built" | head -n 1)
            (cd "$PROJECT" && realpath -e "$path") 2>/dev/null ||
                cannot "cargo does not say where the tests of $1 are"
        }
        relay=$(executable 'tests.e2e\.rs')
        tls=("$(executable 'src.lib\.rs')" "$relay")
    fi
    : >"$jobs"
    for binary in "${tls[@]}"; do
        binary=$(realpath "$binary")
        # Without a test of that name nothing would run, and nothing would fail.
        grep -q 'on_a_kernel_with_.*: test$' <<<"$("$binary" --list --ignored 2>/dev/null)" ||
            cannot "$binary has no ignored tests named on_a_kernel_with_"
        printf 'kernel TLS, %s\t%s\n' "$(basename "$binary")" \
            "$(quote "$binary" --ignored --nocapture --test-threads=1 on_a_kernel_with_)" >>"$jobs"
    done
    if [[ -n $relay ]]; then
        command -v tc >/dev/null || cannot "tc is missing (package iproute2)"
        relay=$(realpath "$relay")
        grep -q '^relay::.*: test$' <<<"$("$relay" --list 2>/dev/null)" ||
            cannot "$relay has no tests in relay::"
        # The skipped one has a connect timeout of 100 ms, and a lost SYN comes again after a second.
        netem="tc qdisc replace dev lo root netem delay ${delay}ms loss ${loss}%"
        printf 'relay, %s ms and %s %% loss\t%s && %s && tc -s qdisc show dev lo\n' \
            "$delay" "$loss" "$netem" \
            "$(quote "$relay" --test-threads=1 --skip a_silent_server relay::)" >>"$jobs"
    fi
    if [[ -n $upload ]]; then
        command -v tc >/dev/null || cannot "tc is missing (package iproute2)"
        # The queue has room for all that is on its way.
        printf 'upload of %s MiB over 100 ms\t%s && %s\n' "$mib" \
            "tc qdisc replace dev lo root netem delay 50ms limit 100000" \
            "$(quote "$PROJECT/scripts/upload.sh" "$(realpath "$upload")" "$mib")" >>"$jobs"
    fi
fi

# The initramfs: busybox, the few modules that are needed, and a script.
root=$work/root
mkdir -p "$root"/{bin,sbin,proc,sys,dev,tmp,host,new,rw} "$root/lib/modules/$version"
cp "$busybox" "$root/bin/busybox"
for applet in sh mount modprobe mkdir chroot ip poweroff cat; do
    ln -s busybox "$root/bin/$applet"
done
ln -s ../bin/busybox "$root/sbin/modprobe"
cp "$jobs" "$root/jobs"
printf '%s\n' "$PROJECT" >"$root/project"
folders='net/(9p|tls|sched|core)|fs/(9p|overlayfs|netfs|fscache)|crypto|lib|drivers/virtio'
folders="^kernel/($folders|arch/x86/(crypto|lib))/"
(cd "$modules" && find kernel -name '*.ko*' | grep -E "$folders") |
    while read -r module; do
        mkdir -p "$root/lib/modules/$version/$(dirname "$module")"
        plain=$root/lib/modules/$version/${module%.xz}
        case "$module" in
            *.xz) xz -dc "$modules/$module" >"$plain" ;;
            *.ko) cp "$modules/$module" "$plain" ;;
            *) cannot "the module $module is compressed in an unknown way" ;;
        esac
    done
for list in "$modules"/modules.{builtin,order}; do
    [[ ! -e $list ]] || cp "$list" "$root/lib/modules/$version"
done
(cd "$root" && "$busybox" depmod -b "$root" "$version") || cannot "depmod failed"
cat >"$root/init" <<'GUEST'
#!/bin/sh
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
# What follows is read by the host: lines with this mark, and what comes between them.
mark() { echo "@vm $*" >/dev/console; }
stop() { mark "end $*"; poweroff -f; }
for module in virtio_pci 9pnet_virtio 9p overlay; do
    modprobe "$module" 2>/dev/null
done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host || stop "no 9p"
mount -t tmpfs -o size=75% none /rw || stop "no tmpfs"
mkdir /rw/upper /rw/work
layers=lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work
mount -t overlay -o "$layers" none /new || stop "no overlay"
mount -t proc none /new/proc
mount -t sysfs none /new/sys
mount -t devtmpfs none /new/dev
mkdir -p /new/dev/shm && mount -t tmpfs none /new/dev/shm
mount -t tmpfs none /new/run
ip link set lo up
for module in tls gcm ghash-generic chacha20poly1305 sch_netem; do
    modprobe "$module" || mark "module $module cannot be loaded"
done
mark "booted $(cat /proc/sys/kernel/osrelease)"
tab=$(printf '\t')
while IFS="$tab" read -r name command; do
    mark "begin $name"
    printf 'cd "%s" && %s\n' "$(cat /project)" "$command" >/new/run/job
    chroot /new /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root TMPDIR=/run RUST_BACKTRACE=1 RINGWAY_VM=1 /bin/bash -c \
        'ulimit -l unlimited -n 65536; . /run/job' </dev/null >/dev/console 2>&1
    mark "result $? $name"
done </jobs
stop done
GUEST
chmod +x "$root/init"
(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/initramfs" ||
    cannot "the initramfs cannot be made"

log=$work/console
# It is there before anybody reads it.
: >"$log"
say "booting $version (emulated; at most $seconds s)"
timeout --foreground --signal=KILL "$seconds" qemu-system-x86_64 \
    -machine q35,accel=tcg -cpu max -smp 2 -m 2048 -nodefaults -no-user-config -no-reboot \
    -display none -serial stdio -monitor none \
    -kernel "$image" -initrd "$work/initramfs" \
    -append 'console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off' \
    -device virtio-rng-pci \
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=host,mount_tag=host \
    </dev/null >"$log" 2>&1 &
qemu=$!
# The guest's lines as they come, but for what its firmware says.
tail -n +1 -f --pid="$qemu" "$log" 2>/dev/null | sed -u 's/\r//g; s/\x1b[^a-zA-Z]*[a-zA-Z]//g' |
    sed -n -u '/^@vm booted/,$p' | sed -u 's/^@vm /vm.sh: /' &
viewer=$!
status=0
wait "$qemu" || status=$?
qemu=
wait "$viewer" || true

lines() { tr -d '\r' <"$log" | sed -n "s/^@vm $1 //p"; }
wanted=$(wc -l <"$jobs")
passed=$(lines result | grep -c '^0 ' || true)
failed=$(lines result | grep -vc '^0 ' || true)
lines result | while read -r code name; do
    if ((code == 0)); then say "passed: $name"; else say "FAILED: $name (exit code $code)"; fi
done
cut=$((wanted - passed - failed))
say "of $wanted, $passed passed, $failed failed, $cut did not run to an end"
((failed == 0)) || exit 1
((status != 137)) || { say "the limit of $seconds s was reached" >&2; exit 4; }
if [[ -z $(lines booted) ]]; then
    tail -n 20 "$log" >&2
    cannot "the guest does not boot (qemu's exit code is $status)"
fi
((passed == wanted)) || cannot "the guest ended early (qemu's exit code is $status)"
