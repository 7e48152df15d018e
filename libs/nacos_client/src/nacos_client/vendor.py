"""The way to a real Nacos; the protocol is loaded when the first session is made."""

from typing import TYPE_CHECKING

from nacos_client.ports import Session
from nacos_client.settings import NacosSettings

if TYPE_CHECKING:
    from nacos_client._sdk.auth import Credentials


class Vendor:
    """Makes sessions with a real Nacos for one client; one login serves all of them."""

    def __init__(self) -> None:
        self._credentials: Credentials | None = None

    def __call__(self, settings: NacosSettings, label: str) -> Session:
        """Make a session that is not started."""
        from nacos_client._sdk.auth import Credentials  # noqa: PLC0415
        from nacos_client._sdk.session import SdkSession  # noqa: PLC0415

        if self._credentials is None:
            self._credentials = Credentials(settings)
        return SdkSession(settings, label, self._credentials)
