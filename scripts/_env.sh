# Sourced by the scripts: changes to the top of the checkout, and defines ensure_env.
# PYTHON is the interpreter to use, VENV the folder; NO_INSTALL=1 uses PYTHON (or python3) and installs nothing.
unset PYTHONDONTWRITEBYTECODE # without bytecode each process compiles torch, which takes it ten seconds
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() { # prints the first suitable interpreter
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11, 3.12, 3.13 or 3.14 with venv is required (on Debian and Ubuntu: apt install python3-venv);" \
    "set PYTHON=/path/to/python to choose one" >&2
  return 1
}

ensure_env() { # ensure_env EXTRAS [--versions latest|oldest]: creates the environment once and sets PY, its Python
  if [ "${NO_INSTALL:-0}" = 1 ]; then
    PY=${PYTHON:-python3}
    return
  fi
  local python
  python=$(find_python)
  PY=$("$python" scripts/environment.py "$@")
}
