"""A package of the real Supervisor, made as Fedora's and EPEL's is: files, modes, scriptlets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import supervisor

CONFIG = """\
[unix_http_server]
file=/var/run/supervisor/supervisor.sock

[supervisord]
logfile=/var/log/supervisor/supervisord.log
logfile_maxbytes=50MB
logfile_backups=10
loglevel=info
pidfile=/var/run/supervisord.pid
nodaemon=false
minfds=1024
minprocs=200

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix:///var/run/supervisor/supervisor.sock

[include]
files = supervisord.d/*.ini
"""

_UNIT = """\
[Unit]
Description=Process Monitoring and Control Daemon
After=rc-local.service nss-user-lookup.target

[Service]
Type=forking
ExecStart=/usr/bin/supervisord -c /etc/supervisord.conf

[Install]
WantedBy=multi-user.target
"""

_LAUNCHER = """\
#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "/usr/lib/supervisor-site")
from supervisor.{module} import main
sys.exit(main())
"""

_COMMANDS = {
    "supervisord": "supervisord",
    "supervisorctl": "supervisorctl",
    "echo_supervisord_conf": "confecho",
    "pidproxy": "pidproxy",
}

_SPEC = """\
Name: supervisor
Version: 4.3.0
Release: 1
Summary: A System for Allowing the Control of Process State on UNIX
License: none
BuildArch: noarch
AutoReqProv: no
Requires: /usr/bin/python3
%description
The real one.
%install
cp -R {tree}/. %{{buildroot}}
%post
if [ $1 -eq 1 ]; then
    systemctl --no-reload preset supervisord.service >/dev/null 2>&1 || :
    systemd-tmpfiles --create supervisor.conf || :
fi
%preun
if [ $1 -eq 0 ]; then
    systemctl --no-reload disable --now supervisord.service >/dev/null 2>&1 || :
fi
%postun
systemctl daemon-reload >/dev/null 2>&1 || :
%files
/usr/bin/*
/usr/lib/supervisor-site
/usr/lib/systemd/system/supervisord.service
/usr/lib/tmpfiles.d/supervisor.conf
%config(noreplace) /etc/supervisord.conf
%config(noreplace) /etc/logrotate.d/supervisor
%dir /etc/supervisord.d
%attr(0770,root,root) %dir /var/log/supervisor
"""


def build_supervisor(folder: Path) -> Path:
    """Build the package of the Supervisor that is installed here; return its repository."""
    tree = folder / "tree"
    files = {
        "etc/supervisord.conf": CONFIG,
        "etc/logrotate.d/supervisor": "/var/log/supervisor/*.log {\n    missingok\n}\n",
        "usr/lib/systemd/system/supervisord.service": _UNIT,
        "usr/lib/tmpfiles.d/supervisor.conf": "D /run/supervisor 0770 root root -\n",
    }
    for name, text in files.items():
        _write(tree / name, text)
    for name, module in _COMMANDS.items():
        _write(tree / "usr/bin" / name, _LAUNCHER.format(module=module)).chmod(0o755)
    for empty in ("etc/supervisord.d", "var/log/supervisor"):
        (tree / empty).mkdir(parents=True)
    source = Path(str(supervisor.__path__[0]))
    for path in source.rglob("*"):
        if path.is_file() and "tests" not in path.parts and path.suffix != ".pyc":
            target = tree / "usr/lib/supervisor-site/supervisor" / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    spec = _write(folder / "supervisor.spec", _SPEC.format(tree=tree))
    for command in (
        ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}", str(spec)],
        ["createrepo_c", "--quiet", str(folder)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
