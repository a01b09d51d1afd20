# Sourced by the scripts: goes to the top of the checkout and makes .venv, once, with what is asked for.
# PYTHON chooses the interpreter, VENV the folder; NO_INSTALL=1 takes PYTHON (or python3) as it is and installs nothing.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {  # prints the first interpreter that will do
  local candidate
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo "$candidate"; return; }
  done
  echo "Python 3.11, 3.12 or 3.13 (with venv) is needed; PYTHON=/path/to/python names one" >&2
  return 1
}

whole() {  # has an installation ever been finished there, and does its Python still run?
  ls "$1"/.stamp-* >/dev/null 2>&1 &&
    "$1/bin/python" -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

ensure_env() {  # ensure_env EXTRAS: sets PY. Extras only ever add to what is there, so that scripts can share .venv.
  local venv=${VENV:-.venv} extras=$1 python state name
  PY=$venv/bin/python
  if [ "${NO_INSTALL:-0}" = 1 ]; then
    PY=${PYTHON:-python3}
    return
  fi
  exec 9>"$venv.lock"
  flock 9 # a second script waits here until the first is through
  if ! whole "$venv"; then
    python=$(find_python)
    echo "making $venv with $("$python" -V)" >&2
    "$python" -m venv --clear "$venv"
  fi
  state=$({ pwd; "$PY" -V; cat pyproject.toml; } | cksum | tr ' ' -)
  if ! [ -e "$venv/.stamp-${extras:-run}-$state" ]; then
    echo "installing seq2seq${extras:+[$extras]} in $venv: a minute or two the first time" >&2
    # One command, so that the cap on torch holds for everything that needs torch.
    "$PY" -m pip install --quiet --disable-pip-version-check --no-input -e ".${extras:+[$extras]}" >&2
    for name in run ${extras:-run}; do
      rm -f "$venv/.stamp-$name-"*
      touch "$venv/.stamp-$name-$state"
    done
  fi
  exec 9>&-
}
