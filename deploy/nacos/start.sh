#!/bin/sh
# Starts Nacos in the image of this folder, by the variables of the official image: MODE=standalone,
# or a member of a cluster with embedded storage. MEMBER_LIST (commas) or NACOS_SERVERS (blanks) names
# all members as host:port, this one among them by the name that NACOS_SERVER_IP says; with
# PREFER_HOST_MODE=hostname that is the host's name, else its address.
set -eu
: "${NACOS_AUTH_TOKEN:?set it to a key of 32 bytes or more in base64, the same for all members}"
: "${NACOS_AUTH_IDENTITY_KEY:?set it to a name, the same for all members}"
: "${NACOS_AUTH_IDENTITY_VALUE:?set it to a secret text, the same for all members}"
home=${BASE_DIR:-/home/nacos}
case ${MODE:-cluster} in
standalone) set -- -Dnacos.standalone=true ;;
cluster)
    members=${MEMBER_LIST:-$(echo ${NACOS_SERVERS:-} | tr ' ' ,)}
    : "${members:?MODE=cluster: set MEMBER_LIST to host:port of every member, with commas between}"
    # The list goes by a property, not by cluster.conf, for the file system may be read-only.
    set -- "-Dnacos.member.list=$members"
    if [ "${EMBEDDED_STORAGE:-}" = embedded ]; then set -- "$@" -DembeddedStorage=true; fi
    if [ "${PREFER_HOST_MODE:-ip}" = hostname ]; then set -- "$@" -Dnacos.preferHostnameOverIp=true; fi
    ;;
*)
    echo "MODE=$MODE is neither standalone nor cluster" >&2
    exit 2
    ;;
esac
if [ -n "${NACOS_SERVER_IP:-}" ]; then set -- "$@" "-Dnacos.server.ip=$NACOS_SERVER_IP"; fi
cd "$home"
# The newer of two jars with the same package must come first; see the local stack's jars.py.
exec java "-Xms${JVM_XMS:-256m}" "-Xmx${JVM_XMX:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "$@" \
    "-Dnacos.home=$home" "-Dnacos.logs.path=$home/logs" "-Dderby.stream.error.file=$home/logs/derby.log" \
    "-Dspring.config.additional-location=file:$home/conf/" \
    -cp "launcher:$(echo lib/hessian-4*.jar):lib/*" Launcher
