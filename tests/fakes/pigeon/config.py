"""The settings of a loft."""

from portico.config.sections.base import setting
from portico.config.sections.channels import AccountConfig


class PigeonAccount(AccountConfig):
    """One loft."""

    token: str = setting(doc="The loft's token.", secret=True, reload="hot")
    api_url: str = setting("https://api.example", "The loft's API.", reload="hot")

    @property
    def stream(self) -> str:
        """Another loft numbers its updates anew."""
        return self.api_url
