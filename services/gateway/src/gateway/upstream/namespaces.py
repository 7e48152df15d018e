"""The clients of Nacos, one for each namespace that a route names."""

from nacos_client import Discovery, Nacos


class Namespaces:
    """Nacos as the directory of services uses it.

    A service of another namespace is `NAMESPACE/NAME`; a client of Nacos belongs to one namespace,
    so the first service of another one starts a client.
    """

    def __init__(self, own: Nacos, kept: str = "") -> None:
        """Take the client of the gateway's own namespace, and a service that others follow too."""
        self._own = own
        self._kept = kept
        self._others: dict[str, Nacos] = {}
        self._followed: dict[str, Discovery] = {}

    def discover(self, service: str) -> Discovery:
        """Follow the instances of a service."""
        nacos, name = self._locate(service)
        discovery = self._followed[service] = nacos.discover(name)
        return discovery

    def forget(self, service: str) -> None:
        """Stop following a service, unless others follow it too, or another name of it is followed.

        A service of the gateway's own group has two names, with and without its group.
        """
        nacos, name = self._locate(service)
        discovery = self._followed.pop(service, None)
        is_kept = nacos is self._own and name == self._kept
        if not is_kept and discovery not in self._followed.values():
            nacos.forget(name)

    async def close(self) -> None:
        """End the clients of the other namespaces."""
        for nacos in self._others.values():
            await nacos.close()

    def _locate(self, service: str) -> tuple[Nacos, str]:
        namespace, name = divided(service)
        if namespace in ("", self._own.settings.namespace):
            return self._own, name
        if namespace not in self._others:
            self._others[namespace] = self._own.in_namespace(namespace)
        return self._others[namespace], name


def divided(service: str) -> tuple[str, str]:
    """Return a service's namespace, "" for the gateway's own, and its name with its group."""
    namespace, _, name = service.rpartition("/")
    return namespace, name
