#!/usr/bin/env bash
# Builds the guest examples as components: build.sh [OUTPUT-FOLDER], by default target/guests.
set -euo pipefail

target=wasm32-wasip2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../target/guest-build
out=${1:-$here/../target/guests}
packages=(rustc-web cargo-web rust-web-src wasi-libc)

say() { echo "guests: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# A cargo that runs this script from a build script would otherwise decide how the guests are built.
# Where cargo and rustup live, and how they reach the network, stays.
forget_outer_cargo() {
  local name
  for name in $(compgen -e); do
    case $name in
    CARGO_HOME | CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | CARGO_SOURCE_*) ;;
    CARGO | CARGO_* | RUSTC | RUSTC_* | RUSTFLAGS | RUSTDOC* | RUSTUP_TOOLCHAIN) unset "$name" ;;
    HOST | TARGET | PROFILE | OPT_LEVEL | DEBUG | OUT_DIR | NUM_JOBS | MAKEFLAGS | MFLAGS) unset "$name" ;;
    esac
  done
}

has_target() {
  [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]
}

add_target() {
  command -v rustup >/dev/null || return 1
  say "adding the $target target to the toolchain"
  timeout 300 rustup --quiet target add "$target" >/dev/null 2>&1 && has_target
}

has_packages() {
  command -v dpkg-query >/dev/null || return 1
  [ -x /usr/bin/cargo ] && [ -d "/usr/lib/$target" ] && dpkg-query --show "${packages[@]}" >/dev/null 2>&1
}

# wasi-libc for this target is in the backports: their source is derived from the machine's own, for
# these calls of apt-get alone.
add_packages() {
  local sources=/etc/apt/sources.list.d apt
  grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release && [ -f "$sources/debian.sources" ] || return 1
  [ "$(id -u)" = 0 ] || return 1
  say "the target can't be added; installing Debian's ${packages[*]}"

  mkdir -p "$build/apt"
  cp "$sources"/*.sources "$build/apt/"
  sed -e '/^$/,$d' -e 's/^Suites:.*/Suites: bookworm-backports/' "$sources/debian.sources" >"$build/apt/backports.sources"
  apt=(apt-get -qq -o "Dir::Etc::sourceparts=$(realpath "$build/apt")" -o DPkg::Lock::Timeout=300)
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  "${apt[@]}" update >&2 &&
    "${apt[@]}" install -y --no-install-recommends "${packages[@]}" wasi-libc/bookworm-backports >&2 &&
    has_packages
}

build_with_target() {
  say "building with the toolchain's $target target"
  cargo build "${arguments[@]}"
}

# Debian's compiler comes with the sources of its standard library, rustup's toolchain with the linkers.
build_with_packages() {
  local tools
  tools=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin
  [ -x "$tools/wasm-component-ld" ] || fail "no wasm-component-ld in $tools: install Rust with rustup"
  say "building with Debian's compiler and library sources"
  env PATH="$tools:$tools/gcc-ld:/usr/bin:/bin" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS="-C link-self-contained=no -L native=/usr/lib/$target -C link-arg=--wasm-ld-path=$tools/gcc-ld/wasm-ld" \
    /usr/bin/cargo build "${arguments[@]}" -Z build-std=std,panic_abort
}

forget_outer_cargo
mkdir -p "$build" "$out"
out=$(cd "$out" && pwd)
build=$(cd "$build" && pwd)
cd "$here"

# Installing packages takes turns; where there is no flock there is no apt-get, and cargo locks its folder itself.
if command -v flock >/dev/null; then
  exec 9>"$build/.lock"
  flock 9
fi

arguments=(--locked --release --workspace --exclude stamp --target "$target" --target-dir "$build")
if has_target; then
  build_with_target
elif has_packages; then
  build_with_packages
elif add_target; then
  build_with_target
elif add_packages; then
  build_with_packages
else
  fail "no $target here: run \`rustup target add $target\`, or, on Debian 12, run this script as root once"
fi

cargo build --quiet --locked --package stamp --target-dir "$build/native"
cargo metadata --locked --no-deps --format-version 1 |
  "$build/native/debug/stamp" "$build/$target/release" "$out"
