"""What new kernels get from the settings, where their specification does not say it."""

from __future__ import annotations

from dataclasses import replace

from ..config.settings import Config
from ..errors import ConfigError, LocalProtocolError
from ..wire.kernel_spec import KernelSpec, Mount, check_spec
from ..wire.versions import Hello

__all__ = ["complete_spec"]


def complete_spec(spec: KernelSpec, config: Config, hello: Hello) -> KernelSpec:
    """Add the settings' project, domain and virtual folders, and check that the server can do it.

    A server from before projects and domains gets none.

    Args:
        spec: what to create. What it says counts.
        config: the settings.
        hello: what the server says of itself.

    Raises:
        LocalProtocolError: the server's release cannot do what `spec` asks for.
        ConfigError: a virtual folder of the settings is malformed, or cannot be mounted there in
            this way.
    """
    check_spec(hello, spec)
    # The project of the settings is one of their domain.
    project = spec.project or (config.project if not spec.domain else "")
    places = replace(spec, project=project, domain=spec.domain or config.domain)
    if _can(hello, places):
        spec = places
    try:
        mounted = {mount.source for mount in spec.mount_points}
        more = [mount for mount in config.mounts if Mount.parse(mount).source not in mounted]
        spec = replace(spec, mounts=(*spec.mounts, *more))
        check_spec(hello, spec)
    except LocalProtocolError as exc:
        raise ConfigError("BACKEND_VFOLDER_MOUNTS", str(exc)) from None
    return spec


def _can(hello: Hello, spec: KernelSpec) -> bool:
    try:
        check_spec(hello, spec)
    except LocalProtocolError:
        return False
    return True
