"""Fetch what a stranger's URL names, without becoming the stranger's hand inside our network.

Theory of operation: the name is resolved here, every address it has must be a public one, and the
connection goes to the address that was checked (with the name in Host and TLS), so a second look-up
cannot change its mind. Redirects are followed by hand and each goes through the same checks.

Guarantees: http and https only; no credentials in the URL; no loopback, private, link-local, CGNAT,
multicast, reserved or cloud metadata address, in whatever notation; at most `max_redirects`
redirects, `timeout_s` in all and `max_bytes` of body; environment proxies are not used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from portico.net.tls import trusted

if TYPE_CHECKING:
    import httpx2

USER_AGENT = "portico-gateway"
MAX_URL_LENGTH = 2_048
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class FetchRefused(Exception):
    """It was not fetched; the text says why and is fit for the caller."""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """What may be fetched.

    Attributes:
        allowed_domains: `host` or `host/path`, sub-domains included; empty: every public one.
        allow_private: also addresses inside our network. For tests and trusted networks.
        private_hosts: hosts that may have such addresses, sub-domains included.
        headers: sent besides.
    """

    allowed_domains: tuple[str, ...] = ()
    allow_private: bool = False
    private_hosts: tuple[str, ...] = ()
    timeout_s: float = 15.0
    max_redirects: int = 5
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A downloaded file.

    Attributes:
        content_type: without parameters, lowercase; empty when the server did not say.
        file_name: from Content-Disposition, else from the URL; never with a path.
        url: where it was found, after redirects.
        charset: of text, as the server says; empty when it does not.
        is_cut: there was more of it.
    """

    body: bytes
    content_type: str
    file_name: str
    url: str = ""
    charset: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class _Limit:
    max_bytes: int
    cut: bool


class Fetcher:
    """Downloads what callers and agents name."""

    def __init__(self, settings: FetchSettings, *, resolve: Resolve | None = None) -> None:
        self._settings = settings
        self._resolve = resolve or resolve_host
        self._client: httpx2.AsyncClient | None = None

    def configure(self, settings: FetchSettings) -> None:
        """Fetch by other rules from now on."""
        self._settings = settings

    async def fetch(self, url: str, *, max_bytes: int, cut: bool = False) -> Fetched:
        """Download a file.

        Args:
            cut: return the beginning of one that is too large, in place of refusing it.

        Raises:
            FetchRefused: the URL is not allowed, or the download failed.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._follow(url, _Limit(max_bytes, cut))
        except TimeoutError:
            raise FetchRefused("the url did not answer in time") from None

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _follow(self, url: str, limit: _Limit) -> Fetched:
        import httpx2

        for _ in range(self._settings.max_redirects + 1):
            parts = check_url(url, allowed_domains=self._settings.allowed_domains)
            place = await pinned(
                parts, resolve=self._resolve, may_be_private=self._may_be_private(parts)
            )
            try:
                found = await self._get(parts, place, limit)
            except httpx2.HTTPError as error:
                raise FetchRefused("the url could not be downloaded") from error
            if isinstance(found, Fetched):
                return replace(found, url=url)
            url = urljoin(url, found)
        raise FetchRefused("the url redirects too often")

    def _may_be_private(self, parts: SplitResult) -> bool:
        hosts = self._settings.private_hosts
        return self._settings.allow_private or any(_is_under(parts, host) for host in hosts)

    async def _get(self, parts: SplitResult, place: Pinned, limit: _Limit) -> Fetched | str:
        """Return the file, or where the server sends us."""
        request = self._http().build_request(
            "GET",
            place.url,
            headers={"host": place.host},
            extensions={"sni_hostname": place.name},
        )
        response = await self._http().send(request, stream=True)
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            if response.status_code != 200:
                raise FetchRefused(f"the url answered with status {response.status_code}")
            body, is_cut = await _read(response, limit)
            kind, charset = _content_type(response.headers.get("content-type", ""))
            name = _file_name(response.headers.get("content-disposition", ""), parts.path)
            return Fetched(body, kind, name, charset=charset, is_cut=is_cut)
        finally:
            await response.aclose()

    def _http(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2

            self._client = httpx2.AsyncClient(
                trust_env=False,
                verify=trusted(),
                follow_redirects=False,
                timeout=self._settings.timeout_s,
                # No reuse: connections are pooled by address, but checked by name.
                limits=httpx2.Limits(max_connections=32, max_keepalive_connections=0),
                headers={
                    "user-agent": USER_AGENT,
                    **self._settings.headers,
                    "accept-encoding": "identity",
                },
            )
        return self._client


@dataclass(frozen=True, slots=True)
class Pinned:
    """A URL with the address that was checked in place of the name.

    Attributes:
        host: for the header `Host`.
        name: for TLS.
    """

    url: str
    host: str
    name: str


async def pinned(parts: SplitResult, *, resolve: Resolve, may_be_private: bool) -> Pinned:
    """Look a URL's host up once, check what it leads to, and hold on to that.

    Raises:
        FetchRefused: it is not known, or leads inside our network and may not.
    """
    name = parts.hostname or ""
    try:
        addresses = await resolve(name, parts.port or (443 if parts.scheme == "https" else 80))
    except OSError:
        raise FetchRefused("the url's host is not known") from None
    if not addresses:
        raise FetchRefused("the url's host is not known")
    if not may_be_private and not all(map(is_public, addresses)):
        raise FetchRefused("the url leads to an address that is not public")
    address = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    port = "" if parts.port is None else f":{parts.port}"
    url = urlunsplit((parts.scheme, f"{address}{port}", parts.path or "/", parts.query, ""))
    return Pinned(url, f"[{name}]{port}" if ":" in name else f"{name}{port}", name)


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return every address of a host."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def check_url(url: str, *, allowed_domains: Sequence[str] = ()) -> SplitResult:
    """Return the parts of a URL that may be fetched, as far as its text tells.

    Raises:
        FetchRefused: it may not.
    """
    if len(url) > MAX_URL_LENGTH or any(ord(c) <= 0x20 or c in "\\\x7f" for c in url):
        raise FetchRefused("the url is not valid")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise FetchRefused("the url is not valid") from None
    if parts.scheme not in {"http", "https"}:
        raise FetchRefused("the url must begin with http:// or https://")
    if not host or parts.username is not None or parts.password is not None:
        raise FetchRefused("the url is not valid")
    if allowed_domains and not any(_is_under(parts, entry) for entry in allowed_domains):
        raise FetchRefused("the url's domain is not allowed")
    return parts


def is_public(address: str) -> bool:
    """Whether an address belongs to somebody on the internet, not to us or our machine."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    inner = _embedded(ip)
    if inner is not None:
        return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _embedded(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64), if there is one."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


def _is_under(parts: SplitResult, entry: str) -> bool:
    domain, slash, path = entry.strip().lower().partition("/")
    host = (parts.hostname or "").lower().rstrip(".")
    if host != domain and not host.endswith(f".{domain}"):
        return False
    if not slash:
        return True
    wanted = f"/{path.rstrip('/')}"
    has = unquote(parts.path).lower()
    return ".." not in has.split("/") and (has == wanted or has.startswith(f"{wanted}/"))


async def _read(response: httpx2.Response, limit: _Limit) -> tuple[bytes, bool]:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchRefused("the url's content is compressed")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit.max_bytes:
            if limit.cut:
                return bytes(body[: limit.max_bytes]), True
            raise FetchRefused("content part too large")
    return bytes(body), False


def _content_type(header: str) -> tuple[str, str]:
    message = Message()
    message["content-type"] = header or "application/octet-stream"
    charset = message.get_content_charset() or ""
    return header.partition(";")[0].strip().lower(), charset


def _file_name(disposition: str, path: str) -> str:
    header = Message()
    header["content-disposition"] = disposition or "attachment"
    name = header.get_filename() or unquote(path.rpartition("/")[2])
    name = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable()).strip(". ")[:200]
