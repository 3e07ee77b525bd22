#!/bin/sh
# Installs hbc, the agent of hbd, on this machine, or renews it; with --uninstall it removes it again. --help tells more.
#
# Everything comes from the daemon. The whole script is one function that is called in its last line, so that a
# download that breaks off runs nothing.

install_hbc() (
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset IFS CDPATH ENV BASH_ENV
umask 022

# values

usage() {
    cat <<END
usage: sh install.sh [options]     as root for the whole machine, else for you alone

  --uninstall      remove hbc with its key, its config and what it keeps
  --self-update    let this machine's hbc replace itself when the daemon asks; its daemon can then run any program as
                   the user that hbc runs as
  --user           install for this user alone, also as root
  --python FILE    the Python to run it with, $PYTHON_LEAST or newer; default: the newest that is found
  --package FILE   take the package from this file instead of the daemon
  --root DIR       install below this folder in place of /; no user is made, and no service
  --help           this
END
}

say() { printf '%s\n' "$*" 2>/dev/null || :; }

fail() {
    printf 'hbc: %s\n' "$*" >&2 || :
    exit 1
}

# ------------------------------------------------------------------------------------------------------------ what for

read_options() {
    uninstall='' self_update='' alone='' python='' package_file='' root=''
    while [ $# -gt 0 ]; do
        case $1 in
            --uninstall) uninstall=yes ;;
            --self-update) self_update=yes ;;
            --user) alone=yes ;;
            --python | --package | --root)
                [ $# -ge 2 ] || fail "$1 needs a value"
                case $1 in
                    --python) python=$2 ;;
                    --package) package_file=$2 ;;
                    --root) root=${2%/} ;;
                esac
                shift
                ;;
            --help)
                usage
                exit 0
                ;;
            *)
                usage >&2
                exit 2
                ;;
        esac
        shift
    done
    case $root in
        '' | /*) ;;
        *) fail "--root: write the whole path" ;;
    esac
    [ "$(id -u)" = 0 ] || [ -n "$root" ] || alone=yes
}

# folder VALUE DEFAULT: one of the XDG variables; what is no whole path does not count
folder() {
    case $1 in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$HOME/$2" ;;
    esac
}

choose_places() {
    [ "$(uname -s)" = Linux ] || fail "this script is for Linux; docs/agent.md of hbd tells how else to install it"
    agent=$(id -un) group=$(id -g) service=none
    if [ -n "$alone" ]; then
        [ -d "${HOME:-}" ] || fail "this user has no home folder"
        settings=$(folder "${XDG_CONFIG_HOME:-}" .config)
        lib=$(folder "${XDG_DATA_HOME:-}" .local/share)/hbc
        state=$(folder "${XDG_STATE_HOME:-}" .local/state)/hbc
        etc=$settings/hbc unit=$settings/systemd/user/hbc.service command=$HOME/.local/bin/hbc
        if systemctl --user show-environment >/dev/null 2>&1 && loginctl enable-linger >/dev/null 2>&1; then
            service=user
        fi
    else
        lib=$root/usr/local/lib/hbc etc=$root/etc/hbc state=$root/var/lib/hbc
        unit=$root/etc/systemd/system/hbc.service command=$root/usr/local/bin/hbc
        [ -n "$root" ] || agent=hbc group=hbc # what belongs to a user of another root is not ours to know
        if [ -d "$root/run/systemd/system" ] && [ -n "$(command -v systemctl)" ]; then
            service=system
        fi
    fi
    package=$lib/hbc.pyz fetched=$etc/hbc.pyz.new config=$etc/config.yaml key_file=$etc/key server_file=$etc/server.pem pid_file=$etc/hbc.pid
    case "$lib$etc$state$unit" in
        *[!A-Za-z0-9/._@+-]*) fail "it cannot be installed below a folder with such a name: $etc" ;;
    esac
}

find_python() {
    for candidate in ${python:-python3 python3.14 python3.13 python3.12 python3.11}; do
        found=$(command -v "$candidate") || continue
        if "$found" -I -c "import asyncio, ssl, sys; sys.exit(sys.version_info < ($PYTHON_LEAST_TUPLE))" 2>/dev/null; then
            python=$found
            return
        fi
    done
    has=$(python3 -I -c 'import platform; print(platform.python_version())' 2>/dev/null) || has=none
    fail "it needs Python $PYTHON_LEAST or newer with its standard library; python3 here: $has (--python names another)"
}

# Nobody else may have prepared what is written to, or what is written would be theirs to change.
check_places() {
    [ ! -L "$state" ] || fail "$state is a link; remove it first"
    [ ! -L "$lib" ] || fail "$lib is a link; remove it first"
    # The program may be the agent's own since --self-update.
    own=yes
    if [ -n "$(find "$lib" -prune -user hbc 2>/dev/null)" ] && [ ! -O "$lib" ]; then own=''; fi
    for place in ${own:+"$lib" "$package"} "$etc" "$config" "$unit" "$command"; do
        [ ! -L "$place" ] || fail "$place is a link; remove it first"
        [ ! -e "$place" ] || [ -O "$place" ] || fail "$place belongs to somebody else; look at it and remove it first"
    done
    if [ -e "$command" ] && ! grep -qF "$package" "$command"; then
        say "$command is another program and stays as it is"
        command=''
    fi
}

# ------------------------------------------------------------------------------------------------------------- the parts

# put MODE FILE: what comes on standard input, whole or not at all
put() {
    rm -f "$2.new"
    (umask 077 && cat >"$2.new")
    chmod "$1" "$2.new"
    mv -f "$2.new" "$2"
}

# The key is for this daemon alone: it is in no argument of a program, and no redirect is followed. The folder is one in
# which the agent cannot write, and the file a new one: what comes is run before it takes its place.
fetch_package() {
    rm -f "$1"
    printf '%s\n' "$KEY" | "$python" -I -c '
import hashlib, ssl, sys, urllib.request
server, digest, pem, trust, source, target = sys.argv[1:]
key = sys.stdin.readline().strip()
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
try:
    if source:
        data = open(source, "rb").read()
    else:
        context = ssl.create_default_context(cadata=pem or None)
        if pem:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if trust == "pin_file":
            context.check_hostname = False
        opener = urllib.request.build_opener(Stay, urllib.request.HTTPSHandler(context=context))
        request = urllib.request.Request(server + "/api/agents/package", headers={"X-Agent-Key": key})
        data = opener.open(request, timeout=60).read(64 << 20)
except Exception as error:
    sys.exit("hbc: the package cannot be fetched from " + (source or server) + ": " + str(error))
if hashlib.sha256(data).hexdigest() != digest:
    sys.exit("hbc: the package is not the one that this script is for; fetch the script again")
with open(target, "xb") as out:
    out.write(data)
' "$SERVER" "$DIGEST" "$CERTIFICATE" "$TRUST" "$package_file" "$1"
    "$python" -I "$1" --version >/dev/null || fail "the package does not run with $python"
}

write_config() {
    if [ ! -e "$config" ]; then
        {
            printf '%s\n' "# hbc on this machine. Every key is explained in docs/agent.md of hbd; restart hbc to use a change."
            printf '%s\n' "server: $SERVER" "key_file: key"
            [ -z "$TRUST" ] || printf '%s\n' "$TRUST: server.pem"
            printf '%s\n' '' '# What hbd may do on this machine. Nothing, unless you list it; hbd cannot change it.' 'allow:'
            if [ -n "$self_update" ]; then
                printf '%s\n' '  commands: [update_agent]'
            else
                printf '%s\n' '  commands: []'
            fi
            printf '%s\n' '  # programs: [/usr/bin/uptime]     that the command shell may run; without this line: any' \
                '  # log_units: [nginx.service]' '  # log_paths: [/var/log/nginx]' '  # file_roots: [/srv/files]'
        } | put 644 "$config"
        return
    fi
    "$python" -I -c '
import re, sys
path, server, trust = sys.argv[1:]
text = open(path, encoding="utf-8").read()
if not re.search(r"(?m)^server:[ \t]*[^\s#\[]\S*[ \t]*$", text):
    sys.stderr.write("hbc: " + path + " names its servers in a way of its own and stays as it is\n")
    sys.exit()
text = re.sub(r"(?m)^server:.*$", lambda _: "server: " + server, text, count=1)
if trust and not re.search(r"(?m)^(pin|ca)_file:", text):
    text = re.sub(r"(?m)^server:.*$", lambda found: found[0] + "\n" + trust + ": server.pem", text, count=1)
with open(path, "w", encoding="utf-8") as out:
    out.write(text)
' "$config" "$SERVER" "$TRUST"
}

write_unit() {
    mkdir -p "${unit%/*}"
    {
        printf '%s\n' '[Unit]' 'Description=hbc, the agent of hbd' 'Wants=network-online.target' \
            'After=network-online.target' '' '[Service]' \
            "ExecStart=$python -I $package run -c $config" 'Restart=always' 'RestartSec=5' 'UMask=0077' \
            'NoNewPrivileges=yes' 'LockPersonality=yes' 'RestrictRealtime=yes' 'RestrictSUIDSGID=yes'
        if [ "$service" = user ]; then
            printf '%s\n' "Environment=STATE_DIRECTORY=$state" '' '[Install]' 'WantedBy=default.target'
        else
            groups=''
            for name in systemd-journal adm; do
                ! getent group "$name" >/dev/null 2>&1 || groups="$groups $name"
            done
            [ -z "$groups" ] || printf '%s\n' "SupplementaryGroups=${groups# }"
            # What is measured must be seen: home folders are disks too, and so are devices.
            printf '%s\n' "User=$agent" "Group=$group" 'StateDirectory=hbc' 'StateDirectoryMode=0700' \
                'ProtectSystem=strict' 'ProtectHome=read-only' 'PrivateTmp=yes' 'CapabilityBoundingSet=' \
                'ProtectClock=yes' 'ProtectHostname=yes' 'ProtectKernelLogs=yes' 'ProtectKernelModules=yes' \
                'ProtectKernelTunables=yes' 'ProtectControlGroups=yes' 'RestrictNamespaces=yes' \
                'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK' \
                'SystemCallArchitectures=native' 'SystemCallFilter=@system-service'
            [ -z "$self_update" ] || printf '%s\n' "ReadWritePaths=$lib"
            printf '%s\n' '' '[Install]' 'WantedBy=multi-user.target'
        fi
    } | put 644 "$unit"
}

write_command() {
    [ -n "$command" ] || return 0
    if [ -n "$self_update" ] && [ "$agent" = hbc ]; then # or root would run what the agent can change
        rm -f "$command"
        return
    fi
    mkdir -p "${command%/*}"
    printf '%s\n' '#!/bin/sh' "exec $python -I $package \"\$@\"" | put 755 "$command"
}

make_user() {
    [ "$agent" = hbc ] && [ -z "$alone" ] || return 0
    ! id -u hbc >/dev/null 2>&1 || return 0
    made_user=yes
    useradd --system --user-group --home-dir "$state" --no-create-home --shell /usr/sbin/nologin hbc 2>/dev/null \
        || { addgroup -S hbc && adduser -S -D -H -h "$state" -s /sbin/nologin -G hbc hbc; } >/dev/null 2>&1 \
        || fail "the user hbc cannot be made"
}

# -------------------------------------------------------------------------------------------------- starting, stopping

manager() {
    if [ "$service" = user ]; then systemctl --user "$@"; else systemctl "$@"; fi
}

# The processes of the agent where there is no systemd, started by this script or by its line in the crontab. One in a
# container looks the same from outside, but is another machine's.
running() {
    here=$(readlink /proc/self/ns/pid) || :
    found=$(grep -lsF -- "$package" /proc/[0-9]*/cmdline) || :
    for process in $found; do
        process=${process%/cmdline}
        case "
$(tr '\0' '\n' 2>/dev/null <"$process/cmdline")
" in
            *"
$package
run
-c
$config
"*) [ "$(readlink "$process/ns/pid")" != "$here" ] || printf '%s\n' "${process#/proc/}" ;;
        esac
    done
}

stop_agent() {
    if [ "$service" != none ] && [ -e "$unit" ]; then
        manager stop hbc.service >/dev/null 2>&1 || :
    fi
    for number in $(running); do
        kill "$number" 2>/dev/null || :
    done
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -n "$(running)" ] || return 0
        sleep 0.5
    done
    for number in $(running); do
        kill -KILL "$number" 2>/dev/null || :
    done
}

start_agent() {
    if [ "$service" != none ]; then
        manager daemon-reload && manager enable hbc.service >/dev/null 2>&1 && manager restart hbc.service
        return
    fi
    "$python" -I -c '
import os, subprocess, sys
user, state, *command = sys.argv[1:]
other = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 and user == "hbc" else {}
os.umask(0o077)
kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME", "TZ")}
logged = ["/bin/sh", "-c", "exec \"$@\" >\"$STATE_DIRECTORY/hbc.log\" 2>&1", "sh", *command]
agent = subprocess.Popen(logged, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         start_new_session=True, cwd="/", env=kept | {"STATE_DIRECTORY": state}, **other)
print(agent.pid)
' "$agent" "$state" "$python" -I "$package" run -c "$config" </dev/null | put 600 "$pid_file"
}

# Whether it still runs after what goes wrong at a start has gone wrong.
settled() {
    for _ in 1 2 3 4; do
        sleep 0.5
        if [ "$service" != none ]; then
            [ "$(manager is-active hbc.service 2>/dev/null)" = active ] || return 1
        else
            [ -n "$(running)" ] || return 1
        fi
    done
}

# The end of its log, which is the agent's own and may be a link to anything: it is read as the agent's user.
last_words() {
    [ "$service" = none ] || return 0
    "$python" -I -c '
import os, pwd, stat, sys
user, log = sys.argv[1:]
if os.geteuid() == 0 and user == "hbc":
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
with open(os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
    status = os.fstat(opened.fileno())
    if stat.S_ISREG(status.st_mode):
        opened.seek(max(0, status.st_size - 2000))
        for line in opened.read(2000).decode("utf-8", "replace").splitlines()[-3:]:
            print("".join(sign if sign.isprintable() else " " for sign in line))
' "$agent" "$state/hbc.log" 2>/dev/null || :
}

# --------------------------------------------------------------------------------------------------- all or nothing

# each STEP: do it with every file that is put back when something goes wrong. What is the agent's own is not touched but
# put aside with its folder, see put_package.
each() {
    for file in ${own:+"$package"} "$key_file" "$server_file" "$config" "$unit" ${command:+"$command"}; do "$1"; done
}

forget() { rm -f "$file.old"; }

keep() {
    forget
    [ ! -e "$file" ] || cp -p "$file" "$file.old"
}

put_back() {
    if [ -e "$file.old" ]; then mv -f "$file.old" "$file"; else rm -f "$file"; fi
}

forget_old() {
    each forget
    discard "$lib.old"
}

# discard FOLDER: one that may be the agent's, in which it can exchange nothing meanwhile
discard() {
    [ -d "$1" ] || return 0
    chown "$(id -u)" "$1"
    chmod 700 "$1"
    rm -rf "$1"
}

put_package() {
    if [ -z "$own" ]; then
        mv "$lib" "$lib.old"
        mkdir "$lib"
    fi
    put 644 "$package" <"$fetched"
    rm -f "$fetched"
}

put_package_back() {
    [ -d "$lib.old" ] || return 0
    rm -rf "$lib"
    mv "$lib.old" "$lib"
}

undo() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM
    set +e
    rm -f "$fetched" "$package.new" "$key_file.new" "$server_file.new" "$config.new" "$unit.new"
    if [ "$status" = 0 ]; then
        forget_old
        exit 0
    fi
    if [ -z "$touched" ]; then
        forget_old
        leave
        say "Nothing was changed."
    else
        stop_agent
        [ -e "$unit.old" ] || forget_service
        each put_back
        put_package_back
        if [ -e "$package" ]; then
            start_agent
            say "It did not work; what was there before is put back."
        else
            [ -n "$had_state" ] || discard "$state"
            [ "$had_state" != roots ] || chown -hR 0:0 "$state"
            leave
            say "It did not work; what was installed is removed."
        fi
    fi
    exit "$status"
}

forget_service() {
    if [ "$service" != none ] && [ -e "$unit" ]; then
        manager disable hbc.service >/dev/null 2>&1
        rm -f "$unit"
        manager daemon-reload
    fi
}

# What is left of an hbc that is gone. Folders with files of others stay.
leave() {
    if [ ! -e "$package" ]; then
        rm -f "$pid_file"
        [ -z "$command" ] || rm -f "$command"
        rmdir "$lib" "$etc" 2>/dev/null
        [ -z "$made_user" ] || userdel hbc 2>/dev/null || deluser hbc 2>/dev/null
    fi
}

remove() {
    stop_agent
    forget_service
    forget_old
    [ -n "$own" ] || discard "$lib"
    rm -f "$package" "$key_file" "$server_file" "$config"
    discard "$state"
    leave
}

# ------------------------------------------------------------------------------------------------------------- the work

read_options "$@"
made_user='' touched='' had_state='' kept=''
choose_places
check_places
if [ -n "$uninstall" ]; then
    say "hbc is removed from this machine: $package, $etc, $state, $unit${command:+, $command}"
    set +e
    case $(getent passwd hbc) in
        *":$state:"*) made_user=yes ;;
    esac
    remove
    [ ! -e "$etc" ] || say "$etc has files of yours and stays."
    say "Done."
    exit 0
fi
find_python
[ ! -e "$config" ] || kept=' (stays, but for the address of the daemon)'
say "hbc $VERSION is installed on this machine and reports to $SERVER as $NAME:"
say "  program  $package, with $python${command:+, as $command}"
say "  config   $config${kept:-}"
say "  key      $key_file, for $agent alone"
say "  state    $state"
case $service in
    system) say "  service  $unit, as user $agent" ;;
    user) say "  service  $unit" ;;
    none) say "  service  none: systemd does not run here; it is started in the background" ;;
esac
if [ -n "$self_update" ]; then
    say "  update   by the daemon, when update_agent is in allow.commands of the config"
fi

trap undo EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
trap '' PIPE
mkdir -p "$lib" "$etc"
discard "$lib.old"
each keep
fetch_package "$fetched"
make_user
if [ -d "$state" ]; then
    had_state=yes
    if [ "$agent" = hbc ] && [ -O "$state" ]; then # of an hbc that root has run by hand
        had_state=roots
        chown -hR hbc:hbc "$state"
    fi
else
    mkdir -p "${state%/*}"
    (umask 077 && mkdir "$state")
    [ "$agent" != hbc ] || chown hbc:hbc "$state"
fi
touched=yes
put_package
rm -f "$key_file.new"
(umask 077 && printf '%s\n' "$KEY" >"$key_file.new")
[ "$agent" != hbc ] || chown hbc:hbc "$key_file.new"
mv -f "$key_file.new" "$key_file"
[ -z "$CERTIFICATE" ] || printf '%s\n' "$CERTIFICATE" | put 644 "$server_file"
write_config
"$python" -I "$package" check-config -c "$config" >/dev/null || fail "$config cannot be used"
write_command
stop_agent
[ "$service" = none ] || write_unit
start_agent
settled || fail "hbc ended right after its start; $(last_words)"
if [ -n "$self_update" ] && [ "$agent" = hbc ]; then # as the last thing: from now on root does nothing there
    trap '' HUP INT TERM
    each forget
    chown hbc "$package" "$lib"
fi
say "Done: hbc runs."
if [ "$service" = none ]; then
    say "To have it started with the machine, add this to $agent's crontab:"
    say "  @reboot STATE_DIRECTORY=$state $python -I $package run -c $config >$state/hbc.log 2>&1"
    say "To have it use a change of its config, run this script again."
fi
)

{ install_hbc "$@"; }
