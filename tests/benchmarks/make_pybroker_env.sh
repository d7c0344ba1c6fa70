#!/bin/sh
# Make the virtualenv of PyBroker that test_pybroker.py compares with: make_pybroker_env.sh FOLDER [PYTHON]
# Its own, because PyBroker pins numpy and numba below ours. Then: BARWISE_PYBROKER_PYTHON=FOLDER/bin/python
set -eu
folder=${1:?"usage: make_pybroker_env.sh FOLDER [PYTHON]"}
"${2:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet "lib-pybroker==2.0.2" lightgbm pyarrow scikit-learn
"$folder/bin/python" -c "import importlib.metadata as m; print('lib-pybroker', m.version('lib-pybroker'), 'lightgbm', m.version('lightgbm'))"
echo "BARWISE_PYBROKER_PYTHON=$folder/bin/python"
