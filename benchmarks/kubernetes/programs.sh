#!/usr/bin/env bash
# Puts the programs of a Kubernetes cluster into a folder of this user's cache, once for each version,
# and prints that folder. Kubernetes, CoreDNS (with the plugins that a cluster needs) and metrics-server
# are built from the Go proxy as one module, so that they share what they are made of; etcd and the
# plugins for pods' networks are Debian's packages, unpacked and not installed.
#   usage: programs.sh            make what is missing
#          programs.sh --cached   print the folder, or end with 1 where something is missing
set -euo pipefail
KUBERNETES=1.36.2 COREDNS=1.13.1 METRICS_SERVER=0.9.0
folder=${XDG_CACHE_HOME:-$HOME/.cache}/modelserve/kubernetes-$KUBERNETES
components=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
programs=("${components[@]}" coredns metrics-server pause etcd cni/bridge cni/ptp cni/loopback cni/host-local cni/portmap)

complete() {
    local each
    for each in "${programs[@]}"; do [[ -x $folder/$each ]] || return 1; done
}

debian() {
    local state=$folder/debian
    rm -rf "$state" && mkdir -p "$state" "$folder/cni"
    (cd "$state" && apt-get -qq download etcd-server containernetworking-plugins 2>/dev/null)
    for each in "$state"/*.deb; do dpkg-deb --extract "$each" "$state/root"; done
    cp "$state/root/usr/bin/etcd" "$folder"
    cp "$state"/root/usr/lib/cni/* "$folder/cni"
    rm -rf "$state"
}

# The part of Kubernetes' own go.mod that says where its modules lie in its repository, rewritten to
# where they lie on the proxy: its v1.36.2 is their v0.36.2.
write_module() {
    local theirs
    theirs=$(go mod download -json "k8s.io/kubernetes@v$KUBERNETES" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
    cat <<END
module cluster
go $(sed -n 's/^go //p' "$theirs")
require (
	k8s.io/kubernetes v$KUBERNETES
	sigs.k8s.io/metrics-server v$METRICS_SERVER
	github.com/coredns/coredns v$COREDNS
)
replace (
$(sed -nE "s|^\s*(\S+) => \./staging/\S+$|\t\1 => \1 v0.${KUBERNETES#*.}|p" "$theirs")
)
END
}

build() {
    local source=$folder/source stamp=k8s.io/component-base/version each
    command -v go >/dev/null || { echo "MISSING PROGRAM go: Kubernetes cannot be built" >&2; exit 1; }
    mkdir -p "$source"/{coredns,pause}
    write_module >"$source/go.mod"
    {
        printf '//go:build tools\n\npackage tools\n\nimport (\n'
        printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "${components[@]}"
        printf '\t_ "sigs.k8s.io/metrics-server/cmd/metrics-server"\n)\n'
    } >"$source/tools.go"
    cat >"$source/coredns/main.go" <<'END'
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() { coremain.Run() }
END
    # The first process of each pod: it holds the pod's namespaces and ends when told.
    cat >"$source/pause/main.go" <<'END'
package main

import (
	"os/signal"
	"syscall"
	"os"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
}
END
    cd "$source"
    export GOFLAGS="-mod=mod -buildvcs=false" GOSUMDB=off CGO_ENABLED=0 GOTOOLCHAIN=local
    # Without their version, the components refuse each other.
    go build -trimpath -ldflags "-s -w -X $stamp.gitVersion=v$KUBERNETES -X $stamp.gitMajor=${KUBERNETES%%.*} \
-X $stamp.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")" -o "$folder/" \
        "${components[@]/#/k8s.io/kubernetes/cmd/}" sigs.k8s.io/metrics-server/cmd/metrics-server ./coredns ./pause
}

if [[ ${1:-} == --cached ]]; then
    complete || exit 1
elif ! complete; then
    echo "building Kubernetes $KUBERNETES into $folder, which takes some minutes" >&2
    mkdir -p "$folder"
    debian
    (build)
    rm -rf "$folder/source"
    complete
fi
echo "$folder"
