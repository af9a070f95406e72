"""The bed of the fault matrix: three ZooKeeper servers and the members, each on a host (network namespace) of its own,
and what can go wrong between them. Every fault is undone by mend()."""
import os

from .cluster import Cluster
from .member import Member
from .netns import Host, Network
from .zookeeper import Ensemble, Place, Server

MEMBERS = ("a", "b", "c")
Party = Member | Server
_CLIENT_PORT = 2181
_ESTABLISHED = "01"
_CLOSE_SESSION = "|fffffff5|"  # the request's type, -11


def _hex_address(address: str, port: int) -> str:
    """As in /proc/net/tcp."""
    return "".join(f"{int(part):02X}" for part in reversed(address.split("."))) + f":{port:04X}"


class Bed:
    """Use as a context manager. One ensemble for all rows of a module; clusters come and go."""

    def __init__(self, directory: str, tick_ms: int = 500) -> None:
        self.network = Network(directory)
        places: list[Place] = []
        for number in (1, 2, 3):
            host = self.network.add(f"zk{number}", number)
            places.append(Place(host.address, host.wrapper, _CLIENT_PORT, (2888, 3888)))
        for number, name in enumerate(MEMBERS, 11):
            self.network.add(name, number)
        self.ensemble = Ensemble(os.path.join(directory, "ensemble"), 3, tick_ms, places=places)

    def __enter__(self) -> "Bed":
        self.ensemble.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.ensemble.stop()
        self.network.close()

    @property
    def servers(self) -> list[Server]:
        return self.ensemble.servers

    def house(self, cluster: Cluster) -> Cluster:
        """Gives each member of a cluster that has not been started the host of its name."""
        for member in cluster.members:
            member.wrapper = self.host(member).wrapper
            member.address = self.host(member).address
        return cluster

    def host(self, party: Party) -> Host:
        name = party.name if isinstance(party, Member) else f"zk{party.number}"
        return next(host for host in self.network.hosts if host.name == name)

    # ---- who talks to whom ----------------------------------------------------------------------------------

    def connected_server(self, member: Member) -> Server | None:
        """The server that the member's elector has its connection to, as the kernel tells it."""
        pid = member.elector()
        try:
            inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            return None
        peers = {row[2] for row in rows if row[3] == _ESTABLISHED and f"socket:[{row[9]}]" in inodes}
        return next((server for server in self.servers if _hex_address(server.host, _CLIENT_PORT) in peers), None)

    def wait_connected(self, member: Member, to: Server | None = None, timeout: float = 30) -> Server:
        """Until the member is connected, to that server where one is named."""
        def found() -> Server | None:
            server = self.connected_server(member)
            return server if to is None or server is to else None
        return member.wait(found, timeout, f"connected to {f'ZooKeeper server {to.number}' if to else 'ZooKeeper'}")

    def leader(self) -> Server:
        return self.ensemble.leader()

    def followers(self) -> list[Server]:
        leader = self.leader()
        return [server for server in self.servers if server is not leader]

    # ---- faults of the network --------------------------------------------------------------------------------

    def _deafen(self, party: Party, to: list[Party]) -> None:
        """What those send does not arrive at `party` any more; packets alone: connections stay as they are."""
        self.host(party).filter([f"-A INPUT -s {self.host(each).address} -j DROP" for each in to])

    def cut_out(self, party: Party, *others: Party) -> None:
        """One way: what `party` sends to the others is lost."""
        for other in others:
            self._deafen(other, [party])

    def cut_in(self, party: Party, *others: Party) -> None:
        """One way: what the others send to `party` is lost."""
        self._deafen(party, list(others))

    def cut(self, party: Party, *others: Party) -> None:
        """Both ways."""
        self.cut_in(party, *others)
        self.cut_out(party, *others)

    def cut_all(self, member: Member) -> None:
        """From every ZooKeeper server; the other members are still reached."""
        self.cut(member, *self.servers)

    def cut_peers(self, member: Member, cluster: Cluster) -> None:
        """From the other members alone."""
        self.cut(member, *(other for other in cluster.members if other is not member))

    def cut_servers(self, one: Server, other: Server) -> None:
        self.cut(one, other)

    def hold_close(self, member: Member, *servers: Server) -> None:
        """The member's requests to close a session do not arrive; TCP sends them again until they do, whether their
        process lives or not. (kmp: bm misses what lies across two pieces of a packet's data, lib/ts_bm.c.)"""
        for server in servers:
            self.host(server).filter([f"-A INPUT -s {self.host(member).address} -p tcp -m string --algo kmp "
                                      f'--hex-string "{_CLOSE_SESSION}" -j DROP'])

    def refuse(self, member: Member, *servers: Server) -> None:
        """Connections to these servers are refused at once, as where no server runs."""
        for server in servers:
            self.host(server).filter([f"-A INPUT -s {self.host(member).address} -p tcp -j REJECT --reject-with tcp-reset"])

    def heal(self) -> None:
        """All packets arrive again."""
        for host in self.network.hosts:
            host.filter_nothing()

    def forget_names(self, member: Member) -> None:
        """The member's host resolves no name any more."""
        self.network.name_hosts(self.host(member), [])

    # ---- faults of the servers -----------------------------------------------------------------------------------

    def freeze(self, *servers: Server) -> None:
        for server in servers:
            server.pause()

    def thaw(self, *servers: Server) -> None:
        for server in servers:
            server.resume()

    def kill(self, *servers: Server) -> None:
        for server in servers:
            server.kill()

    def restart(self, *servers: Server) -> None:
        """Starts servers that have been killed; does not wait."""
        for server in servers:
            server.start()

    def wipe(self) -> None:
        """The whole ensemble, which must not run, loses its data."""
        for server in self.servers:
            server.wipe()

    def mend(self) -> None:
        """All faults undone, and the ensemble whole."""
        self.heal()
        for host in self.network.hosts:
            self.network.name_hosts(host)
        for server in self.servers:
            if server.running():
                server.resume()
            else:
                server.start()
        self.ensemble.wait_ready()

    # ---- starting members where a row wants them -------------------------------------------------------------------

    def start_on(self, member: Member, server: Server, timeout: float = 60) -> None:
        """Starts the member so that its session is with that server. It reaches no other one until heal(): under load it
        might move on before the row begins."""
        self.refuse(member, *(other for other in self.servers if other is not server))
        member.start()
        self.wait_connected(member, server, timeout)

    def describe(self) -> str:
        def where(server: Server) -> str:
            return f"zk{server.number} at {server.address}"
        return ", ".join(map(where, self.servers)) + "\n" + self.ensemble.log_tails()
