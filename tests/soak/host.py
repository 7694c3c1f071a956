"""What a soak needs of the host that the agent runs on."""

from typing import Protocol


class Host(Protocol):
    """The host of one agent.

    Attributes:
        address: of the agent.
        listen: the text of its configuration for this address.
    """

    address: str
    listen: str

    def pid(self) -> int:
        """Return the pid of the agent, which changes if it is restarted."""

    def reload(self, text: str) -> None:
        """Write a configuration and have the agent reload it."""

    def create_domain(self) -> int:
        """Create a domain with the name `NAME`, and return its domid."""

    def destroy_domain(self, domid: int) -> None:
        """Destroy a domain."""

    def restart_xenstored(self) -> None:
        """Kill xenstored, and start it again."""
