"""The table of differences: what a server does from one version on, and where that is written.

A file is one of github.com/alibaba/nacos at the tag of the version (`...` for its folders).
"""

import enum
import re


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version: those of `3.1.0-bugfix` are 3, 1 and 0."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    assert found is not None, f"{version!r} is no version like 2.0.4"
    return tuple(map(int, found.groups()))


class Trait(enum.Enum):
    """A behaviour: the first version that has it, and the source of that."""

    # Beside the text, and with the answer to who reads it.
    KEEPS_KEYS_OF_DOCUMENTS = ("2.1.0", "config/.../ConfigPublishRequestHandler.java")
    # By v1, which neither took nor told the key before.
    KEEPS_KEYS_OVER_HTTP = ("2.3.0", "config/.../{ConfigController,ConfigServletInner}.java")
    # The tag is a label of the application's among those of the connection; before, a header.
    LOOKS_FOR_THE_TAG_AMONG_LABELS = ("2.5.0", "config/.../DefaultChainRequestExtractor.java")
    # For who deletes it: `tag_blue`, and what has another name is an error.
    NAMES_A_TAGS_DOCUMENT = ("2.5.0", "config/.../ConfigOperationService.java")
    # Before, only to the connections that have the tag as a label of its own.
    PUSHES_A_TRIAL_TO_ALL = ("2.5.0", "config/.../RpcConfigChangeNotifier.java")
    # Before, only `Authorization: Bearer` and the parameter accessToken counted over HTTP.
    TAKES_THE_TOKEN_HEADER = (
        "2.1.0",
        "auth/.../HttpIdentityContextBuilder.java; 2.0.4: console/.../NacosAuthManager.java",
    )
    # By a SetupAckRequest, where the ServerCheckResponse says supportAbilityNegotiation.
    SAYS_THAT_IT_REGISTERED = ("2.3.0", "core/.../GrpcBiStreamRequestAcceptor.java")
    HAS_PERSISTENT_INSTANCES_BY_GRPC = (
        "2.3.0",
        "naming/.../PersistentInstanceRequestHandler.java",
    )
    # With its own storage. Tried: 2.0.4 and 2.2.3 overwrite whatever is there, 2.3.2 does not.
    COMPARES_BEFORE_IT_SETS = ("2.3.0", "config/.../EmbeddedConfigInfoPersistServiceImpl.java")
    # Before, the handler of another package sent the error's code as the status: 0 (2.3.2).
    REFUSES_A_LOGIN_WITH_403 = ("2.4.0", "config/.../GlobalExceptionHandler.java: basePackages")
    # What reads and writes by gRPC translates the tenant `public`, and what publishes by v1.
    FINDS_DOCUMENTS_OF_PUBLIC = (
        "2.5.1",
        "config/.../Config{Query,Publish,Remove}RequestHandler.java, ConfigController.java",
    )
    # What listens translates it too, by gRPC and by v1, and what removes by v1.
    FINDS_LISTENERS_OF_PUBLIC = (
        "3.0.0",
        "config/.../ConfigChangeBatchListenRequestHandler.java, MD5Util.java",
    )
    SPEAKS_V3 = ("3.0.0", "core/.../controller/v3, naming/.../controllers/v3")
    GUARDS_ITS_ADMINISTRATION = (
        "3.0.0",
        "distribution/conf/application.properties: nacos.core.auth.admin.enabled=true",
    )
    # The paths of v1 for operators answer 410; those for clients stay.
    RETIRED_THE_ADMINISTRATION_OF_V1 = ("3.0.0", "core/.../ApiCompatibilityFilter.java")
    # The handler of the error is in the console's web server now (3.1).
    REFUSES_A_LOGIN_WITH_500 = ("3.0.0", "console/.../ConsoleExceptionHandler.java")
    # Before, the list of v3 for clients had the cluster DEFAULT alone, if none was named: 3.1.0 was
    # tried, and the pull request is of the time of 3.2.
    LISTS_EVERY_CLUSTER = ("3.3.0", "github.com/alibaba/nacos, pull request 14778")
    DROPPED_V1 = ("3.2.0", "github.com/nacos-group/nacos-group.github.io, issue 1041")
    ASKS_EVERY_CLIENT_FOR_A_LOGIN = ("3.3.0", "github.com/alibaba/nacos, pull request 15824")

    def __init__(self, since: str, source: str) -> None:
        self.since = numbers(since)
        self.source = source
