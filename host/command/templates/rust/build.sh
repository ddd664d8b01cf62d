#!/usr/bin/env bash
# Builds the extension: {{crate}}.wasm. Needs Rust with `rustup target add wasm32-wasip2`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
target=${CARGO_TARGET_DIR:-target}

cargo build --quiet --release --target wasm32-wasip2
cargo metadata --no-deps --format-version 1 |
  cargo run --quiet --package stamp -- "$target/wasm32-wasip2/release" .
