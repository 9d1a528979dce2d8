# build.sh - sourced by dev and by the scripts it runs, from the top of the tree:
# installing packages, configuring and compiling.  $build is where builds go.
deps=${HOLDFAST_DEPS:-$build/deps}
jobs=$(nproc)

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'dev: %s\n' "$*" >&2; exit 1; }

# install PACKAGE...: what is missing of these, from the machine's own sources.
install() {
	local p missing=()
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	local sudo=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "needs root or sudo to install: ${missing[*]}"
		sudo=(sudo)
	fi
	say "installing ${missing[*]}"
	"${sudo[@]}" apt-get -qq update
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null
}

# configure NAME CMAKE-ARGUMENTS...: build/NAME, with the compiler cache if there is one.
configure() {
	local name=$1
	shift
	proto/tls/build-mbedtls.sh "$deps/mbedtls"
	local cache=()
	command -v ccache >/dev/null && cache=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
	cmake -S . -B "$build/$name" -G Ninja -DMBEDTLS_ROOT="$deps/mbedtls/hooked" \
	    -DMBEDTLS_PLAIN_ROOT="$deps/mbedtls/plain" "${cache[@]}" "$@" > "$build/$name.configure.log" 2>&1 ||
	    { cat "$build/$name.configure.log" >&2; die "cmake failed"; }
}
# configure_windows CMAKE-ARGUMENTS...: build/windows, by MinGW-w64 with libraries of its own.
configure_windows() {
	cmake/build-windows-libs.sh "$deps/windows" "$deps/sources"
	local cache=()
	command -v ccache >/dev/null && cache=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
	cmake -S . -B "$build/windows" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/mingw64.cmake" \
	    -DHOLDFAST_WINDOWS_LIBS="$deps/windows" -DMBEDTLS_ROOT="$deps/windows/mbedtls/hooked" \
	    "${cache[@]}" "$@" > "$build/windows.configure.log" 2>&1 ||
	    { cat "$build/windows.configure.log" >&2; die "cmake failed"; }
}
# configure_driver CMAKE-ARGUMENTS...: build/driver/x64 and build/driver/i686, by MinGW-w64.
configure_driver() {
	local arch toolchain cache=()
	command -v ccache >/dev/null && cache=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
	mkdir -p "$build/driver"
	for arch in x64 i686; do
		toolchain=mingw64
		[ $arch = x64 ] || toolchain=mingw32
		cmake -S cmake/driver -B "$build/driver/$arch" -G Ninja \
		    -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/$toolchain.cmake" "${cache[@]}" "$@" \
		    > "$build/driver/$arch.configure.log" 2>&1 ||
		    { cat "$build/driver/$arch.configure.log" >&2; die "cmake failed"; }
	done
}
# compile NAME [TARGET...]
compile() {
	local name=$1
	shift
	ninja -C "$build/$name" --quiet -j "$jobs" "$@"
}
