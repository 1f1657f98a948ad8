"""A session as the agent sees it: published code talks to the kernel runner, files are ours."""

import io
import json
import os
import stat
import tarfile
from pathlib import Path

from ai.backend.agent.docker.kernel import DockerKernel

HOME = Path("/home/work")
MAX_DOWNLOAD = 2**20


async def prepare_krunner_env(local_config):
    """What the kernel runner needs is installed already."""
    return {}


class HostKernel(DockerKernel):
    """A session whose work folder is one of this machine."""

    @property
    def scratch(self) -> Path:
        """The session's folder."""
        return Path(self.agent_config["container"]["scratch-root"]) / str(self.kernel_id)

    def host_path(self, path) -> Path:
        """Where a path of the session is on this machine."""
        inside = Path(os.path.normpath(HOME / path))
        if inside != HOME and HOME not in inside.parents:
            raise PermissionError("only paths under /home/work")
        return self.scratch / "work" / inside.relative_to(HOME)

    async def get_logs(self):
        """What the session's process has printed."""
        try:
            return {"logs": (self.scratch / "console.log").read_text(errors="replace")}
        except FileNotFoundError:
            return {"logs": ""}

    async def download_file(self, filepath):
        """A tar archive of a file or folder."""
        path = self.host_path(filepath)
        if not path.exists():
            raise FileNotFoundError(f"no such file: {filepath}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(path, arcname=path.name)
        if buffer.tell() > MAX_DOWNLOAD:
            raise ValueError("too large file")
        return buffer.getvalue()

    async def download_single(self, filepath):
        """A file as it is."""
        path = self.host_path(filepath)
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {filepath}")
        if path.stat().st_size > MAX_DOWNLOAD:
            raise ValueError("too large file")
        return path.read_bytes()

    async def list_files(self, container_path):
        """What is in a folder, as the published code lists it."""
        files, errors = [], ""
        try:
            for entry in os.scandir(self.host_path(container_path)):
                state = entry.stat(follow_symlinks=False)
                times = {key: getattr(state, f"st_{key}") for key in ("ctime", "mtime", "atime")}
                mode = stat.filemode(state.st_mode)
                files.append({"filename": entry.name, "mode": mode, "size": state.st_size, **times})
        except OSError as exc:
            errors = str(exc)
        return {"files": json.dumps(files), "errors": errors, "abspath": str(container_path)}

    async def commit(self, *args, **kwargs):
        """There are no images to make."""
        raise NotImplementedError("no container engine")
