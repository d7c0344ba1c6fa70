"""A plugin is one file: entered in a table, it is held against every law without a line in any test."""

import os
import re
import subprocess
import sys
from pathlib import Path

from mlcore.checks.models import MODEL_CHECKS, MORE_TASKS, SPOKEN_CHECKS, TASKS

ROOT = Path(__file__).parents[1]
PLUGINS = '''
from mlcore.features import feature
from mlcore.models import MODELS
from mlcore.models.linear import Linear


@feature
def third_party_honest(bars, window=7):
    """Return close over its mean."""
    return bars["close"] / bars["close"].rolling(window).mean()


@feature
def third_party_leaky(bars, window=7):
    """Return close over its centred mean."""
    return bars["close"] / bars["close"].rolling(window, center=True).mean()


@MODELS.named("third_party_model")
class ThirdParty(Linear):
    def __init__(self, lookback=2, seed=0):
        super().__init__(lookback=lookback, seed=seed)
'''


def test_a_new_feature_and_a_new_model_are_tested_because_they_exist(tmp_path):
    (tmp_path / "third_party.py").write_text(PLUGINS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "third_party", "-p", "no:cacheprovider", "-rA", "--tb=line", "-q"]
        + ["-k", "third_party", "tests/test_conformance.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )
    ended = re.findall(r"^(PASSED|FAILED) \S+\[(third_party_\w+?)-(\S+)\]", run.stdout, flags=re.MULTILINE)
    by_plugin = {name: {check: word for word, plugin, check in ended if plugin == name} for _, name, _ in ended}
    assert set(by_plugin["third_party_honest"].values()) == {"PASSED"}, run.stdout
    assert len(by_plugin["third_party_honest"]) == 5
    caught = {check for check, word in by_plugin["third_party_leaky"].items() if word == "FAILED"}
    assert {"feature_is_blind_to_later_bars", "feature_is_blind_to_other_futures"} <= caught
    wanted = len(TASKS) * len(MODEL_CHECKS) + len(MORE_TASKS) * len(SPOKEN_CHECKS)
    assert len(by_plugin["third_party_model"]) == wanted >= 76
    assert set(by_plugin["third_party_model"].values()) == {"PASSED"}, run.stdout
    assert "test_model_in_the_chain[third_party_model]" in run.stdout
