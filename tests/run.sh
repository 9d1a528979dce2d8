#!/bin/bash
# run.sh BUILD_ROOT [CTEST-ARGUMENTS] - what `./dev test` runs: four builds and
# every test in the build that tells most.
#	asan	unit tests and fuzz inputs under ASan and UBSan
#	tsan	scenarios and the threaded unit tests under TSan
#	release	what is shipped: unit tests (but for sweeps that ASan has seen), scenarios, lint
#	windows	the agent for Windows under Wine: unit tests, scripts with release's server; the
#		hot-copy driver, as driver/x64 and driver/i686 have it
# A missing tool fails; nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift
mkdir -p "$build"
. tests/build.sh

for tool in mkntfs ntfsclone ntfsfix ntfsinfo ntfs-3g mkfs.vfat fsck.vfat openssl faketime zstd qemu-system-x86_64 sgdisk grub-mkimage cpio x86_64-w64-mingw32-gcc-posix i686-w64-mingw32-gcc-posix wine wixl; do
	PATH=$PATH:/usr/sbin:/sbin command -v $tool > /dev/null || die "missing tool $tool"
done
for lib in rocksdb lmdb; do
	pkg-config --exists $lib || die "missing library $lib"
done
export PATH=$PATH:/usr/sbin:/sbin
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
# Reports go to files and are judged at the end: see tsan_reports.py.
reports=$build/tsan.reports
rm -rf "$reports"
mkdir "$reports"
export TSAN_OPTIONS="second_deadlock_stack=1 exitcode=0 log_path=$reports/report"

run() { # build, ctest arguments...
	local b=$1
	shift
	say "tests in build $b"
	ctest --test-dir "$build/$b" -j "$jobs" --output-on-failure --no-tests=error "$@"
}
say "building release, asan, tsan, windows, driver"
for b in release asan tsan windows driver/x64 driver/i686; do
	case $b in
	release) configure release ;;
	asan) configure asan -DSANITIZE=address ;;
	tsan) configure tsan -DSANITIZE=thread ;;
	windows) configure_windows ;;
	driver/x64) configure_driver ;; # both
	esac
	compile $b
done
run asan -L 'unit|fuzz' "$@"
run tsan -L 'unit|scenario' "$@"
python3 tests/tsan_reports.py "$reports"
run release -LE swept "$@"
run windows "$@"
