"""A Nacos server as its operator uses it, over HTTP, in the dialect of the server.

Servers from 3.0 on have the paths `/v3/...`, those before have `/v1/...`.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

GROUP = "DEFAULT_GROUP"
LOGIN = {"v3": "/v3/auth/user/login", "v1": "/v1/auth/users/login"}
PATHS = {
    "document": {"v3": "/v3/admin/cs/config", "v1": "/v1/cs/configs"},
    "beta": {"v3": "/v3/admin/cs/config/beta", "v1": "/v1/cs/configs"},
    "instance": {"v3": "/v3/admin/ns/instance", "v1": "/v1/ns/instance"},
    "service": {"v3": "/v3/admin/ns/service", "v1": "/v1/ns/service"},
    "namespace": {"v3": "/v3/admin/core/namespace", "v1": "/v1/console/namespaces"},
    "user": {"v3": "/v3/auth/user", "v1": "/v1/auth/users"},
    "role": {"v3": "/v3/auth/role", "v1": "/v1/auth/roles"},
    "permission": {"v3": "/v3/auth/permission", "v1": "/v1/auth/permissions"},
}
"""The path of each thing that an operator changes, in both dialects."""
V1_FIELDS = {
    "document": {"groupName": "group", "namespaceId": "tenant"},
    "beta": {"groupName": "group", "namespaceId": "tenant"},
    "namespace": {"namespaceId": "customNamespaceId"},
}
"""The fields of the form that have another name in v1."""

BUSY_REPEATS = 4
"""How often a change is asked for again while the server's database is busy; it waits by itself."""
WORDS = 1_000
"""The most characters of a refusal that an error shows; a 500 may be a page of HTML."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator who is logged in to a server.

    Attributes:
        http: sends the operator's token with every request.
        dialect: `v3` or `v1`.
    """

    http: httpx.Client
    dialect: str

    def request(self, method: str, thing: str, **fields: Any) -> httpx.Response:
        """Add (POST), change (PUT) or delete a thing of `PATHS`; the fields are those of v3.

        It is said again where the server's database was busy, for then nothing was done.

        Raises:
            httpx.HTTPStatusError: the server refused.
        """
        form = dict(fields)
        if self.dialect == "v1":
            for name, old in V1_FIELDS.get(thing, {}).items():
                if name in form:
                    form[old] = form.pop(name)
            if form.get("tenant") == "public":
                form["tenant"] = ""
        path = PATHS[thing][self.dialect]
        if method == "DELETE":
            asked = self.http.build_request(method, path, params=form)
        else:
            asked = self.http.build_request(method, path, data=form)
        answer = self.http.send(asked)
        for _ in range(BUSY_REPEATS):
            if not _is_busy(answer):
                break
            answer = self.http.send(asked)
        return _accepted(answer)

    def instances(self, **place: str) -> list[dict[str, Any]]:
        """Return every instance of a service, those out of traffic too."""
        if self.dialect == "v3":
            answer = self.http.get("/v3/admin/ns/instance/list", params=place)
            return [] if _is_unknown(answer) else list(_accepted(answer).json()["data"])
        answer = self.http.get("/v1/ns/catalog/service", params=place)
        if _is_unknown(answer):
            return []
        found: list[dict[str, Any]] = []
        for cluster in _accepted(answer).json()["clusters"]:
            page = {"clusterName": cluster["name"], "pageNo": "1", "pageSize": "10000"}
            answer = self.http.get("/v1/ns/catalog/instances", params={**place, **page})
            found += [] if _is_unknown(answer) else _accepted(answer).json()["list"]
        return found


def _accepted(answer: httpx.Response) -> httpx.Response:
    """Return the answer; one that is no success is raised with the server's own words."""
    if answer.is_success:
        return answer
    asked = answer.request
    message = f"Nacos answered {answer.status_code} to {asked.method} {asked.url.path}"
    words = f": {answer.text[:WORDS]}" if answer.text else ", without a word"
    raise httpx.HTTPStatusError(message + words, request=asked, response=answer)


def _is_busy(answer: httpx.Response) -> bool:
    """Return whether the server's embedded database rolled back, for others held its locks."""
    failed = answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR
    return failed and "A lock could not be obtained" in answer.text


def _is_unknown(answer: httpx.Response) -> bool:
    """Return whether the server knows no such service or cluster (any more)."""
    unknown = {httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST, httpx.codes.INTERNAL_SERVER_ERROR}
    return answer.status_code in unknown and " not found" in f" {answer.text}"


@dataclass(frozen=True, slots=True)
class NacosAccess:
    """The address of a Nacos server, a login to it, and a namespace.

    `ca` names the authority of a server that speaks TLS (a PEM file); None: plain text.
    """

    server_addr: str
    username: str
    password: str = field(repr=False)
    namespace: str = "public"
    ca: Path | None = None

    @property
    def url(self) -> str:
        """Base address of the HTTP API."""
        return f"{'https' if self.ca else 'http'}://{self.server_addr.split(',')[0]}/nacos"

    def http(self, *, timeout: float = 10) -> httpx.Client:
        """Make a client of the HTTP API that is not logged in; `timeout` in seconds."""
        trust = ssl.create_default_context(cafile=self.ca) if self.ca else False
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, verify=trust)

    @property
    def environment(self) -> Mapping[str, str]:
        """The NACOS_* variables that a service needs to use this server."""
        tls = {"NACOS_TLS": "true", "NACOS_TLS_CA": str(self.ca)} if self.ca else {}
        return {
            **tls,
            "NACOS_SERVER_ADDR": self.server_addr,
            "NACOS_USERNAME": self.username,
            "NACOS_PASSWORD": self.password,
            "NACOS_NAMESPACE": self.namespace,
        }

    def publish(self, data_id: str, content: str, *, ips: str = "", tag: str = "") -> None:
        """Publish a YAML document; it is in force at once.

        With `ips`, separated by commas, it is a beta for the clients at these addresses, with `tag`
        for those with this tag.
        """
        document = {**self._place(data_id), "content": content, "type": "yaml"}
        if tag:
            document["tag"] = tag
        with self.operator() as operator:
            if ips:
                operator.http.headers["betaIps"] = ips
            operator.request("POST", "document", **document)

    def withdraw(self, data_id: str, *, tag: str = "") -> None:
        """Delete a document; nothing happens where it is absent.

        With `tag` it is the one for the clients with a tag. Servers since 2.5 call it `tag_blue`,
        and say 500 where it is absent; those before call it `blue`.
        """
        tagged = {"tag": tag} if tag else {}
        with self.operator() as operator:
            operator.request("DELETE", "document", **self._place(data_id), **tagged)

    def end_beta(self, data_id: str) -> None:
        """Give the clients of a beta the document for all again."""
        with self.operator() as operator:
            operator.request("DELETE", "beta", beta="true", **self._place(data_id))

    def _place(self, data_id: str) -> dict[str, str]:
        return {"dataId": data_id, "groupName": GROUP, "namespaceId": self.namespace}

    def instances(self, service: str) -> list[dict[str, Any]]:
        """Return the instances that the server shows of a service; it may know none."""
        with self.operator() as operator:
            return operator.instances(
                serviceName=service, groupName=GROUP, namespaceId=self.namespace
            )

    def new_namespace(self, name: str) -> "NacosAccess":
        """Create a namespace; return the same access with that namespace."""
        with self.operator() as operator:
            operator.request("POST", "namespace", namespaceId=name, namespaceName=name)
        return replace(self, namespace=name)

    @contextmanager
    def operator(self) -> Iterator[Operator]:
        """Log in, in the dialect that the server answers.

        Raises:
            httpx.HTTPStatusError: the server refused the login.
        """
        with self.http() as http:
            dialect, token = self.log_in(http)
            # 2.0 looks for the token in the second header only.
            http.headers.update({"accessToken": token, "Authorization": f"Bearer {token}"})
            yield Operator(http, dialect)

    def log_in(self, http: httpx.Client) -> tuple[str, str]:
        """Return the server's dialect, and a token.

        Raises:
            httpx.HTTPError: the server refused the login; 2.3 refuses one with the status 0.
        """
        login = {"username": self.username, "password": self.password}
        answer = http.post(LOGIN["v3"], data=login)
        dialect = "v3"
        if answer.status_code == httpx.codes.NOT_FOUND:
            answer, dialect = http.post(LOGIN["v1"], data=login), "v1"
        return dialect, str(_accepted(answer).json()["accessToken"])
