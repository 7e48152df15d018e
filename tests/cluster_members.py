"""The members of a Nacos cluster: which of them leads, and what each of them shows."""

import httpx
from stack.access import NacosAccess
from stack.waiting import wait_until

GROUP = "naming_instance_metadata"
"""The Raft group that is asked; all groups mostly have one leader."""
MEMBERS = {"v3": "/v3/admin/core/cluster/node/list", "v1": "/v1/core/cluster/nodes"}


def leaders(access: NacosAccess) -> set[str]:
    """Ask a member who leads; return `host:port` of each leader's HTTP API that it was told of.

    A member knows what the others told it last: nothing at first, and of a lost member that it led.
    """
    with access.operator() as operator:
        answer = operator.http.get(MEMBERS[operator.dialect])
    found = set()
    for member in answer.raise_for_status().json()["data"]:
        groups = member["extendInfo"].get("raftMetaData", {}).get("metaDataMap", {})
        if told := groups.get(GROUP, {}).get("leader"):
            host, _, raft_port = told.rpartition(":")
            found.add(f"{host}:{int(raft_port) + 1000}")
    return found


def wait_for_leader(access: NacosAccess, *, but: str = "") -> str:
    """Wait until a member tells of a leader other than a lost one."""
    found: set[str] = set()

    def told() -> bool:
        try:
            found.update(leaders(access) - {but})
        except httpx.HTTPError:
            return False
        return bool(found)

    wait_until(told, seconds=90, what="a member of the cluster tells who leads")
    return found.pop()


def wait_shown(access: NacosAccess, count: int) -> None:
    """Wait until a member shows so many instances of the clusterer."""

    def shows() -> bool:
        try:
            return len(access.instances("skl-kmeans")) == count
        except httpx.HTTPError:
            return False

    wait_until(shows, seconds=300, what=f"{access.server_addr} shows {count} instances")
