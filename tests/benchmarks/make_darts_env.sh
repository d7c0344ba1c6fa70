#!/bin/sh
# Make the virtualenv of Darts that test_darts.py compares with: make_darts_env.sh FOLDER [PYTHON]
# Its own, because Darts brings Lightning and pins of its own. Then: BARWISE_DARTS_PYTHON=FOLDER/bin/python
set -eu
folder=${1:?"usage: make_darts_env.sh FOLDER [PYTHON]"}
"${2:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet "torch==2.13.0" "darts[torch]==0.48.*"
"$folder/bin/python" -c "import darts, torch; print('darts', darts.__version__, 'torch', torch.__version__)"
echo "BARWISE_DARTS_PYTHON=$folder/bin/python"
