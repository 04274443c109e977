# Sourced: apt beside the machine's own, for packages that are looked into and not installed. Needs neither root nor
# a change of the machine's sources, lists or packages.
#
#   apt_beside FOLDER SUITE TYPE...    lists of SUITE ("bookworm-backports"), TYPE deb or deb-src, with all of apt's
#                                      state in FOLDER (an absolute path), as of a machine without any package
#   apt_get ...                        then is apt-get with these
#
# $apt_architecture: another than the machine's.
apt_beside() {
    local folder=$1 suite=$2 mirror type architecture=${apt_architecture:-$(dpkg --print-architecture)}
    shift 2
    # From the mirror that the machine has its Debian 12 from.
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | sed -n 's/^bookworm //p' | sort -u | head -n 1)
    [ -n "$mirror" ] || { echo "apt knows no mirror of bookworm" >&2; return 1; }
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status"
    for type in "$@"; do
        echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done >"$folder/sources.list"
    # A mirror that lags is good enough for what is not installed: lists of testing expire within days.
    apt_state=(
        -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$folder/lists" -o "Dir::State::status=$folder/status"
        -o "Dir::State::extended_states=$folder/extended_states" -o "Dir::Cache=$folder/cache" -o "Dir::Log=$folder"
        -o Debug::NoLocking=true -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=2
        -o Acquire::Check-Valid-Until=false
        -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    )
    apt_get update --error-on=any >&2
}
apt_get() {
    apt-get --quiet "${apt_state[@]}" "$@"
}
