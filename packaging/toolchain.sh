# Sourced by packaging/build and .ci/run: Debian's own Rust (rustc-web, which Debian keeps new enough for its browsers), its
# standard libraries for ARM, and the C compilers that link for it and compile SQLite. Nothing of the machine's own Rust is
# touched, and no architecture is added to its dpkg: the ARM libraries are unpacked into target/debian.

# Where everything that is unpacked and built goes; from the repository's root.
STORE=$PWD/target/debian

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# What isn't there yet of some Debian packages, installed.
install_packages() {
    local package missing=()
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y "${missing[@]}" > /dev/null
}

# Rust's name for Debian's architecture, and the C tools' prefix.
triple_of() {
    case $1 in
        amd64) echo x86_64-unknown-linux-gnu ;;
        arm64) echo aarch64-unknown-linux-gnu ;;
        armhf) echo armv7-unknown-linux-gnueabihf ;;
        *) echo "no architecture that mqttyd is packaged for: $1" >&2; return 2 ;;
    esac
}

gnu_of() {
    case $1 in
        arm64) echo aarch64-linux-gnu ;;
        armhf) echo arm-linux-gnueabihf ;;
    esac
}

# apt-get for another architecture, with lists and cache of its own.
apt_for() {
    local arch=$1 apt=$STORE/apt
    shift
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    cat > "$apt/apt.conf" <<CONF
APT::Architectures { "$(dpkg --print-architecture)"; "$arch"; };
APT::Sandbox::User "root";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
CONF
    APT_CONFIG=$apt/apt.conf "$@"
}

# The standard library for an architecture, of the same version as the compiler. Where a mirror's list for it doesn't match
# its signature (one that was looked at served an old list for armhf), the file itself is fetched, if its sum is known here.
unpack_std() {
    local arch=$1 triple version folder
    triple=$(triple_of "$arch")
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    folder=$STORE/std/$triple-$version
    if [ ! -d "$folder" ]; then
        local work=$STORE/std/work
        rm -rf "$work" && mkdir -p "$work"
        if ! (cd "$work" && apt_for "$arch" apt-get -qq -o APT::Update::Error-Mode=any update \
            && apt_for "$arch" apt-get -qq download "libstd-rust-web-dev:$arch=$version"); then
            fetch_known "$arch" "$version" "$work"
        fi
        dpkg -x "$work"/*.deb "$work/root"
        mkdir -p "$folder/lib/rustlib"
        mv "$work/root/usr/lib/rustlib/$triple" "$folder/lib/rustlib/"
        rm -rf "$work"
    fi
    echo "$folder"
}

fetch_known() {
    local arch=$1 version=$2 work=$3 name sum
    name=libstd-rust-web-dev_${version}_$arch.deb
    sum=$(sed -n "s/ \+$name\$//p" packaging/known-debs.sha256)
    if [ -z "$sum" ]; then
        echo "apt can't fetch $name, and packaging/known-debs.sha256 doesn't know it" >&2
        return 1
    fi
    echo "apt can't fetch $name by its list; the file itself is taken, and its sum looked at" >&2
    /usr/lib/apt/apt-helper download-file \
        "http://deb.debian.org/debian-security/pool/updates/main/r/rustc-web/$name" "$work/$name" "SHA256:$sum" >&2
}

# Debian's cargo and rustc, and what they need to build for the architectures named.
prepare() {
    local arch gnu triple upper packages=(gcc libc6-dev rustc-web cargo-web libstd-rust-web-dev)
    for arch; do
        gnu=$(gnu_of "$arch")
        [ -z "$gnu" ] || packages+=("gcc-$gnu" "libc6-dev-$arch-cross")
    done
    install_packages "${packages[@]}"
    export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_DIR=$STORE
    # What the user has set for another compiler doesn't hold for this one.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTUP_TOOLCHAIN
    for arch; do
        gnu=$(gnu_of "$arch")
        [ -n "$gnu" ] || continue
        triple=$(triple_of "$arch")
        upper=$(echo "$triple" | tr a-z- A-Z_)
        export "CARGO_TARGET_${upper}_LINKER=$gnu-gcc"
        export "CARGO_TARGET_${upper}_RUSTFLAGS=--sysroot=$(unpack_std "$arch")"
        export "CC_${triple//-/_}=$gnu-gcc" "AR_${triple//-/_}=$gnu-ar"
    done
}

# qemu-user that knows TCGETS2, without which no serial port opens under it: Debian 12's own (7.2) doesn't, its backports' does.
# Unpacked, and only where it isn't yet. Says where its programs are.
unpack_qemu_user() {
    local apt=$STORE/backports folder=$STORE/qemu-user
    if [ ! -x "$folder/usr/bin/qemu-aarch64" ]; then
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/work"
        local mirror
        mirror=$(apt-cache policy base-files | sed -n 's,.* \(http[^ ]*/debian\) bookworm/main .*,\1,p' | head -n 1)
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
            "${mirror:-http://deb.debian.org/debian} bookworm-backports main" > "$apt/sources.list"
        cat > "$apt/apt.conf" <<CONF
APT::Sandbox::User "root";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::sourcelist "$apt/sources.list";
CONF
        (cd "$apt/work" && export APT_CONFIG=$apt/apt.conf \
            && apt-get -qq update && apt-get -qq download qemu-user) >&2
        dpkg -x "$apt/work"/qemu-user_*.deb "$folder"
        rm -rf "$apt/work"
    fi
    echo "$folder/usr/bin"
}
