"""Would a mosquitto configuration let strangers in? Beyond this machine, a listener needs TLS and each client a credential."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass, field

from ..address import is_local

_HIDDEN = ("include_dir", "port", "bind_address")  # they open listeners that are not written as such
_ENTRY = ("allow_anonymous", "acl_file", "password_file")


@dataclass
class Listener:
    """One listener and its settings.

    Attributes:
        host: the address that it is bound to; empty: all of them.
    """

    port: str
    host: str
    settings: dict[str, str] = field(default_factory=dict)


def faults(configuration: str) -> list[str]:
    """What is wrong with it; empty: nobody comes in without a credential, and nothing goes out in the clear."""
    common, listeners = _parsed(configuration)
    words = {word for settings in (common, *(listener.settings for listener in listeners)) for word in settings}
    found = [f"{word} opens what is not looked into" for word in _HIDDEN if word in words]
    if not listeners:
        found.append("it has no listener")
    for listener in listeners:
        settings = {**common, **listener.settings}
        where = f"the listener on port {listener.port}"
        if is_local(listener.host) or listener.host.startswith("/"):
            continue
        if settings.get("allow_anonymous") != "false":
            found.append(f"{where} lets in clients without a name: allow_anonymous is not false")
        if "certfile" not in listener.settings or "keyfile" not in listener.settings:
            found.append(f"{where} has no TLS")
        if not _has_credentials(settings):
            found.append(f"{where} asks for no credential")
        if "acl_file" not in settings:
            found.append(f"{where} has no acl_file: every client could write everything")
    return found


def _has_credentials(settings: dict[str, str]) -> bool:
    by_certificate = settings.get("require_certificate") == "true" and "cafile" in settings
    named = "true" in (settings.get("use_identity_as_username"), settings.get("use_subject_as_username"))
    return (by_certificate and named) or "password_file" in settings


def _parsed(configuration: str) -> tuple[dict[str, str], list[Listener]]:
    """Settings for all, and listeners with their own.

    A setting behind a listener is the listener's, but for who may come in: that holds for all, unless `per_listener_settings`.
    """
    common: dict[str, str] = {}
    listeners: list[Listener] = []
    for line in configuration.splitlines():
        word, _, value = line.strip().partition(" ")
        value = value.strip()
        if not word or word.startswith("#"):
            continue
        if word == "listener":
            port, _, host = value.partition(" ")
            listeners.append(Listener(port, host.strip()))
        elif listeners and (word not in _ENTRY or common.get("per_listener_settings") == "true"):
            listeners[-1].settings[word] = value
        else:
            common[word] = value
    if common.get("per_listener_settings") == "true":
        common = {word: value for word, value in common.items() if word not in _ENTRY}
    return common, listeners
