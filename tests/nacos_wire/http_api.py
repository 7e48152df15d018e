"""What the server answers over HTTP: the paths of v1 and of v3, for clients and for operators."""

import asyncio
import enum
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from nacos_client._sdk.wire import tenant_of
from nacos_client.ports import Document, DocumentKey, ServiceKey
from nacos_client.testing import document_of

from tests.nacos_wire.character import Character, bearer
from tests.nacos_wire.http_port import Reply, Request
from tests.nacos_wire.registry import (
    BEAT,
    Entry,
    Published,
    Registry,
    Service,
    Text,
    Trial,
    milliseconds,
)
from tests.nacos_wire.traits import Trait

TOKEN_SECONDS = 18_000
NO_STATUS = 0
BEATEN, UNKNOWN_TO_V1, UNKNOWN_TO_V3 = 10_200, 20_404, 21_003
"""The codes of a beat's answer: taken, and taken for an instance that is not registered."""
NO_DOCUMENT, CONFLICT = 20_004, 20_005
STALE = "Cas publish fail, server md5 may have changed."
SERVER_ERROR = 30_000
PLAIN = "text/plain;charset=UTF-8"
WORD, LINE = "\x02", "\x01"
"""The marks between the words and behind the lines of what a long poll listens to."""
SHORTEST_POLL, REPLY_EARLIER = 10_000, 500
"""Milliseconds of a long poll: at least, and less than the client waits."""


class Asks(enum.Enum):
    """Who may ask: anybody, a client, or an operator."""

    ANYBODY = enum.auto()
    CLIENT = enum.auto()
    OPERATOR = enum.auto()


Handler = Callable[[Request], Reply | Awaitable[Reply]]


class HttpApi:
    """The paths, each with who may ask, and how it is answered."""

    def __init__(self, character: Character, registry: Registry, context_path: str) -> None:
        self._character = character
        self._registry = registry
        self._context_path = context_path
        self._changed = asyncio.Event()
        registry.document_changed.append(self._wake)
        anybody, client, operator = Asks.ANYBODY, Asks.CLIENT, Asks.OPERATOR
        self._v1_client: Mapping[str, tuple[Asks, Handler]] = {
            "POST /v1/auth/users/login": (anybody, self._log_in),
            "POST /v1/ns/instance": (client, self._register_v1),
            "PUT /v1/ns/instance/beat": (client, self._beat_v1),
            "DELETE /v1/ns/instance": (client, self._deregister_v1),
            "GET /v1/ns/instance/list": (client, self._list_v1),
            "GET /v1/cs/configs": (client, self._read_v1),
            "POST /v1/cs/configs": (client, self._publish_v1),
            "DELETE /v1/cs/configs": (client, self._remove_v1),
            "POST /v1/cs/configs/listener": (client, self._poll),
            "GET /v1/cs/history": (client, self._history_v1),
        }
        self._v1_operator: Mapping[str, tuple[Asks, Handler]] = {
            "GET /v1/console/server/state": (anybody, lambda _: in_json(self._state())),
            "GET /v1/console/health/readiness": (anybody, lambda _: Reply(200, "OK", PLAIN)),
            "GET /v1/console/namespaces": (anybody, self._namespaces_v1),
            "POST /v1/console/namespaces": (client, self._new_namespace_v1),
            "PUT /v1/ns/instance": (client, lambda asked: self._by_hand(asked, told("ok"))),
            "PUT /v1/ns/service": (client, lambda asked: self._protect(asked, told("ok"))),
            "GET /v1/ns/catalog/service": (client, self._clusters),
            "GET /v1/ns/catalog/instances": (client, self._cluster),
        }
        self._v3: Mapping[str, tuple[Asks, Handler]] = {
            "POST /v3/auth/user/login": (anybody, self._log_in),
            "POST /v3/client/ns/instance": (client, self._register_v3),
            "DELETE /v3/client/ns/instance": (client, self._deregister_v3),
            "GET /v3/client/ns/instance/list": (client, self._list_v3),
            "GET /v3/client/cs/config": (client, self._read_v3),
            "GET /v3/admin/core/state": (anybody, lambda _: result(self._state())),
            "GET /v3/admin/core/state/readiness": (anybody, lambda _: result("ok")),
            "GET /v3/admin/core/namespace/list": (operator, self._namespaces_v3),
            "POST /v3/admin/core/namespace": (operator, self._new_namespace_v3),
            "GET /v3/admin/ns/instance/list": (operator, self._everything),
            "PUT /v3/admin/ns/instance": (operator, lambda q: self._by_hand(q, result("ok"))),
            "PUT /v3/admin/ns/service": (operator, lambda q: self._protect(q, result("ok"))),
            "GET /v3/admin/cs/config": (operator, self._read_v3),
            "POST /v3/admin/cs/config": (operator, self._publish_v3),
            "DELETE /v3/admin/cs/config": (operator, self._remove_v3),
            "DELETE /v3/admin/cs/config/beta": (operator, self._end_beta_v3),
            "GET /v3/admin/cs/history/list": (operator, self._history_v3),
            "GET /v3/admin/cs/history": (operator, self._entry_v3),
        }

    async def answer(self, asked: Request) -> Reply:
        """Answer a request as the version does."""
        path = asked.path.removeprefix(self._context_path)
        if path == asked.path and self._context_path:
            return page(asked, HTTPStatus.NOT_FOUND)
        found = self._find(f"{asked.method} {path}")
        if isinstance(found, HTTPStatus):
            return page(asked, found)
        asks, handler = found
        if not self._may(asks, asked):
            return page(asked, HTTPStatus.FORBIDDEN)
        try:
            reply = handler(asked)
            return reply if isinstance(reply, Reply) else await reply
        except KeyError:  # a field that must be there
            return page(asked, HTTPStatus.BAD_REQUEST)

    def _find(self, line: str) -> tuple[Asks, Handler] | HTTPStatus:
        character = self._character
        if line in self._v3 and character.has(Trait.SPEAKS_V3):
            return self._v3[line]
        if character.has(Trait.DROPPED_V1):
            return HTTPStatus.NOT_FOUND
        if line in self._v1_operator and character.has(Trait.RETIRED_THE_ADMINISTRATION_OF_V1):
            return HTTPStatus.GONE
        return {**self._v1_client, **self._v1_operator}.get(line, HTTPStatus.NOT_FOUND)

    def _may(self, asks: Asks, asked: Request) -> bool:
        guarded = {
            Asks.ANYBODY: False,
            Asks.CLIENT: self._character.auth,
            Asks.OPERATOR: self._character.has(Trait.GUARDS_ITS_ADMINISTRATION),
        }
        tokens = {
            bearer(asked.headers.get("authorization", "")),
            asked.fields.get("accessToken"),
        }
        if self._character.has(Trait.TAKES_THE_TOKEN_HEADER):
            tokens.add(asked.headers.get("accesstoken"))
        return not guarded[asks] or self._character.token in tokens

    # Logins, and what the server says of itself.

    def _log_in(self, asked: Request) -> Reply:
        character = self._character
        given = (asked.fields["username"], asked.fields["password"])
        if given == (character.username, character.password):
            token = {"accessToken": character.token, "tokenTtl": TOKEN_SECONDS}
            return in_json({**token, "globalAdmin": True, "username": character.username})
        if character.has(Trait.REFUSES_A_LOGIN_WITH_500):
            return page(asked, HTTPStatus.INTERNAL_SERVER_ERROR)
        if character.has(Trait.REFUSES_A_LOGIN_WITH_403):
            return told("user not found!", HTTPStatus.FORBIDDEN)
        return Reply(NO_STATUS, "")

    def _state(self) -> dict[str, str]:
        version, auth = self._character.version, self._character.auth
        return {"version": version, "startup_mode": "standalone", "auth_enabled": str(auth).lower()}

    def _namespaces_v1(self, _: Request) -> Reply:
        listed = [
            {"namespace": "" if each == "public" else each, "namespaceShowName": name}
            for each, name in self._registry.namespaces.items()
        ]
        return in_json({"code": HTTPStatus.OK, "message": None, "data": listed})

    def _namespaces_v3(self, _: Request) -> Reply:
        names = self._registry.namespaces
        return result(
            [{"namespace": each, "namespaceShowName": name} for each, name in names.items()]
        )

    def _new_namespace_v1(self, asked: Request) -> Reply:
        self._registry.namespaces[asked.fields["customNamespaceId"]] = asked.fields["namespaceName"]
        return DONE_V1

    def _new_namespace_v3(self, asked: Request) -> Reply:
        self._registry.namespaces[asked.fields["namespaceId"]] = asked.fields["namespaceName"]
        return DONE_V3

    # Naming.

    def _register_v1(self, asked: Request) -> Reply:
        self._register(asked)
        return told("ok")

    def _register_v3(self, asked: Request) -> Reply:
        if asked.fields.get("heartBeat") != "true":
            self._register(asked)
        elif not self._beat(service_of(asked), host_of(asked.fields)):
            return result(None, UNKNOWN_TO_V3, "instance not found")
        return result("ok")

    def _register(self, asked: Request) -> None:
        host = host_of(asked.fields)
        beat = time.monotonic() if host["ephemeral"] else None
        self._registry.publish(service_of(asked), client_of(host), Published(host, beat))

    def _beat_v1(self, asked: Request) -> Reply:
        service = service_of(asked)
        told_by_client = json.loads(asked.fields.get("beat") or "{}")
        host = host_of({**asked.fields, **told_by_client, **cluster_of(told_by_client)})
        known = self._beat(service, host)
        if not known and told_by_client:
            self._registry.publish(service, client_of(host), Published(host, time.monotonic()))
            known = True
        published = self._registry.published(service, client_of(host))
        return in_json(
            {
                "clientBeatInterval": milliseconds(published.host if published else host, BEAT),
                "code": BEATEN if known else UNKNOWN_TO_V1,
                "lightBeatEnabled": True,
            }
        )

    def _beat(self, service: Service, host: Mapping[str, Any]) -> bool:
        """Note a beat; return whether the instance is registered."""
        published = self._registry.published(service, client_of(host))
        if published is None:
            return False
        published.beat = time.monotonic()
        self._registry.judge(service, published, healthy=True)
        return True

    def _deregister_v1(self, asked: Request) -> Reply:
        self._registry.withdraw(service_of(asked), client_of(host_of(asked.fields)))
        return told("ok")

    def _deregister_v3(self, asked: Request) -> Reply:
        self._registry.withdraw(service_of(asked), client_of(host_of(asked.fields)))
        return result("ok")

    def _list_v1(self, asked: Request) -> Reply:
        healthy_only = asked.fields.get("healthyOnly") == "true"
        service = service_of(asked)
        listing = self._registry.listing(service, healthy_only=healthy_only)
        return in_json({**listing, "name": str(service[1])})

    def _list_v3(self, asked: Request) -> Reply:
        usual = "" if self._character.has(Trait.LISTS_EVERY_CLUSTER) else "DEFAULT"
        named = asked.fields.get("clusterName") or usual
        clusters = set(filter(None, named.split(",")))
        hosts = self._registry.listing(service_of(asked))["hosts"]
        return result([h for h in hosts if not clusters or h["clusterName"] in clusters])

    def _by_hand(self, asked: Request, done: Reply) -> Reply:
        self._registry.set_by_hand(service_of(asked), Published(host_of(asked.fields)))
        return done

    def _protect(self, asked: Request, done: Reply) -> Reply:
        self._registry.protect(service_of(asked), float(asked.fields["protectThreshold"]))
        return done

    def _everything(self, asked: Request) -> Reply:
        service = service_of(asked)
        hosts = self._registry.everything(service)
        if not hosts:
            missing = f"service {service[1]} is not found!"
            return result(missing, SERVER_ERROR, "server error", HTTPStatus.NOT_FOUND)
        return result(hosts)

    def _clusters(self, asked: Request) -> Reply:
        service = service_of(asked)
        clusters = {host["clusterName"] for host in self._registry.everything(service)}
        if not clusters:
            return told(f"service {service[1]} is not found!", HTTPStatus.NOT_FOUND)
        return in_json({"clusters": [{"name": cluster} for cluster in sorted(clusters)]})

    def _cluster(self, asked: Request) -> Reply:
        cluster = asked.fields["clusterName"]
        everything = self._registry.everything(service_of(asked))
        hosts = [host for host in everything if host["clusterName"] == cluster]
        if not hosts:
            return told(f"cluster {cluster} is not found!", HTTPStatus.NOT_FOUND)
        return in_json({"list": hosts, "count": len(hosts)})

    # Configuration.

    def _read_v1(self, asked: Request) -> Reply:
        # Every version translates here, whatever it does elsewhere.
        tenant = tenant_of(asked.fields.get("tenant", ""))
        document = self._registry.read((tenant, key_of(asked.fields, "group")))
        if document is None:
            return told("config data not exist\n", HTTPStatus.NOT_FOUND)
        tells_it = document.data_key and self._character.has(Trait.KEEPS_KEYS_OVER_HTTP)
        key = {"Encrypted-Data-Key": document.data_key} if tells_it else {}
        noted = {"Content-MD5": document.md5, "Config-Type": document.type, **key}
        return Reply(HTTPStatus.OK, document.content, PLAIN, noted)

    def _read_v3(self, asked: Request) -> Reply:
        document = self._registry.read(self._text_v3(asked))
        if document is None:
            return result(None, NO_DOCUMENT, "resource not found")
        return result(fields_of(document))

    def _publish_v1(self, asked: Request) -> Reply:
        text = self._text_v1(asked, Trait.FINDS_DOCUMENTS_OF_PUBLIC)
        if self._is_stale(asked, text):
            return told(STALE, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._publish(asked, text)
        return DONE_V1

    def _publish_v3(self, asked: Request) -> Reply:
        text = self._text_v3(asked)
        if self._is_stale(asked, text):
            conflict = (STALE, CONFLICT, "resource conflict")
            return result(*conflict, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._publish(asked, text)
        return DONE_V3

    def _is_stale(self, asked: Request, text: Text) -> bool:
        """Return whether a write is to go over another version of the document than is there."""
        expected = asked.headers.get("casmd5")
        compares = self._character.has(Trait.COMPARES_BEFORE_IT_SETS)
        return bool(expected) and compares and expected != self._registry.md5(text)

    def _publish(self, asked: Request, text: Text) -> None:
        """Write a document for all, for the clients of a beta, or for those of a tag."""
        fields, ips = asked.fields, asked.headers.get("betaips")
        keeps_it = self._character.has(Trait.KEEPS_KEYS_OVER_HTTP)
        data_key = fields.get("encryptedDataKey", "") if keeps_it else ""
        document = document_of(fields["content"], fields.get("type") or "text", data_key)
        if ips:
            trial = Trial(replace(document, tried="beta"), ips=frozenset(ips.split(",")))
            self._registry.try_out(text, trial)
        elif tag := fields.get("tag"):
            self._registry.try_out(text, Trial(replace(document, tried="tag"), tag=tag))
        else:
            self._registry.write(text, document)

    def _remove_v1(self, asked: Request) -> Reply:
        text = self._text_v1(asked, Trait.FINDS_LISTENERS_OF_PUBLIC)
        if asked.fields.get("beta") == "true":
            self._registry.end_trial(text, "")
            return in_json({"code": HTTPStatus.OK, "message": "stop beta ok", "data": True})
        return self._remove(asked, text, DONE_V1)

    def _remove_v3(self, asked: Request) -> Reply:
        return self._remove(asked, self._text_v3(asked), DONE_V3)

    def _remove(self, asked: Request, text: Text, done: Reply) -> Reply:
        named = asked.fields.get("tag")
        if not named:
            self._registry.write(text, None)
        elif not self._character.has(Trait.NAMES_A_TAGS_DOCUMENT):
            self._registry.end_trial(text, named)
        elif not (named.startswith("tag_") and self._registry.end_trial(text, named[4:])):
            return result(None, SERVER_ERROR, status=HTTPStatus.INTERNAL_SERVER_ERROR)
        return done

    def _end_beta_v3(self, asked: Request) -> Reply:
        self._registry.end_trial(self._text_v3(asked), "")
        return DONE_V3

    def _history_v1(self, asked: Request) -> Reply:
        entries = self._registry.history(self._text_v1(asked, Trait.FINDS_DOCUMENTS_OF_PUBLIC))
        if asked.fields.get("search") == "accurate":
            listed = [entry_of_v1(each) for each in entries]
            return in_json({"totalCount": len(listed), "pageNumber": 1, "pageItems": listed})
        found = [each for each in entries if each.number == int(asked.fields["nid"])]
        # A controller that returns null sends nothing.
        return in_json({**entry_of_v1(*found), "content": found[0].text}) if found else told("")

    def _history_v3(self, asked: Request) -> Reply:
        listed = [entry_of_v3(each) for each in self._registry.history(self._text_v3(asked))]
        return result({"totalCount": len(listed), "pageNumber": 1, "pageItems": listed})

    def _entry_v3(self, asked: Request) -> Reply:
        number = int(asked.fields["nid"])
        entries = self._registry.history(self._text_v3(asked))
        found = [each for each in entries if each.number == number]
        if not found:
            missing = f"certain config history for nid = {number} not exist"
            return result(missing, NO_DOCUMENT, "resource not found", HTTPStatus.NOT_FOUND)
        return result({**entry_of_v3(*found), "content": found[0].text})

    async def _poll(self, asked: Request) -> Reply:
        """Reply when a document differs from what the client has, or when its time is over."""
        if "long-pulling-timeout" not in asked.headers:
            return told("")  # an older form of the question, answered at once in headers
        asked_for = int(asked.headers["long-pulling-timeout"])
        hurried = asked.headers.get("long-pulling-timeout-no-hangup") == "true"
        longest = 0 if hurried else max(SHORTEST_POLL, asked_for - REPLY_EARLIER)
        lines = [line.split(WORD) for line in asked.fields["Listening-Configs"].split(LINE) if line]
        changed = self._different(lines)
        try:
            async with asyncio.timeout(longest / 1000):
                while not changed:
                    await self._changed.wait()
                    changed = self._different(lines)
        except TimeoutError:
            pass
        words = (WORD.join(filter(None, (line[0], line[1], *line[3:]))) + LINE for line in changed)
        body = quote("".join(words))
        return Reply(HTTPStatus.OK, f"{body}\n" if body else "", "application/json;charset=UTF-8")

    def _different(self, lines: list[list[str]]) -> list[list[str]]:
        """Return those lines, `data id, group, MD5[, tenant]`, of which the document differs."""
        return [line for line in lines if self._registry.md5(self._listened(line)) != line[2]]

    def _listened(self, line: list[str]) -> Text:
        tenant = self._character.tenant("".join(line[3:]), Trait.FINDS_LISTENERS_OF_PUBLIC)
        return tenant, DocumentKey(line[0], line[1])

    def _wake(self, *_: object) -> None:
        """Let every long poll look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _text_v1(self, asked: Request, trait: Trait) -> Text:
        tenant = self._character.tenant(asked.fields.get("tenant", ""), trait)
        return tenant, key_of(asked.fields, "group")

    def _text_v3(self, asked: Request) -> Text:
        spelled = asked.fields.get("namespaceId", "")
        tenant = self._character.tenant(spelled, Trait.SPEAKS_V3)
        return tenant, key_of(asked.fields, "groupName")


def service_of(asked: Request) -> Service:
    """Return the service that a form names, as `service` or as `GROUP@@service`."""
    fields = asked.fields
    group = fields.get("groupName")
    service = ServiceKey.read(fields["serviceName"], group, "DEFAULT_GROUP")
    return fields.get("namespaceId") or "public", service


def host_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the instance that a form describes, with Nacos' own values for what it leaves out."""
    metadata = fields.get("metadata") or {}
    return {
        "ip": fields["ip"],
        "port": int(fields["port"]),
        "weight": float(fields.get("weight", 1.0)),
        "healthy": is_true(fields.get("healthy", True)),
        "enabled": is_true(fields.get("enabled", True)),
        "ephemeral": is_true(fields.get("ephemeral", True)),
        "clusterName": fields.get("clusterName") or "DEFAULT",
        "metadata": json.loads(metadata) if isinstance(metadata, str) else metadata,
    }


def cluster_of(beat: Mapping[str, Any]) -> dict[str, str]:
    """Return the cluster as a form names it, where the body of a beat has one."""
    return {"clusterName": beat["cluster"]} if beat.get("cluster") else {}


def client_of(host: Mapping[str, Any]) -> str:
    """Return the name of the client that is one instance, for instances come without connection."""
    return f"{host['ip']}:{host['port']}#{'ephemeral' if host['ephemeral'] else 'persistent'}"


def is_true(value: object) -> bool:
    """Return whether a form, or JSON, says true."""
    return str(value).lower() == "true"


def key_of(fields: Mapping[str, str], group: str) -> DocumentKey:
    """Return the document that a form names; `group` is the name of the group's field."""
    return DocumentKey(fields["dataId"], fields.get(group) or "DEFAULT_GROUP")


def fields_of(document: Document) -> dict[str, Any]:
    """Return a document as v3 sends it."""
    key = {"encryptedDataKey": document.data_key} if document.data_key else {}
    return {"content": document.content, "md5": document.md5, "contentType": document.type, **key}


def entry_of_v1(entry: Entry) -> dict[str, Any]:
    """Return an entry of a document's history as v1 lists it; the column is ten letters wide."""
    at = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
    who = {"srcUser": None, "srcIp": "127.0.0.1", "opType": f"{entry.change:10}"}
    return {"id": str(entry.number), "lastModifiedTime": at, **who}


def entry_of_v3(entry: Entry) -> dict[str, Any]:
    """Return an entry of a document's history as v3 lists it."""
    who = {"srcUser": "nacos", "srcIp": "127.0.0.1", "opType": f"{entry.change:10}"}
    return {"id": str(entry.number), "modifyTime": int(entry.at * 1000), **who}


def told(text: str, status: int = HTTPStatus.OK) -> Reply:
    """Reply with a text."""
    return Reply(status, text, PLAIN)


def in_json(body: Any) -> Reply:
    """Reply with JSON."""
    return Reply(HTTPStatus.OK, json.dumps(body))


def result(
    data: Any, code: int = 0, message: str = "success", status: int = HTTPStatus.OK
) -> Reply:
    """Reply with data in the envelope of v3."""
    return Reply(status, json.dumps({"code": code, "message": message, "data": data}))


def page(asked: Request, status: HTTPStatus) -> Reply:
    """Reply with the error page of the web server."""
    told_of = {"status": status, "error": status.phrase, "path": asked.path}
    return Reply(status, json.dumps(told_of))


DONE_V1, DONE_V3 = in_json(body=True), result(data=True)
