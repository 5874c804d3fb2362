# What scripts/demo and scripts/test share: finding or installing what they need, by package name.
# Sourced by them; runs in the project's folder.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One line for the user.
say() {
    printf '== %s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, or sudo: $*"
    fi
}

# Installs packages through apt; elsewhere says what is needed.
install_packages() {
    command -v apt-get >/dev/null ||
        fail "please install what these Debian packages hold: $*"
    say "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q </dev/null >&2 ||
        say "apt-get update failed; trying with the package lists there are"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" </dev/null >&2
}

# need COMMAND PACKAGE...: installs the packages unless the command is there.
need() {
    local command=$1
    shift
    command -v "$command" >/dev/null || install_packages "$@"
}

need_rust() {
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    if ! command -v cargo >/dev/null; then
        install_packages rustup || fail "please install Rust 1.95 or later, with rustup for instance"
        rustup toolchain install --profile default stable
    fi
    # A linker comes with the C compiler.
    need cc gcc libc6-dev
    export PATH
}

need_pip() {
    need python3 python3
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
}

need_mingw() {
    need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
    need x86_64-w64-mingw32-g++ g++-mingw-w64-x86-64
}

# The programs that read our hive files in tests: hivex and regipy.
need_hive_readers() {
    need hivexsh libhivex-bin
    need_pip
    python3 -c 'import regipy' 2>/dev/null ||
        PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet regipy </dev/null >&2
}
