# Sourced by the scripts: changes to the top of the checkout, and defines ensure_env, which creates .venv once.
# PYTHON is the interpreter to use, VENV the folder; NO_INSTALL=1 uses PYTHON (or python3) and installs nothing.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {  # prints the first suitable interpreter
  local candidate
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11, 3.12 or 3.13 with venv is required; set PYTHON=/path/to/python to choose one" >&2
  return 1
}

is_complete() {  # whether an installation was ever finished in that folder, and its Python still runs
  ls "$1"/.stamp-* >/dev/null 2>&1 &&
    "$1/bin/python" -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

ensure_env() {  # ensure_env EXTRAS: installs and sets PY. Extras are only ever added, so that scripts can share .venv.
  local venv=${VENV:-.venv} extras=$1 python state name
  PY=$venv/bin/python
  if [ "${NO_INSTALL:-0}" = 1 ]; then
    PY=${PYTHON:-python3}
    return
  fi
  exec 9>"$venv.lock"
  flock 9 # a second script waits here for the first to finish
  if ! is_complete "$venv"; then
    python=$(find_python)
    echo "creating $venv with $("$python" -V)" >&2
    "$python" -m venv --clear "$venv"
  fi
  state=$({ pwd; "$PY" -V; cat pyproject.toml; } | cksum | tr ' ' -)
  if ! [ -e "$venv/.stamp-${extras:-run}-$state" ]; then
    echo "installing seq2seq${extras:+[$extras]} in $venv; the first time, this takes a minute or two" >&2
    # One command, so that the bounds on torch hold for everything that depends on torch.
    "$PY" -m pip install --quiet --disable-pip-version-check --no-input -e ".${extras:+[$extras]}" >&2
    for name in run ${extras:-run}; do
      rm -f "$venv/.stamp-$name-"*
      touch "$venv/.stamp-$name-$state"
    done
  fi
  exec 9>&-
}
