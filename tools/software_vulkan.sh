#!/usr/bin/env bash
# A Vulkan device in software, for tests on machines without a GPU: Mesa of Debian 13 and the libraries that it needs, unpacked
# in a folder of its own. Nothing is installed. Needs apt-get and dpkg, on x86-64.
#
#   tools/software_vulkan.sh fetch DIR
#   export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$PWD/tools/software_vulkan.sh run DIR"
#   cargo test --release --no-default-features --features wgpu --test device --test backends
#
# Kernels go through WGSL (`wgpu`). The SPIR-V of `vulkan` crashes in Mesa's compiler where a kernel shares memory.
set -euo pipefail
task="$1" folder="$2"
shift 2

loader="$folder/mesa/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
libraries="$folder/mesa/usr/lib/x86_64-linux-gnu"

# Whether the driver finds every library: a folder restored from an archive may have lost its links.
complete() {
  [ -x "$loader" ] &&
    "$loader" --library-path "$libraries" --list "$libraries/libvulkan_lvp.so" >/dev/null 2>&1 &&
    "$loader" --library-path "$libraries" --list "$libraries/libvulkan.so.1" >/dev/null 2>&1
}

fetch() {
  complete && return
  rm -rf "$folder"
  mkdir -p "$folder"/{apt/lists/partial,apt/archives/partial,mesa/usr/lib,mesa/usr/lib64}
  touch "$folder/apt/status"
  echo "deb [trusted=yes] https://deb.debian.org/debian trixie main" >"$folder/apt/sources.list"
  cat >"$folder/apt/apt.conf" <<EOF
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$folder/apt";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Debug::NoLocking "1";
EOF
  export APT_CONFIG="$folder/apt/apt.conf"
  apt-get -qq update
  apt-get -qq --yes --download-only install mesa-vulkan-drivers libvulkan1 libc6 libgcc-s1
  ln -sfn usr/lib "$folder/mesa/lib"
  ln -sfn usr/lib64 "$folder/mesa/lib64"
  for package in "$folder"/apt/archives/*.deb; do dpkg -x "$package" "$folder/mesa"; done
  complete || { echo "the driver in $folder does not load" >&2 && return 1; }
}

case "$task" in
fetch) fetch ;;
run)
  export VK_DRIVER_FILES="$folder/mesa/usr/share/vulkan/icd.d/lvp_icd.json"
  exec "$loader" --library-path "$libraries" "$@"
  ;;
*) echo "fetch or run, not $task" >&2 && exit 2 ;;
esac
